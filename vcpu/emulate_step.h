/* SPDX-License-Identifier: MIT
 *
 * Instructions in software over what a vCPU keeps for them (emulation.h), each with its record where the
 * thread is traced: for emulate.c, which executes one that KVM has left to us and perhaps some behind it, and
 * interpret.c, which executes them by thousands. The vCPU's own thread.
 */
#ifndef VCPU_EMULATE_STEP_H
#define VCPU_EMULATE_STEP_H

#include "base/trace.h"
#include "base/trace_ring.h"
#include "mmio/deliver.h"
#include "mmio/run.h"
#include "vcpu/emulation.h"
#include "vcpu/exit_trace.h"

static inline bool emulate_is_kicked(const struct vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_ACQUIRE);
}

/* Whether somebody wants a record of each instruction; else the quick ways are open. */
static inline bool emulate_is_traced(void)
{
    return trace_is_on() && trace_wants(TRACE_INSN);
}

/* step_insn, and its record where somebody wants it. */
static inline enum step_result emulate_full(struct emulation *emulation, const uint8_t *hint,
                                            unsigned hint_len, struct step_outcome *outcome)
{
    struct cpu_state *cpu = &emulation->cpu;
    TRACE_PROBE1(emulate_insn, cpu->rip);
    if (!emulate_is_traced())
        return step_insn(&emulation->step, cpu, hint, hint_len, outcome);
    uint64_t rip = cpu->rip, start = trace_now();
    enum step_result result = step_insn(&emulation->step, cpu, hint, hint_len, outcome);
    exit_trace_insn(cpu, rip, start, outcome);
    return result;
}

/* The same for step_run_insn. */
static inline enum step_result emulate_plain(struct emulation *emulation, const struct step_outcome *outcome)
{
    TRACE_PROBE1(emulate_insn, emulation->cpu.rip);
    if (!emulate_is_traced())
        return step_run_insn(emulation->step.run);
    uint64_t rip = emulation->cpu.rip, start = trace_now();
    enum step_result result = step_run_insn(emulation->step.run);
    if (result == STEP_DONE || result == STEP_AGAIN)
        exit_trace_insn(&emulation->cpu, rip, start, outcome);
    return result;
}

static inline enum step_result emulate_event(struct emulation *emulation, struct step_event event,
                                             struct step_outcome *outcome)
{
    enum step_result result = deliver_event(&emulation->step, &emulation->cpu, &event, outcome);
    outcome->changed_system = true;
    emulation->is_shut_down = result == STEP_EXCEPTION;
    if (emulation->is_shut_down)
        memcpy(emulation->undelivered, outcome->undelivered, sizeof(outcome->undelivered));
    return result;
}

/* One instruction and the exception that it may raise. DONE and AGAIN: the registers are where the guest goes
 * on. EXCEPTION: a triple fault. UNSUPPORTED: nothing has happened. */
static inline enum step_result emulate_insn(struct emulation *emulation, const uint8_t *hint,
                                            unsigned hint_len, struct step_outcome *outcome)
{
    emulation->is_plain = false;
    enum step_result result = emulate_full(emulation, hint, hint_len, outcome);
    if (result != STEP_EXCEPTION)
        return result;
    return emulate_event(emulation, outcome->event, outcome);
}

/* Some of them, as the budget allows. Returns how many; 0: the next is none of
 * these. */
static inline unsigned emulate_some(struct emulation *emulation, struct step_budget *budget,
                                    const struct step_outcome *outcome)
{
    if (!emulate_is_traced()) {
        unsigned count = step_run_quick(emulation->step.run, budget);
        if (count)
            return count;
    }
    enum step_result result = emulate_plain(emulation, outcome);
    if (result != STEP_DONE && result != STEP_AGAIN)
        return 0;
    bool touched = outcome->device_reads + outcome->device_writes;
    budget->left--;
    budget->window_left = touched ? budget->window : budget->window_left - 1;
    budget->accesses += touched;
    return 1;
}

#endif
