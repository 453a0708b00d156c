/* SPDX-License-Identifier: MIT
 *
 * What many short batches say about a cost on a noisy machine: the median with a confidence interval that
 * assumes nothing about the noise's distribution (order statistics by the binomial distribution), minimum and
 * high percentiles, how much was left out and why, and whether the spread leaves anything to believe.
 *
 * Nothing here reads a clock; a sample is what the caller says it is.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdbool.h>

#define SAMPLE_LIMIT 1000u

enum sample_kind {
    SAMPLE_USED,
    SAMPLE_WARM_UP,   /* caches, branch predictors and page tables were still cold */
    SAMPLE_PREEMPTED, /* the kernel took the CPU away in the middle: left out */
    SAMPLE_KEPT,      /* the same, but used: by samples_keep_preempted */
};

#define SAMPLES_ENOUGH 9u

struct samples {
    unsigned count;
    double values[SAMPLE_LIMIT];
    enum sample_kind kinds[SAMPLE_LIMIT];
};

enum stats_verdict {
    STATS_SOUND,
    STATS_TOO_FEW,   /* no interval can be given for so few samples */
    STATS_SCATTERED, /* the interval is wider than a fifth of the median */
};

/* All in the unit of the samples. `low` and `high` hold the true median with 95 % probability, or are the
 * extremes with STATS_TOO_FEW. Everything is 0 where `used` is. */
struct summary {
    unsigned used, kept;         /* of which some were preempted */
    unsigned warm_up, preempted; /* left out */
    double median, low, high, min, p90, p99, max;
    enum stats_verdict verdict;
};

/* Drops the sample where there is no room. */
void samples_add(struct samples *samples, double value, enum sample_kind kind);

/* How many pairs a[i], b[i] are used; of samples with themselves: how many samples. */
unsigned samples_count_pairs(const struct samples *a, const struct samples *b);

/* What was preempted is used, too, from now on: where fewer than SAMPLES_ENOUGH others are left, for long
 * batches on a busy machine have no other kind. To be done to all ways of an operation or to none: their
 * ratios would compare what was filtered with what was not. */
void samples_keep_preempted(struct samples *samples);

struct summary samples_summarize(const struct samples *samples);

/* The summary of a[i] / b[i] over the pairs that are used: batches that were taken one after the other saw
 * the same noise, which the quotient takes out. */
struct summary samples_ratio(const struct samples *a, const struct samples *b);

/* A word for the verdict, for people and for JSON. */
const char *stats_verdict_name(enum stats_verdict verdict);

#endif
