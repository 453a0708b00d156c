/* SPDX-License-Identifier: MIT
 *
 * The bare loop. See floor.h.
 */
#include "bench/floor.h"

#include <sys/ioctl.h>

/* A touch of a slot without access: skip the instruction. The first one is done by system calls and asks for
 * the registers in the shared page from then on: other exits are not to pay for them. */
static bool skip(struct vcpu *vcpu, unsigned insn_len)
{
    struct kvm_run *run = vcpu->run;
    struct kvm_regs regs;
    if (run->kvm_valid_regs) {
        run->s.regs.regs.rip += insn_len;
        run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
        return true;
    }
    if (ioctl(vcpu->fd, KVM_GET_REGS, &regs))
        return false;
    regs.rip += insn_len;
    run->kvm_valid_regs = vcpu->machine->sync_fields & KVM_SYNC_X86_REGS;
    return ioctl(vcpu->fd, KVM_SET_REGS, &regs) == 0;
}

static long loop(struct vcpu *vcpu, unsigned control_port, unsigned insn_len)
{
    struct kvm_run *run = vcpu->run;
    for (long exits = 0;; exits++) {
        int result = ioctl(vcpu->fd, KVM_RUN, 0);
        if (result && errno == EINTR && !__atomic_load_n(&run->immediate_exit, __ATOMIC_ACQUIRE)) {
            exits--; /* a signal for somebody else, such as the terminal's stop key */
        } else if (result && errno == EFAULT && insn_len) {
            if (!skip(vcpu, insn_len))
                return -1;
        } else if (result) {
            return -1;
        } else if (run->exit_reason == KVM_EXIT_IO && run->io.port == control_port) {
            return exits;
        } else if (run->exit_reason == KVM_EXIT_X86_RDMSR || run->exit_reason == KVM_EXIT_X86_WRMSR) {
            run->msr.error = 0;
        } else if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO) {
            return -1;
        }
    }
}

long floor_run(struct vcpu *vcpu, unsigned control_port, unsigned insn_len)
{
    uint64_t valid_before = vcpu->run->kvm_valid_regs;
    vcpu->run->kvm_valid_regs = 0;
    long exits = loop(vcpu, control_port, insn_len);
    vcpu->run->kvm_valid_regs = valid_before;
    return exits;
}
