/* SPDX-License-Identifier: MIT
 *
 * What moved since an earlier run, whose JSON was kept. Threads: one at a time.
 */
#ifndef BENCH_BASELINE_H
#define BENCH_BASELINE_H

#include "bench/report.h"

struct baseline;

/* A file that report_print_json has made, of the benchmark with that name. */
int baseline_open(const char *path, const char *bench, struct baseline **baseline, struct vmm_error *error);
void baseline_close(struct baseline *baseline);

/* A line for each fact of the host that is another, and one for each figure and ratio that moved beyond
 * noise: whose intervals lie apart, and whose medians by more than a thirtieth. */
void baseline_compare(FILE *file, const struct baseline *baseline, const struct bench_report *report,
                      const struct bench_facts *facts);

#endif
