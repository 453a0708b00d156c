/* SPDX-License-Identifier: MIT
 *
 * What `vmm bench` says to its command line. None of it needs KVM.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/vmm/program.h"

static struct program_run run;

static const struct {
    const char *line;
    int status;
    const char *message;
} mistakes[] = {
    {"bench", 2, "bench: which benchmark? None was given\n"},
    {"bench blok", 2, "there is no 'blok'; did you mean 'blk'?\n"},
    {"bench exits --disk /tmp", 2, "there is no option --disk\nTry 'vmm bench exits --help'.\n"},
    {"bench blk --ring 3", 2, "there is no option --ring"},
    {"bench boot --ring 3", 2, "there is no option --ring"},
    {"bench mmio --against qemu", 2, "there is no option --against"},
    {"bench exits --ring 1", 2, "--ring: '1' is neither 0 nor 3\nTry 'vmm bench exits --help'.\n"},
    {"bench trace --ring x", 2, "vmm: --ring: 'x' is neither 0 nor 3\n"},
    {"bench trace --ring=-1", 2, "--ring: '-1' is neither 0 nor 3\n"},
    {"bench trace --json --markdown", 2, "--json and --markdown: choose one\n"},
    {"bench exits --against xen", 2, "there is no rival 'xen'; there is: qemu\n"},
    {"bench mmio --batches 5000", 2, "--batches: '5000' is not a number from 1 to 997\n"},
    {"bench mmio --batches 0", 2, "--batches: '0' is not a number from 1 to 997\n"},
    {"bench mmio --batches=-1", 2, "--batches: '-1' is not a number from 1 to 997\n"},
    {"bench mmio --batches x", 2, "vmm: --batches: 'x' is not a number from 1 to 997\n"},
    {"bench mmio --pin 99999", 2, "--pin: '99999' is not a CPU"},
    {"bench exits --pin 0,99999", 2, "--pin: '0,99999' is not a CPU, or two, that this program may use\n"},
    {"bench exits --pin 0,", 2, "--pin: '0,' is not a CPU"},
    {"bench exits --pin 0,0,0", 2, "--pin: '0,0,0' is not a CPU"},
    {"bench exits --pin=-1", 2, "--pin: '-1' is not a CPU"},
    {"bench blk --dsk /tmp", 2, "did you mean --disk?\n"},
    {"bench blk --size 12Q", 2, "--size: '12Q' is not a size; write 256M or 1G\n"},
    {"bench blk --size 1M --disk /tmp", 2, "a scratch file has at least 4 MiB\n"},
    {"bench blk --disk a --disk b --disk c --disk d --disk e --disk f --disk g --disk h --disk i", 2,
     "9 places are too many: 8 at most\n"},
    {"bench blk --disk /nowhere", 4, "/nowhere: No such file or directory; name a directory"},
    {"bench blk --disk /dev/null", 4, "/dev/null: is neither a directory"},
    {"bench blk --disk /proc", 4, "/proc: no scratch file can be made there"},
    {"bench mmio --baseline /no/such", 4, "vmm: /no/such: cannot open: No such file or directory\n"},
    {"bench mmio --baseline /dev/null", 4, "/dev/null: cannot be read as JSON"},
    {"bench mmio --from /no/such", 4, "vmm: /no/such: cannot open: No such file or directory\n"},
    {"bench mmio --from /dev/null", 4, "/dev/null: cannot be read as JSON"},
    {"bench mmio --plot /no/such/place.svg", 4, "/no/such/place.svg: "},
    {"bench blk --disk /tmp --size 4M --only nothing^at^all", 2, "no operation is left\n"},
};

START_TEST(mistakes_are_named)
{
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
        program_run(mistakes[i].line, &run);
        ck_assert_msg(run.status == mistakes[i].status && strstr(run.err, mistakes[i].message) && !*run.out,
                      "vmm %s: status %d\n%s%s", mistakes[i].line, run.status, run.err, run.out);
    }
}
END_TEST

START_TEST(where_there_is_no_kvm_it_says_so_once)
{
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        test_skip("this host has KVM");
    static const char *const lines[] = {
        "bench exits --quick", "bench boot --quick", "bench blk --quick --disk /tmp --size 4M",
        "bench mmio --quick --only store^of^4", "bench trace --quick --only guest"};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        program_run(lines[i], &run);
        const char *first = strstr(run.err, "/dev/kvm: ");
        ck_assert_msg(run.status == 4 && first && !strstr(first + 1, "/dev/kvm: ") && !*run.out,
                      "vmm %s: status %d\n%s%s", lines[i], run.status, run.err, run.out);
    }
}
END_TEST

START_TEST(what_needs_no_kvm_is_measured_without_it)
{
    static const struct {
        const char *line, *operation;
    } rows[] = {{"bench trace --quick", "dispatch of a port write"},
                {"bench mmio --quick", "dispatch of a port write"}};
    if (access("/dev/kvm", R_OK | W_OK) == 0)
        test_skip("this host has KVM");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        program_run(rows[i].line, &run);
        const char *first = strstr(run.err, "/dev/kvm: ");
        ck_assert_msg(run.status == 4 && strstr(run.out, rows[i].operation) && first &&
                          !strstr(first + 1, "/dev/kvm: ") && !strstr(run.out, "operations in a guest"),
                      "vmm %s: status %d\n%s%s", rows[i].line, run.status, run.err, run.out);
    }
    program_run("bench trace --quick --only trace^point", &run);
    ck_assert_msg(run.status == 0 && !*run.err, "status %d: %s", run.status, run.err);
}
END_TEST

/* What --only leaves of an earlier run. */
START_TEST(what_is_printed_again_is_chosen_too)
{
    char path[] = "/tmp/vmm-bench-XXXXXX", line[100];
    int fd = mkstemp(path);
    program_run("bench trace --quick --json --only t", &run); /* the status is 4 without KVM */
    ck_assert_int_eq(write(fd, run.out, strlen(run.out)), (ssize_t)strlen(run.out));
    close(fd);
    snprintf(line, sizeof(line), "bench trace --from %s --only port^write", path);
    program_run(line, &run);
    ck_assert_msg(run.status == 0 && strstr(run.out, "dispatch of a port write") &&
                      !strstr(run.out, "trace point"),
                  "status %d\n%s%s", run.status, run.err, run.out);
    snprintf(line, sizeof(line), "bench trace --from %s --only nothing", path);
    program_run(line, &run);
    unlink(path);
    ck_assert_msg(run.status == 2 && !*run.out && strstr(run.err, "no operation is left\n"),
                  "status %d\n%s%s", run.status, run.err, run.out);
}
END_TEST

START_TEST(help_has_what_belongs_to_the_benchmark)
{
    program_run("bench blk --help", &run);
    ck_assert_int_eq(run.status, 0);
    ck_assert_ptr_nonnull(strstr(run.out, "--disk"));
    ck_assert_ptr_nonnull(strstr(run.out, "--json"));
    ck_assert_ptr_nonnull(strstr(run.out, "io_uring"));
    program_run("bench exits --help", &run);
    ck_assert_int_eq(run.status, 0);
    ck_assert_ptr_nonnull(strstr(run.out, "--ring"));
    ck_assert_ptr_null(strstr(run.out, "--disk"));
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, mistakes_are_named, 60);
    test_add_slow(suite, where_there_is_no_kvm_it_says_so_once, 60);
    test_add_slow(suite, what_needs_no_kvm_is_measured_without_it, 60);
    test_add_slow(suite, what_is_printed_again_is_chosen_too, 60);
    test_add(suite, help_has_what_belongs_to_the_benchmark);
}
