/* SPDX-License-Identifier: MIT
 *
 * Tables. See report.h.
 */
#include "bench/report.h"

#include <string.h>

#include "bench/report_io.h"

/* Three digits in the first unit that the value reaches, rounded; the last one for all below it. */
struct unit {
    double size;
    const char *name;
};

static void format_in_units(double value, const struct unit *units, char *text)
{
    double size = __builtin_fabs(value);
    while (units[1].name && size < units->size - units[1].size / 2)
        units++;
    value /= units->size;
    size /= units->size;
    int digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
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

static void format_exits(const struct bench_result *result, char text[16])
{
    if (result->exits < 0)
        strcpy(text, "-");
    else
        snprintf(text, 16, "%.*f", result->exits < 10 ? 2 : 0, result->exits);
}

static void format_ratio(const struct summary *ratio, char text[40])
{
    int digits = ratio->median < 0.1 ? 4 : 3;
    if (!ratio->used)
        strcpy(text, "");
    else
        snprintf(text, 40, "%.*f (%.*f-%.*f)%s", digits, ratio->median, digits, ratio->low, digits,
                 ratio->high, ratio->verdict == STATS_SOUND ? "" : " ?");
}

bool report_starts_operation(const struct bench_report *report, unsigned i)
{
    return i == 0 || report->results[i].operation != report->results[i - 1].operation ||
           report->results[i].ring != report->results[i - 1].ring;
}

static void print_row(FILE *file, const struct bench_report *report, unsigned i)
{
    const struct bench_result *result = &report->results[i];
    const struct summary *summary = &result->summary;
    char median[16], low[16], high[16], min[16], p90[16], p99[16], exits[16], ratio[40];
    if (report_starts_operation(report, i) && result->ring >= 0)
        fprintf(file, "%s, ring %d\n", result->operation, result->ring);
    else if (report_starts_operation(report, i))
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

void report_print_facts(FILE *file, const struct bench_facts *facts, const char *before)
{
    for (size_t i = 0; i < facts->count; i++)
        fprintf(file, "%s%-12s %s\n", before, facts->list[i].name, facts->list[i].value);
}

void report_print_interrupted(FILE *file, const struct bench_report *report)
{
    if (report->interrupted)
        fprintf(file, "\ninterrupted: what is missing was not measured\n");
}

void report_print_table(FILE *file, const struct bench_report *report, const struct bench_facts *facts)
{
    report_print_facts(file, facts, "");
    if (report_has_io(report)) {
        report_print_io(file, report);
        report_print_interrupted(file, report);
        return;
    }
    fprintf(
        file,
        "\nmedian of batches, its 95 %% interval, minimum, percentiles; exits for each operation; ratio to\n"
        "the operation's first way, batch by batch, with its interval (?: too wide to rely on); batches "
        "used\n\n");
    fprintf(file, "  %-15s %8s  %8s   %-8s %8s %8s %8s  %6s  %-24s %s\n", "", "median", "from", "to",
            "minimum", "p90", "p99", "exits", "ratio", "batches");
    for (unsigned i = 0; i < report->count; i++)
        print_row(file, report, i);
    report_print_interrupted(file, report);
}
