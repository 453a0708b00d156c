/* SPDX-License-Identifier: MIT
 *
 * What `bench=blk` of the tiny kernel and the program that measures with it agree on: a mailbox at a fixed
 * address of low RAM, orders for a load of disk requests in it, and what came of them. Compiled into both.
 *
 * The guest comes to the port when it is ready and after each batch; whoever runs it may make it wait there,
 * and else it waits, mostly halted, until `orders` is `batches`.
 */
#ifndef GUEST_BENCH_BLK_H
#define GUEST_BENCH_BLK_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_BLK_GPA  0x80000u
#define BENCH_BLK_PORT 0xf0u

#define BENCH_BLK_DEPTH_MAX 32u
#define BENCH_BLK_BYTES_MAX 131072u

/* A histogram whose buckets are as wide as their values are large: 32 of them between two powers of two, so
 * that a bucket is known to 3 %. Values from 2^40 on share the last one. */
#define LATENCY_STEPS   32u
#define LATENCY_BITS    40u
#define LATENCY_BUCKETS ((LATENCY_BITS - 4) * LATENCY_STEPS)

struct bench_blk_mailbox {
    /* By the host, before `orders`. */
    uint32_t is_write, is_sequential;
    uint32_t block_bytes, depth; /* up to the limits above */
    uint32_t count;              /* of requests, from 1 */
    uint32_t is_polled;          /* look at the ring all the time instead of sleeping until an interrupt */
    uint64_t block_count;        /* in the disk, from 1 */
    uint64_t position;           /* of bench_blk_next; the guest leaves it where the next batch is to go on */
    uint32_t orders;             /* batches asked for so far */
    /* By the guest, before `batches`. */
    uint32_t batches;            /* done so far, and 1: how often the guest has come to the port */
    uint64_t begin_tsc, end_tsc; /* of the batch */
    uint32_t interrupts, notifications;
    char failure[128]; /* why the guest cannot go on; empty: it can */
    /* Of the batch: requests by the TSC ticks from their submission to their completion. */
    uint32_t latency[LATENCY_BUCKETS];
};

/* The number of the next block, the same for everyone who starts at the same position. */
static inline uint64_t bench_blk_next(uint64_t *position, bool is_sequential, uint64_t block_count)
{
    if (is_sequential)
        return (*position)++ % block_count;
    *position = *position * 6364136223846793005u + 1442695040888963407u;
    return (*position >> 33) % block_count;
}

static inline unsigned latency_bucket(uint64_t ticks)
{
    if (ticks < 2 * LATENCY_STEPS)
        return (unsigned)ticks;
    if (ticks >> LATENCY_BITS)
        return LATENCY_BUCKETS - 1;
    unsigned shift = 58 - (unsigned)__builtin_clzll(ticks); /* leaves 6 bits, of which the first is set */
    return shift * LATENCY_STEPS + (unsigned)(ticks >> shift);
}

/* The smallest value in the bucket; that of the bucket behind it is its end. */
static inline uint64_t latency_floor(unsigned bucket)
{
    if (bucket < 2 * LATENCY_STEPS)
        return bucket;
    unsigned shift = bucket / LATENCY_STEPS - 1;
    return (uint64_t)(bucket - shift * LATENCY_STEPS) << shift;
}

#endif
