/* SPDX-License-Identifier: MIT
 *
 * The benchmarks that `vmm bench` offers. Each measures what its options leave and adds it to the report;
 * 0 or a negative errno with a message.
 */
#ifndef BENCH_BENCHES_H
#define BENCH_BENCHES_H

#include "bench/measure.h"
#include "include/libvmm.h"

/* Of bench_blk. */
struct bench_blk_options {
    const char *const
        *paths; /* directories for scratch files, files, block devices; none: the usual places */
    size_t path_count;
    uint64_t bytes;  /* of a scratch file; 0: 64 MiB */
    bool will_write; /* also to what is no scratch file */
    bool is_polled, is_packed;
};

struct bench_options {
    struct bench_limits limits;
    const char *only;      /* only operations whose name contains it; NULL: all */
    int ring;              /* 0 or 3; -1: both */
    const int *second_cpu; /* bench/second_cpu.h */
    bool against_qemu;
    const char *vmm; /* the program, for the processes of bench_boot */
    struct bench_blk_options blk;
};

/* A memory operation with every engine. */
int bench_mmio(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);
/* Every kind of exit against its floor. */
int bench_exits(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);
/* Whole processes from start to exit. */
int bench_boot(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);

/* -EINVAL for what the options ask for in vain, whatever the host. */
int bench_blk_check(const struct bench_blk_options *options, struct vmm_error *error);

/* Requests to a disk. */
int bench_blk(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);

/* The tracer, off and on. */
int bench_trace(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);

/* 0, or why no machine can be made on this host. */
int bench_need_kvm(struct vmm_error *error);

/* The same between two operations: once interrupted, no more machines are made, and none is needed. */
int bench_need_guests(struct vmm_error *error);

/* Whether the options leave the operation. */
bool bench_wants(const struct bench_options *options, const char *operation, int ring);

/* Leaves in the report, of an earlier run, what bench_wants. */
void bench_select(struct bench_report *report, const struct bench_options *options);

#endif
