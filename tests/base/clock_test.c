/* SPDX-License-Identifier: MIT
 *
 * The clocks: each way of reading one says the same.
 */
#include "base/clock.h"

#include "tests/harness.h"

#define NS_PER_S 1000000000ull

START_TEST(both_ways_read_one_clock)
{
    uint64_t before_ns = clock_now_ns(), read_ns = (uint64_t)clock_read_ns(CLOCK_MONOTONIC);
    uint64_t after_ns = clock_now_ns();
    ck_assert_uint_le(before_ns, read_ns);
    ck_assert_uint_le(read_ns, after_ns);
}
END_TEST

START_TEST(a_deadline_is_a_time_of_the_monotonic_clock)
{
    static const uint64_t delays[] = {0, 1, NS_PER_S - 1, NS_PER_S, 7 * NS_PER_S + 999999999};
    for (unsigned i = 0; i < ARRAY_COUNT(delays); i++) {
        uint64_t before_ns = clock_now_ns();
        struct timespec until = clock_deadline(delays[i]);
        uint64_t after_ns = clock_now_ns(),
                 at_ns = (uint64_t)until.tv_sec * NS_PER_S + (uint64_t)until.tv_nsec;
        ck_assert_int_ge(until.tv_nsec, 0);
        ck_assert_int_lt(until.tv_nsec, (long)NS_PER_S);
        ck_assert_uint_le(before_ns + delays[i], at_ns);
        ck_assert_uint_le(at_ns, after_ns + delays[i]);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, both_ways_read_one_clock);
    test_add(suite, a_deadline_is_a_time_of_the_monotonic_clock);
}
