/* SPDX-License-Identifier: MIT
 *
 * The host's clocks. Any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_now_ns(void);

/* What CLOCK_MONOTONIC says in `delay_ns`, for a wait until then. */
struct timespec clock_deadline(uint64_t delay_ns);

/* Nanoseconds of a clock that every Linux has, CLOCK_MONOTONIC or CLOCK_REALTIME, for who reads it rarely: by
 * a system call, not by the vDSO. The start of a small guest reads clocks a few times, and the first use of
 * the vDSO is four page faults, each of which costs as much as several system calls. */
int64_t clock_read_ns(clockid_t clock);

#endif
