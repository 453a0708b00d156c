/* SPDX-License-Identifier: MIT
 *
 * The device, by the registers of its PCI capabilities.
 */
#include "guest/virtio.h"

#include "guest/clock.h"
#include "guest/page.h"
#include "guest/pci.h"

#define VENDOR       0x1af4
#define DEVICE_FIRST 0x1040

/* The capabilities' kinds (4.1.4). */
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_ISR    3
#define CAP_DEVICE 4

/* The common configuration (4.1.4.3). */
#define FEATURE_SELECT        0x00
#define FEATURE               0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE        0x0c
#define CONFIG_VECTOR         0x10
#define QUEUE_COUNT           0x12
#define STATUS                0x14
#define QUEUE_SELECT          0x16
#define QUEUE_SIZE            0x18
#define QUEUE_VECTOR          0x1a
#define QUEUE_ENABLE          0x1c
#define QUEUE_NOTIFY_OFFSET   0x1e
#define QUEUE_DESCRIPTORS     0x20
#define QUEUE_DRIVER          0x28
#define QUEUE_DEVICE          0x30
#define QUEUE_RESET           0x3a

#define RESET_US    5000000u
#define TABLE_PAGES (VQ_SIZE_MAX * VQ_CHAIN_MAX * 16 / PAGE_BYTES)

static uint64_t find_structure(uint32_t slot, uint8_t kind, uint32_t *capability)
{
    uint32_t at = 0;
    while ((at = pci_capability(slot, PCI_CAP_OWN, at)) != PCI_NONE)
        if (pci_read8(slot, at + 3) == kind) {
            uint64_t bar = pci_map_bar(slot, pci_read8(slot, at + 4));
            *capability = at;
            return bar ? bar + pci_read(slot, at + 8) : 0;
        }
    return 0;
}

bool virtio_find(uint16_t type, unsigned index, struct virtio *virtio)
{
    uint32_t capability;
    virtio->slot = pci_find(VENDOR, (uint16_t)(DEVICE_FIRST + type), index);
    if (virtio->slot == PCI_NONE)
        return false;
    pci_enable(virtio->slot);
    virtio->common = find_structure(virtio->slot, CAP_COMMON, &capability);
    virtio->isr = find_structure(virtio->slot, CAP_ISR, &capability);
    virtio->config = find_structure(virtio->slot, CAP_DEVICE, &capability);
    virtio->notify = find_structure(virtio->slot, CAP_NOTIFY, &capability);
    if (!virtio->common || !virtio->notify || !virtio->isr || !virtio->config)
        return false;
    virtio->notify_multiplier = pci_read(virtio->slot, capability + 16);
    virtio->queue_count = MEM(uint16_t, virtio->common + QUEUE_COUNT);
    return true;
}

uint64_t virtio_offered(const struct virtio *virtio)
{
    uint64_t features = 0;
    for (uint32_t word = 0; word < 2; word++) {
        MEM(uint32_t, virtio->common + FEATURE_SELECT) = word;
        features |= (uint64_t)MEM(uint32_t, virtio->common + FEATURE) << 32 * word;
    }
    return features;
}

uint8_t virtio_status(const struct virtio *virtio)
{
    return MEM(uint8_t, virtio->common + STATUS);
}

void virtio_reset(struct virtio *virtio)
{
    uint64_t deadline = deadline_after_us(RESET_US);
    MEM(uint8_t, virtio->common + STATUS) = 0;
    while (virtio_status(virtio) && !deadline_passed(deadline))
        cpu_relax();
}

static bool negotiate(struct virtio *virtio, uint64_t wanted)
{
    virtio->features = virtio_offered(virtio) & (wanted | VIRTIO_F_VERSION_1);
    MEM(uint8_t, virtio->common + STATUS) = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
    for (uint32_t word = 0; word < 2; word++) {
        MEM(uint32_t, virtio->common + DRIVER_FEATURE_SELECT) = word;
        MEM(uint32_t, virtio->common + DRIVER_FEATURE) = (uint32_t)(virtio->features >> 32 * word);
    }
    MEM(uint8_t, virtio->common + STATUS) = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK;
    return virtio_status(virtio) & VIRTIO_FEATURES_OK;
}

/* Its pages are taken once, and used again by every start. */
static bool make_pages(struct vq *vq)
{
    if (vq->tables)
        return true;
    vq->descriptors = page_alloc();
    vq->driver = page_alloc();
    vq->device = page_alloc();
    vq->tables = page_alloc_range(TABLE_PAGES, PAGE_BYTES);
    return vq->descriptors && vq->driver && vq->device && vq->tables;
}

static void empty_ring(struct vq *vq)
{
    memset(vq->descriptors, 0, PAGE_BYTES);
    memset(vq->driver, 0, PAGE_BYTES);
    memset(vq->device, 0, PAGE_BYTES);
    vq->next_avail = vq->next_used = vq->unkicked = 0;
    vq->avail_wrap = vq->used_wrap = true;
    vq->free_first = 0;
    vq->free_count = vq->size;
    for (uint16_t i = 0; i < vq->size; i++)
        vq->next[i] = (uint16_t)(i + 1);
}

bool virtio_queue_start(struct virtio *virtio, unsigned index, uint16_t size, uint16_t vector)
{
    struct vq *vq = &virtio->queues[index];
    MEM(uint16_t, virtio->common + QUEUE_SELECT) = (uint16_t)index;
    uint16_t most = MEM(uint16_t, virtio->common + QUEUE_SIZE);
    if (!most || !make_pages(vq))
        return false;
    vq->index = (uint16_t)index;
    vq->size = size < most ? size : most < VQ_SIZE_MAX ? most : VQ_SIZE_MAX;
    vq->is_packed = virtio->features & VIRTIO_F_RING_PACKED;
    vq->has_event_idx = virtio->features & VIRTIO_F_EVENT_IDX;
    vq->is_indirect = virtio->features & VIRTIO_F_INDIRECT_DESC;
    vq->notify = virtio->notify +
                 MEM(uint16_t, virtio->common + QUEUE_NOTIFY_OFFSET) * (uint64_t)virtio->notify_multiplier;
    empty_ring(vq);
    MEM(uint16_t, virtio->common + QUEUE_SIZE) = vq->size;
    MEM(uint16_t, virtio->common + QUEUE_VECTOR) = vector;
    const uint64_t areas[] = {(uint64_t)vq->descriptors, (uint64_t)vq->driver, (uint64_t)vq->device};
    for (unsigned i = 0; i < 3; i++) {
        MEM(uint32_t, virtio->common + QUEUE_DESCRIPTORS + 8 * i) = (uint32_t)areas[i];
        MEM(uint32_t, virtio->common + QUEUE_DESCRIPTORS + 8 * i + 4) = (uint32_t)(areas[i] >> 32);
    }
    MEM(uint16_t, virtio->common + QUEUE_ENABLE) = 1;
    return MEM(uint16_t, virtio->common + QUEUE_VECTOR) == vector;
}

bool virtio_queue_reset(struct virtio *virtio, unsigned index)
{
    uint64_t deadline = deadline_after_us(RESET_US);
    MEM(uint16_t, virtio->common + QUEUE_SELECT) = (uint16_t)index;
    MEM(uint16_t, virtio->common + QUEUE_RESET) = 1;
    while (MEM(uint16_t, virtio->common + QUEUE_RESET) || MEM(uint16_t, virtio->common + QUEUE_ENABLE))
        if (deadline_passed(deadline))
            return false;
    return true;
}

bool virtio_start(struct virtio *virtio, uint64_t wanted, unsigned count, uint16_t size,
                  const uint16_t *vectors)
{
    virtio_reset(virtio);
    if (!negotiate(virtio, wanted))
        return false;
    MEM(uint16_t, virtio->common + CONFIG_VECTOR) = VQ_NO_VECTOR;
    for (unsigned i = 0; i < count; i++)
        if (!virtio_queue_start(virtio, i, size, vectors ? vectors[i] : VQ_NO_VECTOR))
            return false;
    MEM(uint8_t, virtio->common + STATUS) = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK |
                                            VIRTIO_DRIVER_OK;
    for (unsigned i = 0; i < count; i++)
        vq_interrupts_set(&virtio->queues[i], vectors != NULL);
    return virtio_status(virtio) & VIRTIO_DRIVER_OK;
}
