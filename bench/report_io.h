/* SPDX-License-Identifier: MIT
 *
 * What was measured of requests to a disk: their own tables, as a time alone says too little about them.
 */
#ifndef BENCH_REPORT_IO_H
#define BENCH_REPORT_IO_H

#include <stdio.h>

#include "bench/measure.h"

/* Of one way to do a load. All but the first two for each request; negative: not known. */
struct io_figures {
    double iops, bytes_per_second;
    double p50_ns, p99_ns, p999_ns; /* from the submission to the completion */
    double exits, kernel_exits, notifications, interrupts, cpu_ns;
};

/* Of a result that has `io`. */
struct io_figures io_figures_of(const struct bench_result *result);

/* The requests in a second of `result` divided by those of `other`, batch by batch. */
struct summary io_ratio(const struct bench_result *result, const struct bench_result *other);

/* The result of the same operation by this way, with figures; NULL where there is none. */
const struct bench_result *io_find_way(const struct bench_report *report, const struct bench_result *result,
                                       const char *way);

/* Whether any result has `io`. */
bool report_has_io(const struct bench_report *report);

void report_print_io(FILE *file, const struct bench_report *report);
void report_print_io_markdown(FILE *file, const struct bench_report *report);

#endif
