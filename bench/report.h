/* SPDX-License-Identifier: MIT
 *
 * What was measured, for people: an aligned table, and the same as Markdown; for programs: JSON
 * (docs/bench.md describes it), and a comparison with an earlier one; and a picture.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "bench/facts.h"
#include "bench/measure.h"
#include "include/libvmm.h"

void report_print_table(FILE *file, const struct bench_report *report, const struct bench_facts *facts);
void report_print_markdown(FILE *file, const struct bench_report *report, const struct bench_facts *facts);

#define REPORT_SCHEMA "vmm-bench-1"

/* One object on several lines. */
void report_print_json(FILE *file, const struct bench_report *report, const struct bench_facts *facts);

/* The same back, for the benchmark with that name: summaries, no batches, and nothing of requests but their
 * time. The report is the caller's to bench_report_fini. */
int report_load(const char *path, const char *bench, struct bench_report *report, struct bench_facts *facts,
                struct vmm_error *error);

/* A bar for each operation and way, with its interval, as SVG, by gnuplot. 0, or a negative errno with a
 * message. */
int report_plot(const struct bench_report *report, const char *path, struct vmm_error *error);

/* Whether that can be done, before there is anything to draw. */
int report_check_plot(const char *path, struct vmm_error *error);

/* "123 ns", "4.56 us", "7.8 ms" into `text`; returns it. */
const char *report_format_time(double ns, char text[16]);

/* Whether the result is the first of its operation. */
bool report_starts_operation(const struct bench_report *report, unsigned i);

/* A line for each fact, behind `before`; and one where the run was interrupted. */
void report_print_facts(FILE *file, const struct bench_facts *facts, const char *before);
void report_print_interrupted(FILE *file, const struct bench_report *report);

/* A figure of the result in its unit: a time, or bytes. */
const char *report_format_value(const struct bench_result *result, double value, char text[16]);

#endif
