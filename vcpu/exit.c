/* SPDX-License-Identifier: MIT
 *
 * The exit dispatch: a line for every reason that KVM documents for x86, and a function for those that need
 * work. Values that come from the shared page are KVM's, not the guest's, but what they mean is the guest's.
 */
#include "vcpu/exit.h"

#include "base/bytes.h"
#include "vcpu/coalesced.h"
#include "vcpu/emulate.h"

static const char *const reason_names[] = {
    [KVM_EXIT_UNKNOWN] = "UNKNOWN",
    [KVM_EXIT_EXCEPTION] = "EXCEPTION",
    [KVM_EXIT_IO] = "IO",
    [KVM_EXIT_HYPERCALL] = "HYPERCALL",
    [KVM_EXIT_DEBUG] = "DEBUG",
    [KVM_EXIT_HLT] = "HLT",
    [KVM_EXIT_MMIO] = "MMIO",
    [KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
    [KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
    [KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
    [KVM_EXIT_INTR] = "INTR",
    [KVM_EXIT_SET_TPR] = "SET_TPR",
    [KVM_EXIT_TPR_ACCESS] = "TPR_ACCESS",
    [KVM_EXIT_NMI] = "NMI",
    [KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
    [KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
    [KVM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
    [KVM_EXIT_HYPERV] = "HYPERV",
    [KVM_EXIT_X86_RDMSR] = "X86_RDMSR",
    [KVM_EXIT_X86_WRMSR] = "X86_WRMSR",
    [KVM_EXIT_DIRTY_RING_FULL] = "DIRTY_RING_FULL",
    [KVM_EXIT_AP_RESET_HOLD] = "AP_RESET_HOLD",
    [KVM_EXIT_X86_BUS_LOCK] = "X86_BUS_LOCK",
    [KVM_EXIT_XEN] = "XEN",
    [KVM_EXIT_NOTIFY] = "NOTIFY",
    [VCPU_MEMORY_FAULT] = "MEMORY_FAULT",
};

const struct trace_names vcpu_trace_names = {.reasons = reason_names,
                                             .reason_count = ARRAY_COUNT(reason_names)};

const char *vcpu_reason_name(uint32_t reason)
{
    if (reason < ARRAY_COUNT(reason_names) && reason_names[reason])
        return reason_names[reason];
    return "(not an x86 reason)";
}

/* The record of this exit; its address, value, size and flags are what another has left there. */
static inline struct trace_record *next_record(struct vcpu *vcpu, uint32_t reason)
{
    uint32_t counted = reason < VCPU_REASON_LIMIT ? reason : VCPU_REASON_LIMIT - 1;
    uint64_t *count = &vcpu->reason_counts[counted];
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED); /* for machine_mark on another thread */
    struct trace_record *record = &vcpu->history[vcpu->exit_count++ % VCPU_HISTORY];
    record->event = TRACE_EXIT;
    record->index = reason;
    record->count = 1;
    return record;
}

static struct trace_record *record_exit(struct vcpu *vcpu, uint32_t reason)
{
    struct trace_record *record = next_record(vcpu, reason);
    record->size = record->flags = 0;
    record->address = record->value = 0;
    return record;
}

/* One element, of 1, 2 or 4 bytes. Returns what was written or read. */
static inline uint64_t port_element(struct bus *ports, const struct kvm_run *run, uint8_t *data)
{
    unsigned port = run->io.port, size = run->io.size;
    uint64_t value;
    if (run->io.direction == KVM_EXIT_IO_OUT) {
        value = size == 1 ? *data : size == 2 ? load_le16(data) : load_le32(data);
        bus_write(ports, port, size, value);
        return value;
    }
    value = bus_read(ports, port, size);
    store_le(data, value, size);
    return value;
}

/* INS or OUTS, with REP: KVM hands over up to a page of elements. The first is the record's value. */
__attribute__((noinline)) static void exit_port_string(struct vcpu *vcpu, struct trace_record *record)
{
    struct kvm_run *run = vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    record->count = run->io.count;
    record->value = 0;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint64_t value = port_element(vcpu->machine->ports, run, data);
        if (!i)
            record->value = value;
    }
}

static inline void exit_port_io(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    struct trace_record *record = next_record(vcpu, KVM_EXIT_IO);
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned port = run->io.port, size = run->io.size;
    record->address = port;
    record->size = (uint8_t)size;
    record->flags = run->io.direction == KVM_EXIT_IO_OUT ? TRACE_WRITE : 0;
    if (__builtin_expect(run->io.count != 1, 0)) {
        exit_port_string(vcpu, record);
    } else if (run->io.direction == KVM_EXIT_IO_OUT) {
        uint32_t value = size == 1 ? *data : size == 2 ? load_le16(data) : load_le32(data);
        record->value = value;
        bus_write(vcpu->machine->ports, port, size, value);
    } else {
        /* KVM takes `size` bytes of what is put there; the page goes on behind them. */
        record->value = bus_read(vcpu->machine->ports, port, size);
        store_le32(data, (uint32_t)record->value);
    }
}

/* Where it was one to a slot without access after all. */
__attribute__((noinline)) static void exit_mmio_trapped(struct vcpu *vcpu, const struct trace_record *record)
{
    const struct bus_region *region = bus_find(vcpu->machine->memory_bus, record->address);
    if (!region || !region->is_trapped)
        return;
    vcpu->ahead_wanted = vcpu->machine->run_ahead;
    if (!(record->flags & TRACE_WRITE))
        vcpu_note_read(vcpu, record->address, record->size, record->value);
}

/* KVM has decoded the instruction: an access of 1 to 8 bytes inside one page. */
static inline void exit_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    struct trace_record *record = next_record(vcpu, KVM_EXIT_MMIO);
    struct bus *bus = vcpu->machine->memory_bus;
    unsigned size = run->mmio.len <= 8 ? run->mmio.len : 8;
    gpa_t gpa = run->mmio.phys_addr;
    record->address = gpa;
    record->size = (uint8_t)size;
    record->flags = run->mmio.is_write ? TRACE_WRITE : 0;
    if (run->mmio.is_write) {
        record->value = load_le64(run->mmio.data) & size_mask(size);
        bus_write(bus, gpa, size, record->value);
    } else {
        record->value = bus_read(bus, gpa, size);
        store_le64(run->mmio.data, record->value);
    }
    if (__builtin_expect(vcpu->machine->has_trapped, 0))
        exit_mmio_trapped(vcpu, record);
}

static bool exit_system_event(struct vcpu *vcpu, struct trace_record *record, enum vcpu_end *end)
{
    record->value = vcpu->run->system_event.type;
    switch (vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        *end = VCPU_POWER_OFF;
        return false;
    case KVM_SYSTEM_EVENT_RESET:
        *end = VCPU_RESET;
        return false;
    case KVM_SYSTEM_EVENT_WAKEUP:
        return true;
    }
    *end = VCPU_CRASHED;
    return false;
}

/* Whether this is the first time, on any vCPU, that the MSR is met. False, too, where too many were. */
static bool is_new_msr(uint32_t *seen, uint32_t index)
{
    for (unsigned i = 0; seen && i < VCPU_MSR_LIMIT; i++) {
        uint32_t found = 0;
        if (__atomic_compare_exchange_n(&seen[i], &found, index + 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
        if (found == index + 1)
            return false;
    }
    return false;
}

/* An MSR that KVM does not know: the machine's, or as on hardware #GP. */
static void exit_msr(struct vcpu *vcpu, struct trace_record *record)
{
    record->address = vcpu->run->msr.index;
    record->value = vcpu->run->msr.data;
    record->flags = vcpu->run->exit_reason == KVM_EXIT_X86_WRMSR ? TRACE_WRITE : 0;
    bool (*msr)(void *, uint32_t, bool, uint64_t *) = vcpu->machine->msr;
    uint64_t value = record->value;
    if (msr && msr(vcpu->machine->owner, vcpu->run->msr.index, (record->flags & TRACE_WRITE) != 0, &value)) {
        record->value = vcpu->run->msr.data = value;
        vcpu->run->msr.error = 0;
        return;
    }
    vcpu->run->msr.error = 1;
    if (!is_new_msr(vcpu->machine->unknown_msrs, vcpu->run->msr.index))
        return;
    if (record->flags & TRACE_WRITE)
        log_line(vcpu->machine->log, VMM_LOG_WARNING,
                 "vCPU %u: KVM refuses to write %#llx to MSR %#llx: the guest gets #GP", vcpu->index,
                 (unsigned long long)record->value, (unsigned long long)record->address);
    else
        log_line(vcpu->machine->log, VMM_LOG_WARNING,
                 "vCPU %u: KVM refuses to read MSR %#llx: the guest gets #GP", vcpu->index,
                 (unsigned long long)record->address);
}

/* A hypercall of a kind that we did not announce: what its caller takes for "unknown". */
static void exit_foreign_hypercall(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    if (run->exit_reason == KVM_EXIT_HYPERCALL)
        run->hypercall.ret = (uint64_t)-1000; /* KVM_ENOSYS */
    else if (run->exit_reason == KVM_EXIT_XEN)
        run->xen.u.hcall.result = (uint64_t)-ENOSYS;
    else if (run->hyperv.type == KVM_EXIT_HYPERV_HCALL)
        run->hyperv.u.hcall.result = 2; /* HV_STATUS_INVALID_HYPERCALL_CODE */
}

static bool exit_ioapic_eoi(struct vcpu *vcpu, struct trace_record *record)
{
    record->value = vcpu->run->eoi.vector;
    if (vcpu->machine->ioapic_eoi)
        vcpu->machine->ioapic_eoi(vcpu->machine->owner, vcpu->run->eoi.vector);
    return true;
}

/* An instruction that KVM gave up on: ours to execute. The others of its internal errors are the end. */
static bool exit_internal_error(struct vcpu *vcpu, struct trace_record *record, enum vcpu_end *end)
{
    const struct kvm_run *run = vcpu->run;
    record->value = run->internal.suberror;
    *end = VCPU_NOT_EXECUTED;
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return false;
    bool has_bytes = run->emulation_failure.ndata >= 3 &&
                     (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
    unsigned len = has_bytes ? run->emulation_failure.insn_size : 0;
    if (len > sizeof(run->emulation_failure.insn_bytes))
        len = 0;
    return vcpu_emulate(vcpu, run->emulation_failure.insn_bytes, len, end);
}

static bool end_with(enum vcpu_end *end, enum vcpu_end why)
{
    *end = why;
    return false;
}

/* Those that are neither a port's nor a device's memory. */
__attribute__((noinline)) static bool handle_rare(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    uint32_t reason = result == -EFAULT ? VCPU_MEMORY_FAULT : vcpu->run->exit_reason;
    struct trace_record *record = record_exit(vcpu, reason);
    /* A touch of a slot without access; with KVM_EXIT_MEMORY_FAULT on newer kernels, which says no more than
     * the page. */
    if (result == -EFAULT)
        return vcpu_emulate(vcpu, NULL, 0, end);
    if (result) {
        vcpu->error = -result;
        return end_with(end, VCPU_HOST_FAILED);
    }
    switch (reason) {
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        exit_msr(vcpu, record);
        return true;
    case KVM_EXIT_HYPERCALL:
    case KVM_EXIT_HYPERV:
    case KVM_EXIT_XEN:
        exit_foreign_hypercall(vcpu);
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        return exit_ioapic_eoi(vcpu, record);
    case KVM_EXIT_SYSTEM_EVENT:
        return exit_system_event(vcpu, record, end);
    case KVM_EXIT_HLT:
        return end_with(end, VCPU_HALTED);
    case KVM_EXIT_SHUTDOWN:
        return end_with(end, VCPU_SHUTDOWN);
    case KVM_EXIT_DEBUG:           /* a breakpoint of a debugger that has gone */
    case KVM_EXIT_IRQ_WINDOW_OPEN: /* not asked for: KVM's own controllers inject */
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_TPR_ACCESS:
    case KVM_EXIT_NMI:
    case KVM_EXIT_AP_RESET_HOLD:
    case KVM_EXIT_X86_BUS_LOCK:
        return true;
    case KVM_EXIT_NOTIFY:
        if (!(vcpu->run->notify.flags & KVM_NOTIFY_CONTEXT_INVALID))
            return true;
        return end_with(end, VCPU_NOT_EXECUTED);
    case KVM_EXIT_FAIL_ENTRY:
        record->value = vcpu->run->fail_entry.hardware_entry_failure_reason;
        return end_with(end, VCPU_NOT_EXECUTED);
    case KVM_EXIT_INTERNAL_ERROR:
        return exit_internal_error(vcpu, record, end);
    case KVM_EXIT_UNKNOWN:
        record->value = vcpu->run->hw.hardware_exit_reason;
        return end_with(end, VCPU_NOT_EXECUTED);
    case KVM_EXIT_EXCEPTION:
    case KVM_EXIT_DIRTY_RING_FULL: /* never asked for */
    default:
        return end_with(end, VCPU_NOT_EXECUTED);
    }
}

bool vcpu_handle_exit(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    if (__builtin_expect(coalesced_pending(vcpu->machine->coalesced), 0))
        coalesced_drain(vcpu->machine->coalesced);
    uint32_t reason = vcpu->run->exit_reason;
    TRACE_PROBE2(exit, vcpu->index, result == -EFAULT ? VCPU_MEMORY_FAULT : reason);
    if (__builtin_expect(!result && reason == KVM_EXIT_IO, 1)) {
        exit_port_io(vcpu);
        return true;
    }
    if (__builtin_expect(!result && reason == KVM_EXIT_MMIO, 1)) {
        exit_mmio(vcpu);
        return true;
    }
    return handle_rare(vcpu, result, end);
}
