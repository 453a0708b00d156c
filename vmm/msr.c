/* SPDX-License-Identifier: MIT
 *
 * MSRs of the program's own: KVM's filter hands their accesses over, whether KVM knows them or not (KVM API,
 * KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR).
 *
 * Threads: vmm_add_msrs the creating thread's, before the run; accesses come from vCPU threads.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/machine.h"

/* The local APIC's in x2APIC mode pass KVM's filter; the next are registers of the processor to our emulator.
 */
#define X2APIC_FIRST 0x800u
#define X2APIC_COUNT 0x100u
#define EFER         0xc0000080u
#define FS_BASE      0xc0000100u
#define GS_BASE      0xc0000101u

/* A range's bitmap in KVM's filter is at most so long. */
#define COUNT_MAX (KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8u)

struct machine_msrs {
    struct machine_msrs *next;
    uint32_t first, count;
    const struct vmm_msr_ops *ops;
    void *context;
    struct lock lock;
};

static bool holds(const struct machine_msrs *msrs, uint32_t index)
{
    return index - msrs->first < msrs->count;
}

static int check_msrs(const struct vmm *machine, uint32_t first, uint32_t count, struct vmm_error *error)
{
    static const uint32_t kept[] = {EFER, FS_BASE, GS_BASE};
    unsigned long long shown = first;
    if (!count || count > COUNT_MAX || count - 1 > UINT32_MAX - first)
        return error_set(error, -EINVAL, "MSR %#llx: %u registers are not from 1 to %u below 2^32", shown,
                         count, COUNT_MAX);
    const struct machine_msrs wanted = {.first = first, .count = count};
    bool is_kept = ranges_overlap(first, count, X2APIC_FIRST, X2APIC_COUNT);
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++)
        is_kept |= holds(&wanted, kept[i]);
    if (is_kept)
        return error_set(
            error, -EINVAL,
            "MSR %#llx: EFER, the bases of FS and GS, and 0x800 to 0x8ff cannot be the program's", shown);
    unsigned ranges = 0;
    for (const struct machine_msrs *other = machine->msrs; other; other = other->next, ranges++)
        if (ranges_overlap(first, count, other->first, other->count))
            return error_set(error, -EEXIST, "MSR %#llx: is the program's already", shown);
    if (ranges == KVM_MSR_FILTER_MAX_RANGES)
        return error_set(error, -ENOSPC, "MSR %#llx: a machine has at most %d ranges of them", shown, ranges);
    return 0;
}

int vmm_add_msrs(struct vmm *machine, uint32_t first, uint32_t count, const struct vmm_msr_ops *ops,
                 void *context, struct vmm_error *error)
{
    int result = check_msrs(machine, first, count, error);
    if (result)
        return result;
    if (ioctl(machine->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) <= 0 ||
        ioctl(machine->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) <= 0)
        return error_set(
            error, -EOPNOTSUPP,
            "MSR %#llx: this host's KVM has no KVM_CAP_X86_MSR_FILTER: Linux 5.10 or newer is needed",
            (unsigned long long)first);
    struct machine_msrs *msrs = calloc(1, sizeof(*msrs));
    if (!msrs)
        return error_set(error, -ENOMEM, "MSR: out of memory");
    *msrs = (struct machine_msrs){
        .next = machine->msrs, .first = first, .count = count, .ops = ops, .context = context};
    result = machine_own(machine, msrs, free, error);
    if (!result)
        machine->msrs = msrs;
    return result;
}

int machine_filter_msrs(struct vmm *machine, struct vmm_error *error)
{
    static const uint8_t refused[KVM_MSR_FILTER_MAX_BITMAP_SIZE]; /* a bit of 0: comes to us */
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
    struct kvm_enable_cap enable = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                    .args = {KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER}};
    unsigned count = 0;
    if (!machine->msrs)
        return 0;
    for (const struct machine_msrs *msrs = machine->msrs; msrs; msrs = msrs->next)
        filter.ranges[count++] = (struct kvm_msr_filter_range){.flags = KVM_MSR_FILTER_READ |
                                                                        KVM_MSR_FILTER_WRITE,
                                                               .base = msrs->first,
                                                               .nmsrs = msrs->count,
                                                               .bitmap = (uint8_t *)refused};
    if (ioctl(machine->vm_fd, KVM_ENABLE_CAP, &enable) ||
        ioctl(machine->vm_fd, KVM_X86_SET_MSR_FILTER, &filter))
        return error_set_errno(error, -errno, "KVM does not take the filter of the program's MSRs");
    return 0;
}

enum vcpu_msr machine_access_msr(void *owner, uint32_t index, bool is_write, uint64_t *value)
{
    struct vmm *machine = owner;
    struct machine_msrs *msrs = machine->msrs;
    while (msrs && !holds(msrs, index))
        msrs = msrs->next;
    if (!msrs)
        return VCPU_MSR_UNKNOWN;
    bool done = false;
    lock_acquire(&msrs->lock);
    if (is_write && msrs->ops->write)
        done = msrs->ops->write(msrs->context, index, *value);
    else if (!is_write && msrs->ops->read)
        done = msrs->ops->read(msrs->context, index, value);
    lock_release(&msrs->lock);
    return done ? VCPU_MSR_DONE : VCPU_MSR_REFUSED;
}
