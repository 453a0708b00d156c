/* SPDX-License-Identifier: MIT
 *
 * A tiny run of each benchmark: that figures come out, and how many exits an operation takes. Nothing is said
 * about time.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/benches.h"
#include "tests/harness.h"

static struct bench_report report;
static struct bench_options options;

static void set_up(const char *only, int ring)
{
    report = (struct bench_report){.bench = "test"};
    options = (struct bench_options){
        .limits = {.batches = 2, .quick = true}, .only = only, .ring = ring, .vmm = "/proc/self/exe"};
}

static const struct bench_result *find(const char *operation, const char *way)
{
    for (unsigned i = 0; i < report.count; i++)
        if (strcmp(report.results[i].operation, operation) == 0 && strcmp(report.results[i].way, way) == 0)
            return &report.results[i];
    ck_abort_msg("there is no result for %s, %s", operation, way);
}

static void expect_exits(const char *operation, const char *way, double low, double high)
{
    const struct bench_result *result = find(operation, way);
    ck_assert_msg(!*result->reason, "%s, %s: %s", operation, way, result->reason);
    ck_assert_msg(result->summary.used > 0 && result->summary.median > 0, "%s, %s: no figure", operation,
                  way);
    ck_assert_msg(result->exits >= low && result->exits <= high, "%s, %s: %g exits", operation, way,
                  result->exits);
}

START_TEST(mmio_in_ring_3_counts_exits)
{
    struct vmm_error error;
    test_need_kvm();
    set_up("of 4", 3);
    ck_assert_msg(bench_mmio(&report, &options, &error) == 0, "%s", error.message);
    expect_exits("store of 4 bytes", "kvm", 1, 1);
    expect_exits("store of 4 bytes", "trap", 1, 1);
    expect_exits("store of 4 bytes", "kvm+coalesced", 0, 0.2);
    expect_exits("store of 4 bytes", "direct", 0, 0);
    expect_exits("REP MOVSB of 4 KiB", "trap", 1, 1);
    expect_exits("REP STOSD of 4 KiB", "trap+run-ahead", 0, 1);
    bench_report_fini(&report);
}
END_TEST

START_TEST(exits_have_a_floor)
{
    struct vmm_error error;
    test_need_kvm();
    set_up("1 byte", 3);
    ck_assert_msg(bench_exits(&report, &options, &error) == 0, "%s", error.message);
    expect_exits("port write, 1 byte", "floor", 1, 1);
    expect_exits("port write, 1 byte", "vmm", 1, 1);
    expect_exits("port read, 1 byte", "floor", 1, 1);
    bench_report_fini(&report);
    set_up("engine trap", 3);
    ck_assert_msg(bench_exits(&report, &options, &error) == 0, "%s", error.message);
    expect_exits("MMIO write, engine trap", "floor", 1, 1);
    expect_exits("MMIO add, engine trap", "vmm", 1, 1);
    ck_assert_uint_gt(find("MMIO add, engine trap", "vmm")->ratio.used, 0);
    bench_report_fini(&report);
}
END_TEST

/* Two threads of an operation on one CPU preempt each other by what is measured. */
START_TEST(threads_that_share_a_cpu_are_not_said_to_be_preempted)
{
    struct vmm_error error;
    cpu_set_t one;
    test_need_kvm();
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    set_up("thread waits", 3);
    ck_assert_msg(bench_exits(&report, &options, &error) == 0, "%s", error.message);
    for (unsigned i = 0; i < report.count; i++) {
        ck_assert_msg(report.results[i].summary.used, "%s", report.results[i].reason);
        ck_assert_uint_eq(report.results[i].summary.kept + report.results[i].summary.preempted, 0);
    }
    bench_report_fini(&report);
}
END_TEST

START_TEST(second_threads_have_a_cpu_of_their_own)
{
    static const char *const operations[] = {"ioeventfd on MMIO, thread waits",
                                             "kick of a running vCPU to its stop"};
    struct vmm_error error;
    cpu_set_t allowed;
    int cpu = 0;
    test_need_kvm();
    ck_assert_int_eq(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    while (!CPU_ISSET(cpu, &allowed))
        cpu++;
    for (size_t i = 0; i < ARRAY_COUNT(operations); i++) {
        set_up(operations[i], 3);
        options.second_cpu = &cpu;
        ck_assert_msg(bench_exits(&report, &options, &error) == 0, "%s", error.message);
        ck_assert_msg(find(operations[i], "vmm")->summary.used && find(operations[i], "floor")->summary.used,
                      "%s: no figures", operations[i]);
        bench_report_fini(&report);
    }
}
END_TEST

START_TEST(calls_are_made_both_ways)
{
    struct vmm_error error;
    test_need_kvm();
    set_up("re", 4); /* no ring: calls only */
    ck_assert_msg(bench_exits(&report, &options, &error) == 0, "%s", error.message);
    ck_assert_ptr_nonnull(find("re-entry with immediate_exit", "vmm"));
    ck_assert_msg(!*find("VM with 128 MiB: create, destroy", "floor")->reason, "no VM");
    ck_assert_msg(!*find("VM with 128 MiB: create, destroy", "vmm")->reason, "no VM");
    bench_report_fini(&report);
}
END_TEST

START_TEST(processes_are_measured)
{
    struct vmm_error error;
    test_need_kvm();
    set_up("start", -1);
    options.vmm = getenv("VMM") ? getenv("VMM") : VMM_PROGRAM;
    ck_assert_msg(bench_boot(&report, &options, &error) == 0, "%s", error.message);
    ck_assert_msg(!*find("start, two instructions, exit", "vmm run")->reason, "%s",
                  find("start, two instructions, exit", "vmm run")->reason);
    ck_assert_msg(!*find("start to the tiny kernel's banner", "vmm run")->reason, "%s",
                  find("start to the tiny kernel's banner", "vmm run")->reason);
    bench_report_fini(&report);
    set_up("m", -1); /* memory among others */
    options.vmm = getenv("VMM") ? getenv("VMM") : VMM_PROGRAM;
    ck_assert_msg(bench_boot(&report, &options, &error) == 0, "%s", error.message);
    ck_assert_double_gt(find("memory beside the guest's RAM", "vmm run")->summary.median, 4096);
    bench_report_fini(&report);
}
END_TEST

/* What holds of any disk: no request is without its notification at depth 1 but where the device was still
 * awake, nobody exits to us for one, and the deep queue needs few of both, or none: its device may be awake
 * all the time. */
static void expect_requests(const char *operation, double most)
{
    const struct bench_result *result = find(operation, "vmm");
    ck_assert_msg(!*result->reason, "%s: %s", operation, result->reason);
    ck_assert_ptr_nonnull(result->io);
    double requests = result->io->requests;
    ck_assert_msg(requests > 0 && result->io->latency.total == (uint64_t)requests,
                  "%s: %g requests, %g timed", operation, requests, (double)result->io->latency.total);
    ck_assert_msg(result->io->exits <= 0.1 * requests, "%s: %g exits", operation, result->io->exits);
    double notifications = result->io->sums.notifications;
    ck_assert_msg((notifications > 0 || most < 1) && notifications <= most * requests, "%s: %g notifications",
                  operation, notifications);
    ck_assert_msg(result->io->sums.interrupts <= most * requests + 1, "%s: %g interrupts", operation,
                  result->io->sums.interrupts);
    ck_assert_double_gt(result->io->sums.cpu_ns, 0);
}

static void measure_requests(bool is_polled, bool is_packed)
{
    static const char *const paths[] = {"/dev/shm"};
    struct vmm_error error;
    set_up("page cache: 4 KiB", -1);
    options.blk = (struct bench_blk_options){
        .paths = paths, .path_count = 1, .bytes = 4 << 20, .is_polled = is_polled, .is_packed = is_packed};
    ck_assert_msg(bench_blk(&report, &options, &error) == 0, "%s", error.message);
    expect_requests("tmpfs, page cache: 4 KiB random read, depth 1", 1);
    expect_requests("tmpfs, page cache: 4 KiB random read, depth 32", 0.5);
    expect_requests("tmpfs, page cache: 4 KiB random write, depth 1", 1);
    expect_requests("tmpfs, page cache: 4 KiB random write, depth 32", 0.5);
    if (is_polled)
        ck_assert_double_eq(find("tmpfs, page cache: 4 KiB random read, depth 1", "vmm")->io->sums.interrupts,
                            0);
    bench_report_fini(&report);
}

/* Where there is no QEMU, the line says so and the others are as they were. */
START_TEST(qemu_does_the_same_requests)
{
    static const char *const paths[] = {"/dev/shm"};
    struct vmm_error error;
    test_need_kvm();
    set_up("tmpfs, page cache: 4 KiB random read, depth 32", -1);
    options.against_qemu = true;
    options.blk = (struct bench_blk_options){.paths = paths, .path_count = 1, .bytes = 4 << 20};
    ck_assert_msg(bench_blk(&report, &options, &error) == 0, "%s", error.message);
    const struct bench_result *rival = find(options.only, "qemu");
    expect_requests(options.only, 0.5);
    if (*rival->reason)
        ck_assert_msg(strstr(rival->reason, "is not installed"), "%s", rival->reason);
    else
        ck_assert_uint_eq(rival->io->latency.total, (uint64_t)rival->io->requests);
    bench_report_fini(&report);
}
END_TEST

START_TEST(disk_requests_are_measured)
{
    test_need_kvm();
    measure_requests(false, false);
    measure_requests(false, true);
    measure_requests(true, false);
}
END_TEST

START_TEST(a_file_of_the_users_is_not_written)
{
    char path[] = "/tmp/vmm-bench-XXXXXX", byte = 1;
    const char *paths[] = {path};
    struct vmm_error error;
    test_need_kvm();
    set_up("page cache", -1);
    options.limits.batches = 1;
    options.against_qemu = true;
    options.blk.paths = paths;
    options.blk.path_count = 1;
    int fd = mkstemp(path);
    ck_assert_int_eq(ftruncate(fd, 4 << 20), 0);
    ck_assert_msg(bench_blk(&report, &options, &error) == 0, "%s", error.message);
    ck_assert_uint_eq(report.count, 12); /* the four loads that read, each by all three */
    for (off_t at = 0; at < 4 << 20; at += 4096) {
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        ck_assert_int_eq(byte, 0);
    }
    close(fd);
    unlink(path);
    bench_report_fini(&report);
}
END_TEST

START_TEST(the_emulator_alone_needs_no_kvm)
{
    struct vmm_error error;
    set_up("own time", 3);
    ck_assert_msg(bench_mmio(&report, &options, &error) == 0, "%s", error.message);
    expect_exits("own time: store", "emulator", 0, 0);
    expect_exits("own time: add to memory", "emulator", 0, 0);
    ck_assert_double_gt(find("own time: dispatch of a port write", "emulator")->summary.median, 0);
    ck_assert_double_gt(find("own time: dispatch of an MMIO write", "emulator")->summary.median, 0);
    bench_report_fini(&report);
}
END_TEST

START_TEST(tracing_is_measured)
{
    static const char *const ways[] = {"off",       "on",     "filter passes", "filter refuses",
                                       "2 buffers", "trigger"};
    struct vmm_error error;
    test_need_kvm();
    set_up("port write", 3);
    ck_assert_msg(bench_trace(&report, &options, &error) == 0, "%s", error.message);
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++)
        ck_assert_msg(find("dispatch of a port write", ways[i])->summary.used, "%s: no figure", ways[i]);
    expect_exits("a guest's port write", "floor", 1, 1);
    expect_exits("a guest's port write", "off", 1, 1);
    expect_exits("a guest's port write", "on", 1, 1);
    bench_report_fini(&report);
}
END_TEST

START_TEST(an_interrupt_leaves_what_there_is)
{
    struct vmm_error error;
    set_up("own time", 3);
    bench_interrupt();
    ck_assert_int_eq(bench_mmio(&report, &options, &error), 0);
    ck_assert_uint_eq(report.count, 0);
    ck_assert(bench_is_interrupted());
    bench_report_fini(&report);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, mmio_in_ring_3_counts_exits, 200);
    test_add_slow(suite, exits_have_a_floor, 200);
    test_add_slow(suite, threads_that_share_a_cpu_are_not_said_to_be_preempted, 100);
    test_add_slow(suite, second_threads_have_a_cpu_of_their_own, 100);
    test_add_slow(suite, calls_are_made_both_ways, 100);
    test_add_slow(suite, processes_are_measured, 200);
    test_add_slow(suite, disk_requests_are_measured, 300);
    test_add_slow(suite, qemu_does_the_same_requests, 200);
    test_add_slow(suite, a_file_of_the_users_is_not_written, 60);
    test_add_slow(suite, the_emulator_alone_needs_no_kvm, 60);
    test_add_slow(suite, tracing_is_measured, 60);
    test_add(suite, an_interrupt_leaves_what_there_is);
}
