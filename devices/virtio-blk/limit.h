/* SPDX-License-Identifier: MIT
 *
 * A token bucket for each of two rates. A request is let in while both buckets hold something, and may take
 * more than is left: the debt is paid before the next. Threads: one.
 */
#ifndef DEVICES_VIRTIO_BLK_LIMIT_H
#define DEVICES_VIRTIO_BLK_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t rate;   /* for each second; 0: without limit. A bucket holds what a tenth of a second brings */
    int64_t tokens;  /* in billionths */
    uint64_t filled; /* when, in nanoseconds */
};

struct limit {
    struct bucket operations, bytes;
};

void limit_init(struct limit *limit, uint64_t operations, uint64_t bytes, uint64_t now_ns);

/* 0 where a request may go, else how many nanoseconds to wait. */
uint64_t limit_wait_ns(struct limit *limit, uint64_t now_ns);
void limit_take(struct limit *limit, uint64_t bytes);

static inline bool limit_exists(const struct limit *limit)
{
    return limit->operations.rate || limit->bytes.rate;
}

#endif
