/* SPDX-License-Identifier: MIT
 *
 * What a self-test says and how the tests are run. A result line depends on nothing but the outcome, so that
 * two hypervisors can be compared line by line; what they differ in goes to lines that begin with #.
 */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include "guest/console.h"

struct test {
    const char *name, *what;
    void (*run)(void);
    bool by_name; /* runs only when it is named */
};

/* The tests themselves: void test_NAME(void). */
#define TEST(function, name, what)  void test_##function(void);
#define NAMED(function, name, what) void test_##function(void);
#include "guest/tests.def"
#undef TEST
#undef NAMED

/* Each ends the test function that uses it. */
#define CHECK(condition)                                    \
    do {                                                    \
        if (!(condition)) {                                 \
            test_fail(__FILE_NAME__, __LINE__, #condition); \
            return;                                         \
        }                                                   \
    } while (0)
#define CHECK_EQUAL(actual, expected)                                              \
    do {                                                                           \
        uint64_t actual_ = (uint64_t)(actual), expected_ = (uint64_t)(expected);   \
        if (actual_ != expected_) {                                                \
            test_fail_equal(__FILE_NAME__, __LINE__, #actual, actual_, expected_); \
            return;                                                                \
        }                                                                          \
    } while (0)
#define SKIP_IF(condition, reason) \
    do {                           \
        if (condition) {           \
            test_skip(reason);     \
            return;                \
        }                          \
    } while (0)

void test_fail(const char *file, unsigned line, const char *condition);
void test_fail_equal(const char *file, unsigned line, const char *what, uint64_t actual, uint64_t expected);
void test_skip(const char *reason);

/* What the command line asks for. */
struct options {
    uint32_t cpus; /* 0: find out */
    bool x2apic, list;
    bool bench_blk, bench_packed; /* no tests, but what bench.h has */
};

/* Reads the command line and selects the tests; false, with the reason printed, where a word means nothing.
 */
bool tests_select(const char *cmdline, struct options *options);
void tests_list(void);

/* Runs what is selected; returns how many failed. */
unsigned tests_run(void);

#endif
