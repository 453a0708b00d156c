/* SPDX-License-Identifier: MIT
 *
 * The picture: gnuplot draws a group of bars for each operation, a bar for each way, with its interval, on a
 * logarithmic axis.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

#define WAY_LIMIT 16u

struct plot {
    const char *ways[WAY_LIMIT];
    unsigned way_count;
    unsigned groups;
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

/* A block for each way: x, median, low, high. */
static void write_data(FILE *gnuplot, const struct plot *plot, const struct bench_report *report)
{
    double width = 0.8 / plot->way_count;
    for (unsigned way = 0; way < plot->way_count; way++) {
        fprintf(gnuplot, "$way%u << END\n", way);
        for (unsigned i = 0; i < report->count; i++) {
            const struct bench_result *result = &report->results[i];
            if (is_drawn(result) && strcmp(result->way, plot->ways[way]) == 0)
                fprintf(gnuplot, "%g %g %g %g\n", group_of(report, i) - 0.4 + width * (way + 0.5),
                        result->summary.median, result->summary.low, result->summary.high);
        }
        fputs("END\n", gnuplot);
    }
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

static void write_labels(FILE *gnuplot, const struct bench_report *report)
{
    unsigned before = ~0u;
    fputs("set xtics rotate by 40 right noenhanced (", gnuplot);
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        unsigned group = group_of(report, i);
        if (group == before)
            continue;
        char label[120];
        if (result->ring >= 0)
            snprintf(label, sizeof(label), "%.100s (ring %d)", result->operation, result->ring);
        else
            snprintf(label, sizeof(label), "%.100s", result->operation);
        fputs(before == ~0u ? "" : ", ", gnuplot);
        write_quoted(gnuplot, label);
        fprintf(gnuplot, " %u", group);
        before = group;
    }
    fputs(")\n", gnuplot);
}

static void write_script(FILE *gnuplot, const struct plot *plot, const struct bench_report *report,
                         const char *path)
{
    static const char *const colours[] = {"#9e9e9e", "#1f77b4", "#d62728", "#2ca02c",
                                          "#ff7f0e", "#9467bd", "#8c564b", "#17becf"};
    unsigned groups = group_of(report, report->count - 1) + 1;
    fprintf(gnuplot, "set terminal svg size %u,620 background '#ffffff' font 'sans,12'\nset output ",
            groups * (20 + 14 * plot->way_count) + 260);
    write_quoted(gnuplot, path);
    fprintf(gnuplot,
            "\nset title 'vmm bench %s: median time and its 95 %% interval (logarithmic)'\n"
            "set logscale y\nset format y '10^{%%T}'\nset ylabel 'ns for each operation'\n"
            "set grid ytics lc '#dddddd'\nset boxwidth %g\nset style fill solid 0.9\n"
            "set pointintervalbox 0\nset key outside right top\nset xrange [-0.6:%g]\nset bmargin 14\nset "
            "lmargin 14\n",
            report->bench, 0.8 / plot->way_count, groups - 0.4);
    write_data(gnuplot, plot, report);
    write_labels(gnuplot, report);
    for (unsigned way = 0; way < plot->way_count; way++) {
        fprintf(gnuplot, "%s $way%u using 1:2 with boxes lc '%s' title ", way ? "," : "plot", way,
                colours[way % 8]);
        write_quoted(gnuplot, plot->ways[way]);
        fprintf(gnuplot, ", $way%u using 1:2:3:4 with yerrorbars lc '#000000' lw 1.2 pt 0 ps 0.2 notitle",
                way);
    }
    fputc('\n', gnuplot);
}

int report_plot(const struct bench_report *report, const char *path, char *text, size_t text_bytes)
{
    struct plot plot = {.way_count = 0};
    find_ways(&plot, report);
    if (!plot.way_count) {
        snprintf(text, text_bytes, "%s: there is nothing to draw", path);
        return -1;
    }
    if (system("command -v gnuplot >/dev/null 2>&1")) {
        snprintf(text, text_bytes, "%s: gnuplot, which draws it, is not installed", path);
        return -1;
    }
    FILE *gnuplot = popen("gnuplot", "we");
    if (gnuplot)
        write_script(gnuplot, &plot, report, path);
    if (gnuplot && pclose(gnuplot) == 0)
        return 0;
    snprintf(text, text_bytes, "%s: gnuplot failed", path);
    return -1;
}
