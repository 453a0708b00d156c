/* SPDX-License-Identifier: MIT
 *
 * The device core, for virtio.c (status, features, configuration) and virtio_queue.c (queues).
 */
#ifndef DEVICES_VIRTIO_VIRTIO_INTERNAL_H
#define DEVICES_VIRTIO_VIRTIO_INTERNAL_H

#include "devices/virtio/virtio.h"

/*
 *   disabled --virtio_enable_queue--> enabled --queue_run--> running --queue_halt--> halted --queue_forget-->
 *
 * Running is: `queue` is started, kicks come in. Halted is: drained, and nobody will look at it.
 */
struct virtio_queue {
    struct virtio *virtio;
    unsigned index;
    struct queue queue;
    uint16_t size;
    uint64_t address[3]; /* enum virtio_queue_address */
    bool is_enabled;
    bool is_running; /* written while nobody uses the queue */
    int event_fd;
    struct event_source kicks;
    uint64_t own_rings;          /* signals of our own to event_fd; atomic */
    struct virtio_counts counts; /* notifies: under the lock; the others: the queue's thread */
};

struct virtio {
    struct virtio_config config;
    struct lock lock;
    struct lock config_lock; /* inside virtio_lock: no interrupt of the configuration behind a reset */
    const struct virtio_transport_ops *transport_ops;
    void *transport;
    uint64_t accepted;
    bool accepts_unknown;
    bool broken;         /* atomic: no queue gives chains */
    uint8_t status;      /* atomic: NEEDS_RESET comes from any thread */
    uint32_t generation; /* atomic */
    struct virtio_queue queues[];
};

void virtio_interrupt(struct virtio *virtio, unsigned queue);

int queue_open(struct virtio *virtio, unsigned index, struct vmm_error *error);
void queue_close(struct virtio *virtio, unsigned index);
/* The driver is ready: the ring is looked at, and kicks are waited for. */
void queue_run(struct virtio *virtio, unsigned index);
/* Takes no more kicks, and returns when nothing is in flight. */
void queue_halt(struct virtio *virtio, unsigned index);
/* The registers as after a reset. */
void queue_forget(struct virtio *virtio, unsigned index);

#endif
