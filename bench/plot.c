/* SPDX-License-Identifier: MIT
 *
 * The picture: gnuplot draws a group of lying bars for each operation, a bar for each way, with its interval
 * and its figure, on a logarithmic axis.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "bench/report.h"

#define WAY_LIMIT 16u

struct plot {
    const char *ways[WAY_LIMIT];
    unsigned way_count;
    double thickness; /* of a bar; an operation has 1 */
    double left;      /* where bars begin, in seconds */
};

static bool is_drawn(const struct bench_result *result)
{
    return !*result->reason && result->summary.used && result->summary.median > 0 && !result->size_unit;
}

static void find_ways(struct plot *plot, const struct bench_report *report)
{
    for (unsigned i = 0; i < report->count; i++) {
        unsigned way = 0;
        while (way < plot->way_count && strcmp(plot->ways[way], report->results[i].way))
            way++;
        if (is_drawn(&report->results[i]) && way == plot->way_count && way < WAY_LIMIT)
            plot->ways[plot->way_count++] = report->results[i].way;
    }
}

static unsigned group_of(const struct bench_report *report, unsigned index)
{
    unsigned group = 0;
    for (unsigned i = 1; i <= index; i++)
        group += report->results[i].operation != report->results[i - 1].operation ||
                 report->results[i].ring != report->results[i - 1].ring;
    return group;
}

/* gnuplot takes a quote inside of '' when it is doubled. */
static void write_quoted(FILE *gnuplot, const char *text)
{
    fputc('\'', gnuplot);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', gnuplot);
        fputc(*text, gnuplot);
    }
    fputc('\'', gnuplot);
}

/* Beside the axis, and the number of characters of the longest. */
static unsigned write_labels(FILE *gnuplot, const struct bench_report *report)
{
    unsigned before = ~0u, longest = 0;
    fputs("set ytics noenhanced scale 0 (", gnuplot);
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        unsigned group = group_of(report, i);
        if (group == before)
            continue;
        char label[120];
        if (result->ring >= 0)
            snprintf(label, sizeof(label), "%.100s, ring %d", result->operation, result->ring);
        else
            snprintf(label, sizeof(label), "%.100s", result->operation);
        longest = strlen(label) > longest ? (unsigned)strlen(label) : longest;
        fputs(before == ~0u ? "" : ", ", gnuplot);
        write_quoted(gnuplot, label);
        fprintf(gnuplot, " %u", group);
        before = group;
    }
    fputs(")\n", gnuplot);
    return longest;
}

/* A block for each way: the bar's place from above, median, low and high in seconds, and what is written at
 * it: the figure and the ratio. */
static void write_data(FILE *gnuplot, const struct plot *plot, const struct bench_report *report)
{
    for (unsigned way = 0; way < plot->way_count; way++) {
        fprintf(gnuplot, "$way%u << END\n", way);
        for (unsigned i = 0; i < report->count; i++) {
            const struct bench_result *result = &report->results[i];
            const struct summary *summary = &result->summary;
            char time[16], ratio[24] = "";
            if (!is_drawn(result) || strcmp(result->way, plot->ways[way]))
                continue;
            if (result->ratio.used)
                snprintf(ratio, sizeof(ratio), result->ratio.median < 0.1 ? " (%.2g)" : " (%.2f)",
                         result->ratio.median);
            fprintf(gnuplot, "%g %g %g %g \"%s%s%s\"\n",
                    group_of(report, i) - 0.4 + plot->thickness * (way + 0.5), summary->median * 1e-9,
                    summary->low * 1e-9, summary->high * 1e-9, report_format_time(summary->median, time),
                    ratio, summary->verdict == STATS_SOUND ? "" : " ?");
        }
        fputs("END\n", gnuplot);
    }
}

/* Whole decades around all bars, and one more for what is written at them. */
static void write_range(FILE *gnuplot, struct plot *plot, const struct bench_report *report)
{
    double low = 1e12, high = 0, first = 1e-12, last = 1e-12;
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        if (is_drawn(result) && result->summary.median * 1e-9 < low)
            low = result->summary.median * 1e-9;
        if (is_drawn(result) && result->summary.high * 1e-9 > high)
            high = result->summary.high * 1e-9;
    }
    while (first * 10 < low)
        first *= 10;
    while (last < high)
        last *= 10;
    plot->left = first;
    fprintf(gnuplot, "set xrange [%g:%g]\n", first, last * 10);
}

static void write_ways(FILE *gnuplot, const struct plot *plot)
{
    static const char *const colours[] = {"#9e9e9e", "#1f77b4", "#d62728", "#2ca02c",
                                          "#ff7f0e", "#9467bd", "#8c564b", "#17becf"};
    for (unsigned way = 0; way < plot->way_count; way++) {
        fprintf(gnuplot, "%s $way%u using 2:1:(%g):2:($1-%g):($1+%g) with boxxyerror lc '%s' title ",
                way ? "," : "plot", way, plot->left, plot->thickness / 2, plot->thickness / 2,
                colours[way % 8]);
        write_quoted(gnuplot, plot->ways[way]);
        fprintf(gnuplot,
                ", $way%u using 2:1:3:4 with xerrorbars lc '#000000' lw 1 pt -1 notitle"
                ", $way%u using 4:1:5 with labels left offset char 0.6,0 noenhanced font ',9' notitle",
                way, way);
    }
    fputc('\n', gnuplot);
}

/* Bars lie, so that their names can be read and a page is wide enough. */
static void write_script(FILE *gnuplot, struct plot *plot, const struct bench_report *report,
                         const char *path)
{
    unsigned groups = group_of(report, report->count - 1) + 1;
    plot->thickness = 0.8 / plot->way_count;
    fprintf(gnuplot, "set terminal svg size 1100,%u background '#ffffff' font 'sans,11'\nset output ",
            groups * (8 + 13 * plot->way_count) + 110);
    write_quoted(gnuplot, path);
    fprintf(
        gnuplot,
        "\nset title 'vmm bench %s: median, its 95 %% interval, ratio to the first way (logarithmic axis)'\n"
        "set logscale x\nset format x '%%.0s %%cs'\nset grid xtics lc '#dddddd'\n"
        "set style fill solid 0.9 noborder\nset key outside top center horizontal\n"
        "set errorbars small\nset yrange [%g:-0.6]\n",
        report->bench, groups - 0.4);
    write_range(gnuplot, plot, report);
    write_data(gnuplot, plot, report);
    fprintf(gnuplot, "set lmargin %u\n", write_labels(gnuplot, report) * 9 / 10 + 4);
    write_ways(gnuplot, plot);
}

/* An existing file is left as it is; one that is not there can be made, which leaves nothing behind. */
int report_check_plot(const char *path, struct vmm_error *error)
{
    if (system("command -v gnuplot >/dev/null 2>&1"))
        return error_set(error, -ENOENT, "%s: gnuplot, which draws it, is not installed", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno == EEXIST && access(path, W_OK) == 0
                   ? 0
                   : error_set_errno(error, -errno, "%s: cannot be written", path);
    close(fd);
    unlink(path);
    return 0;
}

int report_plot(const struct bench_report *report, const char *path, struct vmm_error *error)
{
    struct plot plot = {.way_count = 0};
    find_ways(&plot, report);
    if (!plot.way_count)
        return error_set(error, -ENODATA, "%s: there is nothing to draw", path);
    FILE *gnuplot = popen("gnuplot", "we");
    if (gnuplot)
        write_script(gnuplot, &plot, report, path);
    return gnuplot && pclose(gnuplot) == 0 ? 0 : error_set(error, -EIO, "%s: gnuplot failed", path);
}
