/* SPDX-License-Identifier: MIT
 *
 * How long a vCPU that runs takes to stop when another thread asks for it: from the request until it is known
 * to be out. By vmm_pause, and by the bare signal, immediate_exit and a condition. The way back is not in it.
 */
#ifndef BENCH_KICK_H
#define BENCH_KICK_H

#include "bench/measure.h"

struct kick;

/* The vCPUs run on the second CPU (bench/second_cpu.h). 0 or a negative errno: there is no usable KVM. */
int kick_create(const int *second_cpu, struct kick **kick);
void kick_destroy(struct kick *kick);

/* For struct bench_way; there is one operation. */
bool kick_ours(void *kick, unsigned operation, unsigned count, struct batch *batch, const char **reason);
bool kick_floor(void *kick, unsigned operation, unsigned count, struct batch *batch, const char **reason);

#endif
