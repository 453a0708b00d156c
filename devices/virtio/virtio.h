/* SPDX-License-Identifier: MIT
 *
 * The core of a virtio device (virtio 1.2, 2 and 3): status, feature negotiation, configuration space,
 * queues. Between a device type (virtio_ops: a disk, a console) and a transport (virtio_transport_ops: PCI,
 * MMIO), neither of which knows the other.
 *
 *   transport --registers--> virtio --start, notify, drain, reset--> device type
 *   transport <--interrupt-- virtio <--virtio_queue_pop, virtio_queue_push-- device type
 *
 * Threads: registers (virtio_set_*, virtio_config_*, ...) come one at a time, from vCPU threads: the
 * transport holds virtio_lock around them. A queue is used by one thread at a time: the event loop's, on
 * which notify is called; a device without a loop is notified on the thread that writes the register.
 * Interrupts from any.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_H
#define DEVICES_VIRTIO_VIRTIO_H

#include "base/event_loop.h"
#include "base/lines.h"
#include "base/lock.h"
#include "devices/virtio/queue.h"

/* Device types (5). */
#define VIRTIO_ID_BLOCK   2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_RNG     4

/* Status bits (2.1). */
#define VIRTIO_ACKNOWLEDGE 1u
#define VIRTIO_DRIVER      2u
#define VIRTIO_DRIVER_OK   4u
#define VIRTIO_FEATURES_OK 8u
#define VIRTIO_NEEDS_RESET 64u
#define VIRTIO_FAILED      128u

/* Feature bits that are not a device type's (6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_F_RING_PACKED   (1ull << 34)
#define VIRTIO_F_IN_ORDER      (1ull << 35)
#define VIRTIO_F_RING_RESET    (1ull << 40)

/* What the core offers for every device. IN_ORDER only helps who finishes in order, and is the type's. */
#define VIRTIO_FEATURES_CORE                                                                   \
    (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED | \
     VIRTIO_F_RING_RESET)

#define VIRTIO_QUEUES_MAX 64

struct virtio;

struct virtio_ops {
    /* [offset, offset + len) is inside of config_len. May be NULL: zeroes, and nothing. */
    void (*config_read)(void *device, uint32_t offset, void *to, unsigned len);
    void (*config_write)(void *device, uint32_t offset, const void *from, unsigned len);
    /* The driver is ready (DRIVER_OK): features are final, queues that it enabled are started. May be NULL.
     */
    void (*start)(void *device);
    /* The driver has notified the queue: pop what is there. Also called when a queue starts. */
    void (*notify)(void *device, unsigned queue);
    /* Returns when no chain of the queue is in flight: all are pushed. No notify comes meanwhile, and none
     * afterwards until the queue is started again. May be NULL: what notify popped it has pushed. */
    void (*drain)(void *device, unsigned queue);
    /* As after power on. Every queue is drained. May be NULL. */
    void (*reset)(void *device);
};

struct virtio_config {
    const char *name;     /* for traces and statistics; lives as long as the device */
    uint16_t type;        /* VIRTIO_ID_... */
    uint64_t features;    /* the type's own; the core adds VIRTIO_FEATURES_CORE */
    unsigned queue_count; /* 1 to VIRTIO_QUEUES_MAX */
    uint16_t queue_size;  /* the most of each queue: a power of two up to QUEUE_SIZE_MAX */
    uint32_t config_len;  /* bytes of the type's configuration space */
    const struct guest_memory *memory;
    struct event_loop *loop; /* NULL: notify is called on the notifying thread, under virtio_lock */
    const struct virtio_ops *ops;
    void *device;
};

/* An interrupt for all of the configuration instead of a queue. */
#define VIRTIO_INTERRUPT_CONFIG 0xffffu

struct virtio_transport_ops {
    /* Tells the driver that the queue has used buffers, or (VIRTIO_INTERRUPT_CONFIG) that the configuration
     * has changed. From any thread, with or without virtio_lock: it may not take that. */
    void (*interrupt)(void *transport, unsigned queue);
    /* The device was reset by the driver: vectors and interrupts of the transport go, too. With virtio_lock.
     * May be NULL. */
    void (*reset)(void *transport);
};

int virtio_create(const struct virtio_config *config, struct virtio **virtio, struct vmm_error *error);
/* Drains what runs. The transport is destroyed before. */
void virtio_destroy(struct virtio *virtio);

/* The transport's, once, before the guest runs. */
void virtio_attach(struct virtio *virtio, const struct virtio_transport_ops *ops, void *transport);

const struct virtio_config *virtio_config(const struct virtio *virtio);

/* ---- For device types ---- */

/* What was negotiated; 0 before FEATURES_OK. */
uint64_t virtio_features(const struct virtio *virtio);

/* queue_pop and queue_push (queue.h) of a queue, with what belongs to them: a broken queue makes the device
 * NEEDS_RESET (2.1.2), and every step is traced and counted. */
enum queue_answer virtio_queue_pop(struct virtio *virtio, unsigned queue, struct queue_chain *chain);
void virtio_queue_push(struct virtio *virtio, unsigned queue, const struct queue_chain *chain,
                       uint64_t written);
/* After a batch of pushes: an interrupt, where the driver wants one. */
void virtio_queue_flush(struct virtio *virtio, unsigned queue);
/* See queue.h. A usual notify: kicks_off; pop all; kicks_on; again where that says so. */
void virtio_queue_kicks_off(struct virtio *virtio, unsigned queue);
bool virtio_queue_kicks_on(struct virtio *virtio, unsigned queue);
/* Calls notify once more, after what else the event loop has to do: for who gives up its turn with chains
 * left, since a driver can make chains available for ever. Not for a device without a loop. */
void virtio_queue_again(struct virtio *virtio, unsigned queue);

/* The configuration space has changed: a new generation and an interrupt (2.5). Any thread. */
void virtio_config_changed(struct virtio *virtio);

/* The driver has broken a rule of the device type; `rule` is a static phrase. NEEDS_RESET; no queue gives
 * chains any more. From the thread that uses the queues. */
void virtio_break(struct virtio *virtio, const char *rule, uint64_t value);

/* ---- For transports: with virtio_lock held, but for what says otherwise ---- */

/* The lock to give to the bus as the region's lock. Recursive it is not. */
struct lock *virtio_lock(struct virtio *virtio);

/* Bits 32 * word and on; words other than 0 and 1 are 0, and taken by nobody. */
uint32_t virtio_features_offered(const struct virtio *virtio, uint32_t word);
uint32_t virtio_features_accepted(const struct virtio *virtio, uint32_t word);
void virtio_accept_features(struct virtio *virtio, uint32_t word, uint32_t value);

uint8_t virtio_status(const struct virtio *virtio);
/* 0 resets, and returns when the device is reset. Otherwise sets further bits, where the order of 3.1.1 lets
 * them be set: FEATURES_OK only with VERSION_1 and without what was not offered, DRIVER_OK only after it. */
void virtio_set_status(struct virtio *virtio, uint8_t status);

/* Outside of the space: zeroes, and nothing. `len` is 1 to 8. */
uint64_t virtio_config_read(struct virtio *virtio, uint32_t offset, unsigned len);
void virtio_config_write(struct virtio *virtio, uint32_t offset, unsigned len, uint64_t value);
/* Changes whenever the space does (2.5.1). */
uint32_t virtio_config_generation(const struct virtio *virtio);

/* Queues; numbers beyond the last have size 0, and writes to them vanish. While a queue is enabled its
 * registers stay what they are. */
enum virtio_queue_address {
    VIRTIO_QUEUE_DESCRIPTOR,
    VIRTIO_QUEUE_DRIVER,
    VIRTIO_QUEUE_DEVICE,
};
uint16_t virtio_queue_size_max(const struct virtio *virtio, unsigned queue);
uint16_t virtio_queue_size(const struct virtio *virtio, unsigned queue);
void virtio_set_queue_size(struct virtio *virtio, unsigned queue, uint16_t size);
uint64_t virtio_queue_address(const struct virtio *virtio, unsigned queue, enum virtio_queue_address which);
/* `half`: 0 for bits 0 to 31, 1 for the others. */
void virtio_set_queue_address(struct virtio *virtio, unsigned queue, enum virtio_queue_address which,
                              unsigned half, uint32_t value);
bool virtio_queue_is_enabled(const struct virtio *virtio, unsigned queue);
void virtio_enable_queue(struct virtio *virtio, unsigned queue);
/* The driver stops using it (4.2.3.2.1): drained when this returns; its registers stay, and can be written.
 */
void virtio_disable_queue(struct virtio *virtio, unsigned queue);
/* 2.6.1; nothing unless RING_RESET was negotiated. The queue is drained when it returns, and its registers
 * are as after a reset of the device. */
void virtio_reset_queue(struct virtio *virtio, unsigned queue);

/* A notification that came as a write to a register: the slow path, which instructions executed in software
 * take. */
void virtio_notify(struct virtio *virtio, unsigned queue);

/* The eventfd that does the same, for a doorbell; it stays the device's. -1 where there is none: the device
 * has no event loop, or the queue does not exist. Without virtio_lock, too. */
int virtio_queue_event_fd(const struct virtio *virtio, unsigned queue);

/* ---- What it cost ---- */

struct virtio_counts {
    uint64_t doorbells;  /* notifications by KVM's ioeventfd */
    uint64_t notifies;   /* ... and by a write to a register that came to us */
    uint64_t chains;     /* that were popped */
    uint64_t out_bytes;  /* that they had for the device to read */
    uint64_t in_bytes;   /* ... and that the device has written */
    uint64_t interrupts; /* sent for used buffers */
    uint64_t suppressed; /* not sent, as the driver wanted none */
};

/* Of all queues. Exact only while the machine does not run. */
void virtio_get_counts(const struct virtio *virtio, struct virtio_counts *counts);

#endif
