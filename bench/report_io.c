/* SPDX-License-Identifier: MIT
 *
 * Tables of requests. See report_io.h.
 */
#include "bench/report_io.h"

#include <string.h>

#include "bench/guest.h"
#include "bench/report.h"

#define OURS  "vmm"
#define RIVAL "qemu"
#define CELL  32u

static double per_request(double sum, double requests)
{
    return sum < 0 || !(requests > 0) ? -1 : sum / requests;
}

struct io_figures io_figures_of(const struct bench_result *result)
{
    const struct bench_io *io = result->io;
    double iops = result->summary.median > 0 ? 1e9 / result->summary.median : 0;
    double tick_ns = 1 / bench_tsc_per_ns();
    return (struct io_figures){.iops = iops,
                               .bytes_per_second = iops * per_request(io->sums.bytes, io->requests),
                               .p50_ns = histogram_quantile(&io->latency, 0.5) * tick_ns,
                               .p99_ns = histogram_quantile(&io->latency, 0.99) * tick_ns,
                               .p999_ns = histogram_quantile(&io->latency, 0.999) * tick_ns,
                               .exits = per_request(io->exits, io->requests),
                               .kernel_exits = per_request(io->sums.kernel_exits, io->requests),
                               .notifications = per_request(io->sums.notifications, io->requests),
                               .interrupts = per_request(io->sums.interrupts, io->requests),
                               .cpu_ns = per_request(io->sums.cpu_ns, io->requests)};
}

struct summary io_ratio(const struct bench_result *result, const struct bench_result *other)
{
    return samples_ratio(other->ns, result->ns);
}

const struct bench_result *io_find_way(const struct bench_report *report, const struct bench_result *result,
                                       const char *way)
{
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *other = &report->results[i];
        if (other->operation == result->operation && strcmp(other->way, way) == 0 && !*other->reason &&
            other->io)
            return other;
    }
    return NULL;
}

bool report_has_io(const struct bench_report *report)
{
    for (unsigned i = 0; i < report->count; i++)
        if (report->results[i].io)
            return true;
    return false;
}

static const char *format_count(double value, char text[CELL])
{
    if (value < 0)
        strcpy(text, "-");
    else
        snprintf(text, CELL, "%.*f", value < 10 ? 3 : 0, value);
    return text;
}

static const char *format_ns(double value, char text[CELL])
{
    char time[16];
    snprintf(text, CELL, "%s", value < 0 ? "-" : report_format_time(value, time));
    return text;
}

static const char *format_ratio(const struct summary *ratio, char text[CELL])
{
    if (!ratio->used)
        *text = 0;
    else
        snprintf(text, CELL, "%.2f (%.2f-%.2f)%s", ratio->median, ratio->low, ratio->high,
                 ratio->verdict == STATS_SOUND ? "" : " ?");
    return text;
}

static const char *verdict_mark(const struct bench_result *result)
{
    return result->summary.verdict == STATS_SOUND ? "" : " ?";
}

/* The columns of a way, behind its name. */
enum { COLUMN_COUNT = 11 };

static void fill_cells(const struct bench_report *report, const struct bench_result *result,
                       char cells[COLUMN_COUNT][CELL])
{
    struct io_figures figures = io_figures_of(result);
    const struct bench_result *floor = io_find_way(report, result, "floor");
    struct summary ratio = {0};
    if (floor && floor != result)
        ratio = io_ratio(result, floor);
    snprintf(cells[0], CELL, "%.0f%s", figures.iops, verdict_mark(result));
    snprintf(cells[1], CELL, "%.*f", figures.bytes_per_second < 100 << 20 ? 1 : 0,
             figures.bytes_per_second / (1 << 20));
    format_ratio(&ratio, cells[2]);
    format_ns(figures.p50_ns, cells[3]);
    format_ns(figures.p99_ns, cells[4]);
    format_count(figures.exits, cells[5]);
    format_count(figures.kernel_exits, cells[6]);
    format_count(figures.notifications, cells[7]);
    format_count(figures.interrupts, cells[8]);
    format_ns(figures.cpu_ns, cells[9]);
    snprintf(cells[10], CELL, "%u", result->summary.used);
}

static const char *const column_names[COLUMN_COUNT] = {
    "IOPS", "MiB/s", "of the floor", "p50", "p99", "exits", "all exits", "kicks", "irqs", "CPU", "batches"};
static const int column_widths[COLUMN_COUNT] = {10, 8, 20, 9, 9, 7, 9, 7, 7, 9, 7};

static bool starts_operation(const struct bench_report *report, unsigned i)
{
    return i == 0 || report->results[i].operation != report->results[i - 1].operation;
}

/* The four figures that the goals are about, ours to the rival's: IOPS, p50, p99, CPU time. */
static bool fill_rival_cells(const struct bench_report *report, const struct bench_result *rival,
                             char cells[4][CELL])
{
    const struct bench_result *ours = io_find_way(report, rival, OURS);
    if (strcmp(rival->way, RIVAL) || !rival->io || *rival->reason || !ours)
        return false;
    struct io_figures our = io_figures_of(ours), their = io_figures_of(rival);
    struct summary ratio = io_ratio(ours, rival);
    format_ratio(&ratio, cells[0]);
    snprintf(cells[1], CELL, "%.2f", our.p50_ns / their.p50_ns);
    snprintf(cells[2], CELL, "%.2f", our.p99_ns / their.p99_ns);
    snprintf(cells[3], CELL, "%.2f", our.cpu_ns / their.cpu_ns);
    return true;
}

static void print_rival_table(FILE *file, const struct bench_report *report, bool is_markdown)
{
    bool has_header = false;
    char cells[4][CELL];
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        if (!fill_rival_cells(report, result, cells))
            continue;
        if (!has_header && is_markdown)
            fputs("\n| vmm to qemu | IOPS | p50 | p99 | CPU |\n|---|---|---|---|---|\n", file);
        else if (!has_header)
            fprintf(file, "\n%-52s %20s %6s %6s %6s\n", "vmm divided by qemu", "IOPS", "p50", "p99", "CPU");
        has_header = true;
        fprintf(file, is_markdown ? "| %s | %s | %s | %s | %s |\n" : "%-52s %20s %6s %6s %6s\n",
                result->operation, cells[0], cells[1], cells[2], cells[3]);
    }
}

static void print_row(FILE *file, const struct bench_report *report, const struct bench_result *result)
{
    char cells[COLUMN_COUNT][CELL];
    fprintf(file, "  %-6s", result->way);
    if (*result->reason || !result->io) {
        fprintf(file, " %s\n", *result->reason ? result->reason : "nothing but batches to warm up");
        return;
    }
    fill_cells(report, result, cells);
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        fprintf(file, " %*s", column_widths[i], cells[i]);
    fputc('\n', file);
}

void report_print_io(FILE *file, const struct bench_report *report)
{
    fprintf(file,
            "\nIOPS: by the median of batches, and their ratio to the floor's batch by batch, with its 95 %% "
            "interval;\n?: the spread leaves nothing to rely on; p50, p99: time from submission to "
            "completion; for "
            "each request:\nexits to this program, all exits, kicks (notifications of the device), irqs "
            "(interrupts of the guest),\nCPU time of the whole process and its guest\n\n%8s",
            "");
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        fprintf(file, " %*s", column_widths[i], column_names[i]);
    fputc('\n', file);
    for (unsigned i = 0; i < report->count; i++) {
        if (starts_operation(report, i))
            fprintf(file, "%s\n", report->results[i].operation);
        print_row(file, report, &report->results[i]);
    }
    print_rival_table(file, report, false);
}

void report_print_io_markdown(FILE *file, const struct bench_report *report)
{
    fputs("\n| operation | way |", file);
    for (unsigned i = 0; i + 1 < COLUMN_COUNT; i++)
        fprintf(file, " %s |", column_names[i]);
    fputs("\n|---|---|", file);
    for (unsigned i = 0; i + 1 < COLUMN_COUNT; i++)
        fputs("---|", file);
    fputc('\n', file);
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        char cells[COLUMN_COUNT][CELL];
        fprintf(file, "| %s | %s |", starts_operation(report, i) ? result->operation : "", result->way);
        if (*result->reason || !result->io) {
            fprintf(file, " %s |||||||||||\n", *result->reason ? result->reason : "-");
            continue;
        }
        fill_cells(report, result, cells);
        for (unsigned j = 0; j + 1 < COLUMN_COUNT; j++)
            fprintf(file, " %s |", cells[j]);
        fputc('\n', file);
    }
    print_rival_table(file, report, true);
    fputs("\nFor each request: exits to the program, all exits, kicks, interrupts, CPU time. `?`: the spread "
          "leaves "
          "nothing to rely on.\n",
          file);
}
