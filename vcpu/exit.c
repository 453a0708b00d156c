/* SPDX-License-Identifier: MIT
 *
 * The exit dispatch: a line for every reason that KVM documents for x86, and a function for those that need
 * work. Values that come from the shared page are KVM's, not the guest's, but what they mean is the guest's.
 */
#include "vcpu/exit.h"

#include "vcpu/coalesced.h"
#include "vcpu/emulate.h"
#include "vcpu/exit_access.h"

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

static struct exit_note *note_exit(struct vcpu *vcpu, uint32_t reason)
{
    struct exit_note *note = exit_next_note(vcpu, reason);
    *note = (struct exit_note){.reason = reason, .access.count = 1};
    return note;
}

/* ---- Accesses that record themselves in the trace ---- */

/* One element, of 1, 2 or 4 bytes. Returns what was written or read. */
static uint64_t port_element(struct bus *ports, const struct exit_access *access, uint8_t *data)
{
    uint64_t value;
    if (access->is_write) {
        value = load_le(data, access->size);
        bus_write(ports, access->port, access->size, value);
        return value;
    }
    value = bus_read(ports, access->port, access->size);
    store_le(data, value, access->size);
    return value;
}

/* The first is the note's value. */
void exit_port_string(struct vcpu *vcpu, struct exit_note *note)
{
    const struct exit_access access = note->access;
    uint8_t *data = exit_port_data(vcpu);
    note->value = 0;
    for (uint32_t i = 0; i < access.count; i++, data += access.size) {
        uint64_t value = port_element(vcpu->machine->ports, &access, data);
        if (!i)
            note->value = value;
    }
}

static void exit_port_trapped(struct vcpu *vcpu)
{
    struct exit_access access;
    exit_port_string(vcpu, exit_note_port(vcpu, &access));
}

/* Where some region is trapped, and KVM has decoded after all what it might have left to us. */
static void note_trapped(struct vcpu *vcpu, const struct exit_note *note)
{
    const struct bus_region *region = bus_find(vcpu->machine->memory_bus, note->address);
    if (!region || !region->is_trapped)
        return;
    vcpu->ahead_wanted = vcpu->machine->run_ahead;
    if (!note->access.is_write)
        vcpu_note_read(vcpu, note->address, note->access.size, note->value);
}

static void exit_memory_trapped(struct vcpu *vcpu)
{
    struct exit_access access;
    struct exit_note *note = exit_note_memory(vcpu, &access);
    struct bus *bus = vcpu->machine->memory_bus;
    if (access.is_write) {
        note->value = load_le64(vcpu->run->mmio.data);
        bus_write(bus, note->address, access.size, note->value);
    } else {
        note->value = bus_read(bus, note->address, access.size);
        store_le64(vcpu->run->mmio.data, note->value);
    }
    note_trapped(vcpu, note);
}

/* ---- Accesses that are recorded with their exit ---- */

__attribute__((always_inline)) static inline void exit_port_traced(struct vcpu *vcpu)
{
    struct exit_access access;
    struct exit_note *note = exit_note_port(vcpu, &access);
    struct bus *ports = vcpu->machine->ports;
    uint8_t *data = exit_port_data(vcpu);
    note->address = access.port;
    if (access.count != 1) {
        exit_port_string(vcpu, note);
    } else if (access.is_write) {
        note->value = load_le32(data);
        bus_write_port_seen(ports, access.port, access.size, note->value, &vcpu->seen);
    } else {
        note->value = bus_read_port_seen(ports, access.port, access.size, &vcpu->seen);
        store_le32(data, (uint32_t)note->value);
    }
}

__attribute__((always_inline)) static inline void exit_memory_traced(struct vcpu *vcpu)
{
    struct exit_access access;
    struct exit_note *note = exit_note_memory(vcpu, &access);
    struct bus *bus = vcpu->machine->memory_bus;
    uint8_t *data = vcpu->run->mmio.data;
    if (access.is_write) {
        note->value = load_le64(data);
        bus_write_memory_seen(bus, note->address, access.size, note->value, &vcpu->seen);
    } else {
        note->value = bus_read_memory_seen(bus, note->address, access.size, &vcpu->seen);
        store_le64(data, note->value);
    }
}

bool exit_is_access_traced(struct vcpu *vcpu)
{
    uint32_t reason = vcpu->run->exit_reason;
    if (reason != KVM_EXIT_IO && reason != KVM_EXIT_MMIO)
        return false;
    TRACE_PROBE3(exit, vcpu->index, reason, 0);
    if (__builtin_expect(reason == KVM_EXIT_IO, 1))
        exit_port_traced(vcpu);
    else
        exit_memory_traced(vcpu);
    return true;
}

/* ---- The others ---- */

static bool exit_system_event(struct vcpu *vcpu, struct exit_note *note, enum vcpu_end *end)
{
    note->value = vcpu->run->system_event.type;
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

__attribute__((noinline)) static void warn_of_msr(struct vcpu *vcpu)
{
    const struct vcpu_machine *machine = vcpu->machine;
    unsigned long long index = vcpu->run->msr.index, value = vcpu->run->msr.data;
    if (!is_new_msr(machine->unknown_msrs, vcpu->run->msr.index))
        return;
    if (vcpu->run->exit_reason == KVM_EXIT_X86_WRMSR)
        log_line(machine->log, VMM_LOG_WARNING,
                 "vCPU %u: KVM refuses to write %#llx to MSR %#llx: the guest gets #GP", vcpu->index, value,
                 index);
    else
        log_line(machine->log, VMM_LOG_WARNING, "vCPU %u: KVM refuses to read MSR %#llx: the guest gets #GP",
                 vcpu->index, index);
}

/* An MSR that is the machine's, or that KVM does not know: then #GP, as on hardware. */
__attribute__((noinline)) static bool exit_msr(struct vcpu *vcpu)
{
    const struct vcpu_machine *machine = vcpu->machine;
    struct kvm_run *run = vcpu->run;
    struct exit_note *note = note_exit(vcpu, run->exit_reason);
    note->address = run->msr.index;
    note->value = run->msr.data;
    note->access.is_write = run->exit_reason == KVM_EXIT_X86_WRMSR;
    enum vcpu_msr msr = VCPU_MSR_UNKNOWN;
    if (machine->msr)
        msr = machine->msr(machine->owner, run->msr.index, note->access.is_write, &note->value);
    run->msr.data = note->value;
    run->msr.error = msr != VCPU_MSR_DONE;
    if (msr == VCPU_MSR_UNKNOWN)
        warn_of_msr(vcpu);
    return true;
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

static bool exit_ioapic_eoi(struct vcpu *vcpu, struct exit_note *note)
{
    note->value = vcpu->run->eoi.vector;
    if (vcpu->machine->ioapic_eoi)
        vcpu->machine->ioapic_eoi(vcpu->machine->owner, vcpu->run->eoi.vector);
    return true;
}

/* An instruction that KVM gave up on: ours to execute. The others of its internal errors are the end. */
static bool exit_internal_error(struct vcpu *vcpu, struct exit_note *note, enum vcpu_end *end)
{
    const struct kvm_run *run = vcpu->run;
    note->value = run->internal.suberror;
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

/* Those that are no access of the guest's that KVM hands over. */
__attribute__((noinline)) static bool handle_rare(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    uint32_t reason = result == -EFAULT ? VCPU_MEMORY_FAULT : vcpu->run->exit_reason;
    struct exit_note *note = note_exit(vcpu, reason);
    /* A touch of a slot without access; with KVM_EXIT_MEMORY_FAULT on newer kernels, which says no more than
     * the page. */
    if (result == -EFAULT)
        return vcpu_emulate(vcpu, NULL, 0, end);
    if (result) {
        vcpu->error = -result;
        return end_with(end, VCPU_HOST_FAILED);
    }
    switch (reason) {
    case KVM_EXIT_HYPERCALL:
    case KVM_EXIT_HYPERV:
    case KVM_EXIT_XEN:
        exit_foreign_hypercall(vcpu);
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        return exit_ioapic_eoi(vcpu, note);
    case KVM_EXIT_SYSTEM_EVENT:
        return exit_system_event(vcpu, note, end);
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
        note->value = vcpu->run->fail_entry.hardware_entry_failure_reason;
        return end_with(end, VCPU_NOT_EXECUTED);
    case KVM_EXIT_INTERNAL_ERROR:
        return exit_internal_error(vcpu, note, end);
    case KVM_EXIT_UNKNOWN:
        note->value = vcpu->run->hw.hardware_exit_reason;
        return end_with(end, VCPU_NOT_EXECUTED);
    case KVM_EXIT_EXCEPTION:
    case KVM_EXIT_DIRTY_RING_FULL: /* never asked for */
    default:
        return end_with(end, VCPU_NOT_EXECUTED);
    }
}

/* An access by the way that this vCPU's have. */
__attribute__((noinline)) static bool access_device(struct vcpu *vcpu)
{
    bool is_port = vcpu->run->exit_reason == KVM_EXIT_IO;
    if (vcpu->on_exit & VCPU_TRACED)
        is_port ? exit_port_traced(vcpu) : exit_memory_traced(vcpu);
    else if (vcpu->on_exit & VCPU_TRAPPED)
        is_port ? exit_port_trapped(vcpu) : exit_memory_trapped(vcpu);
    else
        is_port ? exit_port(vcpu) : exit_memory(vcpu);
    return true;
}

/* Each way ends with its one call, so that nothing has to be kept over it. */
static inline bool handle(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    uint32_t reason = vcpu->run->exit_reason;
    if (!result && (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO))
        return access_device(vcpu);
    if (!result && (reason == KVM_EXIT_X86_RDMSR || reason == KVM_EXIT_X86_WRMSR))
        return exit_msr(vcpu);
    return handle_rare(vcpu, result, end);
}

/* Behind writes that KVM has collected. */
__attribute__((noinline)) static bool handle_behind_ring(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    coalesced_drain(vcpu->machine->coalesced);
    return handle(vcpu, result, end);
}

bool vcpu_handle_exit(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    TRACE_PROBE3(exit, vcpu->index, vcpu->run->exit_reason, result);
    return vcpu->on_exit & VCPU_COALESCED ? handle_behind_ring(vcpu, result, end) : handle(vcpu, result, end);
}
