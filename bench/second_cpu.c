/* SPDX-License-Identifier: MIT
 *
 * See second_cpu.h.
 */
#include "bench/second_cpu.h"

#include <sched.h>

static cpu_set_t set_of(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

void second_cpu_take(const int *cpu, pthread_t thread)
{
    if (!cpu)
        return;
    cpu_set_t set = set_of(*cpu);
    pthread_setaffinity_np(thread, sizeof(set), &set);
}

void second_cpu_take_task(const int *cpu, pid_t task)
{
    if (!cpu || !task)
        return;
    cpu_set_t set = set_of(*cpu);
    sched_setaffinity(task, sizeof(set), &set);
}
