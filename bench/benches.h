/* SPDX-License-Identifier: MIT
 *
 * The benchmarks that `vmm bench` offers. Each measures what its options leave and adds it to the report;
 * 0 or a negative errno with a message.
 */
#ifndef BENCH_BENCHES_H
#define BENCH_BENCHES_H

#include "bench/measure.h"
#include "include/libvmm.h"

struct bench_options {
    struct bench_limits limits;
    const char *only; /* only operations whose name contains it; NULL: all */
    int ring;         /* 0 or 3; -1: both */
    bool against_qemu;
    const char *vmm; /* the program, for the processes of bench_boot */
};

/* A memory operation with every engine. */
int bench_mmio(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);
/* Every kind of exit against its floor. */
int bench_exits(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);
/* Whole processes from start to exit. */
int bench_boot(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);

/* The tracer, off and on. */
int bench_trace(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);

/* Whether the options leave the operation. */
bool bench_wants(const struct bench_options *options, const char *operation, int ring);

#endif
