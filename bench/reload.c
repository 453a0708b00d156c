/* SPDX-License-Identifier: MIT
 *
 * A report from the JSON of an earlier run: its summaries, not its batches. What belongs to requests of a
 * disk is left out, but for their time.
 */
#include "bench/report_json.h"

#include <string.h>

#include "base/error.h"
#include "base/types.h"

static enum stats_verdict verdict_of(const json_t *summary)
{
    static const enum stats_verdict all[] = {STATS_SOUND, STATS_TOO_FEW, STATS_SCATTERED};
    const char *name = json_string_value(json_object_get(summary, "verdict"));
    for (size_t i = 0; name && i < ARRAY_COUNT(all); i++)
        if (strcmp(name, stats_verdict_name(all[i])) == 0)
            return all[i];
    return STATS_TOO_FEW;
}

static struct summary load_summary(const json_t *summary)
{
    return (struct summary){.used = (unsigned)report_json_number(summary, "used"),
                            .kept = (unsigned)report_json_number(summary, "kept"),
                            .warm_up = (unsigned)report_json_number(summary, "warm_up"),
                            .preempted = (unsigned)report_json_number(summary, "preempted"),
                            .median = report_json_number(summary, "median"),
                            .low = report_json_number(summary, "low"),
                            .high = report_json_number(summary, "high"),
                            .min = report_json_number(summary, "min"),
                            .p90 = report_json_number(summary, "p90"),
                            .p99 = report_json_number(summary, "p99"),
                            .max = report_json_number(summary, "max"),
                            .verdict = verdict_of(summary)};
}

/* A text of the file, for as long as the report lives; the operation's before where it is the same, which is
 * how rows of one operation are known. */
static const char *keep(struct bench_report *report, const char *text)
{
    const char *before = report->count ? report->results[report->count - 1].operation : NULL;
    return before && strcmp(before, text) == 0 ? before : bench_keep_name(report, "%s", text);
}

static void load_result(struct bench_report *report, const json_t *entry)
{
    const char *operation = json_string_value(json_object_get(entry, "operation"));
    const char *way = json_string_value(json_object_get(entry, "way"));
    const char *unit = json_string_value(json_object_get(entry, "unit"));
    const char *missing = json_string_value(json_object_get(entry, "missing"));
    const json_t *ring = json_object_get(entry, "ring"), *exits = json_object_get(entry, "exits");
    if (!operation || !way)
        return;
    struct bench_result *result = bench_add_result(report, keep(report, operation),
                                                   bench_keep_name(report, "%s", way),
                                                   ring ? (int)json_integer_value(ring) : -1);
    if (!result)
        return;
    result->batch_count = (unsigned)report_json_number(entry, "batch_count");
    result->summary = load_summary(json_object_get(entry, "cost"));
    result->host_summary = load_summary(json_object_get(entry, "host_cost"));
    result->ratio = load_summary(json_object_get(entry, "ratio"));
    result->exits = exits ? json_number_value(exits) : -1;
    if (unit && strcmp(unit, "ns"))
        result->size_unit = bench_keep_name(report, "%s", unit);
    if (missing)
        snprintf(result->reason, sizeof(result->reason), "%.159s", missing);
}

static void load_facts(struct bench_report *report, const json_t *host, struct bench_facts *facts)
{
    const char *name;
    json_t *value;
    *facts = (struct bench_facts){.count = 0};
    json_object_foreach((json_t *)host, name, value)
    {
        if (facts->count == FACT_LIMIT || !json_is_string(value))
            continue;
        struct bench_fact *fact = &facts->list[facts->count++];
        fact->name = bench_keep_name(report, "%s", name);
        snprintf(fact->value, sizeof(fact->value), "%s", json_string_value(value));
    }
}

int report_load(const char *path, const char *bench, struct bench_report *report, struct bench_facts *facts,
                struct vmm_error *error)
{
    json_t *root = report_read_json(path, bench, error);
    size_t i;
    const json_t *entry;
    *report = (struct bench_report){.bench = bench};
    if (!root)
        return error ? error->code : -EINVAL;
    report->interrupted = json_is_true(json_object_get(root, "interrupted"));
    load_facts(report, json_object_get(root, "host"), facts);
    json_array_foreach(json_object_get(root, "results"), i, entry)
    {
        load_result(report, entry);
    }
    json_decref(root);
    return 0;
}
