/* SPDX-License-Identifier: MIT
 *
 * The table as Markdown: a row for each operation, a column for each way. Operations stand in one table as
 * long as the ways of the one are among those of the other.
 */
#include <string.h>

#include "bench/report.h"
#include "bench/report_io.h"

#define WAY_LIMIT 16u

struct columns {
    const char *ways[WAY_LIMIT];
    unsigned count;
};

static unsigned end_of_operation(const struct bench_report *report, unsigned i)
{
    do
        i++;
    while (i < report->count && !report_starts_operation(report, i));
    return i;
}

static struct columns ways_of(const struct bench_report *report, unsigned first, unsigned end)
{
    struct columns columns = {.count = 0};
    for (unsigned i = first; i < end && columns.count < WAY_LIMIT; i++)
        columns.ways[columns.count++] = report->results[i].way;
    return columns;
}

static bool has_all(const struct columns *columns, const struct columns *others)
{
    for (unsigned i = 0; i < others->count; i++) {
        unsigned found = 0;
        while (found < columns->count && strcmp(columns->ways[found], others->ways[i]))
            found++;
        if (found == columns->count)
            return false;
    }
    return true;
}

/* Where the table that begins there ends, and its columns. */
static unsigned find_table(const struct bench_report *report, unsigned first, struct columns *columns)
{
    unsigned end = end_of_operation(report, first);
    *columns = ways_of(report, first, end);
    while (end < report->count) {
        unsigned next = end_of_operation(report, end);
        struct columns own = ways_of(report, end, next);
        if (has_all(&own, columns))
            *columns = own;
        else if (!has_all(columns, &own))
            break;
        end = next;
    }
    return end;
}

static const char *mark(const struct summary *summary)
{
    return summary->verdict == STATS_SOUND ? "" : " ?";
}

static void print_cell(FILE *file, const struct bench_result *result)
{
    char median[16];
    const struct summary *ratio = &result->ratio;
    fprintf(file, " %s%s", report_format_value(result, result->summary.median, median),
            mark(&result->summary));
    if (ratio->used && ratio->median < 0.01)
        fprintf(file, " (1/%.0f%s)", 1 / ratio->median, mark(ratio));
    else if (ratio->used)
        fprintf(file, " (%.2f%s)", ratio->median, mark(ratio));
    if (result->exits >= 0)
        fprintf(file, result->exits < 1000 ? ", %.3g" : ", %.0f", result->exits);
    fputs(" |", file);
}

static void print_row(FILE *file, const struct bench_report *report, unsigned first,
                      const struct columns *columns)
{
    unsigned end = end_of_operation(report, first);
    const struct bench_result *results = report->results;
    fprintf(file, "| %s |", results[first].operation);
    if (results[first].ring >= 0)
        fprintf(file, " %d |", results[first].ring);
    else
        fputs(" - |", file);
    for (unsigned way = 0; way < columns->count; way++) {
        unsigned i = first;
        while (i < end && strcmp(results[i].way, columns->ways[way]))
            i++;
        if (i < end && !*results[i].reason)
            print_cell(file, &results[i]);
        else
            fputs(" - |", file);
    }
    fputc('\n', file);
}

static void print_header(FILE *file, const struct columns *columns)
{
    fputs("\n| operation | ring |", file);
    for (unsigned i = 0; i < columns->count; i++)
        fprintf(file, " %s |", columns->ways[i]);
    fputs("\n|---|---|", file);
    for (unsigned i = 0; i < columns->count; i++)
        fputs("---|", file);
    fputc('\n', file);
}

static void print_reasons(FILE *file, const struct bench_report *report)
{
    bool is_first = true;
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        if (!*result->reason)
            continue;
        fprintf(file, "%s- %s, ", is_first ? "\nNot measured:\n\n" : "", result->operation);
        if (result->ring >= 0)
            fprintf(file, "ring %d, ", result->ring);
        fprintf(file, "%s: %s\n", result->way, result->reason);
        is_first = false;
    }
}

void report_print_markdown(FILE *file, const struct bench_report *report, const struct bench_facts *facts)
{
    struct columns columns;
    report_print_facts(file, facts, "    ");
    if (report_has_io(report)) {
        report_print_io_markdown(file, report);
        report_print_interrupted(file, report);
        return;
    }
    for (unsigned first = 0; first < report->count;) {
        unsigned end = find_table(report, first, &columns);
        print_header(file, &columns);
        for (; first < end; first = end_of_operation(report, first))
            print_row(file, report, first, &columns);
    }
    fputs("\nMedian (ratio to the operation's first way), exits for each operation. `?`: the spread leaves "
          "nothing "
          "to rely on.\n",
          file);
    print_reasons(file, report);
    report_print_interrupted(file, report);
}
