/* SPDX-License-Identifier: MIT
 *
 * The report on a vCPU that cannot go on, a line at a time.
 */
#include "vcpu/report.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/bytes.h"
#include "base/disassembly.h"
#include "base/trace_filter.h"
#include "base/trace_ring.h"
#include "vcpu/emulation.h"
#include "vcpu/exit_history.h"
#include "vcpu/exit_trace.h"
#include "vcpu/state.h"

#define LINE(...)  log_line(vcpu->machine->log, VMM_LOG_ERROR, __VA_ARGS__)
#define U64(value) ((unsigned long long)(value))

#define CODE_BEFORE   16
#define CODE_AFTER    32
#define INSNS_SHOWN   6
#define EXIT_LINES    16
#define RECORDS_SHOWN 32

static const char *suberror_name(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "KVM's emulator does not know the instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "simultaneous exceptions";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "an exit while an event was delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        return "the processor left the guest for a reason that KVM does not know";
    }
    return "a suberror that we do not know";
}

/* The sentence for a vCPU that could not be executed. */
static void describe_not_executed(struct vcpu *vcpu, char *text, size_t text_bytes)
{
    const struct kvm_run *run = vcpu->run;
    uint32_t reason = vcpu->history[(vcpu->exit_count - 1) % VCPU_HISTORY].reason;
    switch (reason) {
    case VCPU_MEMORY_FAULT:
        snprintf(text, text_bytes, "the guest touched memory without access");
        break;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(text, text_bytes,
                 "the processor refused to enter the guest: hardware_entry_failure_reason %#llx on CPU %u",
                 U64(run->fail_entry.hardware_entry_failure_reason), run->fail_entry.cpu);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(text, text_bytes, "KVM internal error, suberror %u: %s", run->internal.suberror,
                 suberror_name(run->internal.suberror));
        break;
    case KVM_EXIT_UNKNOWN:
        snprintf(text, text_bytes, "KVM does not know the hardware's exit reason %#llx",
                 U64(run->hw.hardware_exit_reason));
        break;
    default:
        snprintf(text, text_bytes, "KVM left the guest with %s (%u), which was not asked for",
                 vcpu_reason_name(reason), reason);
    }
}

/* "#GP (error code 0x10)", "interrupt 0x20". */
static void describe_event(const struct step_event *event, char *text, size_t text_bytes)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM",
                                        "#DF", NULL,  "#TS", "#NP", "#SS", "#GP", "#PF", NULL,
                                        "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};
    const char *name = event->vector < ARRAY_COUNT(names) ? names[event->vector] : NULL;
    int len = name && event->kind != EVENT_INTERRUPT && event->kind != EVENT_SOFTWARE_INTERRUPT
                  ? snprintf(text, text_bytes, "%s", name)
                  : snprintf(text, text_bytes, "interrupt %#x", event->vector);
    if (event->has_error)
        len += snprintf(text + len, text_bytes - (size_t)len, " (error code %#x", event->error_code);
    if (event->has_error && event->vector == VECTOR_PF)
        len += snprintf(text + len, text_bytes - (size_t)len, ", address %#llx", U64(event->cr2));
    if (event->has_error)
        snprintf(text + len, text_bytes - (size_t)len, ")");
}

/* KVM does not say what came before a triple fault; the emulator knows. */
static void report_triple_fault(struct vcpu *vcpu)
{
    const struct emulation *emulation = vcpu->emulation;
    char first[80], cause[80], last[80];
    LINE("vCPU %u: triple fault: an exception could not be delivered, nor the double fault after it",
         vcpu->index);
    if (!emulation || !emulation->is_shut_down)
        return;
    describe_event(&emulation->undelivered[0], first, sizeof(first));
    describe_event(&emulation->undelivered[1], cause, sizeof(cause));
    describe_event(&emulation->undelivered[2], last, sizeof(last));
    if (emulation->undelivered[0].kind == EVENT_EXCEPTION && emulation->undelivered[0].vector == VECTOR_DF)
        LINE("  it began as #DF, on whose way came %s", last);
    else
        LINE("  it began as %s, on whose way came %s, and on the way of the double fault %s", first, cause,
             last);
}

static void report_reason(struct vcpu *vcpu, enum vcpu_end end)
{
    char text[200];
    switch (end) {
    case VCPU_HALTED:
        LINE("vCPU %u: halted (HLT), and the machine has no interrupt controller that could wake it",
             vcpu->index);
        return;
    case VCPU_SHUTDOWN:
        report_triple_fault(vcpu);
        return;
    case VCPU_CRASHED:
        LINE("vCPU %u: KVM reports that the guest crashed (system event %u)", vcpu->index,
             vcpu->run->system_event.type);
        return;
    case VCPU_HOST_FAILED:
        LINE("vCPU %u: KVM_RUN failed: %s", vcpu->index, strerror(vcpu->error));
        return;
    case VCPU_NOT_EXECUTED:
        describe_not_executed(vcpu, text, sizeof(text));
        LINE("vCPU %u: %s", vcpu->index, text);
        if (vcpu->unsupported)
            LINE("  nor could it be executed in software: %s", vcpu->unsupported);
        return;
    case VCPU_KICKED:
    case VCPU_POWER_OFF:
    case VCPU_RESET:
        LINE("vCPU %u: was told to leave the guest", vcpu->index);
    }
}

static unsigned code_mode(const struct cpu_state *cpu)
{
    if (cpu_is_64bit(cpu))
        return 64;
    return cpu->segments[CPU_CS].attributes & SEGMENT_DB ? 32 : 16;
}

static void report_rip(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    uint64_t flags = cpu->rflags;
    LINE("  rip %016llx  rflags %08llx [%c%c%c%c%c%c%c%c%c]  cpl %u  %u-bit code", U64(cpu->rip), U64(flags),
         flags & FLAG_OF ? 'O' : '-', flags & FLAG_DF ? 'D' : '-', flags & FLAG_IF ? 'I' : '-',
         flags & FLAG_TF ? 'T' : '-', flags & FLAG_SF ? 'S' : '-', flags & FLAG_ZF ? 'Z' : '-',
         flags & FLAG_AF ? 'A' : '-', flags & FLAG_PF ? 'P' : '-', flags & FLAG_CF ? 'C' : '-', cpu->cpl,
         code_mode(cpu));
}

static void report_registers(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
    for (unsigned i = 0; i < CPU_GPR_COUNT; i += 4)
        LINE("  %s %016llx  %s %016llx  %s %016llx  %s %016llx", names[i], U64(cpu->gpr[i]), names[i + 1],
             U64(cpu->gpr[i + 1]), names[i + 2], U64(cpu->gpr[i + 2]), names[i + 3], U64(cpu->gpr[i + 3]));
    report_rip(vcpu, cpu);
}

static void report_segment(struct vcpu *vcpu, const char *name, const struct cpu_segment *segment)
{
    LINE("  %-3s %04x  base %016llx  limit %08x  attributes %04x%s", name, segment->selector,
         U64(segment->base), segment->limit, segment->attributes,
         segment->attributes & SEGMENT_PRESENT ? "" : "  (unusable)");
}

static void report_system(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    for (unsigned i = 0; i < CPU_SEGMENT_COUNT; i++)
        report_segment(vcpu, names[i], &cpu->segments[i]);
    report_segment(vcpu, "ldt", &cpu->ldt);
    report_segment(vcpu, "tr", &cpu->tr);
    LINE("  gdt base %016llx  limit %04x    idt base %016llx  limit %04x", U64(cpu->gdt.base), cpu->gdt.limit,
         U64(cpu->idt.base), cpu->idt.limit);
    LINE("  cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  cr8 %llx  efer %llx", U64(cpu->cr0),
         U64(cpu->cr2), U64(cpu->cr3), U64(cpu->cr4), U64(cpu->cr8), U64(cpu->efer));
}

static void report_hex(struct vcpu *vcpu, const char *what, gva_t at, const uint8_t *bytes, size_t len)
{
    char text[3 * CODE_AFTER + 1] = "";
    for (size_t i = 0; i < len; i++)
        snprintf(text + 3 * i, 4, " %02x", bytes[i]);
    LINE("  %s %016llx:%s", what, U64(at), len ? text : " (no RAM there)");
}

static void report_code(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    gva_t rip = cpu->rip + (code_mode(cpu) == 64 ? 0 : cpu->segments[CPU_CS].base);
    uint8_t before[CODE_BEFORE], code[CODE_AFTER];
    if (rip >= CODE_BEFORE && vcpu_read_code(vcpu, rip - CODE_BEFORE, before, CODE_BEFORE) == CODE_BEFORE)
        report_hex(vcpu, "before rip", rip - CODE_BEFORE, before, CODE_BEFORE);
    size_t len = vcpu_read_code(vcpu, rip, code, sizeof(code));
    report_hex(vcpu, "at rip    ", rip, code, len);
    char text[160];
    for (size_t at = 0, i = 0; at < len && i < INSNS_SHOWN; i++) {
        size_t used = disassemble(code_mode(cpu), code + at, len - at, rip + at, text, sizeof(text));
        LINE("  %s %016llx: %s", i ? "   " : "-> ", U64(rip + at), text);
        if (!used)
            break;
        at += used;
    }
}

static void report_exit(struct vcpu *vcpu, uint64_t number, const struct exit_note *note)
{
    char text[200];
    const struct trace_record record = exit_trace_note(note);
    trace_describe(&record, &vcpu_trace_names, text, sizeof(text));
    LINE("  #%llu %s", U64(number), text + strlen("exit "));
}

static unsigned lines_of(const struct exit_group *group)
{
    return group->period + (group->times > 1);
}

static void report_group(struct vcpu *vcpu, const struct exit_group *group)
{
    for (uint64_t number = group->first; number < group->first + group->period; number++)
        report_exit(vcpu, number, &vcpu->history[number % VCPU_HISTORY]);
    if (group->times > 1)
        LINE("    ... %s %u times more, whatever the values", group->period > 1 ? "those" : "that",
             group->times - 1);
}

/* As many of the newest as fit. */
static void report_exits(struct vcpu *vcpu)
{
    if (!vcpu->exit_count) {
        LINE("  vCPU %u has had no exits", vcpu->index);
        return;
    }
    struct exit_group groups[VCPU_HISTORY];
    unsigned count = exit_history_group(vcpu, groups), first = count, lines = 0;
    while (first && lines + lines_of(&groups[first - 1]) <= EXIT_LINES)
        lines += lines_of(&groups[--first]);
    uint64_t oldest = first < count ? groups[first].first : vcpu->exit_count;
    LINE("  the last %llu of %llu exits of vCPU %u, the newest last:", U64(vcpu->exit_count - oldest),
         U64(vcpu->exit_count), vcpu->index);
    for (; first < count; first++)
        report_group(vcpu, &groups[first]);
}

struct last_records {
    struct vcpu *vcpu;
    double us_per_tick;
};

/* One of the last records of a vCPU that is traced: its exits, and what was done about each. */
static void report_record(void *context, const struct trace_record *record)
{
    const struct last_records *last = context;
    struct vcpu *vcpu = last->vcpu;
    char text[200];
    int64_t ticks = (int64_t)(record->time - vcpu->left_at_ticks);
    LINE("  %+10.3f us: %s", (double)ticks * last->us_per_tick,
         trace_describe(record, &vcpu_trace_names, text, sizeof(text)));
}

void vcpu_report_last(struct vcpu *vcpu)
{
    report_exits(vcpu);
    if (!vcpu->machine->trace)
        return;
    struct last_records last = {vcpu, 1e6 / (double)trace_measure_tsc()};
    LINE("  the last records of its trace:");
    trace_visit_last(vcpu->machine->trace[vcpu->index], RECORDS_SHOWN, report_record, &last);
}

/* A shutdown leaves no registers on AMD (APM 2, 15.14.3): KVM has made new ones. */
static bool is_reset(const struct cpu_state *cpu)
{
    return cpu->rip == 0xfff0 && cpu->segments[CPU_CS].base == 0xffff0000 && !(cpu->cr0 & CR0_PE);
}

static void report_state(struct vcpu *vcpu, const struct cpu_state *cpu)
{
    report_registers(vcpu, cpu);
    report_system(vcpu, cpu);
    report_code(vcpu, cpu);
}

/* Where it is not hidden from KVM (state.h), paging of 32-bit modes is none on such a host. */
static bool lacks_paging(const struct vcpu *vcpu)
{
    const struct vcpu_machine *machine = vcpu->machine;
    return !machine->interprets_all && machine->host_interprets && machine->host_interprets();
}

void vcpu_report(struct vcpu *vcpu, enum vcpu_end end)
{
    report_reason(vcpu, end);
    struct cpu_state cpu;
    int result = vcpu_load_state(vcpu, &cpu, VCPU_REGS | VCPU_SREGS);
    if (result)
        LINE("  KVM does not give its registers: %s", strerror(-result));
    else if (end == VCPU_SHUTDOWN && is_reset(&cpu))
        LINE("  its registers are lost: this processor keeps none in a shutdown, and KVM has reset them; a "
             "trace has the rip of its exits");
    else
        report_state(vcpu, &cpu);
    if (end == VCPU_SHUTDOWN && !result && (cpu.cr0 & CR0_PE) && !cpu_is_long(&cpu) && lacks_paging(vcpu))
        LINE("  this host's KVM, without hardware virtualization, makes a triple fault of paging in other "
             "modes than "
             "long mode; with ring 0 in software it works");
    vcpu_report_last(vcpu);
}

/* A CPU that the guest has not started has nothing to say. */
static bool has_started(struct vcpu *vcpu)
{
    struct kvm_mp_state state;
    return vcpu->exit_count || ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) ||
           state.mp_state != KVM_MP_STATE_UNINITIALIZED;
}

void vcpu_report_place(struct vcpu *vcpu)
{
    struct cpu_state cpu;
    if (!has_started(vcpu))
        return;
    LINE("vCPU %u: where it was:", vcpu->index);
    if (!vcpu_load_state(vcpu, &cpu, VCPU_REGS | VCPU_SREGS)) {
        report_rip(vcpu, &cpu);
        report_code(vcpu, &cpu);
    }
    vcpu_report_last(vcpu);
}
