/* SPDX-License-Identifier: MIT
 *
 * Exits in the trace: when, for how long the guest waited, and by which instruction. Nothing of it is called
 * while the vCPU's thread is not traced. The vCPU's own thread.
 */
#ifndef VCPU_EXIT_TRACE_H
#define VCPU_EXIT_TRACE_H

#include "mmio/step.h"
#include "vcpu/vcpu.h"

/* The vCPU starts to run: from here on exits are to be traced, with rip. */
void exit_trace_begin(struct vcpu *vcpu);

/* KVM_RUN has just come back: what an exit's record begins with. */
void exit_trace_left(struct vcpu *vcpu);

/* The guest is about to go on, or does not any more: records the exits since the last call. */
void exit_trace_flush(struct vcpu *vcpu);

/* Both, around KVM_RUN: 0 or a negative errno. */
int exit_trace_enter(struct vcpu *vcpu);

/* The vCPU has stopped running for the reason `end`; a kick is an exit of its own. */
void exit_trace_end(struct vcpu *vcpu, enum vcpu_end end);

/* The record of what was noted, but for time and duration. */
struct trace_record exit_trace_note(const struct exit_note *note);

/* An instruction was executed in software: the one at `rip`, from the time `start` on. */
void exit_trace_insn(const struct cpu_state *cpu, uint64_t rip, uint64_t start,
                     const struct step_outcome *outcome);

/* Guest code as far as it can be read, by KVM's own walk of the page tables. Returns how many bytes. */
size_t vcpu_read_code(struct vcpu *vcpu, gva_t from, uint8_t *bytes, size_t len);

#endif
