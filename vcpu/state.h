/* SPDX-License-Identifier: MIT
 *
 * Between KVM's registers and struct cpu_state. The vCPU's own thread, while it is out.
 */
#ifndef VCPU_STATE_H
#define VCPU_STATE_H

#include "mmio/cpu_state.h"
#include "vcpu/vcpu.h"

/* What is read or written: a part may cost a system call. */
enum vcpu_parts {
    VCPU_REGS = 1,   /* general registers, rip, rflags */
    VCPU_SREGS = 2,  /* segments, tables, control registers, EFER, CR2, CR8 */
    VCPU_EVENTS = 4, /* interrupt shadow, NMI mask */
    VCPU_DEBUG = 8,  /* DR0 to DR7 */
};

/* Reads the parts into *cpu; the others are 0 there. After an I/O exit they are only consistent behind
 * vcpu_complete_io. 0 or a negative errno. */
int vcpu_load_state(struct vcpu *vcpu, struct cpu_state *cpu, unsigned parts);

/* The same of all but the debug registers, faster, into what an earlier call has filled: what is not in
 * VCPU_REGS is converted where it is not that of *last, KVM's of that call. last->efer ~0: there was none, or
 * *cpu has changed since. Where all code is executed in software, vector state stays in *cpu. */
#define SREGS_UNKNOWN ~0ull
int vcpu_reload_state(struct vcpu *vcpu, struct cpu_state *cpu, struct kvm_sregs *last);

/* Which field of struct kvm_sregs holds which segment register. */
struct kvm_segment *vcpu_kvm_segment(struct kvm_sregs *sregs, enum cpu_segment_name name);

/* VCPU_DEBUG alone. */
int vcpu_load_debug(struct vcpu *vcpu, struct cpu_state *cpu);

/* Makes KVM forget translations, as it does when paging changes: by CR4.PGE the other way than in `cpu`,
 * which is then to be stored with VCPU_SREGS. 0 or a negative errno. */
int vcpu_flush_tlb(struct vcpu *vcpu, const struct cpu_state *cpu);

/* Where an address is, by the page tables of `cpu`; nothing is marked there as accessed. */
bool vcpu_translate(const struct vcpu *vcpu, const struct cpu_state *cpu, gva_t gva, gpa_t *gpa);

/* Paging of 32-bit modes is hidden from a KVM without hardware virtualization (interprets_all): it knows none
 * but long mode's, and makes a triple fault of any other. The functions above show it all the same.
 *
 * Writes the parts, through the shared page where KVM takes them there: then KVM checks them at the next
 * entry, which fails with -EINVAL for values that no processor can have. vcpu_load_state must have read
 * them since the last entry, but for VCPU_REGS, which is written whole. 0 or a negative errno. */
int vcpu_store_state(struct vcpu *vcpu, const struct cpu_state *cpu, unsigned parts);

/* VCPU_REGS alone; of *cpu, the rest stays. */
int vcpu_load_regs(struct vcpu *vcpu, struct cpu_state *cpu);
int vcpu_store_regs(struct vcpu *vcpu, const struct cpu_state *cpu);

#endif
