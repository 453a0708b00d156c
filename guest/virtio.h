/* SPDX-License-Identifier: MIT
 *
 * A driver for virtio devices on PCI (virtio 1.2, 4.1) and their queues, split (2.7) and packed (2.8), with
 * indirect descriptors and the event index. One CPU at a time uses a queue.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "guest/kernel.h"

#define VIRTIO_ID_BLOCK 2

#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_F_RING_PACKED   (1ull << 34)
#define VIRTIO_F_RING_RESET    (1ull << 40)

#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER      2u
#define VIRTIO_DRIVER_OK   4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u

#define VQ_SIZE_MAX  256u
#define VQ_CHAIN_MAX 8u /* buffers of one chain */
#define VQ_COUNT_MAX 8u
#define VQ_NO_VECTOR 0xffffu

struct vq_buffer {
    void *at;
    uint32_t len;
    bool device_writes;
};

struct vq {
    uint64_t notify; /* where to write `index`, 2 bytes */
    uint16_t index, size;
    bool is_packed, has_event_idx, is_indirect;
    uint8_t *descriptors, *driver, *device, *tables; /* pages of its own, kept for the next start */
    uint16_t next_avail, next_used, free_first, free_count, unkicked;
    bool avail_wrap, used_wrap;
    uint16_t next[VQ_SIZE_MAX], lens[VQ_SIZE_MAX]; /* split: the list of descriptors; slots of a chain */
};

struct virtio {
    uint32_t slot;
    uint64_t common, notify, isr, config; /* addresses of the structures */
    uint32_t notify_multiplier;
    uint64_t features; /* negotiated */
    uint16_t queue_count;
    struct vq queues[VQ_COUNT_MAX];
};

/* Device number `index` of this type; false where there is none, or it is no modern one. */
bool virtio_find(uint16_t type, unsigned index, struct virtio *virtio);

uint64_t virtio_offered(const struct virtio *virtio);
uint8_t virtio_status(const struct virtio *virtio);
void virtio_reset(struct virtio *virtio);

/* Reset, the features that are `wanted` and offered, `count` queues of up to `size` entries, DRIVER_OK. Queue
 * i interrupts by MSI-X message `vectors[i]`; NULL: none interrupts. */
bool virtio_start(struct virtio *virtio, uint64_t wanted, unsigned count, uint16_t size,
                  const uint16_t *vectors);

/* One queue of it, also after its reset (2.6.1). */
bool virtio_queue_start(struct virtio *virtio, unsigned index, uint16_t size, uint16_t vector);
bool virtio_queue_reset(struct virtio *virtio, unsigned index);

/* Adds a chain of up to VQ_CHAIN_MAX buffers, those to be read first. False where there is no room; *id is
 * what vq_take says of it later. */
bool vq_add(struct vq *vq, const struct vq_buffer *buffers, unsigned count, uint16_t *id);

/* Tells the device of what was added, if it wants to know; whether it did. */
bool vq_kick(struct vq *vq);

/* Whether interrupts are wanted for what comes back from now on. */
void vq_interrupts_set(struct vq *vq, bool wanted);

/* A chain that came back, and how many bytes the device says that it has written. */
bool vq_take(struct vq *vq, uint16_t *id, uint32_t *written);

#endif
