/* SPDX-License-Identifier: MIT
 *
 * The buckets of guest/bench_blk.h leave no gap and are as narrow as promised; quantiles; and the blocks that
 * a load visits.
 */
#include "bench/histogram.h"
#include "tests/harness.h"

START_TEST(buckets_follow_each_other)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        uint64_t low = latency_floor(i), end = latency_floor(i + 1);
        ck_assert_uint_lt(low, end);
        ck_assert_uint_eq(latency_bucket(low), i);
        ck_assert_uint_eq(latency_bucket(end - 1), i);
        ck_assert_msg(end - low <= 1 || (end - low) * LATENCY_STEPS <= low, "bucket %u is too wide", i);
    }
    ck_assert_uint_eq(latency_floor(LATENCY_BUCKETS), 1ull << LATENCY_BITS);
}
END_TEST

START_TEST(what_is_too_large_is_in_the_last_bucket)
{
    ck_assert_uint_eq(latency_bucket(1ull << LATENCY_BITS), LATENCY_BUCKETS - 1);
    ck_assert_uint_eq(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}
END_TEST

START_TEST(quantiles_are_ranks)
{
    struct histogram histogram = {0};
    ck_assert_double_eq(histogram_quantile(&histogram, 0.5), 0);
    for (uint64_t ticks = 1; ticks <= 60; ticks++)
        histogram_add(&histogram, ticks);
    ck_assert_double_eq(histogram_quantile(&histogram, 0), 1);
    ck_assert_double_eq(histogram_quantile(&histogram, 0.5), 30);
    ck_assert_double_eq(histogram_quantile(&histogram, 1), 60);
    histogram_add(&histogram, 1000000);
    ck_assert_double_eq_tol(histogram_quantile(&histogram, 1), 1000000, 1000000.0 / LATENCY_STEPS);
    ck_assert_double_eq(histogram_quantile(&histogram, 0.5), 31);
}
END_TEST

START_TEST(histograms_add_up)
{
    static uint32_t counts[LATENCY_BUCKETS];
    struct histogram sum = {0}, other = {0};
    counts[7] = 3;
    histogram_add(&other, 40);
    histogram_add_counts(&sum, counts);
    histogram_merge(&sum, &other);
    ck_assert_uint_eq(sum.total, 4);
    ck_assert_double_eq(histogram_quantile(&sum, 0.75), 7);
    ck_assert_double_eq(histogram_quantile(&sum, 0.99), 40);
}
END_TEST

START_TEST(blocks_are_inside_and_the_same_for_all)
{
    uint64_t a = 5, b = 5, seen = 0, sequential = 3;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t block = bench_blk_next(&a, false, 16);
        ck_assert_uint_lt(block, 16);
        ck_assert_uint_eq(block, bench_blk_next(&b, false, 16));
        seen |= 1u << block;
    }
    ck_assert_uint_eq(seen, 0xffff);
    ck_assert_uint_eq(bench_blk_next(&sequential, true, 4), 3);
    ck_assert_uint_eq(bench_blk_next(&sequential, true, 4), 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, buckets_follow_each_other);
    test_add(suite, what_is_too_large_is_in_the_last_bucket);
    test_add(suite, quantiles_are_ranks);
    test_add(suite, histograms_add_up);
    test_add(suite, blocks_are_inside_and_the_same_for_all);
}
