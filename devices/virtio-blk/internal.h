/* SPDX-License-Identifier: MIT
 *
 * The disk, for virtio_blk.c (configuration and life), queue.c (the way of a request) and request.c (what a
 * request asks for).
 */
#ifndef DEVICES_VIRTIO_BLK_INTERNAL_H
#define DEVICES_VIRTIO_BLK_INTERNAL_H

#include <pthread.h>

#include "devices/virtio-blk/limit.h"
#include "devices/virtio-blk/virtio_blk.h"

#define QUEUE_SIZE   256
#define TURN_CHAINS  256 /* before the event loop looks at something else */
#define SEGMENTS_MAX 256 /* of a chain: data, and what goes before and after it */

/* What the guest is told of one request (5.2.4: seg_max, size_max), and so the most that one transfers. */
#define DATA_SEGMENTS_MAX  (SEGMENTS_MAX - 2)
#define SEGMENT_BYTES_MAX  (1 * MIB)
#define TRANSFER_BYTES_MAX (DATA_SEGMENTS_MAX * SEGMENT_BYTES_MAX)

/* Feature bits (5.2.3). */
#define BLK_F_SIZE_MAX     (1ull << 1)
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_CONFIG_WCE   (1ull << 11)
#define BLK_F_MQ           (1ull << 12)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/* Statuses (5.2.6). */
#define BLK_S_OK     0
#define BLK_S_IOERR  1
#define BLK_S_UNSUPP 2

/* A queue begins no request while it has so much in flight: a reset, which a vCPU waits for, and the
 * machine's end wait for it. More than any medium needs to be busy. */
#define QUEUE_BYTES_MAX (256 * MIB)

#define DISCARD_SECTORS_MAX (1u << 22) /* of one range: 2 GiB */
#define ZEROES_SECTORS_MAX  (1u << 15) /* 16 MiB: they may have to be written */
#define RANGES_MAX          16         /* of one request */

#define HOLD_NS 5000000000u /* a resize waits so long for what is in flight */

#define WRITEBACK_UNSET 0xff

/* From the pop of its chain to the push. */
struct request {
    struct virtio_blk *blk;
    struct request *next_free;
    unsigned queue;
    struct queue_chain chain;
    uint8_t *status; /* in guest memory */
    uint64_t written;
    struct block_request block;
    /* Of discard and write zeroes: what is still to be done. */
    struct range {
        uint64_t offset, len;
        bool may_unmap;
    } ranges[RANGES_MAX];
    unsigned range_count, next_range;
    struct iovec segments[SEGMENTS_MAX];
};

struct disk_queue {
    struct request *requests; /* as many as the ring has entries */
    struct request *free;     /* of those that were used before */
    unsigned made;            /* how many were used at all */
    unsigned in_flight;
    uint64_t bytes_in_flight;
    bool is_halted;  /* nobody may look at the ring */
    bool is_starved; /* the ring has more than there are requests, or more than may be in flight */
    bool has_news;   /* pushed, and the guest was not told */
};

struct virtio_blk {
    struct virtio_blk_config config;
    struct virtio *virtio;
    struct block *block;
    struct iovec *pinned; /* the guest's RAM, in pieces that io_uring takes */
    char serial[VIRTIO_BLK_SERIAL_MAX];
    uint8_t writeback; /* atomic; 5.2.5: 0 makes every write stable; WRITEBACK_UNSET: what was negotiated */
    /* The host tells of what it could not make stable only once, so no later flush may claim that it is. */
    bool has_lost;
    uint64_t bytes; /* atomic: the capacity */
    struct limit limit;
    struct event_timer refill;
    bool is_throttled;
    bool is_held; /* no request is begun: the disk's size changes */
    unsigned first_refilled;
    struct virtio_blk_counts counts;
    /* Held by the loop's thread while it works on queues, and by a vCPU's that drains one. Recursive: a
     * request may be done while another is submitted. */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct disk_queue queues[VIRTIO_QUEUES_MAX];
};

/* Whether a write may be done before it is stable (5.2.5.2, 5.2.6.2). */
bool blk_has_cache(const struct virtio_blk *blk);

/* request.c: what became of a request that was read. */
enum request_next {
    REQUEST_SUBMIT, /* request->block is filled in */
    REQUEST_DONE,   /* *status is written */
    REQUEST_BROKEN, /* no place for a status: the driver's fault */
};
enum request_next request_read(struct request *request);
void request_fail(struct request *request); /* what it says to have written */

/* queue.c */
int queues_create(struct virtio_blk *blk, struct vmm_error *error);
void queues_destroy(struct virtio_blk *blk);
void queue_notify(void *device, unsigned queue);
void queue_drain(void *device, unsigned queue);
void queue_batch_done(void *owner);
void queue_refilled(void *owner);
/* No request is begun and none is in flight, from the one to the other. -EBUSY: some do not come back.
 * Release in any case. Not on the loop's thread. */
int queues_hold(struct virtio_blk *blk);
void queues_release(struct virtio_blk *blk);

#endif
