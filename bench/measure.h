/* SPDX-License-Identifier: MIT
 *
 * Operations, the ways to do each of them, and what it costs: the ways take turns batch by batch, so that all
 * of them see the same noise. The batches are as long as is short against the time between two disturbances
 * and long against the clock.
 *
 * Threads: the caller's; only bench_interrupt may be called from a signal handler.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/histogram.h"
#include "bench/stats.h"

#include <stdint.h>

/* What one batch cost. */
struct batch {
    double ns;      /* of all operations, by the clock nearest to them: the guest's where there is one */
    double host_ns; /* the same by the host's clock, with what surrounds the batch; 0: no second clock */
    double exits;   /* to this process, without those that surround the batch; negative: not known */
    bool preempted;
    const struct batch_io *io; /* of requests to a disk; lives until the next batch of the same way */
};

/* What requests cost beside their time; negative: not known. */
struct batch_io {
    double bytes; /* moved */
    double notifications, interrupts;
    double kernel_exits; /* those that the kernel dealt with included */
    double cpu_ns;       /* of the whole process that served them, and of its guest */
    const struct histogram *latency;
};

/* Of all batches but those to warm up. */
struct bench_io {
    double requests;
    struct batch_io sums;
    double exits;             /* to user space; negative: not known */
    struct histogram latency; /* what sums.latency points to */
};

/* A way to do an operation. `run` does it `count` times; false, with a reason that lives until the next call,
 * where it cannot. */
struct bench_way {
    const char *name;
    bool (*run)(void *context, unsigned operation, unsigned count, struct batch *batch, const char **reason);
    void *context;
};

/* One line of the report. */
struct bench_result {
    const char *operation, *way;
    int ring;             /* -1: not in a guest */
    char reason[160];     /* why there is nothing; empty: there is something */
    struct samples *ns;   /* for each operation */
    struct samples *host; /* the same by the host's clock; empty where there is none */
    struct summary summary, host_summary;
    struct summary ratio;  /* to the operation's first way; `used` is 0 for that one */
    double exits;          /* for each operation; negative: not known */
    struct bench_io *io;   /* NULL: no requests */
    unsigned batch_count;  /* operations in a batch */
    const char *size_unit; /* NULL: ns; else what the figures count: bytes */
};

struct bench_limits {
    unsigned batches;         /* at most, for each way; 0 means 101 */
    double batch_ns;          /* how long one is to be; 0 means 1 ms */
    double operation_seconds; /* after which an operation is finished early; 0 means 3 */
    unsigned count_min;       /* operations in a batch, at least; 0 means 1 */
    unsigned count_max;       /* and at most; 0 means 1000000 */
    bool quick;               /* a trial: a handful of batches, nothing to rely on */
    bool show_progress;       /* on standard error */
};

struct bench_report {
    const char *bench; /* its name: "mmio", "exits", "boot" */
    struct bench_result *results;
    unsigned count, capacity;
    bool interrupted;
    char **names; /* bench_keep_name */
    unsigned name_count;
};

/* Measures one operation by all the ways and adds a result for each. `operation` is what the ways are given,
 * `name` (which must live as long as the report) what people read. Does nothing once interrupted. */
void bench_measure(struct bench_report *report, const struct bench_limits *limits, const char *name, int ring,
                   unsigned operation, const struct bench_way *ways, unsigned way_count);

/* A name that lives as long as the report; where memory is out, the format itself. */
const char *bench_keep_name(struct bench_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An empty result for the caller to fill in, or NULL where memory is out. */
struct bench_result *bench_add_result(struct bench_report *report, const char *operation, const char *way,
                                      int ring);

/* A result that says why there is nothing. */
void bench_add_missing(struct bench_report *report, const char *operation, const char *way,
                       const char *reason);

/* Summaries of what the caller has put into the results from `first` on, which are the ways of one operation;
 * ratios to that one. Preempted batches are left out of all of them or of none. */
void bench_conclude(struct bench_report *report, unsigned first);

void bench_result_fini(struct bench_result *result);
void bench_report_fini(struct bench_report *report);

/* What was measured so far is what there is. */
void bench_interrupt(void);
bool bench_is_interrupted(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);

/* Ticks of the TSC in a nanosecond, measured once. */
double bench_tsc_per_ns(void);

#endif
