/* SPDX-License-Identifier: MIT
 *
 * Executing guest instructions in software: registers out of KVM, step_insn, registers back into KVM, and
 * delivery of the exceptions that come of it.
 *
 * The registers come with the exit through the shared page while instructions are being emulated, so that a
 * violation costs no system call but KVM_RUN. Debug registers and vector state are not among them: the former
 * are read now and then and when an instruction depends on them, the latter when one wants them.
 */
#include "vcpu/emulate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vcpu/emulate_step.h"
#include "vcpu/event.h"
#include "vcpu/exit.h"
#include "vcpu/interpret.h"
#include "vcpu/state.h"

/* How many exits after an emulated instruction registers are still asked for in advance: at least a half. */
#define SYNC_EXITS    64
/* Debug registers are looked at again after so many emulated instructions, unless they are in use. */
#define DEBUG_REFRESH 256

/* ---- Registers in and out ---- */

static int load_registers(struct vcpu *vcpu, struct emulation *emulation)
{
    struct cpu_debug *debug = &emulation->debug;
    struct cpu_state *cpu = &emulation->cpu;
    bool refresh = !debug->refresh_in;
    int result = vcpu_reload_state(vcpu, cpu, &emulation->loaded);
    if (!result && refresh)
        result = vcpu_load_debug(vcpu, cpu);
    if (result)
        return result;
    debug->is_current = refresh;
    if (refresh) { /* else cpu has them from the last time */
        emulation_note_debug(emulation);
        debug->refresh_in = cpu->dr7 & DR7_ACTIVE ? 0 : DEBUG_REFRESH;
    } else {
        debug->refresh_in--;
    }
    emulation->tlb_stale = emulation->event_taken = false;
    emulation->is_plain = !cpu->interrupt_shadow;
    return 0;
}

static int store_vector(struct vcpu *vcpu, struct cpu_state *cpu)
{
    if (!cpu->vector.loaded || !cpu->vector.changed)
        return 0;
    return ioctl(vcpu->fd, KVM_SET_XSAVE, cpu->vector.xsave) ? -errno : 0;
}

__attribute__((noinline)) static int store_all(struct vcpu *vcpu, struct emulation *emulation,
                                               bool changed_system)
{
    struct cpu_state *cpu = &emulation->cpu;
    const struct cpu_debug *debug = &emulation->debug;
    const struct kvm_vcpu_events *events = &vcpu->run->s.regs.events;
    unsigned parts = VCPU_REGS;
    if (changed_system || emulation->tlb_stale) {
        /* Perhaps by a software interrupt that KVM has in hand, too: it does not say so, but forgets it when
         * events are written. */
        parts |= VCPU_SREGS | VCPU_EVENTS;
        emulation->loaded.efer = SREGS_UNKNOWN;
    }
    if (emulation->event_taken || cpu->interrupt_shadow != events->interrupt.shadow ||
        cpu->nmi_masked != events->nmi.masked)
        parts |= VCPU_EVENTS;
    bool changed_debug = cpu->dr6 != debug->dr6 || cpu->dr7 != debug->dr7 ||
                         memcmp(cpu->dr, debug->dr, sizeof(debug->dr)) != 0;
    if (changed_debug) {
        parts |= VCPU_DEBUG;
        emulation->debug.refresh_in = 0;
    }
    int result = emulation->tlb_stale ? vcpu_flush_tlb(vcpu, cpu) : 0;
    if (!result)
        result = vcpu_store_state(vcpu, cpu, parts);
    return result || vcpu->machine->interprets_all ? result : store_vector(vcpu, cpu);
}

static inline int store_registers(struct vcpu *vcpu, struct emulation *emulation, bool changed_system)
{
    if (__builtin_expect(emulation->is_plain && !emulation->cpu.vector.loaded, 1))
        return vcpu_store_regs(vcpu, &emulation->cpu);
    return store_all(vcpu, emulation, changed_system);
}

int emulation_load(struct vcpu *vcpu)
{
    return load_registers(vcpu, vcpu->emulation);
}

int emulation_store_vector(struct vcpu *vcpu)
{
    struct cpu_state *cpu = &vcpu->emulation->cpu;
    int result = store_vector(vcpu, cpu);
    cpu->vector = (struct cpu_vector){.loaded = false};
    return result;
}

int emulation_store(struct vcpu *vcpu, bool changed_system)
{
    return store_registers(vcpu, vcpu->emulation, changed_system);
}

/* ---- Execution ---- */

/* One plain instruction of the run that has begun. */
static enum step_result run_one(struct vcpu *vcpu, struct emulation *emulation,
                                const struct step_outcome *outcome)
{
    struct step_budget budget = {
        .left = 1, .window_left = 1, .window = 1, .stop = &vcpu->run->immediate_exit};
    if (!emulate_is_traced() && step_run_quick(emulation->step.run, &budget))
        return STEP_DONE;
    return emulate_plain(emulation, outcome);
}

/* As emulate_insn: in a run where the instruction is a plain one, which is the short way. */
static enum step_result execute_first(struct vcpu *vcpu, struct emulation *emulation, const uint8_t *hint,
                                      unsigned hint_len, struct step_outcome *outcome)
{
    if (!hint_len && !emulation->step.replay && run_ahead_may(&emulation->cpu)) {
        step_run_begin(emulation->step.run, &emulation->step, &emulation->cpu, outcome);
        enum step_result result = run_one(vcpu, emulation, outcome);
        if (result == STEP_DONE || result == STEP_AGAIN)
            return result;
    }
    return emulate_insn(emulation, hint, hint_len, outcome);
}

/* Goes on in software while that saves exits. */
static void run_plain(struct vcpu *vcpu, struct emulation *emulation, struct step_outcome *outcome)
{
    struct step_budget *budget = &emulation->run_ahead.budget;
    struct step_outcome done;
    step_run_begin(emulation->step.run, &emulation->step, &emulation->cpu, &done);
    while (budget->left && budget->window_left && !emulate_is_kicked(vcpu)) {
        unsigned count = emulate_some(emulation, budget, &done);
        if (!count)
            break;
        outcome->changed_system |= done.changed_system;
        vcpu->emulated_count += count;
    }
    run_ahead_end(&emulation->run_ahead);
}

/* Behind the first instruction, which touched a device. */
static enum step_result execute_ahead(struct vcpu *vcpu, struct emulation *emulation,
                                      struct step_outcome *outcome)
{
    if (vcpu->machine->run_ahead && run_ahead_may(&emulation->cpu) &&
        run_ahead_begin(&emulation->run_ahead, emulation->cpu.rip, &vcpu->run->immediate_exit))
        run_plain(vcpu, emulation, outcome);
    return STEP_DONE;
}

bool emulation_halt(struct vcpu *vcpu, enum vcpu_end *end)
{
    struct kvm_mp_state state = {.mp_state = KVM_MP_STATE_HALTED};
    if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &state) == 0)
        return true;
    *end = VCPU_HALTED;
    return false;
}

static bool fail(struct vcpu *vcpu, int result, enum vcpu_end *end)
{
    vcpu->error = -result;
    *end = VCPU_HOST_FAILED;
    return false;
}

static enum step_result execute_all(struct vcpu *vcpu, const uint8_t *hint, unsigned hint_len,
                                    struct step_outcome *outcome)
{
    struct emulation *emulation = vcpu->emulation;
    const struct noted_reads *noted = &emulation->noted;
    if (noted->exit + 1 == vcpu->exit_count && noted->rip == emulation->cpu.rip)
        emulation->step.replay = &emulation->noted.replay;
    enum step_result result = execute_first(vcpu, emulation, hint, hint_len, outcome);
    emulation->step.replay = NULL;
    bool changed_system = outcome->changed_system;
    vcpu->emulated_count++;
    while (result == STEP_AGAIN && !emulate_is_kicked(vcpu)) {
        result = emulate_insn(emulation, NULL, 0, outcome);
        changed_system |= outcome->changed_system;
    }
    outcome->changed_system |= changed_system;
    if (result == STEP_DONE && outcome->device_reads + outcome->device_writes)
        result = execute_ahead(vcpu, emulation, outcome);
    return result;
}

struct emulation *emulation_get(struct vcpu *vcpu)
{
    if (!vcpu->emulation)
        vcpu->emulation = emulation_create(vcpu);
    return vcpu->emulation;
}

void vcpu_note_read(struct vcpu *vcpu, gpa_t gpa, unsigned size, uint64_t value)
{
    struct emulation *emulation = emulation_get(vcpu);
    struct kvm_regs regs;
    if (!emulation || ioctl(vcpu->fd, KVM_GET_REGS, &regs))
        return;
    struct noted_reads *noted = &emulation->noted;
    struct step_replay *replay = &noted->replay;
    if (noted->rip != regs.rip || noted->exit + 1 != vcpu->exit_count)
        replay->count = 0;
    noted->rip = regs.rip;
    noted->exit = vcpu->exit_count;
    if (replay->count < STEP_REPLAY_MAX)
        replay->reads[replay->count++] = (struct step_replayed_read){
            .gpa = gpa, .size = (uint8_t)size, .value = value};
}

/* An access may be several exits, and end in another that is none of ours. */
#define COMPLETIONS_MAX 8

/* True: the instruction of the last exit is complete, and so are the registers. */
static bool complete_access(struct vcpu *vcpu, bool *goes_on, enum vcpu_end *end)
{
    for (unsigned i = 0; i < COMPLETIONS_MAX; i++) {
        int result = vcpu_complete_io(vcpu);
        if (result == -EINTR)
            return true;
        *goes_on = vcpu_handle_exit(vcpu, result, end);
        if (!*goes_on)
            return false;
    }
    return false;
}

bool vcpu_emulate_ahead(struct vcpu *vcpu, enum vcpu_end *end)
{
    if (vcpu->interpreter)
        return vcpu_interpret(vcpu, false, end);
    struct emulation *emulation = emulation_get(vcpu);
    bool has_rip = vcpu->synced_fields & KVM_SYNC_X86_REGS, goes_on = true;
    struct step_outcome outcome;
    outcome.changed_system = false; /* all that run_plain adds to */
    vcpu->ahead_wanted = false;
    vcpu_sync_registers(vcpu, SYNC_EXITS);
    /* without the rip of the access, which the next exits bring, what was learned cannot be asked */
    if (!emulation || !has_rip ||
        !run_ahead_begin(&emulation->run_ahead, vcpu->run->s.regs.regs.rip, &vcpu->run->immediate_exit))
        return true;
    bool is_complete = complete_access(vcpu, &goes_on, end);
    vcpu->ahead_wanted = false;
    if (!is_complete) {
        run_ahead_end(&emulation->run_ahead);
        return goes_on;
    }
    int failure = load_registers(vcpu, emulation);
    if (failure)
        return fail(vcpu, failure, end);
    if (event_is_in_hand(&vcpu->run->s.regs.events) || event_is_pending(&vcpu->run->s.regs.events) ||
        !run_ahead_may(&emulation->cpu))
        return true;
    run_plain(vcpu, emulation, &outcome);
    failure = store_registers(vcpu, emulation, outcome.changed_system);
    return failure ? fail(vcpu, failure, end) : true;
}

__attribute__((noinline)) enum step_result emulation_deliver(struct vcpu *vcpu, struct step_outcome *outcome)
{
    struct emulation *emulation = vcpu->emulation;
    struct kvm_vcpu_events *events = &vcpu->run->s.regs.events;
    struct step_event event;
    emulation->event_taken = true;
    emulation->is_plain = false;
    emulation_load_debug(vcpu, &emulation->cpu);
    return event_take(events, &emulation->cpu, &event) ? emulate_event(emulation, event, outcome)
                                                       : emulate_insn(emulation, NULL, 0, outcome);
}

/* An older KVM has raised #UD for the instruction that it gave up on; the instruction is executed instead. */
static void take_back_ud(struct vcpu *vcpu, struct emulation *emulation)
{
    struct kvm_vcpu_events *events = &vcpu->run->s.regs.events;
    if (events->exception.nr != VECTOR_UD || !(events->exception.injected | events->exception.pending))
        return;
    events->exception.injected = events->exception.pending = 0;
    emulation->event_taken = true;
    emulation->is_plain = false;
}

bool vcpu_emulate(struct vcpu *vcpu, const uint8_t *hint, unsigned hint_len, enum vcpu_end *end)
{
    struct step_outcome outcome;
    struct emulation *emulation = emulation_get(vcpu);
    int failure = emulation ? load_registers(vcpu, emulation) : -ENOMEM;
    if (failure)
        return fail(vcpu, failure, end);
    if (hint && vcpu->machine->queues_ud)
        take_back_ud(vcpu, emulation);
    bool is_delivery = event_is_in_hand(&vcpu->run->s.regs.events);
    switch (is_delivery ? emulation_deliver(vcpu, &outcome) : execute_all(vcpu, hint, hint_len, &outcome)) {
    case STEP_DONE:
    case STEP_AGAIN:
        failure = store_registers(vcpu, emulation, outcome.changed_system);
        if (failure)
            return fail(vcpu, failure, end);
        if (vcpu->sync_exits < SYNC_EXITS / 2)
            vcpu_sync_registers(vcpu, SYNC_EXITS);
        return !emulation->cpu.halted || emulation_halt(vcpu, end);
    case STEP_EXCEPTION:
        store_registers(vcpu, emulation, true);
        *end = VCPU_SHUTDOWN;
        return false;
    case STEP_UNSUPPORTED:
        vcpu->unsupported = outcome.reason;
        *end = VCPU_NOT_EXECUTED;
        return false;
    }
    return false;
}
