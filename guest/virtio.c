/* SPDX-License-Identifier: MIT
 *
 * A device from its reset to DRIVER_OK (virtio 1.2, 3.1), whatever it is attached to.
 */
#include "guest/virtio_internal.h"

#include "guest/clock.h"
#include "guest/page.h"

#define RESET_US    5000000u
#define CHAIN_BYTES (VQ_CHAIN_MAX * 16)

bool virtio_find(uint16_t type, unsigned index, struct virtio *virtio)
{
    return virtio_pci_find(type, &index, virtio) || virtio_mmio_find(type, &index, virtio);
}

uint64_t virtio_offered(const struct virtio *virtio)
{
    return virtio->transport->offered(virtio);
}

uint8_t virtio_status(const struct virtio *virtio)
{
    return virtio->transport->status(virtio);
}

uint16_t virtio_queue_size(const struct virtio *virtio, unsigned index)
{
    return virtio->transport->queue_size(virtio, index);
}

uint32_t virtio_interrupt_take(const struct virtio *virtio)
{
    return virtio->transport->interrupt_take(virtio);
}

void virtio_reset(struct virtio *virtio)
{
    uint64_t deadline = deadline_after_us(RESET_US);
    virtio->transport->status_set(virtio, 0);
    while (virtio_status(virtio) && !deadline_passed(deadline))
        cpu_relax();
}

static bool negotiate(struct virtio *virtio, uint64_t wanted)
{
    virtio->features = virtio_offered(virtio) & (wanted | VIRTIO_F_VERSION_1);
    virtio->transport->status_set(virtio, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio->transport->accept(virtio, virtio->features);
    virtio->transport->status_set(virtio, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
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
    vq->tables = page_alloc_range(VQ_SIZE_MAX * CHAIN_BYTES / PAGE_BYTES, PAGE_BYTES);
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
    uint16_t most = virtio_queue_size(virtio, index);
    if (!most || !make_pages(vq))
        return false;
    vq->index = (uint16_t)index;
    vq->size = size < most ? size : most < VQ_SIZE_MAX ? most : VQ_SIZE_MAX;
    vq->is_packed = virtio->features & VIRTIO_F_RING_PACKED;
    vq->has_event_idx = virtio->features & VIRTIO_F_EVENT_IDX;
    vq->is_indirect = virtio->features & VIRTIO_F_INDIRECT_DESC;
    empty_ring(vq);
    return virtio->transport->queue_enable(virtio, vq, vector);
}

bool virtio_queue_reset(struct virtio *virtio, unsigned index)
{
    uint64_t deadline = deadline_after_us(RESET_US);
    virtio->transport->queue_reset(virtio, index);
    while (!virtio->transport->queue_is_reset(virtio, index))
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
    for (unsigned i = 0; i < count; i++)
        if (!virtio_queue_start(virtio, i, size, vectors ? vectors[i] : VQ_NO_VECTOR))
            return false;
    virtio->transport->status_set(virtio,
                                  VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    for (unsigned i = 0; i < count; i++)
        vq_interrupts_set(&virtio->queues[i], vectors != NULL);
    return virtio_status(virtio) & VIRTIO_DRIVER_OK;
}
