/* SPDX-License-Identifier: MIT
 *
 * JSON out, and an earlier JSON in. docs/bench.md has the schema.
 */
#include <jansson.h>
#include <string.h>

#include "bench/report.h"
#include "bench/report_io.h"

#define SCHEMA     "vmm-bench-1"
#define MOVED_PART (1.0 / 30)

static json_t *summary_json(const struct summary *summary)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:i, s:s}", "median", summary->median,
                     "low", summary->low, "high", summary->high, "min", summary->min, "p90", summary->p90,
                     "p99", summary->p99, "max", summary->max, "used", (int)summary->used, "warm_up",
                     (int)summary->warm_up, "preempted", (int)summary->preempted, "verdict",
                     stats_verdict_name(summary->verdict));
}

static void add_known(json_t *object, const char *key, double value)
{
    if (value >= 0)
        json_object_set_new(object, key, json_real(value));
}

/* Requests: what a time alone does not say, and the ratios to the other ways. */
static json_t *io_json(const struct bench_report *report, const struct bench_result *result)
{
    static const char *const others[] = {"floor", "qemu"};
    struct io_figures figures = io_figures_of(result);
    json_t *object = json_object(), *ratios = json_object();
    add_known(object, "iops", figures.iops);
    add_known(object, "bytes_per_second", figures.bytes_per_second);
    add_known(object, "p50_ns", figures.p50_ns);
    add_known(object, "p99_ns", figures.p99_ns);
    add_known(object, "p999_ns", figures.p999_ns);
    add_known(object, "exits", figures.exits);
    add_known(object, "kernel_exits", figures.kernel_exits);
    add_known(object, "notifications", figures.notifications);
    add_known(object, "interrupts", figures.interrupts);
    add_known(object, "cpu_ns", figures.cpu_ns);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const struct bench_result *other = io_find_way(report, result, others[i]);
        struct summary ratio = other ? io_ratio(result, other) : (struct summary){0};
        if (other != result && ratio.used)
            json_object_set_new(ratios, others[i], summary_json(&ratio));
    }
    json_object_set_new(object, "iops_ratio", ratios);
    return object;
}

static json_t *result_json(const struct bench_report *report, const struct bench_result *result)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:i}", "operation", result->operation, "way", result->way,
                               "unit", result->size_unit ? result->size_unit : "ns", "batch_count",
                               (int)result->batch_count);
    if (result->ring >= 0)
        json_object_set_new(object, "ring", json_integer(result->ring));
    if (*result->reason) {
        json_object_set_new(object, "missing", json_string(result->reason));
        return object;
    }
    json_object_set_new(object, "cost", summary_json(&result->summary));
    if (result->host_summary.used)
        json_object_set_new(object, "host_cost", summary_json(&result->host_summary));
    if (result->ratio.used)
        json_object_set_new(object, "ratio", summary_json(&result->ratio));
    if (result->exits >= 0)
        json_object_set_new(object, "exits", json_real(result->exits));
    if (result->io)
        json_object_set_new(object, "io", io_json(report, result));
    return object;
}

void report_print_json(FILE *file, const struct bench_report *report, const struct bench_facts *facts)
{
    json_t *host = json_object(), *results = json_array();
    for (size_t i = 0; i < facts->count; i++)
        json_object_set_new(host, facts->list[i].name, json_string(facts->list[i].value));
    for (unsigned i = 0; i < report->count; i++)
        json_array_append_new(results, result_json(report, &report->results[i]));
    json_t *root = json_pack("{s:s, s:s, s:b, s:o, s:o}", "schema", SCHEMA, "bench", report->bench,
                             "interrupted", report->interrupted, "host", host, "results", results);
    json_dumpf(root, file, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    fputc('\n', file);
    json_decref(root);
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

static bool compare_result(FILE *file, const struct bench_result *result, const json_t *cost)
{
    double median = json_number_value(json_object_get(cost, "median"));
    double low = json_number_value(json_object_get(cost, "low"));
    double high = json_number_value(json_object_get(cost, "high"));
    const struct summary *now = &result->summary;
    bool is_apart = now->low > high || now->high < low;
    if (!is_apart || !(median > 0) || __builtin_fabs(now->median / median - 1) < MOVED_PART)
        return false;
    char before[16], after[16];
    fprintf(file, "%s: %s, %s: %s -> %s (%+.1f %%)\n", now->median > median ? "slower" : "faster",
            result->operation, result->way, report_format_time(median, before),
            report_format_time(now->median, after), 100 * (now->median / median - 1));
    return true;
}

static void compare_all(FILE *file, const struct bench_report *report, const json_t *results)
{
    unsigned moved = 0, found = 0;
    for (unsigned i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        const json_t *cost = json_object_get(find(results, result), "cost");
        if (!cost || *result->reason)
            continue;
        found++;
        moved += compare_result(file, result, cost);
    }
    fprintf(file, "%u of %u figures moved beyond noise since the baseline\n", moved, found);
}

int report_compare(FILE *file, const struct bench_report *report, const char *path, char *text,
                   size_t text_bytes)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    const char *schema = json_string_value(json_object_get(root, "schema"));
    const char *bench = json_string_value(json_object_get(root, "bench"));
    int result = -1;
    if (!root)
        snprintf(text, text_bytes, "%s: cannot be read as JSON: %s (line %d)", path, error.text, error.line);
    else if (!schema || strcmp(schema, SCHEMA) || !bench || strcmp(bench, report->bench))
        snprintf(text, text_bytes, "%s: is not what 'vmm bench %s --json' writes", path, report->bench);
    else
        result = 0;
    if (!result)
        compare_all(file, report, json_object_get(root, "results"));
    json_decref(root);
    return result;
}
