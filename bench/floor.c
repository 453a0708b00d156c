/* SPDX-License-Identifier: MIT
 *
 * The bare loop. See floor.h.
 */
#include "bench/floor.h"

#include <sys/ioctl.h>

/* A touch of a slot without access: skip the instruction, through the shared page. */
static void skip(struct kvm_run *run, unsigned insn_len)
{
    run->s.regs.regs.rip += insn_len;
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static long loop(struct vcpu *vcpu, unsigned control_port, unsigned insn_len)
{
    struct kvm_run *run = vcpu->run;
    for (long exits = 0;; exits++) {
        int result = ioctl(vcpu->fd, KVM_RUN, 0);
        if (result && errno == EFAULT && run->kvm_valid_regs)
            skip(run, insn_len);
        else if (result)
            return -1;
        else if (run->exit_reason == KVM_EXIT_IO && run->io.port == control_port)
            return exits;
        else if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)
            return -1;
    }
}

long floor_run(struct vcpu *vcpu, unsigned control_port, unsigned insn_len)
{
    uint64_t valid_before = vcpu->run->kvm_valid_regs;
    bool wants_registers = insn_len && (vcpu->machine->sync_fields & KVM_SYNC_X86_REGS);
    vcpu->run->kvm_valid_regs = wants_registers ? KVM_SYNC_X86_REGS : 0;
    long exits = loop(vcpu, control_port, insn_len);
    vcpu->run->kvm_valid_regs = valid_before;
    return exits;
}
