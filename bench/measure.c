/* SPDX-License-Identifier: MIT
 *
 * The interleaved batches. See measure.h.
 */
#include "bench/measure.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARM_UP         3u
#define COUNT_MAX       1000000u
#define BATCHES_DEFAULT 101u
#define QUICK_BATCHES   8u
#define LONG_NS         1e7 /* what takes longer is not done twice to find out */

static volatile sig_atomic_t interrupted;

void bench_interrupt(void)
{
    interrupted = 1;
}

bool bench_is_interrupted(void)
{
    return interrupted;
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double bench_tsc_per_ns(void)
{
    static double rate;
    if (rate > 0)
        return rate;
    uint64_t start_ns = bench_now_ns(), start = __builtin_ia32_rdtsc();
    struct timespec pause = {.tv_nsec = 50000000};
    nanosleep(&pause, NULL);
    rate = (double)(__builtin_ia32_rdtsc() - start) / (double)(bench_now_ns() - start_ns);
    return rate;
}

struct bench_result *bench_add_result(struct bench_report *report, const char *operation, const char *way,
                                      int ring)
{
    if (report->count == report->capacity) {
        unsigned capacity = report->capacity ? 2 * report->capacity : 64;
        struct bench_result *results = realloc(report->results, capacity * sizeof(*results));
        if (!results)
            return NULL;
        report->results = results;
        report->capacity = capacity;
    }
    struct samples *ns = calloc(1, sizeof(*ns)), *host = calloc(1, sizeof(*host));
    if (!ns || !host) {
        free(ns);
        free(host);
        return NULL;
    }
    struct bench_result *result = &report->results[report->count++];
    *result = (struct bench_result){
        .operation = operation, .way = way, .ring = ring, .ns = ns, .host = host, .exits = -1};
    return result;
}

void bench_add_missing(struct bench_report *report, const char *operation, const char *way,
                       const char *reason)
{
    struct bench_result *result = bench_add_result(report, operation, way, -1);
    if (result)
        snprintf(result->reason, sizeof(result->reason), "%.159s", reason);
}

void bench_result_fini(struct bench_result *result)
{
    free(result->ns);
    free(result->host);
    free(result->io);
}

void bench_report_fini(struct bench_report *report)
{
    for (unsigned i = 0; i < report->count; i++)
        bench_result_fini(&report->results[i]);
    for (unsigned i = 0; i < report->name_count; i++)
        free(report->names[i]);
    free(report->names);
    free(report->results);
    *report = (struct bench_report){0};
}

const char *bench_keep_name(struct bench_report *report, const char *format, ...)
{
    char *name = NULL;
    char **names = realloc(report->names, (report->name_count + 1) * sizeof(*names));
    va_list arguments;
    if (!names)
        return format;
    report->names = names;
    va_start(arguments, format);
    int len = vasprintf(&name, format, arguments);
    va_end(arguments);
    if (len < 0)
        return format;
    return names[report->name_count++] = name;
}

static void set_reason(struct bench_result *result, const char *reason)
{
    snprintf(result->reason, sizeof(result->reason), "%s", reason ? reason : "it failed");
}

/* One batch; where it cannot be done, the result says why. */
static bool run_batch(struct bench_result *result, const struct bench_way *way, unsigned operation,
                      unsigned count, struct batch *batch)
{
    const char *reason = NULL;
    *batch = (struct batch){.exits = -1};
    if (way->run(way->context, operation, count, batch, &reason))
        return true;
    set_reason(result, reason);
    return false;
}

/* Whether one of the ways, or its ratio, would be left with too little. */
static bool needs_preempted(const struct bench_report *report, unsigned first)
{
    const struct bench_result *base = &report->results[first];
    for (unsigned i = first; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        const struct samples *others = *base->reason ? result->ns : base->ns;
        if (!*result->reason && samples_count_pairs(result->ns, others) < SAMPLES_ENOUGH)
            return true;
    }
    return false;
}

void bench_conclude(struct bench_report *report, unsigned first)
{
    bool keep = first < report->count && needs_preempted(report, first);
    for (unsigned i = first; keep && i < report->count; i++) {
        samples_keep_preempted(report->results[i].ns);
        samples_keep_preempted(report->results[i].host);
    }
    for (unsigned i = first; i < report->count; i++) {
        struct bench_result *result = &report->results[i];
        result->summary = samples_summarize(result->ns);
        result->host_summary = samples_summarize(result->host);
        if (i > first)
            result->ratio = samples_ratio(result->ns, report->results[first].ns);
        if (!result->summary.used && !*result->reason)
            set_reason(result, "interrupted before its first batch");
    }
}

static void add_known(double *sum, double value)
{
    *sum = value < 0 || *sum < 0 ? -1 : *sum + value;
}

static void add_io(struct bench_result *result, const struct batch *batch)
{
    const struct batch_io *io = batch->io;
    if (!result->io && !(result->io = calloc(1, sizeof(*result->io))))
        return;
    struct bench_io *all = result->io;
    all->requests += result->batch_count;
    add_known(&all->sums.bytes, io->bytes);
    add_known(&all->sums.notifications, io->notifications);
    add_known(&all->sums.interrupts, io->interrupts);
    add_known(&all->sums.kernel_exits, io->kernel_exits);
    add_known(&all->sums.cpu_ns, io->cpu_ns);
    add_known(&all->exits, batch->exits);
    histogram_merge(&all->latency, io->latency);
}

static void add_batch(struct bench_result *result, const struct batch *batch, enum sample_kind kind)
{
    if (kind == SAMPLE_USED && batch->preempted)
        kind = SAMPLE_PREEMPTED;
    samples_add(result->ns, batch->ns / result->batch_count, kind);
    if (batch->host_ns > 0)
        samples_add(result->host, batch->host_ns / result->batch_count, kind);
    if (batch->exits >= 0)
        result->exits = batch->exits / result->batch_count;
    if (batch->io && kind != SAMPLE_WARM_UP)
        add_io(result, batch);
}

/* The shorter of two batches, for the first one may find everything cold. 0 where there is none. */
static double try_count(struct bench_result *result, const struct bench_way *way, unsigned operation,
                        unsigned count)
{
    struct batch first, second;
    if (!run_batch(result, way, operation, count, &first))
        return 0;
    if (first.ns > LONG_NS || !run_batch(result, way, operation, count, &second))
        return first.ns;
    return first.ns < second.ns ? first.ns : second.ns;
}

/* How many operations make a batch of the wanted length: found by doing more and more of them. */
static void calibrate(struct bench_result *result, const struct bench_way *way, unsigned operation,
                      double batch_ns, const struct bench_limits *limits)
{
    unsigned count_min = limits->count_min ? limits->count_min : 1, count = count_min;
    unsigned count_max = limits->count_max ? limits->count_max : COUNT_MAX;
    for (;; count *= 4) {
        double ns = try_count(result, way, operation, count);
        result->batch_count = count;
        if (!*result->reason && ns < batch_ns / 4 && count < count_max && !interrupted)
            continue;
        double wanted = ns > 0 ? count * batch_ns / ns : count;
        result->batch_count = wanted < count_min   ? count_min
                              : wanted > count_max ? count_max
                                                   : (unsigned)wanted;
        return;
    }
}

/* Ways that take about as long do as many operations: what surrounds a batch then weighs the same. */
static void level_counts(struct bench_result *results, unsigned way_count)
{
    for (unsigned i = 1; i < way_count; i++) {
        unsigned *count = &results[i].batch_count, first = results[0].batch_count;
        if (!*results[i].reason && !*results[0].reason && *count <= 2 * first && first <= 2 * *count)
            *count = first;
    }
}

/* One turn of every way. */
static void take_turns(struct bench_result *results, const struct bench_way *ways, unsigned way_count,
                       unsigned operation, enum sample_kind kind)
{
    for (unsigned i = 0; i < way_count && !interrupted; i++) {
        struct batch batch;
        if (!*results[i].reason &&
            run_batch(&results[i], &ways[i], operation, results[i].batch_count, &batch))
            add_batch(&results[i], &batch, kind);
    }
}

/* A line that is written over, a few times in a second. */
static void show_progress(const struct bench_limits *limits, const char *name, int ring, unsigned done)
{
    static uint64_t shown_ns;
    if (!limits->show_progress || (name && bench_now_ns() - shown_ns < 200000000))
        return;
    shown_ns = bench_now_ns();
    if (!name)
        fputs("\r\033[K", stderr);
    else if (ring < 0)
        fprintf(stderr, "\r\033[K%s: %u batches", name, done);
    else
        fprintf(stderr, "\r\033[K%s, ring %d: %u batches", name, ring, done);
}

void bench_measure(struct bench_report *report, const struct bench_limits *limits, const char *name, int ring,
                   unsigned operation, const struct bench_way *ways, unsigned way_count)
{
    unsigned first = report->count, wanted = limits->batches ? limits->batches : BATCHES_DEFAULT;
    double batch_ns = limits->batch_ns > 0 ? limits->batch_ns : 1e6;
    double seconds = limits->operation_seconds > 0 ? limits->operation_seconds : 3;
    if (interrupted)
        return;
    if (limits->quick)
        wanted = QUICK_BATCHES, batch_ns /= 20, seconds /= 10;
    if (wanted > SAMPLE_LIMIT - WARM_UP)
        wanted = SAMPLE_LIMIT - WARM_UP;
    for (unsigned i = 0; i < way_count; i++)
        if (!bench_add_result(report, name, ways[i].name, ring))
            return;
    struct bench_result *results = report->results + first;
    show_progress(limits, name, ring, 0);
    for (unsigned i = 0; i < way_count; i++)
        calibrate(&results[i], &ways[i], operation, batch_ns, limits);
    level_counts(results, way_count);
    uint64_t until_ns = bench_now_ns() + (uint64_t)(seconds * 1e9);
    for (unsigned done = 0; done < wanted + WARM_UP && !interrupted; done++) {
        take_turns(results, ways, way_count, operation, done < WARM_UP ? SAMPLE_WARM_UP : SAMPLE_USED);
        show_progress(limits, name, ring, done + 1);
        if (done >= WARM_UP + 6 && bench_now_ns() > until_ns)
            break;
    }
    show_progress(limits, NULL, ring, 0);
    bench_conclude(report, first);
    report->interrupted = interrupted;
}
