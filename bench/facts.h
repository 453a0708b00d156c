/* SPDX-License-Identifier: MIT
 *
 * What explains a figure and therefore goes with it: processor, kernel, KVM, mitigations, load, versions.
 */
#ifndef BENCH_FACTS_H
#define BENCH_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#define FACT_LIMIT 20u

struct bench_fact {
    const char *name;
    char value[400];
};

struct bench_facts {
    size_t count;
    struct bench_fact list[FACT_LIMIT];
};

/* Whether the TSC counts this processor's instructions: that of an emulator which wants figures to be
 * repeatable. It stands still, or leaps, while something outside is waited for. */
bool bench_clock_counts_instructions(void);

/* What is known only when all was measured. */
void bench_facts_conclude(struct bench_facts *facts);

/* `pinned_cpu` is the CPU that the program keeps to, `second_cpu` that of an operation's second thread, or
 * -1; QEMU's version is asked for where it is a rival. Never fails: what cannot be found out says so. */
void bench_facts_gather(struct bench_facts *facts, int pinned_cpu, int second_cpu, bool against_qemu);

#endif
