/* SPDX-License-Identifier: MIT
 *
 * See baseline.h.
 */
#include "bench/baseline.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/types.h"
#include "bench/report_json.h"

#define MOVED_PART (1.0 / 30)

struct baseline {
    json_t *root;
};

int baseline_open(const char *path, const char *bench, struct baseline **out, struct vmm_error *error)
{
    struct baseline *baseline = calloc(1, sizeof(*baseline));
    *out = NULL;
    if (!baseline)
        return error_set(error, -ENOMEM, "%s: out of memory", path);
    baseline->root = report_read_json(path, bench, error);
    if (!baseline->root) {
        free(baseline);
        return error ? error->code : -EINVAL;
    }
    *out = baseline;
    return 0;
}

void baseline_close(struct baseline *baseline)
{
    if (!baseline)
        return;
    json_decref(baseline->root);
    free(baseline);
}

/* Facts that are another each time say nothing. */
static bool explains(const char *name)
{
    static const char *const passing[] = {"load", "load_at_end", "time", "tsc_mhz"};
    for (size_t i = 0; i < ARRAY_COUNT(passing); i++)
        if (strcmp(name, passing[i]) == 0)
            return false;
    return true;
}

static void compare_facts(FILE *file, const json_t *host, const struct bench_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        const struct bench_fact *now = &facts->list[i];
        const char *before = json_string_value(json_object_get(host, now->name));
        if (before && explains(now->name) && strcmp(before, now->value))
            fprintf(file, "not the same: %s: %s -> %s\n", now->name, before, now->value);
    }
}

/* The earlier result of the same operation, way and ring; NULL where there is none. */
static const json_t *find(const json_t *results, const struct bench_result *result)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(results, i, entry)
    {
        const char *operation = json_string_value(json_object_get(entry, "operation"));
        const char *way = json_string_value(json_object_get(entry, "way"));
        const json_t *ring = json_object_get(entry, "ring");
        if (operation && way && strcmp(operation, result->operation) == 0 && strcmp(way, result->way) == 0 &&
            (ring ? json_integer_value(ring) : -1) == result->ring)
            return entry;
    }
    return NULL;
}

static bool has_moved(const struct summary *now, const json_t *before)
{
    double median = report_json_number(before, "median");
    bool is_apart = now->low > report_json_number(before, "high") ||
                    now->high < report_json_number(before, "low");
    return before && now->used && is_apart && median > 0 &&
           __builtin_fabs(now->median / median - 1) >= MOVED_PART;
}

static void print_name(FILE *file, const char *what, const struct bench_result *result)
{
    fprintf(file, "%s: %s, ", what, result->operation);
    if (result->ring >= 0)
        fprintf(file, "ring %d, ", result->ring);
    fprintf(file, "%s: ", result->way);
}

static void print_cost(FILE *file, const struct bench_result *result, double before)
{
    char old[16], new[16];
    double now = result->summary.median;
    bool is_more = now > before;
    print_name(file,
               result->size_unit ? is_more ? "larger" : "smaller"
               : is_more         ? "slower"
                                 : "faster",
               result);
    fprintf(file, "%s -> %s (%+.1f %%)\n", report_format_value(result, before, old),
            report_format_value(result, now, new), 100 * (now / before - 1));
}

static void print_ratio(FILE *file, const struct bench_result *result, double before)
{
    double now = result->ratio.median;
    print_name(file, now > before ? "ratio up" : "ratio down", result);
    fprintf(file, "%.3f -> %.3f (%+.1f %%)\n", before, now, 100 * (now / before - 1));
}

struct moves {
    unsigned figures, moved, ratios, ratios_moved;
};

static void compare_result(FILE *file, const struct bench_result *result, const json_t *before,
                           struct moves *moves)
{
    const json_t *cost = json_object_get(before, "cost"), *ratio = json_object_get(before, "ratio");
    if (!cost || *result->reason)
        return;
    bool cost_moved = has_moved(&result->summary, cost), ratio_moved = has_moved(&result->ratio, ratio);
    moves->figures++;
    moves->moved += cost_moved;
    moves->ratios += ratio && result->ratio.used;
    moves->ratios_moved += ratio_moved;
    if (cost_moved)
        print_cost(file, result, report_json_number(cost, "median"));
    if (ratio_moved)
        print_ratio(file, result, report_json_number(ratio, "median"));
}

void baseline_compare(FILE *file, const struct baseline *baseline, const struct bench_report *report,
                      const struct bench_facts *facts)
{
    const json_t *results = json_object_get(baseline->root, "results");
    struct moves moves = {0};
    compare_facts(file, json_object_get(baseline->root, "host"), facts);
    for (unsigned i = 0; i < report->count; i++)
        compare_result(file, &report->results[i], find(results, &report->results[i]), &moves);
    fprintf(file, "%u of %u figures and %u of %u ratios moved beyond noise since the baseline\n", moves.moved,
            moves.figures, moves.ratios_moved, moves.ratios);
}
