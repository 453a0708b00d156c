/* SPDX-License-Identifier: MIT
 *
 * Run-ahead: after an instruction that touched a trapped region, whether to go on in software. An exit costs
 * as much as some dozens of instructions in software do, so it pays where the next access is near: a loop of
 * stores, a driver's burst of register writes. Whether it did is learned for each rip.
 *
 * Threads: the vCPU's own.
 */
#ifndef VCPU_RUN_AHEAD_H
#define VCPU_RUN_AHEAD_H

#include "base/types.h"
#include "mmio/run.h"

/* Instructions without an access to a device after which it is given up; all instructions of one run. The
 * second bounds how late an interrupt may be: some 100 us. */
#define RUN_AHEAD_WINDOW 24u
#define RUN_AHEAD_LIMIT  4096u
/* Places that are remembered, a power of two, and how many exits a place that did not pay is left alone. */
#define RUN_AHEAD_PLACES 64u
#define RUN_AHEAD_SLEEP  64u

struct run_ahead {
    struct run_ahead_place {
        uint64_t rip;
        uint8_t sleep; /* exits of this place until it is tried again */
    } places[RUN_AHEAD_PLACES];
    struct run_ahead_place *place; /* of the run in progress */
    struct step_budget budget;
};

/* Behind an instruction that touched a device; `rip` is where the guest goes on. False: leave it to KVM.
 * Else ahead->budget says how far to go; *stop ends it. */
bool run_ahead_begin(struct run_ahead *ahead, uint64_t rip, const uint8_t *stop);

/* Whether the CPU may be executed in software at all: single steps and breakpoints are KVM's, and behind STI
 * an interrupt may be waiting. No plain instruction (mmio/run.h) changes that. */
static inline bool run_ahead_may(const struct cpu_state *cpu)
{
    return !(cpu->rflags & (FLAG_TF | FLAG_VIP)) && !(cpu->dr7 & DR7_ACTIVE) && !cpu->interrupt_shadow &&
           !cpu->halted;
}

/* Remembers whether it paid. */
void run_ahead_end(struct run_ahead *ahead);

#endif
