/* SPDX-License-Identifier: MIT
 *
 * The other processors: found, started, and given work. They sleep until an interrupt brings some.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "guest/cpu.h"

#define VECTOR_WAKE 0x3e
#define VECTOR_TEST 0x3d

extern struct smp {
    uint32_t count;     /* CPUs that run, this one included */
    uint32_t expected;  /* how many there should be; 0 where nobody could say */
    const char *source; /* who said so */
} smp;

/* `told`: what the command line says, or 0. */
void smp_start(uint32_t told);

struct cpu *smp_cpu(uint32_t index);

typedef void work_fn(struct cpu *cpu);

/* Starts work(cpu) on another CPU; interrupts are off while it runs unless it enables them. */
void smp_run(struct cpu *cpu, work_fn *work);

/* Waits until it has returned; false after a second. */
bool smp_wait(struct cpu *cpu);

#endif
