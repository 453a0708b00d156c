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
    bool event_taken;  /* out of KVM's hands, since the registers were loaded */
    bool is_plain;     /* since then, only what mmio/run.h calls plain was executed */
    bool entry_due;    /* since then, an MSR was written of which KVM makes something only at an entry */
    bool apic_written; /* since then: an interrupt may be waiting */
    bool is_shut_down; /* by a triple fault in software: */
    struct step_event undelivered[3]; /* struct step_outcome's */
    uint32_t xsave_bytes;
    uint8_t *xsave; /* 64-byte aligned; NULL until vector state is wanted */
};

/* NULL where there is no memory for it. */
struct emulation *emulation_create(struct vcpu *vcpu);

/* The vCPU's, made when it is first asked for. */
struct emulation *emulation_get(struct vcpu *vcpu);

/* All registers out of KVM, where it has come back since the last time, and back into it. 0 or a negative
 * errno. */
int emulation_load(struct vcpu *vcpu);
int emulation_store(struct vcpu *vcpu, bool changed_system);
/* Vector state, which emulation_store leaves out where all code is executed in software. */
int emulation_store_vector(struct vcpu *vcpu);

/* Delivers the event that KVM has in hand; where that is a software interrupt's, executes its instruction. As
 * emulate_insn. */
enum step_result emulation_deliver(struct vcpu *vcpu, struct step_outcome *outcome);

/* The CPU waits for an interrupt. False: there can be none, and *end says so. */
bool emulation_halt(struct vcpu *vcpu, enum vcpu_end *end);

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
