/* SPDX-License-Identifier: MIT
 *
 * The device by the structures that its PCI capabilities tell of (virtio 1.2, 4.1.4).
 */
#include "guest/virtio_internal.h"

#include "guest/pci.h"

#define VENDOR       0x1af4
#define DEVICE_FIRST 0x1040

/* The capabilities' kinds. */
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_ISR    3
#define CAP_DEVICE 4

/* The common configuration (4.1.4.3). */
#define FEATURE_SELECT        0x00
#define FEATURE               0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE        0x0c
#define STATUS                0x14
#define QUEUE_SELECT          0x16
#define QUEUE_SIZE            0x18
#define QUEUE_VECTOR          0x1a
#define QUEUE_ENABLE          0x1c
#define QUEUE_NOTIFY_OFFSET   0x1e
#define QUEUE_DESCRIPTORS     0x20
#define QUEUE_RESET           0x3a

#define COMMON(type, virtio, offset) MEM(type, (virtio)->common + (offset))

static uint64_t offered(const struct virtio *virtio)
{
    uint64_t features = 0;
    for (uint32_t word = 0; word < 2; word++) {
        COMMON(uint32_t, virtio, FEATURE_SELECT) = word;
        features |= (uint64_t)COMMON(uint32_t, virtio, FEATURE) << 32 * word;
    }
    return features;
}

static void accept(const struct virtio *virtio, uint64_t features)
{
    for (uint32_t word = 0; word < 2; word++) {
        COMMON(uint32_t, virtio, DRIVER_FEATURE_SELECT) = word;
        COMMON(uint32_t, virtio, DRIVER_FEATURE) = (uint32_t)(features >> 32 * word);
    }
}

static uint8_t status(const struct virtio *virtio)
{
    return COMMON(uint8_t, virtio, STATUS);
}

static void status_set(const struct virtio *virtio, uint8_t value)
{
    COMMON(uint8_t, virtio, STATUS) = value;
}

static uint16_t queue_size(const struct virtio *virtio, unsigned index)
{
    COMMON(uint16_t, virtio, QUEUE_SELECT) = (uint16_t)index;
    return COMMON(uint16_t, virtio, QUEUE_SIZE);
}

static bool queue_enable(const struct virtio *virtio, struct vq *vq, uint16_t vector)
{
    const uint64_t areas[] = {(uint64_t)vq->descriptors, (uint64_t)vq->driver, (uint64_t)vq->device};
    COMMON(uint16_t, virtio, QUEUE_SELECT) = vq->index;
    COMMON(uint16_t, virtio, QUEUE_SIZE) = vq->size;
    COMMON(uint16_t, virtio, QUEUE_VECTOR) = vector;
    for (unsigned i = 0; i < ARRAY_COUNT(areas); i++) {
        COMMON(uint32_t, virtio, QUEUE_DESCRIPTORS + 8 * i) = (uint32_t)areas[i];
        COMMON(uint32_t, virtio, QUEUE_DESCRIPTORS + 8 * i + 4) = (uint32_t)(areas[i] >> 32);
    }
    vq->notify_is_wide = false;
    vq->notify = virtio->notify +
                 COMMON(uint16_t, virtio, QUEUE_NOTIFY_OFFSET) * (uint64_t)virtio->notify_multiplier;
    COMMON(uint16_t, virtio, QUEUE_ENABLE) = 1;
    return COMMON(uint16_t, virtio, QUEUE_VECTOR) == vector;
}

static void queue_reset(const struct virtio *virtio, unsigned index)
{
    COMMON(uint16_t, virtio, QUEUE_SELECT) = (uint16_t)index;
    COMMON(uint16_t, virtio, QUEUE_RESET) = 1;
}

static bool queue_is_reset(const struct virtio *virtio, unsigned index)
{
    COMMON(uint16_t, virtio, QUEUE_SELECT) = (uint16_t)index;
    return !COMMON(uint16_t, virtio, QUEUE_RESET) && !COMMON(uint16_t, virtio, QUEUE_ENABLE);
}

/* The read clears it. */
static uint32_t interrupt_take(const struct virtio *virtio)
{
    return MEM(uint8_t, virtio->isr);
}

static const struct virtio_transport pci_transport = {
    .offered = offered,
    .accept = accept,
    .status = status,
    .status_set = status_set,
    .queue_size = queue_size,
    .queue_enable = queue_enable,
    .queue_reset = queue_reset,
    .queue_is_reset = queue_is_reset,
    .interrupt_take = interrupt_take,
};

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

bool virtio_pci_find(uint16_t type, unsigned *index, struct virtio *virtio)
{
    uint32_t capability, slot = pci_find(VENDOR, (uint16_t)(DEVICE_FIRST + type), index);
    if (slot == PCI_NONE)
        return false;
    pci_enable(slot);
    virtio->transport = &pci_transport;
    virtio->slot = slot;
    virtio->pin = pci_read8(slot, PCI_PIN) ? pci_read8(slot, PCI_LINE) : VIRTIO_NO_PIN;
    virtio->common = find_structure(slot, CAP_COMMON, &capability);
    virtio->isr = find_structure(slot, CAP_ISR, &capability);
    virtio->config = find_structure(slot, CAP_DEVICE, &capability);
    virtio->notify = find_structure(slot, CAP_NOTIFY, &capability);
    if (!virtio->common || !virtio->notify || !virtio->isr || !virtio->config)
        return false;
    virtio->notify_multiplier = pci_read(slot, capability + 16);
    return true;
}
