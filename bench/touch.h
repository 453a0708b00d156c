/* SPDX-License-Identifier: MIT
 *
 * Pages that are fresh, for the operations that touch each page once: RAM that the kernel has taken back, or
 * pages of the direct device whose dirty log was read. Threads: the caller's, while the guest waits.
 */
#ifndef BENCH_TOUCH_H
#define BENCH_TOUCH_H

#include "bench/guest.h"

struct vmm;

/* Makes the pages from `target_gpa` on (BENCH_RAM_GPA or BENCH_DEVICE_GPA) fresh; *count becomes what there
 * is of them where it is more. False, with a reason that lives forever, where this kernel cannot. */
bool touch_prepare(struct vmm *machine, const struct bench_guest_config *config, uint64_t target_gpa,
                   unsigned *count, const char **reason);

#endif
