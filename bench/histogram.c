/* SPDX-License-Identifier: MIT
 *
 * See histogram.h.
 */
#include "bench/histogram.h"

void histogram_add(struct histogram *histogram, uint64_t ticks)
{
    histogram->counts[latency_bucket(ticks)]++;
    histogram->total++;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        histogram->counts[i] += other->counts[i];
    histogram->total += other->total;
}

void histogram_add_counts(struct histogram *histogram, const uint32_t counts[LATENCY_BUCKETS])
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        histogram->counts[i] += counts[i];
        histogram->total += counts[i];
    }
}

double histogram_quantile(const struct histogram *histogram, double part)
{
    double wanted = part * (double)histogram->total;
    uint64_t sum = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        sum += histogram->counts[i];
        if (sum && (double)sum >= wanted)
            return (double)(latency_floor(i) + (latency_floor(i + 1) - 1)) / 2;
    }
    return 0;
}
