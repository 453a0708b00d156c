/* SPDX-License-Identifier: MIT
 *
 * Between KVM's registers and struct cpu_state. The vCPU's own thread, while it is out.
 */
#ifndef VCPU_STATE_H
#define VCPU_STATE_H

#include "mmio/cpu_state.h"
#include "vcpu/vcpu.h"

/* Reads the general, segment, control and debug registers and the interrupt shadow. After an I/O exit they
 * are only consistent behind vcpu_complete_io. 0 or a negative errno. */
int vcpu_load_state(struct vcpu *vcpu, struct cpu_state *cpu);

/* What vcpu_store_state writes. */
enum vcpu_parts {
    VCPU_REGS = 1,   /* general registers, rip, rflags */
    VCPU_SREGS = 2,  /* segments, tables, control registers, EFER, CR2, CR8 */
    VCPU_EVENTS = 4, /* interrupt shadow, NMI mask */
    VCPU_DEBUG = 8,  /* DR0 to DR7 */
};

/* Writes the parts, through the shared page where KVM takes them there: then KVM checks them at the next
 * entry, which fails with -EINVAL for values that no processor can have. vcpu_load_state must have been
 * called since the last entry. 0 or a negative errno. */
int vcpu_store_state(struct vcpu *vcpu, const struct cpu_state *cpu, unsigned parts);

/* The registers of `cpu` as after a reset (SDM 3A table 10-1), for a machine that starts elsewhere. */
void cpu_reset(struct cpu_state *cpu);

#endif
