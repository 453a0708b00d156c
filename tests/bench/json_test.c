/* SPDX-License-Identifier: MIT
 *
 * The report in its forms, from results made here: JSON as docs/bench.md describes it, the comparison with a
 * baseline, the tables, the picture's script where gnuplot is there.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/baseline.h"
#include "tests/harness.h"

static struct bench_report report;
static const struct bench_facts facts = {.count = 1, .list = {{"cpu", "a processor of \"quotes\""}}};
static char *text;
static size_t text_len;

static void add(const char *operation, const char *way, int ring, double first)
{
    struct bench_result *result = bench_add_result(&report, operation, way, ring);
    ck_assert_ptr_nonnull(result);
    result->batch_count = 7;
    for (unsigned i = 0; i < 30; i++)
        samples_add(result->ns, first + i % 3, SAMPLE_USED);
}

static void make(double first)
{
    report = (struct bench_report){.bench = "mmio"};
    add("store", "kvm", 3, 1000);
    add("store", "trap", 3, first);
    report.results[0].exits = 1;
    bench_conclude(&report, 0);
    add("own time", "emulator", -1, 100);
    bench_conclude(&report, 2);
    strcpy(bench_add_result(&report, "load", "kvm", 0)->reason, "not here");
    add("memory", "vmm run", -1, 10 * first);
    report.results[4].size_unit = "bytes";
    bench_conclude(&report, 4);
}

static json_t *dump(void)
{
    FILE *file = open_memstream(&text, &text_len);
    report_print_json(file, &report, &facts);
    fclose(file);
    json_t *root = json_loads(text, 0, NULL);
    ck_assert_msg(root != NULL, "not JSON: %s", text);
    free(text);
    return root;
}

static const char *string_at(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "(none)";
}

START_TEST(json_has_the_documented_fields)
{
    make(500);
    json_t *root = dump();
    ck_assert_str_eq(string_at(root, "schema"), "vmm-bench-1");
    ck_assert_str_eq(string_at(root, "bench"), "mmio");
    ck_assert(json_is_false(json_object_get(root, "interrupted")));
    ck_assert_str_eq(string_at(json_object_get(root, "host"), "cpu"), facts.list[0].value);
    const json_t *results = json_object_get(root, "results");
    ck_assert_uint_eq(json_array_size(results), 5);
    const json_t *trap = json_array_get(results, 1);
    ck_assert_str_eq(string_at(trap, "operation"), "store");
    ck_assert_str_eq(string_at(trap, "way"), "trap");
    ck_assert_str_eq(string_at(trap, "unit"), "ns");
    ck_assert_int_eq(json_integer_value(json_object_get(trap, "ring")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(trap, "batch_count")), 7);
    const json_t *cost = json_object_get(trap, "cost");
    static const char *const numbers[] = {"median", "low",  "high",    "min",       "p90", "p99",
                                          "max",    "used", "warm_up", "preempted", "kept"};
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++)
        ck_assert_msg(json_is_number(json_object_get(cost, numbers[i])), "cost.%s", numbers[i]);
    ck_assert_str_eq(string_at(cost, "verdict"), "sound");
    double ratio = json_real_value(json_object_get(json_object_get(trap, "ratio"), "median"));
    ck_assert_double_eq_tol(ratio, 0.5005, 1e-4);
    ck_assert_ptr_null(json_object_get(json_array_get(results, 0), "ratio"));
    ck_assert_ptr_null(json_object_get(json_array_get(results, 2), "ring"));
    ck_assert_ptr_null(json_object_get(json_array_get(results, 2), "exits"));
    ck_assert_str_eq(string_at(json_array_get(results, 3), "missing"), "not here");
    ck_assert_ptr_null(json_object_get(json_array_get(results, 3), "cost"));
    json_decref(root);
    bench_report_fini(&report);
}
END_TEST

/* Writes the report to a file, changes one figure, compares. */
static void compare(double after, const char *expected)
{
    char path[] = "/tmp/vmm-bench-XXXXXX";
    const struct bench_facts later = {.count = 2,
                                      .list = {{"cpu", "another"}, {"time", "not that of the baseline"}}};
    struct baseline *baseline;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *file = fdopen(fd, "w");
    make(500);
    report_print_json(file, &report, &facts);
    fclose(file);
    bench_report_fini(&report);
    make(after);
    file = open_memstream(&text, &text_len);
    ck_assert_int_eq(baseline_open(path, "mmio", &baseline, NULL), 0);
    baseline_compare(file, baseline, &report, &later);
    baseline_close(baseline);
    fclose(file);
    unlink(path);
    ck_assert_msg(strstr(text, expected), "'%s' is not in: %s", expected, text);
    free(text);
    bench_report_fini(&report);
}

START_TEST(the_baseline_says_what_moved)
{
    compare(500, "0 of 4 figures and 0 of 1 ratios moved");
    compare(505, "0 of 4 figures and 0 of 1 ratios moved"); /* beyond the interval, but by a hundredth */
    compare(600, "slower: store, ring 3, trap: 501 ns -> 601 ns (+20.0 %)\n"
                 "ratio up: store, ring 3, trap: 0.500 -> 0.600 (+20.0 %)\n");
    compare(600, "larger: memory, vmm run: 4.88 KiB -> 5.86 KiB (+20.0 %)\n");
    compare(400, "2 of 4 figures and 1 of 1 ratios moved");
    compare(500, "not the same: cpu: a processor of \"quotes\" -> another\n0 of");
}
END_TEST

/* What is printed of it again is what was printed at first. */
START_TEST(a_report_comes_back_from_its_json)
{
    char path[] = "/tmp/vmm-bench-XXXXXX", *first, *second;
    struct bench_report loaded;
    struct bench_facts loaded_facts;
    struct vmm_error error;
    FILE *file = fdopen(mkstemp(path), "w");
    make(500);
    report_print_json(file, &report, &facts);
    fclose(file);
    int result = report_load(path, "mmio", &loaded, &loaded_facts, &error);
    ck_assert_msg(!result, "%s", error.message);
    file = open_memstream(&first, &text_len);
    report_print_table(file, &report, &facts);
    report_print_markdown(file, &report, &facts);
    report_print_json(file, &report, &facts);
    fclose(file);
    file = open_memstream(&second, &text_len);
    report_print_table(file, &loaded, &loaded_facts);
    report_print_markdown(file, &loaded, &loaded_facts);
    report_print_json(file, &loaded, &loaded_facts);
    fclose(file);
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
    bench_report_fini(&loaded);
    bench_report_fini(&report);
    ck_assert_int_eq(report_load(path, "exits", &loaded, &loaded_facts, &error), -EINVAL);
    unlink(path);
}
END_TEST

START_TEST(a_wrong_baseline_is_refused)
{
    struct vmm_error error;
    struct baseline *baseline;
    ck_assert_int_eq(baseline_open("/dev/null", "mmio", &baseline, &error), -EINVAL);
    ck_assert_msg(strstr(error.message, "/dev/null"), "%s", error.message);
    ck_assert_int_eq(baseline_open("/nowhere/at/all", "mmio", &baseline, &error), -ENOENT);
    ck_assert_str_eq(error.message, "/nowhere/at/all: cannot open: No such file or directory");
    ck_assert_ptr_null(baseline);
}
END_TEST

START_TEST(the_tables_have_a_line_for_each_result)
{
    make(500);
    FILE *file = open_memstream(&text, &text_len);
    report_print_table(file, &report, &facts);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "\nstore, ring 3\n  kvm "));
    ck_assert_ptr_nonnull(strstr(text, "\nown time\n  emulator "));
    ck_assert_ptr_nonnull(strstr(text, "501 ns"));
    ck_assert_ptr_nonnull(strstr(text, "0.500 (0.500-0.501)"));
    ck_assert_ptr_nonnull(strstr(text, "not here"));
    free(text);
    file = open_memstream(&text, &text_len);
    report_print_markdown(file, &report, &facts);
    fclose(file);
    ck_assert_msg(strstr(text, "| store | 3 | 1.00 us, 1 | 501 ns (0.50) |"), "%s", text);
    ck_assert_msg(strstr(text, "| operation | ring | emulator |"), "%s", text);
    ck_assert_msg(strstr(text, "\n\nNot measured:\n\n- load, ring 0, kvm: not here\n"), "%s", text);
    free(text);
    bench_report_fini(&report);
}
END_TEST

/* Ways that an operation has not, and an operation with more of them than those before it. */
START_TEST(operations_with_some_of_the_ways_share_a_table)
{
    report = (struct bench_report){.bench = "exits"};
    add("coalesced", "vmm", 0, 10);
    add("port", "floor", 0, 10);
    add("port", "vmm", 0, 20);
    add("port", "qemu", 0, 40);
    add("trap", "floor", 3, 10);
    add("trap", "vmm", 3, 1);
    add("trace point", "off", -1, 10);
    bench_conclude(&report, 6);
    report.count = 6;
    bench_conclude(&report, 4);
    report.count = 4;
    bench_conclude(&report, 1);
    report.count = 1;
    bench_conclude(&report, 0);
    report.count = 7;
    report.results[2].exits = 4096;
    report.results[3].exits = 0.00123;
    FILE *file = open_memstream(&text, &text_len);
    report_print_markdown(file, &report, &facts);
    fclose(file);
    static const char expected[] = "\n| operation | ring | floor | vmm | qemu |\n|---|---|---|---|---|\n"
                                   "| coalesced | 0 | - | 11.0 ns | - |\n"
                                   "| port | 0 | 11.0 ns | 21.0 ns (1.91), 4096 | 41.0 ns (3.73), 0.00123 |\n"
                                   "| trap | 3 | 11.0 ns | 2.00 ns ? (0.18 ?) | - |\n"
                                   "\n| operation | ring | off |\n|---|---|---|\n"
                                   "| trace point | - | 11.0 ns |\n\nMedian";
    ck_assert_msg(strstr(text, expected), "%s", text);
    free(text);
    file = open_memstream(&text, &text_len);
    report_print_table(file, &report, &facts);
    fclose(file);
    ck_assert_msg(strstr(text, "1.909 (1.833-2.000)  ") && strstr(text, "0.182 (0.100-0.250) ?"), "%s", text);
    free(text);
    bench_report_fini(&report);
}
END_TEST

START_TEST(times_are_written_in_fitting_units)
{
    char out[16];
    ck_assert_str_eq(report_format_time(0.271, out), "0.27 ns");
    ck_assert_str_eq(report_format_time(140, out), "140 ns");
    ck_assert_str_eq(report_format_time(9.996, out), "10.0 ns");
    ck_assert_str_eq(report_format_time(-99.96, out), "-100 ns");
    ck_assert_str_eq(report_format_time(999.4, out), "999 ns");
    ck_assert_str_eq(report_format_time(999.6, out), "1.00 us");
    ck_assert_str_eq(report_format_time(999600, out), "1.00 ms");
    ck_assert_str_eq(report_format_time(26213, out), "26.2 us");
    ck_assert_str_eq(report_format_time(2.5e9, out), "2.50 s");
}
END_TEST

START_TEST(the_picture_is_drawn)
{
    char path[] = "/tmp/vmm-bench-XXXXXX", line[200] = "";
    struct vmm_error error;
    if (system("command -v gnuplot >/dev/null 2>&1"))
        test_skip("gnuplot is not installed");
    close(mkstemp(path));
    make(500);
    report.results[0].operation = report.results[1].operation = "the guest's store";
    ck_assert_msg(report_plot(&report, path, &error) == 0, "%s", error.message);
    bench_report_fini(&report);
    FILE *file = fopen(path, "r");
    bool has_svg = false, has_label = false, has_reason = false, has_bytes = false;
    while (fgets(line, sizeof(line), file)) {
        has_svg |= strstr(line, "<svg") != NULL;
        has_label |= strstr(line, "s store, ring 3") != NULL;
        has_reason |= strstr(line, "kvm: not here") != NULL;
        has_bytes |= strstr(line, "vmm run: 4.88 KiB") != NULL || strstr(line, "vmm run: 4.89 KiB") != NULL;
    }
    fclose(file);
    unlink(path);
    ck_assert(has_svg && has_label && has_reason && has_bytes);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, json_has_the_documented_fields);
    test_add(suite, the_baseline_says_what_moved);
    test_add(suite, a_report_comes_back_from_its_json);
    test_add(suite, a_wrong_baseline_is_refused);
    test_add(suite, the_tables_have_a_line_for_each_result);
    test_add(suite, operations_with_some_of_the_ways_share_a_table);
    test_add(suite, times_are_written_in_fitting_units);
    test_add(suite, the_picture_is_drawn);
}
