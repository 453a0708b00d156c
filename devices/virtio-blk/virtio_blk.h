/* SPDX-License-Identifier: MIT
 *
 * A virtio block device (virtio 1.2, 5.2) over a block backend. It becomes part of a machine by its
 * virtio_blk_virtio, which a transport is put in front of.
 *
 * Threads: made and destroyed while nothing runs; requests on the event loop's thread.
 */
#ifndef DEVICES_VIRTIO_BLK_VIRTIO_BLK_H
#define DEVICES_VIRTIO_BLK_VIRTIO_BLK_H

#include "devices/block/block.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_BLK_SERIAL_MAX 20

struct virtio_blk_config {
    const char *name;            /* as in struct virtio_config */
    struct block_config backend; /* without pinned, loop, batch_done and owner */
    bool pin;                    /* the guest's RAM is kept in memory and registered with io_uring */
    unsigned queue_count;        /* 1 to VIRTIO_QUEUES_MAX */
    uint32_t block_size;         /* what the guest is told; 0: the backend's; a power of two up to 64 KiB */
    const char *serial;          /* up to VIRTIO_BLK_SERIAL_MAX characters; NULL: none */
    /* Limits for each second; 0: none. */
    uint64_t operations_limit, bytes_limit;
    const struct guest_memory *memory;
    struct event_loop *loop; /* stopped before the destroy */
};

/* Requests that were done, by what they were, and how. */
struct virtio_blk_counts {
    uint64_t operations[BLOCK_OPERATION_COUNT], bytes[BLOCK_OPERATION_COUNT];
    uint64_t errors;    /* IOERR for what the host's disk did */
    uint64_t refused;   /* IOERR or UNSUPP for what the guest asked */
    uint64_t throttled; /* times that a queue had to wait for a limit */
};

struct virtio_blk;

int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_blk **blk,
                      struct vmm_error *error);
void virtio_blk_destroy(struct virtio_blk *blk);

struct virtio *virtio_blk_virtio(struct virtio_blk *blk);
const struct block_info *virtio_blk_info(const struct virtio_blk *blk);

/* See block_resize; the guest is told. Any one thread. */
int virtio_blk_resize(struct virtio_blk *blk, uint64_t bytes, struct vmm_error *error);

/* Exact only while the machine does not run. */
void virtio_blk_get_counts(const struct virtio_blk *blk, struct virtio_blk_counts *counts);

#endif
