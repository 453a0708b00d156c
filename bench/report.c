/* SPDX-License-Identifier: MIT
 *
 * Tables. See report.h.
 */
#include "bench/report.h"

#include <string.h>

#include "bench/report_io.h"

/* Three digits in the first unit that the value reaches; the last one for all below it. */
struct unit {
    double size;
    const char *name;
};

static void format_in_units(double value, const struct unit *units, char *text)
{
    while (units[1].name && __builtin_fabs(value) < units->size)
        units++;
    value /= units->size;
    int digits = __builtin_fabs(value) >= 100 ? 0 : __builtin_fabs(value) >= 10 ? 1 : 2;
    snprintf(text, 16, "%.*f %s", digits, value, units->name);
}

const char *report_format_time(double ns, char text[16])
{
    static const struct unit units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}, {0, NULL}};
    format_in_units(ns, units, text);
    return text;
}

const char *report_format_value(const struct bench_result *result, double value, char text[16])
{
    static const struct unit units[] = {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {0, NULL}};
    if (!result->size_unit)
        return report_format_time(value, text);
    format_in_units(value, units, text);
    return text;
}

static void format_ring(const struct bench_result *result, char text[16])
{
    if (result->ring < 0)
        strcpy(text, "-");
    else
        snprintf(text, 16, "%d", result->ring);
}

static void format_exits(const struct bench_result *result, char text[16])
{
    if (result->exits < 0)
        strcpy(text, "-");
    else
        snprintf(text, 16, "%.*f", result->exits < 10 ? 2 : 0, result->exits);
}

static void format_ratio(const struct summary *ratio, char text[32])
{
    if (!ratio->used)
        strcpy(text, "");
    else if (ratio->median < 0.1)
        snprintf(text, 32, "%.4f (%.4f-%.4f)", ratio->median, ratio->low, ratio->high);
    else
        snprintf(text, 32, "%.3f (%.3f-%.3f)", ratio->median, ratio->low, ratio->high);
}

static bool starts_operation(const struct bench_report *report, unsigned i)
{
    return i == 0 || report->results[i].operation != report->results[i - 1].operation ||
           report->results[i].ring != report->results[i - 1].ring;
}

static void print_row(FILE *file, const struct bench_report *report, unsigned i)
{
    const struct bench_result *result = &report->results[i];
    const struct summary *summary = &result->summary;
    char median[16], low[16], high[16], min[16], p90[16], p99[16], exits[16], ratio[32];
    if (starts_operation(report, i) && result->ring >= 0)
        fprintf(file, "%s, ring %d\n", result->operation, result->ring);
    else if (starts_operation(report, i))
        fprintf(file, "%s\n", result->operation);
    fprintf(file, "  %-15s ", result->way);
    if (*result->reason) {
        fprintf(file, "%s\n", result->reason);
        return;
    }
    report_format_value(result, summary->median, median);
    report_format_value(result, summary->low, low);
    report_format_value(result, summary->high, high);
    report_format_value(result, summary->min, min);
    report_format_value(result, summary->p90, p90);
    report_format_value(result, summary->p99, p99);
    format_exits(result, exits);
    format_ratio(&result->ratio, ratio);
    fprintf(file, "%8s  %8s - %-8s %8s %8s %8s  %6s  %-24s %4u", median, low, high, min, p90, p99, exits,
            ratio, summary->used);
    if (summary->preempted)
        fprintf(file, ", without %u preempted", summary->preempted);
    if (summary->kept)
        fprintf(file, ", %u of them preempted", summary->kept);
    if (summary->verdict != STATS_SOUND)
        fprintf(file, "  %s: not to be relied on", stats_verdict_name(summary->verdict));
    fputc('\n', file);
}

static void print_facts(FILE *file, const struct bench_facts *facts, const char *before)
{
    for (size_t i = 0; i < facts->count; i++)
        fprintf(file, "%s%-12s %s\n", before, facts->list[i].name, facts->list[i].value);
}

static void print_interrupted(FILE *file, const struct bench_report *report)
{
    if (report->interrupted)
        fprintf(file, "\ninterrupted: what is missing was not measured\n");
}

void report_print_table(FILE *file, const struct bench_report *report, const struct bench_facts *facts)
{
    print_facts(file, facts, "");
    if (report_has_io(report)) {
        report_print_io(file, report);
        print_interrupted(file, report);
        return;
    }
    fprintf(
        file,
        "\nmedian of batches, its 95 %% interval, minimum, percentiles; exits for each operation; ratio to\n"
        "the first line of the operation, batch by batch, with its interval; batches used\n\n");
    fprintf(file, "  %-15s %8s  %8s   %-8s %8s %8s %8s  %6s  %-24s %s\n", "", "median", "from", "to",
            "minimum", "p90", "p99", "exits", "ratio", "batches");
    for (unsigned i = 0; i < report->count; i++)
        print_row(file, report, i);
    print_interrupted(file, report);
}

static void print_cell(FILE *file, const struct bench_result *result)
{
    char median[16], ratio[32] = "";
    if (*result->reason) {
        fputs(" - |", file);
        return;
    }
    report_format_value(result, result->summary.median, median);
    if (result->ratio.used && result->ratio.median < 0.01)
        snprintf(ratio, sizeof(ratio), " (1/%.0f)", 1 / result->ratio.median);
    else if (result->ratio.used)
        snprintf(ratio, sizeof(ratio), " (%.2f)", result->ratio.median);
    fprintf(file, " %s%s%s", median, ratio, result->summary.verdict == STATS_SOUND ? "" : " ?");
    if (result->exits >= 0)
        fprintf(file, ", %.3g |", result->exits);
    else
        fputs(" |", file);
}

/* Whether two operations were done in the same ways, so that they fit under one header. */
static bool same_ways(const struct bench_report *report, unsigned a, unsigned b)
{
    for (;; a++, b++) {
        if (strcmp(report->results[a].way, report->results[b].way))
            return false;
        bool a_ends = a + 1 == report->count || starts_operation(report, a + 1);
        bool b_ends = b + 1 == report->count || starts_operation(report, b + 1);
        if (a_ends || b_ends)
            return a_ends && b_ends;
    }
}

static unsigned end_of_operation(const struct bench_report *report, unsigned i)
{
    do
        i++;
    while (i < report->count && !starts_operation(report, i));
    return i;
}

static void print_header(FILE *file, const struct bench_report *report, unsigned first, unsigned end)
{
    fputs("\n| operation | ring |", file);
    for (unsigned i = first; i < end; i++)
        fprintf(file, " %s |", report->results[i].way);
    fputs("\n|---|---|", file);
    for (unsigned i = first; i < end; i++)
        fputs("---|", file);
    fputc('\n', file);
}

void report_print_markdown(FILE *file, const struct bench_report *report, const struct bench_facts *facts)
{
    print_facts(file, facts, "    ");
    if (report_has_io(report)) {
        report_print_io_markdown(file, report);
        print_interrupted(file, report);
        return;
    }
    unsigned end, before = 0;
    for (unsigned first = 0; first < report->count; first = end) {
        char ring[16];
        end = end_of_operation(report, first);
        if (first == 0 || !same_ways(report, before, first))
            print_header(file, report, first, end);
        before = first;
        format_ring(&report->results[first], ring);
        fprintf(file, "| %s | %s |", report->results[first].operation, ring);
        for (unsigned i = first; i < end; i++)
            print_cell(file, &report->results[i]);
        fputc('\n', file);
    }
    fprintf(file,
            "\nMedian (ratio to the first column), exits for each operation. `?`: the spread leaves nothing "
            "to rely on.%s\n",
            report->interrupted ? " The run was interrupted." : "");
}
