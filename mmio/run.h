/* SPDX-License-Identifier: MIT
 *
 * Instructions one after another in software, at a fraction of step_insn's cost: decoded instructions are
 * kept as long as their bytes stand in memory, translations as long as their page table entries do (tlb.h).
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_RUN_H
#define MMIO_RUN_H

#include "base/error.h"
#include "mmio/step.h"

struct step_run;
struct step_env;

int step_run_create(struct step_run **run, struct vmm_error *error);
/* The same that remembers enough for a kernel, some 5 MiB. */
int step_run_create_large(struct step_run **run, struct vmm_error *error);
void step_run_destroy(struct step_run *run);

/* The CPU as it stands now; nobody else may change it, but for its general registers and flags, until the
 * last step_run_insn. All is borrowed. Where *machine is not as it was in the last run, call step_run_forget
 * first. */
void step_run_begin(struct step_run *run, const struct step_machine *machine, struct cpu_state *cpu,
                    struct step_outcome *outcome);

/* One instruction that KVM could as well execute: as step_insn, but STEP_UNSUPPORTED, with nothing done, for
 * what has an effect beyond general registers, status flags, memory and rip, and for vector instructions
 * while the vector state is not loaded. Not for a CPU with TF or breakpoints set. */
enum step_result step_run_insn(struct step_run *run);

/* How far step_run_quick goes: so many instructions at most, so many behind the last one that touched a
 * device, and no further than the next such one once *stop is not 0. What it has done is counted down and up
 * here. */
struct step_budget {
    unsigned left, window_left, window;
    const uint8_t *stop;
    unsigned accesses; /* instructions that touched a device */
};

/* The most common ones (mmio/quick.h) of those, as long as there are some and the budget lasts. Returns how
 * many. 0: ask step_run_insn. */
unsigned step_run_quick(struct step_run *run, struct step_budget *budget);

/* Guest memory may have moved on the host. */
void step_run_forget(struct step_run *run);

/* For step_insn: fetch and decode through what is remembered. A plain instruction then has the use of the
 * translations, too. */
enum step_result run_fetch(struct step_run *run, struct step_env *env, bool *is_plain);

#endif
