/* SPDX-License-Identifier: MIT
 *
 * A thread of another process, by its number. Threads: any.
 */
#ifndef BENCH_TASK_H
#define BENCH_TASK_H

#include <sys/types.h>

/* The process's thread of that name, or 0. */
pid_t task_find(pid_t process, const char *name);

/* How often the kernel has taken the CPU away from it; negative: not known. */
long task_count_preemptions(pid_t task);

#endif
