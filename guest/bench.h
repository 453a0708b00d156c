/* SPDX-License-Identifier: MIT
 *
 * What the kernel does for `vmm bench` instead of tests.
 */
#ifndef GUEST_BENCH_H
#define GUEST_BENCH_H

#include "guest/kernel.h"

/* Disk requests by order, bench_blk.h, on a split or a packed ring. */
_Noreturn void bench_blk(bool is_packed);

#endif
