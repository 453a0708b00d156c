/* SPDX-License-Identifier: MIT
 *
 * A CPU for the second thread of an operation that has one: on the CPU that the program keeps to (--pin), the
 * two would only take turns, as the scheduler likes it. `cpu` is NULL where there is none; then nothing is
 * done. Threads: any.
 */
#ifndef BENCH_SECOND_CPU_H
#define BENCH_SECOND_CPU_H

#include <pthread.h>
#include <sys/types.h>

/* The thread keeps to that CPU from now on. */
void second_cpu_take(const int *cpu, pthread_t thread);

/* The same of a thread of another process; 0: nothing is done. */
void second_cpu_take_task(const int *cpu, pid_t task);

#endif
