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

void report_print_table(FILE *file, const struct bench_report *report, const struct bench_facts *facts);
void report_print_markdown(FILE *file, const struct bench_report *report, const struct bench_facts *facts);

/* One object on several lines. */
void report_print_json(FILE *file, const struct bench_report *report, const struct bench_facts *facts);

/* What moved beyond noise since `path`, a file of report_print_json: intervals apart, and medians by more
 * than a thirtieth. 0, or -1 with a message in `text`. */
int report_compare(FILE *file, const struct bench_report *report, const char *path, char *text,
                   size_t text_bytes);

/* A bar for each operation and way, with its interval, as SVG, by gnuplot. 0, or -1 with a message in
 * `text`. */
int report_plot(const struct bench_report *report, const char *path, char *text, size_t text_bytes);

/* "123 ns", "4.56 us", "7.8 ms" into `text`; returns it. */
const char *report_format_time(double ns, char text[16]);

#endif
