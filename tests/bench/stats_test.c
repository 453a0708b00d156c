/* SPDX-License-Identifier: MIT
 *
 * The statistics on samples whose answer is known.
 */
#include "bench/measure.h"

#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"

static struct samples samples, others;

static void fill(struct samples *to, unsigned count)
{
    to->count = 0;
    for (unsigned i = 0; i < count; i++)
        samples_add(to, (double)((i * 37) % count + 1), SAMPLE_USED);
}

START_TEST(order_statistics_of_one_to_n)
{
    fill(&samples, 101);
    struct summary summary = samples_summarize(&samples);
    ck_assert_uint_eq(summary.used, 101);
    ck_assert_double_eq(summary.median, 51);
    ck_assert_double_eq(summary.min, 1);
    ck_assert_double_eq(summary.max, 101);
    ck_assert_double_eq(summary.p90, 91);
    ck_assert_double_eq(summary.p99, 100);
    /* From the tables of the sign test: for n = 101 the ranks are 41 and 61. */
    ck_assert_double_eq(summary.low, 41);
    ck_assert_double_eq(summary.high, 61);
    ck_assert_int_eq(summary.verdict, STATS_SCATTERED);
}
END_TEST

START_TEST(the_interval_of_few_samples)
{
    static const struct {
        unsigned count;
        double low, high; /* ranks of the 95 % interval, from the tables */
    } rows[] = {{6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {10, 2, 9}, {20, 6, 15}, {25, 8, 18}};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        samples.count = 0;
        for (unsigned value = 1; value <= rows[i].count; value++)
            samples_add(&samples, value, SAMPLE_USED);
        struct summary summary = samples_summarize(&samples);
        ck_assert_double_eq(summary.low, rows[i].low);
        ck_assert_double_eq(summary.high, rows[i].high);
    }
}
END_TEST

START_TEST(five_samples_are_too_few)
{
    fill(&samples, 5);
    struct summary summary = samples_summarize(&samples);
    ck_assert_int_eq(summary.verdict, STATS_TOO_FEW);
    ck_assert_double_eq(summary.median, 3);
    ck_assert_double_eq(summary.low, 1);
    ck_assert_double_eq(summary.high, 5);
    fill(&samples, 0);
    summary = samples_summarize(&samples);
    ck_assert_uint_eq(summary.used, 0);
    ck_assert_int_eq(summary.verdict, STATS_TOO_FEW);
}
END_TEST

START_TEST(warm_up_and_preempted_batches_are_left_out)
{
    samples.count = 0;
    for (unsigned i = 0; i < 3; i++)
        samples_add(&samples, 1e6, SAMPLE_WARM_UP);
    for (unsigned i = 0; i < 20; i++)
        samples_add(&samples, i % 4 ? 10 : 5000, i % 4 ? SAMPLE_USED : SAMPLE_PREEMPTED);
    struct summary summary = samples_summarize(&samples);
    ck_assert_uint_eq(summary.used, 15);
    ck_assert_uint_eq(summary.warm_up, 3);
    ck_assert_uint_eq(summary.preempted, 5);
    ck_assert_double_eq(summary.max, 10);
    ck_assert_int_eq(summary.verdict, STATS_SOUND);
}
END_TEST

/* A way of 40 batches, of which the first `clean` were not preempted and the first three are to warm up. */
static void add_way(struct bench_report *report, const char *name, unsigned clean)
{
    struct bench_result *result = bench_add_result(report, "wake-up", name, 0);
    ck_assert_ptr_nonnull(result);
    for (unsigned i = 0; i < 43; i++)
        samples_add(result->ns,
                    i < 3           ? 1e6
                    : i < clean + 3 ? 1
                                    : 7,
                    i < 3           ? SAMPLE_WARM_UP
                    : i < clean + 3 ? SAMPLE_USED
                                    : SAMPLE_PREEMPTED);
}

static void expect_batches(const struct summary *summary, unsigned used, unsigned kept, unsigned left_out)
{
    ck_assert_uint_eq(summary->used, used);
    ck_assert_uint_eq(summary->kept, kept);
    ck_assert_uint_eq(summary->preempted, left_out);
}

/* All ways of an operation are filtered or none: with one batch fewer, the second way needs them all. */
START_TEST(preempted_batches_have_to_do_where_there_are_few_others)
{
    for (unsigned clean = 8; clean <= 9; clean++) {
        bool keeps = clean < SAMPLES_ENOUGH;
        struct bench_report report = {.bench = "test"};
        add_way(&report, "of the operation before", 20);
        add_way(&report, "floor", 20);
        add_way(&report, "vmm", clean);
        add_way(&report, "qemu", 40);
        strcpy(bench_add_result(&report, "wake-up", "none", 0)->reason, "not here");
        bench_conclude(&report, 1);
        const struct bench_result *results = report.results;
        expect_batches(&results[1].summary, keeps ? 40 : 20, keeps ? 20 : 0, keeps ? 0 : 20);
        expect_batches(&results[2].summary, keeps ? 40 : 9, keeps ? 32 : 0, keeps ? 0 : 31);
        expect_batches(&results[3].summary, 40, 0, 0);
        ck_assert_double_eq(results[2].summary.median, keeps ? 7 : 1);
        ck_assert_uint_eq(results[2].ratio.used, keeps ? 40 : 9);
        ck_assert_uint_eq(results[3].ratio.used, keeps ? 40 : 20);
        ck_assert_double_eq(results[2].ratio.max, keeps ? 7 : 1);
        expect_batches(&results[0].summary, 0, 0, 0); /* not concluded */
        bench_conclude(&report, 4);
        ck_assert_str_eq(results[4].reason, "not here");
        bench_report_fini(&report);
    }
}
END_TEST

/* Each has enough, but not of the same pairs. */
START_TEST(preempted_batches_have_to_do_where_there_are_few_pairs)
{
    struct bench_report report = {.bench = "test"};
    for (unsigned way = 0; way < 2; way++) {
        struct bench_result *result = bench_add_result(&report, "wake-up", way ? "vmm" : "floor", 0);
        for (unsigned i = 0; i < 40; i++)
            samples_add(result->ns, 1, i % 2 == way || i == 7 ? SAMPLE_USED : SAMPLE_PREEMPTED);
    }
    bench_conclude(&report, 0);
    expect_batches(&report.results[0].summary, 40, 19, 0);
    expect_batches(&report.results[1].summary, 40, 20, 0);
    ck_assert_uint_eq(report.results[1].ratio.used, 40);
    bench_report_fini(&report);
}
END_TEST

/* One way was disturbed all the time, the other never: only the pairs that were not say anything. */
START_TEST(a_ratio_leaves_out_preempted_pairs)
{
    samples.count = others.count = 0;
    for (unsigned i = 0; i < 60; i++) {
        samples_add(&samples, i % 4 ? 500 : 100, i % 4 ? SAMPLE_PREEMPTED : SAMPLE_USED);
        samples_add(&others, 100, SAMPLE_USED);
    }
    struct summary ratio = samples_ratio(&samples, &others);
    ck_assert_uint_eq(ratio.used, 15);
    ck_assert_double_eq_tol(ratio.high, 1, 1e-9);
}
END_TEST

/* Noise that doubles both of a pair does not move the ratio. */
START_TEST(a_ratio_is_taken_pair_by_pair)
{
    samples.count = others.count = 0;
    for (unsigned i = 0; i < 40; i++) {
        double noise = i % 3 ? 1 : 2;
        samples_add(&samples, 103 * noise, SAMPLE_USED);
        samples_add(&others, 100 * noise, i == 7 ? SAMPLE_PREEMPTED : SAMPLE_USED);
    }
    struct summary ratio = samples_ratio(&samples, &others);
    ck_assert_uint_eq(ratio.used, 39);
    ck_assert_double_eq_tol(ratio.low, 1.03, 1e-9);
    ck_assert_double_eq_tol(ratio.high, 1.03, 1e-9);
}
END_TEST

/* The interval holds the median of what the samples were drawn from about 95 times out of 100. */
START_TEST(the_interval_holds_the_median)
{
    unsigned held = 0;
    unsigned long long seed = test_seed();
    srand48((long)seed);
    for (unsigned trial = 0; trial < 20000; trial++) {
        samples.count = 0;
        for (unsigned i = 0; i < 51; i++) {
            double u = drand48();
            samples_add(&samples, u * u * u, SAMPLE_USED);
        }
        struct summary summary = samples_summarize(&samples);
        held += summary.low <= 0.125 && 0.125 <= summary.high;
    }
    /* 0.9511 by the binomial distribution, six standard deviations to either side; an interval by the next
     * rank inwards holds it 18162 times, by the next outwards 19518 times */
    ck_assert_uint_ge(held, 18840);
    ck_assert_uint_le(held, 19200);
}
END_TEST

START_TEST(more_samples_than_fit_are_dropped)
{
    fill(&samples, SAMPLE_LIMIT + 10);
    ck_assert_uint_eq(samples.count, SAMPLE_LIMIT);
    ck_assert_uint_eq(samples_summarize(&samples).used, SAMPLE_LIMIT);
}
END_TEST

/* An operation of 10 ns, and what it costs to begin a batch of them. */
static bool run_amortized(void *context, unsigned operation, unsigned count, struct batch *batch,
                          const char **reason)
{
    (void)operation, (void)reason;
    batch->ns = 10.0 * count + *(const double *)context;
    return true;
}

START_TEST(the_number_of_operations_in_a_batch_has_bounds)
{
    static const struct {
        unsigned min, max, cheap, dear; /* the latter two come out */
    } rows[] = {{0, 0, 100000, 1}, {50, 0, 100000, 50}, {0, 700, 700, 1}, {512, 512, 512, 512}};
    double begins[] = {0, 1e6};
    const struct bench_way ways[] = {{"cheap", run_amortized, &begins[0]},
                                     {"dear", run_amortized, &begins[1]}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bench_report report = {.bench = "test"};
        struct bench_limits limits = {.batches = 10, .count_min = rows[i].min, .count_max = rows[i].max};
        bench_measure(&report, &limits, "amortized", -1, 0, ways, ARRAY_COUNT(ways));
        ck_assert_uint_eq(report.results[0].batch_count, rows[i].cheap);
        ck_assert_msg(report.results[1].batch_count == rows[i].dear, "row %zu: %u", i,
                      report.results[1].batch_count);
        bench_report_fini(&report);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, order_statistics_of_one_to_n);
    test_add(suite, the_interval_of_few_samples);
    test_add(suite, five_samples_are_too_few);
    test_add(suite, warm_up_and_preempted_batches_are_left_out);
    test_add(suite, preempted_batches_have_to_do_where_there_are_few_others);
    test_add(suite, preempted_batches_have_to_do_where_there_are_few_pairs);
    test_add(suite, a_ratio_leaves_out_preempted_pairs);
    test_add(suite, a_ratio_is_taken_pair_by_pair);
    test_add(suite, the_number_of_operations_in_a_batch_has_bounds);
    test_add(suite, the_interval_holds_the_median);
    test_add(suite, more_samples_than_fit_are_dropped);
}
