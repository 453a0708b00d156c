/* SPDX-License-Identifier: MIT
 *
 * JSON out, and back. docs/bench.md has the schema.
 */
#include "bench/report_json.h"

#include <string.h>

#include "base/error.h"
#include "base/types.h"
#include "bench/report_io.h"

static json_t *summary_json(const struct summary *summary)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:i, s:i, s:s}", "median",
                     summary->median, "low", summary->low, "high", summary->high, "min", summary->min, "p90",
                     summary->p90, "p99", summary->p99, "max", summary->max, "used", (int)summary->used,
                     "warm_up", (int)summary->warm_up, "preempted", (int)summary->preempted, "kept",
                     (int)summary->kept, "verdict", stats_verdict_name(summary->verdict));
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
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
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
    json_t *root = json_pack("{s:s, s:s, s:b, s:o, s:o}", "schema", REPORT_SCHEMA, "bench", report->bench,
                             "interrupted", report->interrupted, "host", host, "results", results);
    json_dumpf(root, file, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    fputc('\n', file);
    json_decref(root);
}

json_t *report_read_json(const char *path, const char *bench, struct vmm_error *error)
{
    json_error_t where;
    FILE *file = fopen(path, "re");
    if (!file) {
        error_set_errno(error, -errno, "%s: cannot open", path);
        return NULL;
    }
    json_t *root = json_loadf(file, 0, &where);
    fclose(file);
    const char *schema = json_string_value(json_object_get(root, "schema"));
    const char *name = json_string_value(json_object_get(root, "bench"));
    if (!root) {
        error_set(error, -EINVAL, "%s: cannot be read as JSON: %s (line %d)", path, where.text, where.line);
        return NULL;
    }
    if (schema && !strcmp(schema, REPORT_SCHEMA) && name && !strcmp(name, bench))
        return root;
    error_set(error, -EINVAL, "%s: is not what 'vmm bench %s --json' writes", path, bench);
    json_decref(root);
    return NULL;
}

double report_json_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}
