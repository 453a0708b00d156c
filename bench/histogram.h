/* SPDX-License-Identifier: MIT
 *
 * How long each request took, by TSC ticks, in buckets of 3 % of their value (guest/bench_blk.h): what a
 * guest has counted, or the host, added up over batches.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include "guest/bench_blk.h"

struct histogram {
    uint64_t total;
    uint64_t counts[LATENCY_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ticks);

void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* Adds what a guest has counted in its mailbox. */
void histogram_add_counts(struct histogram *histogram, const uint32_t counts[LATENCY_BUCKETS]);

/* The value that `part` of all (0 to 1) do not exceed, at the middle of its bucket; 0 of an empty one. */
double histogram_quantile(const struct histogram *histogram, double part);

#endif
