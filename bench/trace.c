/* SPDX-License-Identifier: MIT
 *
 * `vmm bench trace`: what a trace point costs, off and on: by itself, in the dispatch of exits with KVM_RUN
 * left out, and in a guest's exits, beside the bare loop.
 */
#include <stdlib.h>

#include "base/trace_ring.h"
#include "base/types.h"
#include "bench/benches.h"
#include "bench/guest.h"
#include "bench/own.h"
#include "guest/flat/mmio.h"

enum operation {
    TRACE_POINT, /* an interrupt line: a record with nothing around it */
    TRACE_EXIT_PORT,
    TRACE_EXIT_MMIO,
    TRACE_OPERATION_COUNT
};

static const char *const operation_names[TRACE_OPERATION_COUNT] = {
    [TRACE_POINT] = "trace point",
    [TRACE_EXIT_PORT] = "dispatch of a port write",
    [TRACE_EXIT_MMIO] = "dispatch of an MMIO write",
};

/* How the records are kept. The first way is without a trace. */
static const struct way {
    const char *name;
    unsigned buffer_count;
    const char *filter, *trigger;
} kinds[] = {
    {"off", 0, NULL, NULL},
    {"on", 1, NULL, NULL},
    {"filter passes", 1, "addr >= 0x300 && addr < 0xe0000000 || set_irq", NULL},
    {"filter refuses", 1, "addr == 1", NULL},
    {"2 buffers", 2, NULL, NULL},
    {"trigger", 1, NULL, "exit && duration > 1s"},
};

#define KIND_COUNT ARRAY_COUNT(kinds)

struct traced_way {
    struct own *own;
    struct trace *trace;
    struct trace_thread *thread;
};

/* Rings that overwrite, and are written at the end: to the null device. */
static int create_trace(const struct way *kind, struct traced_way *way, struct vmm_error *error)
{
    const struct trace_buffer_config buffer = {
        .name = "main", .events = ~0ull, .filter = kind->filter, .mode = TRACE_MODE_RING, .overwrite = true};
    const struct trace_buffer_config buffers[] = {buffer, buffer};
    const struct trace_config config = {.path = "/dev/null",
                                        .buffers = buffers,
                                        .buffer_count = kind->buffer_count,
                                        .trigger = kind->trigger};
    if (!kind->buffer_count)
        return 0;
    int result = trace_create(&config, &way->trace, error);
    return result ? result : trace_add_thread(way->trace, "vCPU 0", 0, &way->thread, error);
}

static void set_lines(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        trace_set_irq(4, i & 1);
        __asm__ volatile("" ::: "memory");
    }
}

static bool run_way(void *context, unsigned operation, unsigned count, struct batch *batch,
                    const char **reason)
{
    struct traced_way *way = context;
    struct trace_thread *before = trace_attach(way->thread);
    bool done = true;
    if (operation == TRACE_POINT) {
        uint64_t start_ns = bench_now_ns();
        set_lines(count);
        *batch = (struct batch){.ns = (double)(bench_now_ns() - start_ns), .exits = -1};
    } else {
        done = own_batch(way->own, operation == TRACE_EXIT_PORT ? OWN_PORT_WRITE : OWN_MMIO_WRITE, count,
                         batch, reason);
    }
    trace_attach(before);
    return done;
}

static const struct {
    const char *name;
    unsigned op;
} guest_operations[] = {
    {"a guest's port write", MMIO_OP_OUT8},
    {"a guest's port read", MMIO_OP_IN8},
    {"a guest's MMIO write", MMIO_OP_STORE},
    {"a guest's MMIO read", MMIO_OP_LOAD},
};

/* One machine without a trace, for the first two ways, and one with. */
static int measure_guests(struct bench_report *report, const struct bench_options *options, int ring)
{
    struct bench_guest *guests[2] = {NULL};
    int result = 0;
    for (size_t i = 0; !result && i < ARRAY_COUNT(guests); i++) {
        const struct bench_guest_config config = {.engine = BENCH_KVM, .ring = ring, .is_traced = i == 1};
        result = bench_guest_create(&config, &guests[i]);
    }
    const struct bench_way ways[] = {{"floor", bench_guest_floor, guests[0]},
                                     {"off", bench_guest_batch, guests[0]},
                                     {"on", bench_guest_batch, guests[1]}};
    for (size_t i = 0; !result && i < ARRAY_COUNT(guest_operations); i++)
        if (bench_wants(options, guest_operations[i].name, ring))
            bench_measure(report, &options->limits, guest_operations[i].name, ring, guest_operations[i].op,
                          ways, ARRAY_COUNT(ways));
    for (size_t i = 0; i < ARRAY_COUNT(guests); i++)
        bench_guest_destroy(guests[i]);
    return result;
}

static bool wants_guests(const struct bench_options *options)
{
    bool is_wanted = false;
    for (size_t i = 0; i < ARRAY_COUNT(guest_operations); i++)
        is_wanted |= bench_wants(options, guest_operations[i].name, 0) ||
                     bench_wants(options, guest_operations[i].name, 3);
    return is_wanted;
}

int bench_trace(struct bench_report *report, const struct bench_options *options, struct vmm_error *error)
{
    struct traced_way traced[KIND_COUNT] = {{NULL}};
    struct bench_way ways[KIND_COUNT];
    struct own *own;
    int result = own_create(&own);
    if (result)
        return error_set(error, result, "bench: out of memory");
    for (size_t i = 0; !result && i < KIND_COUNT; i++) {
        traced[i].own = own;
        ways[i] = (struct bench_way){kinds[i].name, run_way, &traced[i]};
        result = create_trace(&kinds[i], &traced[i], error);
    }
    for (unsigned operation = 0; !result && operation < TRACE_OPERATION_COUNT; operation++)
        if (bench_wants(options, operation_names[operation], -1))
            bench_measure(report, &options->limits, operation_names[operation], -1, operation, ways,
                          KIND_COUNT);
    for (size_t i = 0; i < KIND_COUNT; i++)
        trace_destroy(traced[i].trace);
    own_destroy(own);
    if (!result && wants_guests(options))
        result = bench_need_guests(error);
    for (int ring = 0; !result && ring <= 3; ring += 3)
        if (options->ring < 0 || options->ring == ring)
            result = measure_guests(report, options, ring);
    return result;
}
