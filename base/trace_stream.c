/* SPDX-License-Identifier: MIT
 *
 * From the rings to the file: the writer's thread, which sleeps until a ring fills up, a trigger has fired or
 * a tenth of a second is over, and the reading of a ring that its owner goes on writing to.
 */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace_internal.h"
#include "base/types.h"

#define DRAIN_NS 100000000u

/* A copy of records [from, from + count), of which the first may be gone. Returns how many of the first. */
static uint64_t ring_copy(const struct trace_ring *ring, uint64_t from, struct trace_record *to,
                          uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t *source = (const uint64_t *)&ring->records[(from + i) & (ring->count - 1)];
        uint64_t *target = (uint64_t *)&to[i];
        for (size_t word = 0; word < sizeof(*to) / sizeof(uint64_t); word++)
            target[word] = __atomic_load_n(&source[word], __ATOMIC_RELAXED);
    }
    if (!ring->overwrite)
        return 0;
    /* The words before head: partner of the fence in trace_begin_put. The record at `head` may be under way,
     * in the place of the one that is a ring's length older. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    if (head < ring->count || head - ring->count + 1 <= from)
        return 0;
    uint64_t gone = head - ring->count + 1 - from;
    return gone < count ? gone : count;
}

static void count_lost(struct trace_ring *ring, uint64_t lost)
{
    __atomic_store_n(&ring->overwritten, ring->overwritten + lost, __ATOMIC_RELAXED);
}

/* As a reader wants them: an exit behind the access that it was. Returns how many. */
static unsigned expand(const struct trace_record *from, uint64_t count, struct trace_record *to)
{
    unsigned expanded = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct trace_record record = from[i];
        expanded += trace_split(&record, &to[expanded]);
        to[expanded++] = record;
    }
    return expanded;
}

/* Everything that was in the ring at the beginning; what comes meanwhile is for the next time. */
static void ring_drain(struct trace_writer *writer, struct trace_ring *ring, unsigned track, unsigned buffer)
{
    struct trace_record chunk[TRACE_CHUNK], expanded[2 * TRACE_CHUNK];
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE), tail = ring->tail;
    uint64_t lost = head - tail > ring->count ? head - tail - ring->count : 0;
    uint64_t refused = __atomic_load_n(&ring->lost, __ATOMIC_RELAXED);
    uint64_t refused_since = refused - ring->refused_written;
    ring->refused_written = refused;
    tail += lost;
    while (tail != head) {
        uint64_t count = head - tail < TRACE_CHUNK ? head - tail : TRACE_CHUNK;
        uint64_t gone = ring_copy(ring, tail, chunk, count);
        lost += gone;
        if (gone < count) {
            count_lost(ring, lost);
            trace_write_records(writer, track, buffer, lost + refused_since, expanded,
                                expand(chunk + gone, count - gone, expanded));
            refused_since = 0;
            if (!writer->failure)
                __atomic_store_n(&ring->written, ring->written + count - gone, __ATOMIC_RELAXED);
            lost = 0;
        }
        tail += count;
        /* Only now may the owner use the places again: partner in ring_look. */
        __atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
    }
    count_lost(ring, lost);
}

static void write_codes(struct trace_writer *writer, struct trace_thread *thread)
{
    uint64_t count = __atomic_load_n(&thread->code_count, __ATOMIC_ACQUIRE);
    for (; thread->codes_written < count; thread->codes_written++)
        trace_write_code(writer, thread->index, &thread->codes[thread->codes_written]);
}

void trace_drain(struct trace *trace, unsigned buffer)
{
    struct trace_thread *thread = trace_next_thread(&trace->threads);
    for (; thread; thread = trace_next_thread(&thread->next)) {
        if (!thread->is_announced)
            trace_write_track(&trace->writer, thread->index, thread->vcpu, thread->name);
        thread->is_announced = true;
        write_codes(&trace->writer, thread);
        ring_drain(&trace->writer, &thread->rings[buffer], thread->index, buffer);
    }
    trace_write_clock(&trace->writer);
}

static void drain_streams(struct trace *trace)
{
    for (unsigned i = 0; i < trace->buffer_count; i++)
        if (trace->buffers[i].mode == TRACE_MODE_STREAM)
            trace_drain(trace, i);
}

/* Several triggers at once become one snapshot. */
static void write_snapshot(struct trace *trace)
{
    uint64_t fired = __atomic_load_n(&trace->trigger_count, __ATOMIC_RELAXED);
    if (fired > trace->action_limit)
        fired = trace->action_limit;
    if (trace->action != TRACE_ACTION_SNAPSHOT || fired == trace->snapshots_written)
        return;
    trace->snapshots_written = fired;
    trace_write_snapshot(&trace->writer, fired);
    for (unsigned i = 0; i < trace->buffer_count; i++)
        if (trace->buffers[i].mode == TRACE_MODE_SNAPSHOT)
            trace_drain(trace, i);
}

static void *writer_main(void *context)
{
    struct trace *trace = context;
    while (!__atomic_load_n(&trace->stopping, __ATOMIC_ACQUIRE)) {
        struct timespec until = clock_deadline(DRAIN_NS);
        sem_clockwait(&trace->wake, CLOCK_MONOTONIC, &until);
        while (sem_trywait(&trace->wake) == 0)
            continue;
        write_snapshot(trace);
        drain_streams(trace);
    }
    write_snapshot(trace);
    return NULL;
}

int trace_start_writer(struct trace *trace, struct vmm_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&trace->thread, NULL, writer_main, trace);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result)
        return error_set_errno(error, -result, "trace: cannot create the thread that writes it");
    pthread_setname_np(trace->thread, "vmm-trace");
    trace->has_thread = true;
    return 0;
}

void trace_stop_writer(struct trace *trace)
{
    if (!trace->has_thread)
        return;
    __atomic_store_n(&trace->stopping, true, __ATOMIC_RELEASE);
    sem_post(&trace->wake);
    pthread_join(trace->thread, NULL);
    trace->has_thread = false;
}

#define LAST_LIMIT 64

void trace_visit_last(struct trace_thread *thread, unsigned count,
                      void (*visit)(void *context, const struct trace_record *record), void *context)
{
    struct trace_record records[LAST_LIMIT], expanded[2 * LAST_LIMIT];
    const struct trace_ring *ring = &thread->rings[0];
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    uint64_t wanted = count < LAST_LIMIT ? count : LAST_LIMIT;
    if (wanted > head)
        wanted = head;
    if (wanted > ring->count - 1)
        wanted = ring->count - 1;
    uint64_t gone = ring_copy(ring, head - wanted, records, wanted);
    unsigned total = expand(records + gone, wanted - gone, expanded);
    for (unsigned i = total > count ? total - count : 0; i < total; i++)
        visit(context, &expanded[i]);
}
