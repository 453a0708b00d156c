/* SPDX-License-Identifier: MIT
 *
 * What every test program has in common: its main, and a way to skip with a reason. A program lists its test
 * cases in test_suite(); each START_TEST of Check runs in a process of its own.
 *
 * A line for each test goes to standard output and, where VMM_TEST_LOG names a file, to its end:
 * "ok|fail|skip PROGRAM TEST [- reason]". The runner counts those lines. With arguments, only the tests whose
 * name contains one of them run. A failure in a forked test is isolated; CK_FORK=no runs all in one process.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>

#include "base/types.h"

/* The program's tests, by test_add: written by each test program. */
void test_suite(Suite *suite);

/* Adds a START_TEST function under its own name, with a limit of `seconds`; 0 means 30. */
#define test_add_slow(suite, function, seconds) test_add_named(suite, function, #function, seconds)
#define test_add(suite, function)               test_add_named(suite, function, #function, 0)
void test_add_named(Suite *suite, const TTest *function, const char *name, double seconds);

/* Ends the running test as skipped. The reason is a sentence for the person who reads the run. */
_Noreturn void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A seed for random tests: VMM_TEST_SEED, else the time. It is printed, so that a failure can be repeated. */
unsigned long long test_seed(void);

/* How many random cases: VMM_TEST_CASES if set, else `usual`, of which VMM_TEST_QUICK takes a tenth. */
unsigned long test_cases(unsigned long usual);

/* For a process that a test has made by fork() and kills: what it asserts is not reported any more. A report
 * cut off by the kill would spoil those of the whole program. */
void test_leave_check(void);

/* How many entries a folder has: "/proc/self/fd". */
unsigned test_count_entries(const char *path);

/* Skips the test, with the reason, unless this host has a /dev/kvm that works. */
void test_need_kvm(void);

#endif
