/* SPDX-License-Identifier: MIT
 *
 * What a vCPU that executes instructions in software keeps from one exit to the next. Made when the first is
 * executed.
 */
#ifndef VCPU_EMULATION_H
#define VCPU_EMULATION_H

#include <string.h>

#include "mmio/step.h"
#include "vcpu/run_ahead.h"
#include "vcpu/vcpu.h"

struct emulation {
    struct step_machine step;
    struct cpu_state cpu;
    struct cpu_debug {
        uint64_t dr[4], dr6, dr7;
        unsigned refresh_in; /* emulated instructions; 0: now */
        bool is_current;     /* read since the exit */
    } debug;
    struct kvm_sregs loaded; /* which are in cpu */
    struct run_ahead run_ahead;
    /* Reads that KVM has made for the instruction at rip, the last of them at this exit. */
    struct noted_reads {
        struct step_replay replay;
        uint64_t rip, exit;
    } noted;
    bool tlb_stale;
    bool event_taken; /* out of KVM's hands, since the registers were loaded */
    bool is_plain;    /* since then, only what mmio/run.h calls plain was executed */
    uint32_t xsave_bytes;
    uint8_t *xsave; /* 64-byte aligned; NULL until vector state is wanted */
};

/* NULL where there is no memory for it. */
struct emulation *emulation_create(struct vcpu *vcpu);

/* Of the vCPU `owner`, unless they were read since the exit. */
void emulation_load_debug(void *owner, struct cpu_state *cpu);

/* What KVM has, to see later what has changed. */
static inline void emulation_note_debug(struct emulation *emulation)
{
    struct cpu_debug *debug = &emulation->debug;
    const struct cpu_state *cpu = &emulation->cpu;
    memcpy(debug->dr, cpu->dr, sizeof(debug->dr));
    debug->dr6 = cpu->dr6;
    debug->dr7 = cpu->dr7;
}

#endif
