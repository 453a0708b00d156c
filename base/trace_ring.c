/* SPDX-License-Identifier: MIT
 *
 * A trace's life, and the way of a record into the rings of its thread. See trace_ring.h.
 */
#include "base/trace_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/trace_internal.h"
#include "base/types.h"

_Thread_local struct trace_thread *trace_self;

/* ---- Writing to a ring: its own thread ---- */

/* How far the reader has come meanwhile; where that is no help, the record is lost. */
static bool ring_look(struct trace_ring *ring)
{
    ring->limit = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) + ring->count;
    if (trace_has_room(ring))
        return true;
    __atomic_store_n(&ring->lost, ring->lost + 1, __ATOMIC_RELAXED);
    return false;
}

static inline void ring_put(struct trace_ring *ring, const struct trace_record *record)
{
    const uint64_t *from = (const uint64_t *)record;
    if (__builtin_expect(!trace_has_room(ring), 0) && !ring_look(ring))
        return;
    uint64_t *place = trace_begin_put(ring);
#pragma GCC unroll 8
    for (size_t i = 0; i < TRACE_RECORD_WORDS; i++)
        trace_put(place, i, from[i]);
    trace_end_put(ring);
}

static void thread_put(struct trace_thread *thread, const struct trace_record *record)
{
    for (unsigned i = 0; i < thread->ring_count; i++) {
        struct trace_ring *ring = &thread->rings[i];
        if ((ring->events >> record->event & 1) &&
            (!ring->filter || trace_filter_match(ring->filter, thread->vcpu, record)))
            ring_put(ring, record);
    }
}

/* The trigger itself is recorded, in every buffer. */
static void fire(struct trace_thread *thread, const struct trace_record *cause)
{
    struct trace *trace = thread->trace;
    uint64_t number = __atomic_add_fetch(&trace->trigger_count, 1, __ATOMIC_RELAXED);
    if (number > trace->action_limit)
        return;
    const struct trace_record record = {
        .time = cause->time, .event = TRACE_TRIGGER, .value = number, .size = cause->event};
    for (unsigned i = 0; i < thread->ring_count; i++)
        ring_put(&thread->rings[i], &record);
    if (trace->action == TRACE_ACTION_OFF)
        __atomic_store_n(&trace->is_off, true, __ATOMIC_RELAXED);
    else
        sem_post(&trace->wake);
}

void trace_record(const struct trace_record *record)
{
    struct trace_thread *thread = trace_self;
    if (!(thread->events >> record->event & 1) || __atomic_load_n(&thread->trace->is_off, __ATOMIC_RELAXED))
        return;
    thread_put(thread, record);
    const struct trace_filter *trigger = thread->trace->trigger;
    if (__builtin_expect(trigger != NULL, 0) && trace_filter_match(trigger, thread->vcpu, record))
        fire(thread, record);
}

bool trace_split(struct trace_record *exit, struct trace_record *access)
{
    if (exit->event != TRACE_EXIT || !exit->len)
        return false;
    *access = *exit;
    exit->value &= size_mask(exit->size);
    access->value = exit->value;
    access->event = exit->len;
    access->duration = exit->id < UINT32_MAX ? (uint32_t)exit->id : UINT32_MAX;
    access->rip = access->index = access->id = access->len = 0;
    exit->device = NULL;
    exit->flags &= TRACE_WRITE;
    exit->id = exit->len = 0;
    return true;
}

void trace_record_exit(const struct trace_record *exit)
{
    struct trace_record alone = *exit, access;
    if (trace_split(&alone, &access))
        trace_record(&access);
    trace_record(&alone);
}

struct trace_ring *trace_plain_ring(void)
{
    return trace_self ? trace_self->plain : NULL;
}

bool trace_wants(enum trace_event event)
{
    return trace_self && trace_self->events >> event & 1;
}

struct trace_thread *trace_attach(struct trace_thread *thread)
{
    struct trace_thread *before = trace_self;
    trace_self = thread;
    return before;
}

/* ---- Code of exits ---- */

static unsigned code_slot(uint64_t key)
{
    return (unsigned)((key * 0x9e3779b97f4a7c15u) >> 40) & (TRACE_CODE_SLOTS - 1);
}

bool trace_code_find(uint64_t key, uint64_t *rip)
{
    const struct trace_thread *thread = trace_self;
    if (!thread || !thread->codes)
        return true;
    for (unsigned slot = code_slot(key); thread->code_slots[slot]; slot = (slot + 1) % TRACE_CODE_SLOTS) {
        const struct trace_record *code = &thread->codes[thread->code_slots[slot] - 1];
        if (code->value != key)
            continue;
        *rip = code->rip;
        return true;
    }
    return thread->code_count == TRACE_CODE_LIMIT;
}

void trace_code_add(const struct trace_record *code)
{
    struct trace_thread *thread = trace_self;
    unsigned slot = code_slot(code->value);
    while (thread->code_slots[slot])
        slot = (slot + 1) % TRACE_CODE_SLOTS;
    thread->codes[thread->code_count] = *code;
    thread->code_slots[slot] = (uint16_t)(thread->code_count + 1);
    __atomic_store_n(&thread->code_count, thread->code_count + 1, __ATOMIC_RELEASE);
}

/* ---- A trace's life ---- */

static int check_buffer(const struct trace_buffer_config *config, struct vmm_error *error)
{
    if (!config->name || !*config->name || strlen(config->name) >= sizeof(((struct trace_buffer *)0)->name))
        return error_set(error, -EINVAL, "trace: a buffer's name has 1 to 23 characters: '%.40s'",
                         config->name ? config->name : "");
    if (config->bytes && (config->bytes < TRACE_BYTES_MIN || config->bytes > TRACE_BYTES_LIMIT))
        return error_set(error, -EINVAL, "trace: buffer %s: %llu bytes: give 4K to 4G", config->name,
                         (unsigned long long)config->bytes);
    return 0;
}

static int add_buffer(struct trace *trace, const struct trace_buffer_config *config, struct vmm_error *error)
{
    struct trace_buffer *buffer = &trace->buffers[trace->buffer_count];
    int result = check_buffer(config, error);
    if (result)
        return result;
    *buffer = (struct trace_buffer){.events = config->events,
                                    .bytes = config->bytes ? config->bytes : TRACE_BYTES_DEFAULT,
                                    .mode = config->mode,
                                    .overwrite = config->overwrite};
    snprintf(buffer->name, sizeof(buffer->name), "%s", config->name);
    if (config->filter)
        result = trace_filter_create(config->filter, &trace->names, &buffer->filter, error);
    trace->buffer_count += !result;
    return result;
}

/* "snapshot:3 if EXPR", "traceoff if EXPR", EXPR. */
static int parse_trigger(struct trace *trace, const char *text, struct vmm_error *error)
{
    unsigned long long limit;
    int used = 0, word = 0;
    trace->action_limit = UINT64_MAX;
    if (sscanf(text, " snapshot:%llu if %n", &limit, &used) == 1 && used && limit)
        trace->action_limit = limit;
    else if (sscanf(text, " snapshot if %n", &word) == 0 && word)
        used = word;
    else if (sscanf(text, " traceoff if %n", &word) == 0 && word)
        used = word;
    else
        used = 0;
    if (used && strstr(text, "traceoff") && strstr(text, "traceoff") < text + used) {
        trace->action = TRACE_ACTION_OFF;
        trace->action_limit = 1;
    }
    return trace_filter_create(text + used, &trace->names, &trace->trigger, error);
}

/* Such a buffer would stay empty. */
static int check_snapshots(const struct trace *trace, struct vmm_error *error)
{
    bool has_snapshots = trace->trigger && trace->action == TRACE_ACTION_SNAPSHOT;
    for (unsigned i = 0; i < trace->buffer_count; i++)
        if (trace->buffers[i].mode == TRACE_MODE_SNAPSHOT && !has_snapshots)
            return error_set(error, -EINVAL,
                             "trace: buffer %s: mode snapshot, and %s: give a trigger that takes snapshots, "
                             "or use mode ring, which is written at the end",
                             trace->buffers[i].name,
                             trace->trigger ? "the trigger ends the recording" : "no trigger");
    return 0;
}

int trace_create(const struct trace_config *config, struct trace **out, struct vmm_error *error)
{
    struct trace *trace = calloc(1, sizeof(*trace));
    *out = NULL;
    if (!trace)
        return error_set(error, -ENOMEM, "trace: out of memory");
    trace->names = config->names;
    sem_init(&trace->wake, 0, 0);
    trace_writer_init(&trace->writer);
    int result = 0;
    if (!config->buffer_count || config->buffer_count > TRACE_BUFFER_LIMIT)
        result = error_set(error, -EINVAL, "trace: %u buffers: give 1 to %d", config->buffer_count,
                           TRACE_BUFFER_LIMIT);
    for (unsigned i = 0; !result && i < config->buffer_count; i++)
        result = add_buffer(trace, &config->buffers[i], error);
    if (!result && config->trigger)
        result = parse_trigger(trace, config->trigger, error);
    if (!result)
        result = check_snapshots(trace, error);
    if (!result)
        result = trace_writer_open(&trace->writer, config->path, &trace->names, error);
    if (result) {
        trace->is_finished = true;
        trace_destroy(trace);
        return result;
    }
    for (unsigned i = 0; i < trace->buffer_count; i++)
        trace_write_buffer(&trace->writer, i, trace->buffers[i].name, trace->buffers[i].mode);
    *out = trace;
    return 0;
}

static void thread_destroy(struct trace_thread *thread)
{
    for (unsigned i = 0; thread->rings && i < thread->ring_count; i++)
        free(thread->rings[i].records);
    free(thread->rings);
    free(thread->codes);
    free(thread->code_slots);
    free(thread);
}

void trace_destroy(struct trace *trace)
{
    if (!trace)
        return;
    if (!trace->is_finished)
        trace_finish(trace, "destroyed", NULL);
    while (trace->threads) {
        struct trace_thread *thread = trace->threads;
        trace->threads = thread->next;
        thread_destroy(thread);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(trace->buffers); i++)
        trace_filter_destroy(trace->buffers[i].filter);
    trace_filter_destroy(trace->trigger);
    trace_writer_fini(&trace->writer);
    sem_destroy(&trace->wake);
    free(trace);
}

/* Touched now, so that no record waits for a page. */
static bool ring_init(struct trace_ring *ring, const struct trace_buffer *buffer, sem_t *wake)
{
    uint64_t count = TRACE_BYTES_MIN / sizeof(struct trace_record);
    while (2 * count * sizeof(struct trace_record) <= buffer->bytes)
        count *= 2;
    *ring = (struct trace_ring){.events = buffer->events | 1u << TRACE_TRIGGER,
                                .filter = buffer->filter,
                                .count = count,
                                .wake_mask = buffer->mode == TRACE_MODE_STREAM ? count / 4 - 1 : UINT64_MAX,
                                .wake = wake,
                                .limit = buffer->overwrite ? UINT64_MAX : count,
                                .overwrite = buffer->overwrite};
    ring->records = aligned_alloc(TRACE_LINE, count * sizeof(*ring->records));
    if (ring->records)
        memset(ring->records, 0, count * sizeof(*ring->records));
    return ring->records;
}

static bool thread_init(struct trace_thread *thread, struct trace *trace)
{
    size_t bytes = trace->buffer_count * sizeof(*thread->rings);
    thread->rings = aligned_alloc(TRACE_LINE, bytes);
    if (!thread->rings)
        return false;
    memset(thread->rings, 0, bytes);
    thread->ring_count = trace->buffer_count;
    for (unsigned i = 0; i < trace->buffer_count; i++) {
        if (!ring_init(&thread->rings[i], &trace->buffers[i], &trace->wake))
            return false;
        thread->events |= trace->buffers[i].events;
    }
    if (trace->trigger)
        thread->events = ~0ull;
    const uint64_t exits = 1ull << TRACE_EXIT | 1ull << TRACE_PIO | 1ull << TRACE_MMIO;
    if (thread->ring_count == 1 && !trace->trigger && !thread->rings[0].filter &&
        (thread->events & exits) == exits)
        thread->plain = &thread->rings[0];
    if (thread->vcpu < 0 || !(thread->events >> TRACE_EXIT & 1))
        return true;
    thread->codes = calloc(TRACE_CODE_LIMIT, sizeof(*thread->codes));
    thread->code_slots = calloc(TRACE_CODE_SLOTS, sizeof(*thread->code_slots));
    return thread->codes && thread->code_slots;
}

int trace_add_thread(struct trace *trace, const char *name, int vcpu, struct trace_thread **out,
                     struct vmm_error *error)
{
    struct trace_thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        return error_set(error, -ENOMEM, "trace: out of memory");
    thread->vcpu = vcpu;
    thread->trace = trace;
    thread->index = trace->thread_count;
    snprintf(thread->name, sizeof(thread->name), "%s", name);
    if (!thread_init(thread, trace)) {
        thread_destroy(thread);
        return error_set(error, -ENOMEM, "trace: no memory for the buffers of %s: use a smaller size", name);
    }
    struct trace_thread **link = &trace->threads;
    while (*link)
        link = &(*link)->next;
    trace->thread_count++;
    /* Partner: the acquire in trace_next_thread. */
    __atomic_store_n(link, thread, __ATOMIC_RELEASE);
    *out = thread;
    return 0;
}

void trace_add_region(struct trace *trace, const struct trace_region *region)
{
    trace_write_region(&trace->writer, region);
}

int trace_start(struct trace *trace, struct vmm_error *error)
{
    bool is_needed = trace->trigger && trace->action == TRACE_ACTION_SNAPSHOT;
    for (unsigned i = 0; i < trace->buffer_count; i++)
        is_needed |= trace->buffers[i].mode == TRACE_MODE_STREAM;
    return is_needed ? trace_start_writer(trace, error) : 0;
}

int trace_finish(struct trace *trace, const char *why, struct vmm_error *error)
{
    struct trace_totals totals;
    if (trace->is_finished)
        return 0;
    trace->is_finished = true;
    trace_stop_writer(trace);
    for (unsigned i = 0; i < trace->buffer_count; i++) {
        if (trace->buffers[i].mode != TRACE_MODE_SNAPSHOT)
            trace_drain(trace, i);
        trace_get_buffer_totals(trace, i, &totals);
        trace_write_totals(&trace->writer, i, &totals);
    }
    return trace_writer_close(&trace->writer, why, error);
}

static void add_totals(const struct trace_ring *ring, struct trace_totals *totals)
{
    totals->recorded += __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    totals->lost += __atomic_load_n(&ring->lost, __ATOMIC_RELAXED) +
                    __atomic_load_n(&ring->overwritten, __ATOMIC_RELAXED);
    totals->written += __atomic_load_n(&ring->written, __ATOMIC_RELAXED);
}

void trace_get_buffer_totals(struct trace *trace, unsigned buffer, struct trace_totals *totals)
{
    *totals = (struct trace_totals){.triggers = __atomic_load_n(&trace->trigger_count, __ATOMIC_RELAXED)};
    struct trace_thread *thread = trace_next_thread(&trace->threads);
    for (; thread; thread = trace_next_thread(&thread->next))
        add_totals(&thread->rings[buffer], totals);
}

void trace_get_totals(struct trace *trace, struct trace_totals *totals)
{
    struct trace_totals one;
    *totals = (struct trace_totals){.triggers = __atomic_load_n(&trace->trigger_count, __ATOMIC_RELAXED)};
    for (unsigned i = 0; i < trace->buffer_count; i++) {
        trace_get_buffer_totals(trace, i, &one);
        totals->recorded += one.recorded;
        totals->lost += one.lost;
        totals->written += one.written;
    }
}
