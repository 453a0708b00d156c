/* SPDX-License-Identifier: MIT
 *
 * Ring 0 in software by choice: what a KVM without hardware virtualization would interpret (all but ring 3 in
 * long mode) is executed by our emulator, in stretches of thousands of instructions between which KVM only
 * looks at the vCPU: it completes its last exit, answers its requests, and takes interrupts in hand.
 *
 *     KVM_RUN until an exit, or until the alarm finds the vCPU in such code
 *       -> look: KVM_RUN with a signal pending, which executes nothing
 *       -> stretch: registers in, the event in hand delivered, instructions, registers out
 *            at its end, or where an interrupt may be waiting and IF allows it: look again, and so on
 *            ring 3, HLT, an instruction that only KVM can execute: KVM_RUN, with the alarm set
 *
 * The alarm is a timer that sends the kick signal to the vCPU's thread. That signal is blocked outside of
 * KVM_RUN meanwhile, so that one which is pending makes KVM_RUN such a look.
 *
 * Threads: the vCPU's own.
 */
#ifndef VCPU_INTERPRET_H
#define VCPU_INTERPRET_H

#include "vcpu/vcpu.h"

/* From the begin of vcpu_run to its end, on a machine that is to have it: vcpu->interpreter, the alarm, and
 * the signals. 0 or a negative errno; it has ended all the same. */
int interpreter_begin(struct vcpu *vcpu);
int interpreter_end(struct vcpu *vcpu);

/* Behind a KVM_RUN that came back. `is_between`: between two instructions, by a signal; else at an exit that
 * has been handled, and that KVM has to complete. As vcpu_emulate. */
bool vcpu_interpret(struct vcpu *vcpu, bool is_between, enum vcpu_end *end);

#endif
