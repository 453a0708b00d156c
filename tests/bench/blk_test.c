/* SPDX-License-Identifier: MIT
 *
 * `vmm bench blk` without a guest: the tables and JSON of requests, from results made here; where it
 * measures, and what it says of places where it cannot; the floor's requests, where the build has io_uring.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/benches.h"
#include "bench/blk.h"
#include "bench/blk_medium.h"
#include "bench/guest.h"
#include "bench/report.h"
#include "bench/report_io.h"
#include "tests/harness.h"

static struct bench_report report;
static const struct bench_facts facts = {.count = 1, .list = {{"cpu", "a processor"}}};
static char *text;
static size_t text_len;

/* 30 batches of 10 requests of 4 KiB, `ns` each, half of which took twice as many ticks as there are in it.
 */
static void add(const char *operation, const char *way, double ns, double exits)
{
    struct bench_result *result = bench_add_result(&report, operation, way, -1);
    ck_assert_ptr_nonnull(result);
    result->batch_count = 10;
    for (unsigned i = 0; i < 30; i++)
        samples_add(result->ns, ns, SAMPLE_USED);
    result->io = calloc(1, sizeof(*result->io));
    *result->io = (struct bench_io){.requests = 300,
                                    .exits = exits,
                                    .sums = {.bytes = 300 * 4096.0,
                                             .notifications = exits < 0 ? -1 : 150,
                                             .interrupts = exits < 0 ? -1 : 30,
                                             .kernel_exits = -1,
                                             .cpu_ns = 600000}};
    for (unsigned i = 0; i < 300; i++)
        histogram_add(&result->io->latency, (uint64_t)(ns * (1 + i % 2) * bench_tsc_per_ns()));
}

static void make(void)
{
    report = (struct bench_report){.bench = "blk"};
    add("load", "floor", 10000, -1);
    add("load", "vmm", 20000, 6);
    add("load", "qemu", 30000, -1);
    bench_conclude(&report, 0);
    strcpy(bench_add_result(&report, "other", "floor", -1)->reason, "not here");
}

static void print(void (*function)(FILE *, const struct bench_report *, const struct bench_facts *))
{
    FILE *file = open_memstream(&text, &text_len);
    function(file, &report, &facts);
    fclose(file);
}

START_TEST(figures_are_for_each_request)
{
    make();
    struct io_figures figures = io_figures_of(&report.results[1]);
    ck_assert_double_eq_tol(figures.iops, 50000, 1e-6);
    ck_assert_double_eq_tol(figures.bytes_per_second, 50000 * 4096.0, 1e-3);
    ck_assert_double_eq_tol(figures.p50_ns, 20000, 700);
    ck_assert_double_eq_tol(figures.p99_ns, 40000, 1400);
    ck_assert_double_eq(figures.exits, 0.02);
    ck_assert_double_eq(figures.notifications, 0.5);
    ck_assert_double_eq(figures.interrupts, 0.1);
    ck_assert_double_lt(figures.kernel_exits, 0);
    ck_assert_double_eq(figures.cpu_ns, 2000);
    ck_assert_double_eq_tol(io_ratio(&report.results[1], &report.results[0]).median, 0.5, 1e-9);
    bench_report_fini(&report);
}
END_TEST

START_TEST(the_tables_have_requests)
{
    make();
    print(report_print_table);
    ck_assert_msg(strstr(text, "50000"), "%s", text);
    ck_assert_msg(strstr(text, "0.50 (0.50-0.50)"), "%s", text);
    ck_assert_msg(strstr(text, "not here"), "%s", text);
    ck_assert_msg(strstr(text, "1.50 (1.50-1.50)"), "no ratio to QEMU: %s", text);
    free(text);
    print(report_print_markdown);
    ck_assert_msg(strstr(text, "|  | vmm | 50000 | 195 | 0.50 (0.50-0.50) |"), "%s", text);
    ck_assert_msg(strstr(text, "| load | 1.50 (1.50-1.50) | 0.6"), "%s", text);
    free(text);
    bench_report_fini(&report);
}
END_TEST

START_TEST(json_has_requests)
{
    make();
    print(report_print_json);
    json_t *root = json_loads(text, 0, NULL);
    ck_assert_msg(root != NULL, "not JSON: %s", text);
    const json_t *results = json_object_get(root, "results");
    const json_t *io = json_object_get(json_array_get(results, 1), "io");
    static const char *const numbers[] = {"iops",  "bytes_per_second", "p50_ns",     "p99_ns", "p999_ns",
                                          "exits", "notifications",    "interrupts", "cpu_ns"};
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++)
        ck_assert_msg(json_is_number(json_object_get(io, numbers[i])), "io.%s", numbers[i]);
    ck_assert_ptr_null(json_object_get(io, "kernel_exits"));
    const json_t *ratios = json_object_get(io, "iops_ratio");
    ck_assert_double_eq_tol(json_real_value(json_object_get(json_object_get(ratios, "floor"), "median")), 0.5,
                            1e-5);
    ck_assert_double_eq_tol(json_real_value(json_object_get(json_object_get(ratios, "qemu"), "median")), 1.5,
                            1e-5);
    ck_assert_ptr_null(json_object_get(json_array_get(results, 3), "io"));
    json_decref(root);
    free(text);
    bench_report_fini(&report);
}
END_TEST

START_TEST(a_scratch_file_has_no_name)
{
    char directory[] = "/tmp/vmm-bench-XXXXXX";
    struct blk_medium medium;
    struct vmm_error error;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_msg(blk_medium_open(directory, 4 << 20, false, &medium, &error) == 0, "%s", error.message);
    ck_assert_uint_eq(medium.bytes, 4 << 20);
    ck_assert_int_eq(lseek(medium.fd, 0, SEEK_END), 4 << 20);
    int fd = open(medium.path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_msg(rmdir(directory) == 0, "something is left in %s", directory);
    blk_medium_close(&medium);
}
END_TEST

static void expect_refusal(const char *path, const char *expected)
{
    struct blk_medium medium;
    struct vmm_error error;
    ck_assert_int_lt(blk_medium_open(path, 4 << 20, false, &medium, &error), 0);
    ck_assert_msg(strstr(error.message, expected) && strstr(error.message, path), "%s", error.message);
}

START_TEST(bad_places_are_refused_by_name)
{
    char path[] = "/tmp/vmm-bench-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    expect_refusal(path, "is too small");
    close(fd);
    unlink(path);
    expect_refusal(path, "No such file");
    expect_refusal("/dev/null", "is neither");
}
END_TEST

START_TEST(the_floor_does_every_load)
{
    struct blk_medium medium;
    struct vmm_error error;
    struct blk_floor *floor;
    ck_assert_msg(blk_medium_open("/tmp", 4 << 20, false, &medium, &error) == 0, "%s", error.message);
    const struct blk_setup setup = {.path = medium.path, .bytes = medium.bytes};
    ck_assert_int_eq(blk_floor_create(&setup, &floor), 0);
    for (unsigned i = 0; i < BLK_LOAD_COUNT; i++) {
        struct batch batch = {0};
        const char *reason = NULL;
        if (!blk_floor_batch(floor, i, 70, &batch, &reason)) {
            blk_floor_destroy(floor);
            blk_medium_close(&medium);
            test_skip("%s", reason);
        }
        ck_assert_double_gt(batch.ns, 0);
        ck_assert_uint_eq(batch.io->latency->total, 70);
        ck_assert_double_eq(batch.io->bytes, 70.0 * blk_loads[i].block_bytes);
    }
    blk_floor_destroy(floor);
    blk_medium_close(&medium);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, figures_are_for_each_request);
    test_add(suite, the_tables_have_requests);
    test_add(suite, json_has_requests);
    test_add(suite, a_scratch_file_has_no_name);
    test_add(suite, bad_places_are_refused_by_name);
    test_add_slow(suite, the_floor_does_every_load, 60);
}
