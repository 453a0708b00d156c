/* SPDX-License-Identifier: MIT
 *
 * The way of a record into a ring, inline, for trace_ring.c, where all records come by, and for the exits of
 * a vCPU, which make theirs in its place.
 *
 * Threads: the ring's own. A reader copies words that are being written and finds out by head: they are
 * stored one by one and relaxed, which is garbage then, but no undefined behaviour.
 */
#ifndef BASE_TRACE_PUT_H
#define BASE_TRACE_PUT_H

#include <semaphore.h>

#include "base/trace.h"

#define TRACE_LINE         64 /* bytes of a cache line */
#define TRACE_RECORD_WORDS (sizeof(struct trace_record) / sizeof(uint64_t))

struct trace_filter;

/* What its own thread writes, and behind it what the reader writes, on lines of their own. */
struct trace_ring {
    uint64_t events;
    const struct trace_filter *filter;
    struct trace_record *records;
    uint64_t count;     /* of records; a power of two */
    uint64_t wake_mask; /* the reader is woken when these bits of head are 0; ~0: never */
    sem_t *wake;        /* ... by this */
    bool overwrite;
    uint64_t head;  /* records taken so far. Partner: the reader's acquire in ring_drain */
    uint64_t limit; /* of head, as far as `tail` was seen to be: behind it there is no room */
    uint64_t lost;

    _Alignas(TRACE_LINE) uint64_t tail; /* records read so far. Partner: the acquire in ring_look */
    uint64_t overwritten;
    uint64_t written;
    uint64_t refused_written; /* how much of `lost` the file knows */
};

/* Whether there is room for a record, as far as is known without a look at `tail`. */
static inline bool trace_has_room(const struct trace_ring *ring)
{
    return ring->head < ring->limit;
}

/* Where the next record goes, if there is room. */
static inline uint64_t *trace_begin_put(struct trace_ring *ring)
{
    /* The last record's head before this one's words: partner of the fence in ring_copy. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return (uint64_t *)&ring->records[ring->head & (ring->count - 1)];
}

static inline void trace_put(uint64_t *place, size_t word, uint64_t value)
{
    __atomic_store_n(&place[word], value, __ATOMIC_RELAXED);
}

static inline void trace_end_put(struct trace_ring *ring)
{
    uint64_t head = ring->head;
    __atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
    if (__builtin_expect(!(head & ring->wake_mask), 0))
        sem_post(ring->wake);
}

#endif
