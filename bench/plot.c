/* SPDX-License-Identifier: MIT
 *
 * The picture: gnuplot draws a group of lying bars for each operation, a bar for each way, with its interval
 * and its figure, on a logarithmic axis. Where there is no bar, a line says why.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "bench/report.h"

#define WAY_LIMIT   16u
#define LINE_PIXELS 13 /* of a bar, whose thickness the vertical axis counts by */
#define GROUP_GAP   0.7

struct plot {
    const char *ways[WAY_LIMIT];
    unsigned way_count;
    double *places; /* of each result on the vertical axis; negative: it has no line */
    double height;
    double left; /* where bars begin, in seconds */
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

/* One below the other; ways that are missing for the same reason have one line. */
static void find_places(struct plot *plot, const struct bench_report *report)
{
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        bool is_first = report_starts_operation(report, i);
        plot->places[i] = -1;
        if (!is_first && *result->reason && strcmp(result->reason, result[-1].reason) == 0)
            continue;
        plot->height += is_first && i ? 1 + GROUP_GAP : i ? 1 : 0;
        plot->places[i] = plot->height;
    }
}

/* The middle of the group that begins there. */
static double middle_of(const struct plot *plot, const struct bench_report *report, unsigned index)
{
    double first = plot->places[index], last = first;
    for (unsigned i = index + 1; i < report->count && !report_starts_operation(report, i); i++)
        if (plot->places[i] > last)
            last = plot->places[i];
    return (first + last) / 2;
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
static unsigned write_labels(FILE *gnuplot, const struct plot *plot, const struct bench_report *report)
{
    unsigned longest = 0;
    fputs("set ytics noenhanced scale 0 (", gnuplot);
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        char label[120];
        if (!report_starts_operation(report, i))
            continue;
        if (result->ring >= 0)
            snprintf(label, sizeof(label), "%.100s, ring %d", result->operation, result->ring);
        else
            snprintf(label, sizeof(label), "%.100s", result->operation);
        longest = strlen(label) > longest ? (unsigned)strlen(label) : longest;
        fputs(i ? ", " : "", gnuplot);
        write_quoted(gnuplot, label);
        fprintf(gnuplot, " %g", middle_of(plot, report, i));
    }
    fputs(")\n", gnuplot);
    return longest;
}

static const char *mark(const struct summary *summary)
{
    return summary->verdict == STATS_SOUND ? "" : " ?";
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
                snprintf(ratio, sizeof(ratio), result->ratio.median < 0.1 ? " (%.2g%s)" : " (%.2f%s)",
                         result->ratio.median, mark(&result->ratio));
            fprintf(gnuplot, "%g %g %g %g \"%s%s%s\"\n", plot->places[i], summary->median * 1e-9,
                    summary->low * 1e-9, summary->high * 1e-9, report_format_time(summary->median, time),
                    mark(summary), ratio);
        }
        fputs("END\n", gnuplot);
    }
}

/* Where there is no bar: why, or the figure that is no time. */
static void write_words(FILE *gnuplot, const struct plot *plot, const struct bench_report *report)
{
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        char value[16], words[240];
        if (is_drawn(result) || plot->places[i] < 0 || (!*result->reason && !result->summary.used))
            continue;
        bool is_one = i + 1 == report->count || plot->places[i + 1] >= 0;
        snprintf(words, sizeof(words), "%.60s%s%s", is_one ? result->way : "", is_one ? ": " : "",
                 *result->reason ? result->reason
                                 : report_format_value(result, result->summary.median, value));
        fputs("set label ", gnuplot);
        write_quoted(gnuplot, words);
        fprintf(gnuplot, " at first %g,%g left offset char 0.6,0 noenhanced font ',9'\n", plot->left,
                plot->places[i]);
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
    fprintf(gnuplot, "set xrange [%g:%g]\nset x2range [%g:%g]\n", first, last * 10, first, last * 10);
}

/* A floor is grey in every picture. */
static const char *colour_of(const struct plot *plot, unsigned way)
{
    static const char *const colours[] = {"#1f77b4", "#d62728", "#2ca02c", "#ff7f0e",
                                          "#9467bd", "#8c564b", "#17becf"};
    unsigned before = 0;
    for (unsigned i = 0; i < way; i++)
        before += strcmp(plot->ways[i], "floor") != 0;
    return strcmp(plot->ways[way], "floor") ? colours[before % 7] : "#9e9e9e";
}

static void write_ways(FILE *gnuplot, const struct plot *plot)
{
    for (unsigned way = 0; way < plot->way_count; way++) {
        fprintf(gnuplot, "%s $way%u using 2:1:(%g):2:($1-0.5):($1+0.5) with boxxyerror lc '%s' title ",
                way ? "," : "plot", way, plot->left, colour_of(plot, way));
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
    fprintf(gnuplot, "set terminal svg size 1100,%u background '#ffffff' font 'sans,11'\nset output ",
            (unsigned)((plot->height + 1 + 2 * GROUP_GAP) * LINE_PIXELS) + 110);
    write_quoted(gnuplot, path);
    fprintf(gnuplot,
            "\nset title 'vmm bench %s: median, its 95 %% interval, ratio to the first way; ?: not to "
            "be relied on (logarithmic axis)'\n"
            "set logscale x\nset format x '%%.0s %%cs'\nset grid xtics lc '#dddddd'\n"
            "set logscale x2\nset format x2 '%%.0s %%cs'\nset x2tics\n"
            "set style fill solid 0.9 noborder\nset key outside top center horizontal\n"
            "set errorbars small\nset rmargin 4\nset yrange [%g:%g]\n",
            report->bench, plot->height + 0.5 + GROUP_GAP, -0.5 - GROUP_GAP);
    write_range(gnuplot, plot, report);
    write_data(gnuplot, plot, report);
    write_words(gnuplot, plot, report);
    fprintf(gnuplot, "set lmargin %u\n", write_labels(gnuplot, plot, report) * 9 / 10 + 4);
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
    struct plot plot = {.places = calloc(report->count + 1, sizeof(*plot.places))};
    if (!plot.places)
        return error_set(error, -ENOMEM, "%s: out of memory", path);
    find_ways(&plot, report);
    find_places(&plot, report);
    FILE *gnuplot = plot.way_count ? popen("gnuplot", "we") : NULL;
    if (gnuplot)
        write_script(gnuplot, &plot, report, path);
    free(plot.places);
    if (!plot.way_count)
        return error_set(error, -ENODATA, "%s: there is nothing to draw", path);
    return gnuplot && pclose(gnuplot) == 0 ? 0 : error_set(error, -EIO, "%s: gnuplot failed", path);
}
