/* SPDX-License-Identifier: MIT
 *
 * What KVM leaves to us: instructions that touched a trapped region, and those that its emulator does not
 * know. Between KVM's registers and mmio/step.h. The vCPU's own thread.
 */
#ifndef VCPU_EMULATE_H
#define VCPU_EMULATE_H

#include "vcpu/vcpu.h"

struct emulation;

/* Executes the instruction at rip in software, and after an access to a device the instructions behind it
 * too, while that saves exits. `hint` holds the instruction's first bytes where KVM gave them (hint_len > 0).
 * NULL: a trapped region was touched, perhaps by the delivery of an event, which is then finished in
 * software. True: the guest goes on. False: it does not, and *end says why. */
bool vcpu_emulate(struct vcpu *vcpu, const uint8_t *hint, unsigned hint_len, enum vcpu_end *end);

/* KVM has read from a trapped region by itself, in the middle of an instruction that it may yet give up on (a
 * LOCKed one, where ring 0 is interpreted). Remembers the value for vcpu_emulate, and takes the registers out
 * of KVM's emulator as they are now: later they would come half changed. */
void vcpu_note_read(struct vcpu *vcpu, gpa_t gpa, unsigned size, uint64_t value);

/* Behind an access to a trapped region that KVM has decoded after all (vcpu->ahead_wanted): completes it, and
 * goes on in software where that is likely to save exits. As vcpu_emulate. */
bool vcpu_emulate_ahead(struct vcpu *vcpu, enum vcpu_end *end);

/* The vCPU was out for longer than an exit: guest memory may have moved on the host. NULL is fine. */
void emulation_forget(struct emulation *emulation);

/* What vcpu_emulate allocated at its first call; NULL is fine. */
void emulation_destroy(struct emulation *emulation);

#endif
