/* SPDX-License-Identifier: MIT
 *
 * A small virtio driver in C over fake guest memory, for tests of device types: it negotiates, sets queues
 * up, split or packed, makes chains available and takes them back. It drives the core (virtio.h) directly, as
 * a transport would.
 *
 * Threads: the test's; a device on an event loop may use the rings at the same time.
 */
#ifndef TESTS_DEVICES_VIRTIO_DRIVER_H
#define TESTS_DEVICES_VIRTIO_DRIVER_H

#include "devices/virtio/virtio.h"
#include "tests/harness.h"

#define DRIVER_QUEUE_SIZE_MAX 256
#define DRIVER_QUEUES_MAX     10
#define DRIVER_INDIRECT_MAX   32 /* descriptors of one indirect table */

/* A buffer of a chain. Those that the device reads come first. */
struct driver_buffer {
    gpa_t gpa;
    uint32_t len;
    bool device_writes;
};

/* One virtqueue as the driver has it. */
struct driver_queue {
    const struct guest_memory *memory;
    uint16_t size;
    bool is_packed, has_event_idx;
    gpa_t descriptor, driver, device, indirect; /* the areas, and a table for each chain */
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap;
    uint16_t unkicked; /* made available since the last driver_queue_wants_kick */
    uint16_t free_count, first_free;
    uint16_t next[DRIVER_QUEUE_SIZE_MAX];  /* split: of a free descriptor, or of one in a chain */
    uint16_t slots[DRIVER_QUEUE_SIZE_MAX]; /* that the chain of an id takes; 0: it is not in flight */
};

/* Lays the areas out from `gpa`, a multiple of 16, and empties the ring. Returns where they end. */
gpa_t driver_queue_init(struct driver_queue *queue, const struct guest_memory *memory, gpa_t gpa,
                        uint16_t size, bool is_packed);

/* Makes a chain available; the ring must have room. Returns its id. */
uint16_t driver_queue_add(struct driver_queue *queue, const struct driver_buffer *buffers, unsigned count,
                          bool is_indirect);
bool driver_queue_has_room(const struct driver_queue *queue, unsigned count, bool is_indirect);

/* The next chain that the device gave back. Fails the test for one that was not in flight. */
bool driver_queue_take(struct driver_queue *queue, uint16_t *id, uint32_t *written);

/* Whether the device wants to be notified of what was added since the last call. */
bool driver_queue_wants_kick(struct driver_queue *queue);

/* Whether the driver wants interrupts: with an event index, for the next chain that comes back. */
void driver_queue_ask_interrupts(struct driver_queue *queue, bool wanted);

/* A driver of a whole device, and the transport under it. */
struct virtio_driver {
    struct virtio *virtio;
    const struct guest_memory *memory;
    uint64_t features;
    gpa_t next_gpa; /* of what is not laid out yet */
    struct driver_queue queues[DRIVER_QUEUES_MAX];
    unsigned interrupts[DRIVER_QUEUES_MAX], config_interrupts; /* atomic */
    unsigned resets;
};

/* Attaches to the device. Queues are laid out from `gpa` on. */
void virtio_driver_init(struct virtio_driver *driver, struct virtio *virtio, gpa_t gpa);

/* 3.1.1 as far as FEATURES_OK: resets, and accepts what is in `features` and offered, and VERSION_1. */
void virtio_driver_negotiate(struct virtio_driver *driver, uint64_t features);
/* Before or after DRIVER_OK. */
void virtio_driver_enable(struct virtio_driver *driver, unsigned queue, uint16_t size);
void virtio_driver_ready(struct virtio_driver *driver);
/* All of these, with `queue_count` queues of `size`. */
void virtio_driver_start(struct virtio_driver *driver, uint64_t features, unsigned queue_count,
                         uint16_t size);

/* With virtio_lock, as a transport has it. */
void virtio_driver_set_status(struct virtio_driver *driver, uint8_t status);

/* Adds a chain and notifies, where the device wants to know. Returns its id. */
uint16_t virtio_driver_send(struct virtio_driver *driver, unsigned queue, const struct driver_buffer *buffers,
                            unsigned count);
/* Waits until the device gives a chain back; fails the test after some seconds. */
uint32_t virtio_driver_wait(struct virtio_driver *driver, unsigned queue, uint16_t *id);

unsigned virtio_driver_interrupts(struct virtio_driver *driver, unsigned queue);
unsigned virtio_driver_config_interrupts(struct virtio_driver *driver);

#endif
