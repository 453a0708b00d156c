/* SPDX-License-Identifier: MIT
 *
 * A clock that is read rarely: by a system call, not by the vDSO. The start of a small guest reads clocks a
 * few times, and the first use of the vDSO is four page faults, each of which costs as much as several system
 * calls.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of a clock that every Linux has: CLOCK_MONOTONIC, CLOCK_REALTIME. */
int64_t clock_read_ns(clockid_t clock);

#endif
