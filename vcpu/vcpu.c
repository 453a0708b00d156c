/* SPDX-License-Identifier: MIT
 *
 * A vCPU's life, and its way into the guest and out again. What an exit means is in exit.c.
 */
#include "vcpu/vcpu.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "vcpu/emulate.h"
#include "vcpu/exit.h"
#include "vcpu/exit_access.h"
#include "vcpu/exit_trace.h"
#include "vcpu/interpret.h"

int vcpu_create(const struct vcpu_machine *machine, unsigned index, struct vcpu **out,
                struct vmm_error *error)
{
    struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
    if (!vcpu)
        return error_set(error, -ENOMEM, "vCPU %u: out of memory", index);
    *vcpu = (struct vcpu){.machine = machine, .index = index, .run = MAP_FAILED};
    int result = 0;
    vcpu->fd = ioctl(machine->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu->fd < 0)
        result = error_set_errno(error, -errno, "vCPU %u: KVM cannot create it", index);
    if (!result) {
        vcpu->run = mmap(NULL, machine->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
        if (vcpu->run == MAP_FAILED)
            result = error_set_errno(error, -errno, "vCPU %u: cannot map its shared page", index);
    }
    if (result) {
        vcpu_destroy(vcpu);
        return result;
    }
    *out = vcpu;
    return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (!vcpu)
        return;
    if (vcpu->run != MAP_FAILED)
        munmap(vcpu->run, vcpu->machine->run_bytes);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    emulation_destroy(vcpu->emulation);
    free(vcpu->cpuid);
    free(vcpu);
}

int vcpu_announce_apic(struct vcpu *vcpu, struct vmm_error *error)
{
    struct kvm_lapic_state state;
    if (ioctl(vcpu->fd, KVM_GET_LAPIC, &state) || ioctl(vcpu->fd, KVM_SET_LAPIC, &state))
        return error_set_errno(error, -errno, "vCPU %u: cannot set its local APIC", vcpu->index);
    return 0;
}

static int enter_measured(struct vcpu *vcpu)
{
    uint64_t entered = clock_now_ns();
    if (vcpu->left_at_ns)
        vcpu->host_ns += entered - vcpu->left_at_ns;
    int result = ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : 0;
    vcpu->left_at_ns = clock_now_ns();
    vcpu->guest_ns += vcpu->left_at_ns - entered;
    return result;
}

void vcpu_sync_registers(struct vcpu *vcpu, unsigned exits)
{
    vcpu->sync_exits = exits;
    vcpu->on_entry |= VCPU_SYNC;
}

/* Which registers the next exit brings. Copying them costs every exit a little, so it ends when none of the
 * last exits had a use for them. */
static void choose_sync(struct vcpu *vcpu)
{
    if (vcpu->sync_exits > 1 && vcpu->synced_fields == vcpu->machine->sync_fields) {
        vcpu->sync_exits--; /* mostly */
        return;
    }
    uint64_t wanted = vcpu->sync_exits ? vcpu->machine->sync_fields : vcpu->traced_fields;
    vcpu->sync_exits -= vcpu->sync_exits > 0;
    if (vcpu->synced_fields != wanted)
        vcpu->run->kvm_valid_regs = vcpu->synced_fields = wanted;
    if (!vcpu->sync_exits && vcpu->synced_fields == vcpu->traced_fields)
        vcpu->on_entry &= ~(unsigned)VCPU_SYNC;
}

static inline int enter(struct vcpu *vcpu)
{
    return ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : 0;
}

__attribute__((noinline)) static int enter_with_extra(struct vcpu *vcpu)
{
    unsigned extra = vcpu->on_entry;
    if (extra & VCPU_TRACED)
        exit_trace_flush(vcpu);
    if (extra & VCPU_SYNC)
        choose_sync(vcpu);
    int result = extra & VCPU_TIMED ? enter_measured(vcpu) : enter(vcpu);
    if (extra & VCPU_TRACED)
        exit_trace_left(vcpu);
    return result;
}

/* KVM_RUN, and what is to be done around it. 0 or a negative errno. */
static inline int vcpu_enter(struct vcpu *vcpu)
{
    TRACE_PROBE1(entry, vcpu->index);
    if (__builtin_expect(!vcpu->on_entry, 1))
        return enter(vcpu);
    return vcpu->on_entry == VCPU_TRACED ? exit_trace_enter(vcpu) : enter_with_extra(vcpu);
}

int vcpu_enter_once(struct vcpu *vcpu)
{
    return vcpu_enter(vcpu);
}

static enum vcpu_end run(struct vcpu *vcpu)
{
    enum vcpu_end end;
    for (;;) {
        int result = vcpu_enter(vcpu);
        /* -EAGAIN: a vCPU that waits for its start-up IPI was looked at and does not run yet. */
        if (result == -EINTR || result == -EAGAIN) {
            if (__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_ACQUIRE))
                return VCPU_KICKED;
            if (vcpu->interpreter && !vcpu_interpret(vcpu, true, &end))
                return end;
            continue;
        }
        if (exit_is_access(vcpu, result))
            continue;
        if (!vcpu_handle_exit(vcpu, result, &end))
            return end;
        if (vcpu->ahead_wanted && !vcpu_emulate_ahead(vcpu, &end))
            return end;
    }
}

enum vcpu_end vcpu_run(struct vcpu *vcpu)
{
    vcpu->on_entry = VCPU_SYNC | (vcpu->machine->measure_time ? VCPU_TIMED : 0);
    vcpu->on_exit = (vcpu->machine->coalesced ? VCPU_COALESCED : 0) |
                    (vcpu->machine->has_trapped ? VCPU_TRAPPED : 0) |
                    (vcpu->machine->interprets ? VCPU_INTERPRETED : 0);
    emulation_forget(vcpu->emulation);
    int result = vcpu->machine->interprets ? interpreter_begin(vcpu) : 0;
    if (result) {
        vcpu->error = -result;
        return VCPU_HOST_FAILED;
    }
    if (trace_is_on())
        exit_trace_begin(vcpu);
    enum vcpu_end end = run(vcpu);
    if (trace_is_on())
        exit_trace_end(vcpu, end);
    result = vcpu->interpreter ? interpreter_end(vcpu) : 0;
    if (result) {
        vcpu->error = -result;
        end = VCPU_HOST_FAILED;
    }
    return end;
}

/* A kick is `kicked`, for ourselves, and immediate_exit, for KVM. Whoever sees it also sees what was written
 * before it. */
void vcpu_kick(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->kicked, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

void vcpu_clear_kick(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->kicked, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

/* Uses immediate_exit for its own end and then gives it back as the kicks have it. A kick that comes in
 * between is not lost: either `kicked` is seen here, or its store of immediate_exit comes behind ours. */
int vcpu_complete_io(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    int result = vcpu_enter(vcpu);
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vcpu->kicked, __ATOMIC_SEQ_CST))
        __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    return result;
}
