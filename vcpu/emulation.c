/* SPDX-License-Identifier: MIT
 *
 * What the emulator asks of its vCPU: vector and debug registers, MSRs, CPUID, where KVM's own devices are.
 * Each costs a system call, so each is asked for when an instruction depends on it.
 */
#include "vcpu/emulation.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#include "mmio/msr.h"
#include "mmio/run.h"
#include "mmio/simd_code.h"
#include "vcpu/cpuid.h"
#include "vcpu/emulate.h"
#include "vcpu/state.h"

static int load_vector(void *owner, struct cpu_state *cpu)
{
    struct vcpu *vcpu = owner;
    struct emulation *emulation = vcpu->emulation;
    if (!emulation->xsave) {
        int bytes = ioctl(vcpu->machine->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
        emulation->xsave_bytes = bytes < (int)sizeof(struct kvm_xsave) ? sizeof(struct kvm_xsave)
                                                                       : (uint32_t)bytes;
        emulation->xsave = aligned_alloc(64, align_up(emulation->xsave_bytes, 64));
        if (!emulation->xsave)
            return -ENOMEM;
    }
    unsigned long request = emulation->xsave_bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2
                                                                              : KVM_GET_XSAVE;
    if (ioctl(vcpu->fd, request, emulation->xsave))
        return -errno;
    cpu->vector.xsave = emulation->xsave;
    return 0;
}

static uint64_t read_xcr0(void *owner)
{
    const struct vcpu *vcpu = owner;
    struct kvm_xcrs xcrs = {0};
    bool has_xcr0 = !ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs) && xcrs.nr_xcrs;
    return has_xcr0 ? xcrs.xcrs[0].value : 3;
}

#define APIC_BASE_ENABLE (1u << 11)
#define CPUID_1_EDX_APIC (1u << 9)

static void query_cpuid(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const struct vcpu *vcpu = owner;
    const struct kvm_cpuid_entry2 *entry = cpuid_find(vcpu->cpuid, leaf, subleaf);
    regs[0] = entry ? entry->eax : 0;
    regs[1] = entry ? entry->ebx : 0;
    regs[2] = entry ? entry->ecx : 0;
    regs[3] = entry ? entry->edx : 0;
    /* as KVM has it: there is no local APIC while it is switched off */
    if (leaf == 1 && !(vcpu->run->s.regs.sregs.apic_base & APIC_BASE_ENABLE))
        regs[3] &= ~CPUID_1_EDX_APIC;
}

/* One MSR, read or written. */
static bool access_msr(struct vcpu *vcpu, unsigned long request, uint32_t index, uint64_t *value)
{
    _Alignas(struct kvm_msrs) uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
    struct kvm_msrs *msrs = (struct kvm_msrs *)bytes;
    msrs->nmsrs = 1;
    msrs->entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
    if (ioctl(vcpu->fd, request, msrs) != 1)
        return false;
    *value = msrs->entries[0].data;
    return true;
}

/* The machine's own come first, as in KVM's filter. */
static enum vcpu_msr ask_machine(const struct vcpu *vcpu, uint32_t index, bool is_write, uint64_t *value)
{
    const struct vcpu_machine *machine = vcpu->machine;
    return machine->msr ? machine->msr(machine->owner, index, is_write, value) : VCPU_MSR_UNKNOWN;
}

/* What the owner of a VM writes into IA32_TSC, say, is taken for a wish to be in step with the other vCPUs. A
 * guest whose ring 0 is executed in software writes such registers through KVM, but not those that every
 * system call, timer and switch of tasks touches, which are the same for both. Where KVM has given up on the
 * instruction there is no other way. */
static bool is_kernel_msr(void *owner, uint32_t index)
{
    static const struct {
        uint32_t first, last;
    } same[] = {{0x48, 0x49}, /* SPEC_CTRL, PRED_CMD */
                {MSR_SYSENTER_CS, MSR_SYSENTER_EIP},
                {0x200, 0x2ff},           /* MTRRs, PAT */
                {0x6e0, 0x6e0},           /* TSC_DEADLINE */
                {0x800, 0x8ff},           /* x2APIC */
                {0x4b564d00, 0x4b564dff}, /* KVM's own */
                {MSR_STAR, MSR_FMASK},
                {MSR_KERNEL_GS_BASE, MSR_TSC_AUX}};
    const struct vcpu *vcpu = owner;
    for (unsigned i = 0; i < ARRAY_COUNT(same); i++)
        if (index >= same[i].first && index <= same[i].last)
            return false;
    return vcpu->interpreter != NULL;
}

static bool read_msr(void *owner, uint32_t index, uint64_t *value)
{
    *value = 0;
    enum vcpu_msr msr = ask_machine(owner, index, false, value);
    return msr == VCPU_MSR_UNKNOWN ? access_msr(owner, KVM_GET_MSRS, index, value) : msr == VCPU_MSR_DONE;
}

#define MSR_IA32_APIC_BASE    0x1bu
#define MSR_IA32_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_TPR        0x808u /* of 0x800 to 0x8ff */

/* Of which KVM makes something only at the next entry, such as the time in a page of the guest's: not those
 * that are read by the processor alone. */
static bool is_due_at_entry(uint32_t index)
{
    bool is_syscall = (index >= MSR_STAR && index <= MSR_FMASK) ||
                      (index >= MSR_SYSENTER_CS && index <= MSR_SYSENTER_EIP);
    return !is_syscall && index != MSR_KERNEL_GS_BASE && index != MSR_TSC_AUX &&
           index != MSR_IA32_TSC_DEADLINE && index / 0x100 != MSR_X2APIC_TPR / 0x100;
}

/* What KVM has now of an MSR that is a part of its special registers, too: those that were loaded may be
 * written back. */
static void note_written(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
    if (index == MSR_IA32_APIC_BASE)
        vcpu->run->s.regs.sregs.apic_base = value;
    else if (index == MSR_X2APIC_TPR)
        vcpu->emulation->cpu.cr8 = vcpu->run->s.regs.sregs.cr8 = value >> 4 & 15;
    vcpu->emulation->entry_due |= is_due_at_entry(index);
    vcpu->emulation->apic_written |= index / 0x100 == MSR_X2APIC_TPR / 0x100;
}

static bool write_msr(void *owner, uint32_t index, uint64_t value)
{
    enum vcpu_msr msr = ask_machine(owner, index, true, &value);
    if (msr != VCPU_MSR_UNKNOWN)
        return msr == VCPU_MSR_DONE;
    if (!access_msr(owner, KVM_SET_MSRS, index, &value))
        return false;
    note_written(owner, index, value);
    return true;
}

#define MSR_IA32_TSC 0x10u

static uint64_t read_tsc(void *owner)
{
    uint64_t value = 0;
    access_msr(owner, KVM_GET_MSRS, MSR_IA32_TSC, &value);
    return value;
}

static bool write_xcr0(void *owner, uint64_t value)
{
    struct vcpu *vcpu = owner;
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = value}}};
    return ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) == 0;
}

void emulation_load_debug(void *owner, struct cpu_state *cpu)
{
    struct vcpu *vcpu = owner;
    struct emulation *emulation = vcpu->emulation;
    if (emulation->debug.is_current || vcpu_load_debug(vcpu, cpu))
        return;
    emulation->debug.is_current = true;
    emulation_note_debug(emulation);
}

static void flush_tlb(void *owner)
{
    struct vcpu *vcpu = owner;
    vcpu->emulation->tlb_stale = true;
}

static bool is_kernel_device(void *owner, gpa_t gpa, uint64_t len)
{
    const struct vcpu *vcpu = owner;
    return vcpu->machine->is_kernel_device && vcpu->machine->is_kernel_device(vcpu->machine->owner, gpa, len);
}

static bool is_kernel_port(void *owner, unsigned port, unsigned size)
{
    const struct vcpu *vcpu = owner;
    return vcpu->machine->is_kernel_port && vcpu->machine->is_kernel_port(vcpu->machine->owner, port, size);
}

static void tell_ram_written(void *owner, gpa_t gpa, uint64_t len)
{
    const struct vcpu *vcpu = owner;
    if (vcpu->machine->ram_written)
        vcpu->machine->ram_written(vcpu->machine->owner, gpa, len);
}

/* KVM's, except where it does not come back from one (features_mask_hypercalls): there is none then. */
static bool answer_hypercall(void *owner, const struct cpu_state *cpu, uint64_t *result)
{
    const int64_t kvm_enosys = 1000, kvm_eperm = 1;
    const struct vcpu *vcpu = owner;
    *result = (uint64_t)(cpu->cpl ? -kvm_eperm : -kvm_enosys);
    return vcpu->machine->interprets_all;
}

static const struct step_ops vcpu_step_ops = {
    .ram_written = tell_ram_written,
    .load_vector = load_vector,
    .cpuid = query_cpuid,
    .msr_read = read_msr,
    .msr_write = write_msr,
    .tsc_read = read_tsc,
    .xcr0_read = read_xcr0,
    .xcr0_write = write_xcr0,
    .load_debug = emulation_load_debug,
    .tlb_flush = flush_tlb,
    .is_kernel_device = is_kernel_device,
    .is_kernel_port = is_kernel_port,
    .is_kernel_msr = is_kernel_msr,
    .hypercall = answer_hypercall,
};

/* ---- Its beginning and end ---- */

struct emulation *emulation_create(struct vcpu *vcpu)
{
    struct emulation *emulation = calloc(1, sizeof(*emulation));
    struct simd_code *simd = NULL;
    struct step_run *run = NULL;
    bool is_large = vcpu->machine->interprets;
    if (!emulation || (is_large ? step_run_create_large(&run, NULL) : step_run_create(&run, NULL)) ||
        simd_code_create(&simd, NULL)) {
        step_run_destroy(run);
        free(emulation);
        return NULL;
    }
    emulation->loaded.efer = SREGS_UNKNOWN;
    emulation->step = (struct step_machine){.memory = vcpu->machine->memory,
                                            .bus = vcpu->machine->memory_bus,
                                            .ports = vcpu->machine->ports,
                                            .bus_lock = vcpu->machine->bus_lock,
                                            .simd = simd,
                                            .run = run,
                                            .ops = &vcpu_step_ops,
                                            .owner = vcpu,
                                            .physical_address_bits = cpuid_address_bits(vcpu->cpuid),
                                            .vendor_amd = cpuid_is_amd(vcpu->cpuid)};
    return emulation;
}

void emulation_forget(struct emulation *emulation)
{
    if (emulation)
        step_run_forget(emulation->step.run);
}

void emulation_destroy(struct emulation *emulation)
{
    if (!emulation)
        return;
    simd_code_destroy(emulation->step.simd);
    step_run_destroy(emulation->step.run);
    free(emulation->xsave);
    free(emulation);
}
