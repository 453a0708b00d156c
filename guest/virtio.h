/* SPDX-License-Identifier: MIT
 *
 * A driver for virtio devices on PCI (virtio 1.2, 4.1) and by MMIO (4.2), and their queues, split (2.7) and
 * packed (2.8), with indirect descriptors and the event index. One CPU at a time uses a queue.
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

#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

#define VQ_SIZE_MAX  256u
#define VQ_CHAIN_MAX 128u /* buffers of one chain */
#define VQ_COUNT_MAX 8u
#define VQ_NO_VECTOR 0xffffu

#define VIRTIO_NO_PIN 0xffu

struct vq_buffer {
    void *at;
    uint32_t len;
    bool device_writes;
};

struct vq {
    uint64_t notify; /* where to write `index`, 2 bytes or 4 */
    uint16_t index, size;
    bool notify_is_wide, is_packed, has_event_idx, is_indirect;
    uint8_t *descriptors, *driver, *device, *tables; /* pages of its own, kept for the next start */
    uint16_t next_avail, next_used, free_first, free_count, unkicked;
    bool avail_wrap, used_wrap;
    uint16_t next[VQ_SIZE_MAX], lens[VQ_SIZE_MAX]; /* split: the list of descriptors; slots of a chain */
};

struct virtio_transport;

struct virtio {
    const struct virtio_transport *transport;
    uint32_t slot;           /* of PCI, or PCI_NONE */
    uint8_t pin;             /* of the I/O APIC, or VIRTIO_NO_PIN */
    uint64_t common, config; /* addresses: the transport's registers and the device's own configuration */
    uint64_t notify, isr;    /* PCI's other structures */
    uint32_t notify_multiplier;
    uint64_t features; /* negotiated */
    struct vq queues[VQ_COUNT_MAX];
};

/* Device number `index` of this type, those on PCI first; false where there is none. Those by MMIO are told
 * of by the command line's words, which are Linux's: virtio_mmio.device=SIZE@ADDRESS:PIN */
bool virtio_find(uint16_t type, unsigned index, struct virtio *virtio);
bool virtio_is_word(const char *word);

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

/* The most entries of a queue; 0 where there is no such queue. */
uint16_t virtio_queue_size(const struct virtio *virtio, unsigned index);

/* Why the device's pin is up (4.1.4.5, 4.2.2): VIRTIO_ISR_*. The pin goes down with that. */
uint32_t virtio_interrupt_take(const struct virtio *virtio);

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
