/* SPDX-License-Identifier: MIT
 *
 * Stretches of instructions in software, and the looks that KVM has in between. See interpret.h.
 *
 * An interrupt is late by a stretch at most, and longer only while IF is 0. Where one is likely to wait,
 * since the guest has written to its APIC or to a device, the stretch ends at the first instruction that an
 * interrupt may precede. Translations are kept for a stretch only, so an interrupt that flushes them is in
 * time.
 */
#include "vcpu/interpret.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "vcpu/coalesced.h"
#include "vcpu/emulate_step.h"
#include "vcpu/event.h"
#include "vcpu/exit.h"
#include "vcpu/state.h"

/* Instructions: of a stretch; of one whose end IF holds off; between two looks at the kick. */
#define STRETCH       4096u
#define STRETCH_LIMIT (8 * STRETCH)
#define CHUNK         1024u
/* How long the guest is left to KVM: at first, and where that was too short to find code for us. */
#define ALARM_MIN_NS  100000u
#define ALARM_MAX_NS  4000000u
/* How long a vCPU that waits is not looked at, where it is not left to KVM: at first, and at most. */
#define WAIT_MIN_NS   20000u
#define WAIT_MAX_NS   500000u
/* Exits until an instruction is complete. */
#define LOOKS_MAX     16u
/* Registers are wanted with every exit. */
#define SYNC_EXITS    64u

#define SIGNAL_SET_BYTES 8u /* of the kernel's sigset_t */

struct interpreter {
    timer_t timer;
    sigset_t kick, before; /* the kick signal; the thread's mask without us */
    int signal;
    bool is_signalled;        /* by ourselves, and not taken since */
    struct step_outcome left; /* the last instruction that was left to KVM, */
    uint64_t left_rip;        /* which stands here */
    bool has_stepped; /* KVM has executed an instruction, which may have been for its interrupt controllers */
    uint64_t alarm_ns;
};

enum stretch_end {
    STRETCH_LOOK,     /* goes on when KVM has had its look */
    STRETCH_NOT_OURS, /* waiting, what only KVM can do, or what is_ours leaves to it */
    STRETCH_ENDED,    /* the guest does not go on */
};

/* ---- The alarm, and the signal that it sends ---- */

static int set_signal_mask(struct vcpu *vcpu, const sigset_t *mask)
{
    struct {
        struct kvm_signal_mask head;
        uint8_t set[SIGNAL_SET_BYTES];
    } argument = {.head.len = SIGNAL_SET_BYTES};
    if (mask)
        memcpy(argument.set, mask, SIGNAL_SET_BYTES);
    return ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, mask ? &argument : NULL) ? -errno : 0;
}

/* The next KVM_RUN executes nothing. */
static void send_signal(struct interpreter *interpreter)
{
    if (!interpreter->is_signalled)
        pthread_kill(pthread_self(), interpreter->signal);
    interpreter->is_signalled = true;
}

int interpreter_begin(struct vcpu *vcpu)
{
    struct interpreter *interpreter = calloc(1, sizeof(*interpreter));
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = vcpu->machine->kick_signal,
                             ._sigev_un._tid = gettid()};
    if (!interpreter || !emulation_get(vcpu)) {
        free(interpreter);
        return -ENOMEM;
    }
    if (timer_create(CLOCK_MONOTONIC, &event, &interpreter->timer)) {
        int failure = -errno;
        free(interpreter);
        return failure;
    }
    interpreter->signal = vcpu->machine->kick_signal;
    interpreter->alarm_ns = ALARM_MIN_NS;
    sigemptyset(&interpreter->kick);
    sigaddset(&interpreter->kick, interpreter->signal);
    pthread_sigmask(SIG_BLOCK, &interpreter->kick, &interpreter->before);
    vcpu->interpreter = interpreter;
    sigset_t in_guest = interpreter->before;
    sigdelset(&in_guest, interpreter->signal);
    int result = set_signal_mask(vcpu, &in_guest);
    vcpu->ahead_wanted = true; /* from here on: behind every exit */
    if (result) {
        interpreter_end(vcpu);
        return result;
    }
    send_signal(interpreter); /* the first entry is a look */
    return 0;
}

int interpreter_end(struct vcpu *vcpu)
{
    struct interpreter *interpreter = vcpu->interpreter;
    int result = vcpu->machine->interprets_all ? emulation_store_vector(vcpu) : 0;
    vcpu->interpreter = NULL;
    vcpu->ahead_wanted = false;
    vcpu->on_exit &= ~(unsigned)VCPU_INTERPRETED;
    timer_delete(interpreter->timer);
    set_signal_mask(vcpu, NULL);
    pthread_sigmask(SIG_SETMASK, &interpreter->before, NULL);
    free(interpreter);
    return result;
}

/* A kick that is taken with the others has set immediate_exit before, which KVM_RUN and we look at. */
static void take_signals(struct interpreter *interpreter)
{
    const struct timespec at_once = {0};
    while (sigtimedwait(&interpreter->kick, NULL, &at_once) > 0)
        continue;
    interpreter->is_signalled = false;
}

/* The next KVM_RUN executes the guest, for some time. */
static void set_alarm(struct interpreter *interpreter, bool has_executed)
{
    uint64_t ns = has_executed ? ALARM_MIN_NS : 2 * interpreter->alarm_ns;
    interpreter->alarm_ns = ns < ALARM_MAX_NS ? ns : ALARM_MAX_NS;
    const struct itimerspec alarm = {.it_value.tv_nsec = (long)interpreter->alarm_ns};
    take_signals(interpreter);
    timer_settime(interpreter->timer, 0, &alarm, NULL);
}

/* As KVM_RUN, but that it executes no instruction. */
static int look(struct vcpu *vcpu)
{
    send_signal(vcpu->interpreter);
    return vcpu_enter_once(vcpu);
}

/* Until the exit is complete, which may be further exits. */
static bool complete(struct vcpu *vcpu, bool *is_between, enum vcpu_end *end)
{
    for (unsigned i = 0; !*is_between && i < LOOKS_MAX; i++) {
        int result = look(vcpu);
        *is_between = result == -EINTR || result == -EAGAIN;
        if (!*is_between && !vcpu_handle_exit(vcpu, result, end))
            return false;
    }
    return true;
}

/* ---- A stretch ---- */

static bool is_ring3(const struct cpu_state *cpu)
{
    return cpu->cpl == 3 && cpu_is_long(cpu);
}

/* Whether the page tables have something for applications: present and for users, in the lower half. */
static bool maps_users(const struct vcpu *vcpu, const struct cpu_state *cpu)
{
    const uint64_t present_for_users = 5;
    const uint8_t *root = guest_mem_ptr(vcpu->machine->memory, cpu->cr3 & 0x000ffffffffff000ull, PAGE_BYTES);
    for (unsigned i = 0; root && cpu_is_long(cpu) && i < PAGE_BYTES / 2; i += 8)
        if ((load_le64(root + i) & present_for_users) == present_for_users)
            return true;
    return false;
}

/* Shadows of page tables are made for ring 3, and KVM does not see what is written to those tables in
 * software: where it keeps some, it is over with the first application. */
static bool is_over(const struct vcpu *vcpu)
{
    return vcpu->machine->ring3_seen && __atomic_load_n(vcpu->machine->ring3_seen, __ATOMIC_ACQUIRE);
}

static void note_ring3(struct vcpu *vcpu)
{
    const struct cpu_state *cpu = &vcpu->emulation->cpu;
    bool *seen = vcpu->machine->ring3_seen;
    if (!seen || is_over(vcpu) || !(is_ring3(cpu) || maps_users(vcpu, cpu)))
        return;
    __atomic_store_n(seen, true, __ATOMIC_RELEASE);
    log_line(
        vcpu->machine->log, VMM_LOG_INFO,
        "vCPU %u: the guest has applications: from here on ring 0 is KVM's, which keeps shadows of their "
        "page tables",
        vcpu->index);
}

/* No exception or breakpoint of a debugger may come behind an instruction. */
static bool is_unobserved(const struct cpu_state *cpu)
{
    return !(cpu->rflags & (FLAG_TF | FLAG_VIP)) && !(cpu->dr7 & DR7_ACTIVE);
}

static bool is_ours(const struct vcpu *vcpu, const struct cpu_state *cpu)
{
    return !cpu->halted && (vcpu->machine->interprets_all || (!is_ring3(cpu) && is_unobserved(cpu)));
}

/* An instruction that is not plain, or whose exception is to be delivered. */
static enum step_result execute_in_full(struct vcpu *vcpu, struct step_outcome *done)
{
    struct emulation *emulation = vcpu->emulation;
    struct step_outcome outcome;
    outcome.kernel_len = 0;
    enum step_result result = emulate_insn(emulation, NULL, 0, &outcome);
    if (result == STEP_UNSUPPORTED) {
        vcpu->interpreter->left = outcome;
        vcpu->interpreter->left_rip = emulation->cpu.rip;
    }
    bool has_changed = outcome.changed_system | done->changed_system;
    bool has_touched = outcome.device_reads | outcome.device_writes;
    step_run_begin(emulation->step.run, &emulation->step, &emulation->cpu, done);
    done->changed_system = has_changed;
    emulation->apic_written |= has_touched;
    return result;
}

/* Some instructions, into *count; *changed_system as of struct step_outcome. */
static enum step_result execute_some(struct vcpu *vcpu, struct step_budget *budget, struct step_outcome *done,
                                     bool *changed_system)
{
    struct emulation *emulation = vcpu->emulation;
    enum step_result result = STEP_DONE;
    unsigned before = budget->left;
    if (!is_unobserved(&emulation->cpu) || !emulate_some(emulation, budget, done)) {
        result = execute_in_full(vcpu, done);
        budget->left = before - 1;
    }
    *changed_system |= done->changed_system;
    emulation->apic_written |= budget->accesses;
    return result;
}

/* The end of the stretch: an interrupt, if one is waiting, comes before the next instruction. */
static bool is_time_to_look(const struct emulation *emulation, unsigned executed)
{
    const struct cpu_state *cpu = &emulation->cpu;
    bool is_wanted = executed >= STRETCH || emulation->apic_written;
    bool is_open = (cpu->rflags & FLAG_IF) && !cpu->interrupt_shadow;
    return emulation->entry_due || (is_wanted && is_open) || executed >= STRETCH_LIMIT;
}

/* From the CPU as it is on. */
static enum stretch_end execute(struct vcpu *vcpu, bool *changed_system, enum vcpu_end *end)
{
    struct emulation *emulation = vcpu->emulation;
    struct cpu_state *cpu = &emulation->cpu;
    struct step_outcome done;
    unsigned executed = 0;
    step_run_begin(emulation->step.run, &emulation->step, cpu, &done);
    while (is_ours(vcpu, cpu) && !emulate_is_kicked(vcpu) && !is_over(vcpu)) {
        if (is_time_to_look(emulation, executed))
            return STRETCH_LOOK;
        unsigned limit = cpu->interrupt_shadow ? 1 : CHUNK;
        struct step_budget budget = {
            .left = limit, .window_left = limit, .window = limit, .stop = &vcpu->run->immediate_exit};
        enum step_result result = execute_some(vcpu, &budget, &done, changed_system);
        if (result == STEP_UNSUPPORTED)
            return STRETCH_NOT_OURS;
        executed += limit - budget.left;
        vcpu->emulated_count += limit - budget.left;
        if (result == STEP_EXCEPTION) {
            *end = VCPU_SHUTDOWN;
            return STRETCH_ENDED;
        }
    }
    return STRETCH_NOT_OURS;
}

/* Asked for its state, KVM takes an INIT or a start-up interrupt that has come meanwhile: then the registers
 * are not those of the exit any more. */
static bool is_running(struct vcpu *vcpu)
{
    struct kvm_mp_state state;
    struct kvm_regs regs;
    if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) || state.mp_state != KVM_MP_STATE_RUNNABLE)
        return false;
    bool is_known = vcpu->synced_fields & KVM_SYNC_X86_REGS;
    return !is_known || vcpu->run->kvm_dirty_regs ||
           (!ioctl(vcpu->fd, KVM_GET_REGS, &regs) && regs.rip == vcpu->run->s.regs.regs.rip);
}

static enum stretch_end fail(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    vcpu->error = -result;
    *end = VCPU_HOST_FAILED;
    return STRETCH_ENDED;
}

/* The event that KVM has in hand, and what is behind it. */
static enum stretch_end deliver_and_execute(struct vcpu *vcpu, bool *has_executed, bool *changed_system,
                                            enum vcpu_end *end)
{
    struct step_outcome outcome;
    uint64_t before = vcpu->emulated_count;
    enum step_result result = STEP_DONE;
    if (event_is_in_hand(&vcpu->run->s.regs.events)) {
        result = emulation_deliver(vcpu, &outcome);
        *changed_system = *has_executed = result != STEP_UNSUPPORTED;
    }
    if (result == STEP_UNSUPPORTED)
        return STRETCH_NOT_OURS;
    if (result == STEP_EXCEPTION) {
        *end = VCPU_SHUTDOWN;
        return STRETCH_ENDED;
    }
    enum stretch_end why = execute(vcpu, changed_system, end);
    *has_executed |= vcpu->emulated_count != before;
    return why;
}

/* KVM stands between two instructions. */
static enum stretch_end run_stretch(struct vcpu *vcpu, bool *has_executed, enum vcpu_end *end)
{
    struct emulation *emulation = vcpu->emulation;
    bool was_executed = false, changed_system = false;
    if (vcpu->machine->coalesced)
        coalesced_drain(vcpu->machine->coalesced);
    if (!is_running(vcpu))
        return STRETCH_NOT_OURS;
    if (!vcpu->machine->interprets_all)
        emulation->debug.refresh_in = 0; /* a stretch is many instructions, and KVM executed some before it */
    int failure = emulation_load(vcpu);
    if (failure)
        return fail(vcpu, failure, end);
    note_ring3(vcpu);
    if (event_is_pending(&vcpu->run->s.regs.events) || is_over(vcpu))
        return STRETCH_NOT_OURS;
    emulation->entry_due = false;
    emulation->apic_written = vcpu->interpreter->has_stepped;
    vcpu->interpreter->has_stepped = false;
    enum stretch_end why = deliver_and_execute(vcpu, &was_executed, &changed_system, end);
    if (!was_executed)
        return why;
    *has_executed = true;
    note_ring3(vcpu);
    failure = emulation_store(vcpu, changed_system);
    if (failure)
        return fail(vcpu, failure, end);
    if (emulation->cpu.halted && !emulation_halt(vcpu, end))
        return STRETCH_ENDED;
    return why;
}

/* Stretches, and a look before each, as long as the code is ours. */
static enum stretch_end run_stretches(struct vcpu *vcpu, bool is_between, bool *has_executed,
                                      enum vcpu_end *end)
{
    enum stretch_end why = STRETCH_LOOK;
    while (why == STRETCH_LOOK && !emulate_is_kicked(vcpu)) {
        if (vcpu->sync_exits < SYNC_EXITS / 2)
            vcpu_sync_registers(vcpu, SYNC_EXITS);
        if (!complete(vcpu, &is_between, end))
            return STRETCH_ENDED;
        why = is_between ? run_stretch(vcpu, has_executed, end) : STRETCH_NOT_OURS;
        is_between = false;
    }
    return why;
}

/* ---- Where KVM is to execute no code but what only it can ---- */

static bool is_awake(const struct vcpu *vcpu)
{
    struct kvm_mp_state state;
    return !ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) && state.mp_state == KVM_MP_STATE_RUNNABLE;
}

/* Halted, or waiting for its start-up: KVM would go on with the guest as soon as that has come. A kick ends
 * it, which sets immediate_exit before its signal. */
static bool wait_until_awake(struct vcpu *vcpu, enum vcpu_end *end)
{
    struct interpreter *interpreter = vcpu->interpreter;
    struct timespec wait = {.tv_nsec = WAIT_MIN_NS};
    for (;;) {
        int result = look(vcpu);
        if (result != -EINTR && result != -EAGAIN)
            return vcpu_handle_exit(vcpu, result, end);
        take_signals(interpreter);
        if (emulate_is_kicked(vcpu) || is_awake(vcpu))
            return true;
        sigtimedwait(&interpreter->kick, NULL, &wait);
        wait.tv_nsec = 2 * wait.tv_nsec < WAIT_MAX_NS ? 2 * wait.tv_nsec : WAIT_MAX_NS;
    }
}

static int set_stepping(struct vcpu *vcpu, bool is_on)
{
    struct kvm_guest_debug debug = {0};
    if (is_on)
        debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
    return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) ? -errno : 0;
}

/* Whether its only memory operand is one by ModRM or a plain address, and no stack or string. */
static bool has_one_address(const struct emulation *emulation, const struct step_outcome *left)
{
    const struct cpu_segment *cs = &emulation->cpu.segments[CPU_CS];
    struct insn insn;
    struct insn_mode mode = {.bits = cs->attributes & SEGMENT_DB ? 32 : 16};
    if (insn_decode(left->bytes, left->byte_count, mode, &insn) != INSN_OK)
        return false;
    unsigned addresses = 0;
    for (unsigned i = 0; i < insn.operand_count; i++) {
        struct insn_memory memory;
        if (insn_memory(&insn, &insn.operands[i], &memory))
            addresses += memory.kind == INSN_MEMORY_IMPLICIT ? 2 : 1;
    }
    return addresses == 1;
}

/* Where the instruction is physically: in one piece, and below 4 GiB. */
static bool find_code(const struct vcpu *vcpu, gva_t linear, unsigned len, gpa_t *gpa)
{
    const struct cpu_state *cpu = &vcpu->emulation->cpu;
    gpa_t last;
    return len && vcpu_translate(vcpu, cpu, linear, gpa) &&
           vcpu_translate(vcpu, cpu, (uint32_t)(linear + len - 1), &last) && last == *gpa + len - 1 &&
           !(last >> 32);
}

/* Where paging is hidden from KVM, it takes an address for a physical one. So the base of the code segment,
 * and of the segment by which a device inside the kernel is addressed, are moved for one instruction: from
 * where it and the device are to where they are physically. False: more would have to be moved. */
static bool place_insn(struct vcpu *vcpu, struct kvm_sregs *placed)
{
    const struct step_outcome *left = &vcpu->interpreter->left;
    const struct cpu_state *cpu = &vcpu->emulation->cpu;
    gva_t linear = (uint32_t)(cpu->segments[CPU_CS].base + cpu->rip);
    gpa_t code;
    if (vcpu->interpreter->left_rip != cpu->rip || !find_code(vcpu, linear, left->byte_count, &code))
        return false;
    *placed = vcpu->run->s.regs.sregs;
    placed->cs.base = (uint32_t)(placed->cs.base + code - linear);
    if (!left->kernel_len)
        return true;
    if (left->kernel_segment == CPU_CS || left->kernel_gpa >> 32 || !has_one_address(vcpu->emulation, left))
        return false;
    struct kvm_segment *segment = vcpu_kvm_segment(placed, left->kernel_segment);
    segment->base = (uint32_t)(segment->base + left->kernel_gpa - left->kernel_gva);
    return true;
}

/* One instruction; KVM has the registers, by whose rip it knows where to stop. */
static int enter_stepping(struct vcpu *vcpu)
{
    int result = set_stepping(vcpu, true);
    if (result)
        return result;
    take_signals(vcpu->interpreter);
    vcpu->interpreter->has_stepped = true;
    result = vcpu_enter_once(vcpu);
    set_stepping(vcpu, false);
    return result;
}

/* The same where paging is hidden. Behind it the bases in the shared page are those from before. */
static int enter_placed(struct vcpu *vcpu)
{
    struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs, before, placed;
    /* KVM adds to this what it has in hand and takes nothing away; written back it would be in hand again */
    memset(sregs->interrupt_bitmap, 0, sizeof(sregs->interrupt_bitmap));
    before = *sregs;
    if (!place_insn(vcpu, &placed))
        return -EOPNOTSUPP;
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &placed))
        return -errno;
    int result = enter_stepping(vcpu);
    for (enum cpu_segment_name name = 0; name < CPU_SEGMENT_COUNT; name++)
        vcpu_kvm_segment(sregs, name)->base = vcpu_kvm_segment(&before, name)->base;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
    return result;
}

/* An instruction for KVM, unless the look before it has brought an event that was not there before. */
static bool step_in_kvm(struct vcpu *vcpu, enum vcpu_end *end)
{
    const struct kvm_vcpu_events *events = &vcpu->run->s.regs.events;
    bool had_event = event_is_in_hand(events);
    int result = look(vcpu);
    if (result != -EINTR && result != -EAGAIN)
        return vcpu_handle_exit(vcpu, result, end);
    if (event_is_in_hand(events) && !had_event)
        return true;
    result = vcpu->hides_paging ? enter_placed(vcpu) : enter_stepping(vcpu);
    if (result == -EOPNOTSUPP) {
        vcpu->unsupported = "what only KVM executes, where paging that it does not know scatters it";
        *end = VCPU_NOT_EXECUTED;
        return false;
    }
    return result == -EINTR || result == -EAGAIN || vcpu_handle_exit(vcpu, result, end);
}

static bool interpret_all(struct vcpu *vcpu, bool is_between, enum vcpu_end *end)
{
    bool has_executed = false; /* which no alarm asks for here */
    for (;;) {
        if (run_stretches(vcpu, is_between, &has_executed, end) == STRETCH_ENDED)
            return false;
        if (emulate_is_kicked(vcpu))
            return true;
        if (!(is_awake(vcpu) ? step_in_kvm(vcpu, end) : wait_until_awake(vcpu, end)))
            return false;
        is_between = false;
    }
}

bool vcpu_interpret(struct vcpu *vcpu, bool is_between, enum vcpu_end *end)
{
    bool has_executed = false;
    if (vcpu->machine->interprets_all)
        return interpret_all(vcpu, is_between, end);
    if (run_stretches(vcpu, is_between, &has_executed, end) == STRETCH_ENDED)
        return false;
    if (is_over(vcpu))
        interpreter_end(vcpu);
    else
        set_alarm(vcpu->interpreter, has_executed);
    return true;
}
