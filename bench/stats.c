/* SPDX-License-Identifier: MIT
 *
 * Order statistics. See stats.h.
 */
#include "bench/stats.h"

#include <stdlib.h>
#include <string.h>

#define SCATTER_LIMIT 0.2
#define TAIL          0.025 /* on each side of the interval */

void samples_add(struct samples *samples, double value, enum sample_kind kind)
{
    if (samples->count == SAMPLE_LIMIT)
        return;
    samples->values[samples->count] = value;
    samples->kinds[samples->count++] = kind;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The largest rank whose order statistic lies below the median with at least 1 - TAIL probability; 0 where
 * there is none. The rank from the other end does the same above. */
static unsigned interval_rank(unsigned count)
{
    double probability = 1, sum = 0;
    unsigned rank = 0;
    for (unsigned i = 0; i < count; i++)
        probability /= 2;
    for (;; rank++) {
        sum += probability;
        if (sum > TAIL || rank == count)
            return rank;
        probability *= (double)(count - rank) / (rank + 1);
    }
}

static double percentile(const double *sorted, unsigned count, unsigned percent)
{
    unsigned rank = (count * percent + 99) / 100;
    return sorted[rank ? rank - 1 : 0];
}

static enum stats_verdict judge(const struct summary *summary, unsigned rank)
{
    if (!rank)
        return STATS_TOO_FEW;
    return summary->high - summary->low > SCATTER_LIMIT * __builtin_fabs(summary->median) ? STATS_SCATTERED
                                                                                          : STATS_SOUND;
}

static void fill_in(struct summary *summary, double *values, unsigned count)
{
    summary->used = count;
    summary->verdict = STATS_TOO_FEW;
    if (!count)
        return;
    qsort(values, count, sizeof(*values), compare);
    unsigned rank = interval_rank(count);
    summary->median = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    summary->low = values[rank ? rank - 1 : 0];
    summary->high = values[count - (rank ? rank : 1)];
    summary->min = values[0];
    summary->max = values[count - 1];
    summary->p90 = percentile(values, count, 90);
    summary->p99 = percentile(values, count, 99);
    summary->verdict = judge(summary, rank);
}

static unsigned count_kind(const struct samples *samples, enum sample_kind kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < samples->count; i++)
        count += samples->kinds[i] == kind;
    return count;
}

static bool is_used(enum sample_kind kind)
{
    return kind == SAMPLE_USED || kind == SAMPLE_KEPT;
}

void samples_keep_preempted(struct samples *samples)
{
    for (unsigned i = 0; i < samples->count; i++)
        if (samples->kinds[i] == SAMPLE_PREEMPTED)
            samples->kinds[i] = SAMPLE_KEPT;
}

struct summary samples_summarize(const struct samples *samples)
{
    struct summary summary = {.kept = count_kind(samples, SAMPLE_KEPT),
                              .warm_up = count_kind(samples, SAMPLE_WARM_UP),
                              .preempted = count_kind(samples, SAMPLE_PREEMPTED)};
    double values[SAMPLE_LIMIT];
    unsigned count = 0;
    for (unsigned i = 0; i < samples->count; i++)
        if (is_used(samples->kinds[i]))
            values[count++] = samples->values[i];
    fill_in(&summary, values, count);
    return summary;
}

static bool is_pair(const struct samples *a, const struct samples *b, unsigned i)
{
    return is_used(a->kinds[i]) && is_used(b->kinds[i]) && b->values[i] > 0;
}

static unsigned length_of(const struct samples *a, const struct samples *b)
{
    return a->count < b->count ? a->count : b->count;
}

unsigned samples_count_pairs(const struct samples *a, const struct samples *b)
{
    unsigned count = 0;
    for (unsigned i = 0; i < length_of(a, b); i++)
        count += is_pair(a, b, i);
    return count;
}

struct summary samples_ratio(const struct samples *a, const struct samples *b)
{
    struct summary summary = {0};
    double ratios[SAMPLE_LIMIT];
    unsigned count = 0;
    for (unsigned i = 0; i < length_of(a, b); i++)
        if (is_pair(a, b, i))
            ratios[count++] = a->values[i] / b->values[i];
    fill_in(&summary, ratios, count);
    return summary;
}

const char *stats_verdict_name(enum stats_verdict verdict)
{
    switch (verdict) {
    case STATS_SOUND:
        return "sound";
    case STATS_TOO_FEW:
        return "too few batches";
    case STATS_SCATTERED:
        return "too much spread";
    }
    return "unknown";
}
