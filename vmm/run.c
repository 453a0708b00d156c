/* SPDX-License-Identifier: MIT
 *
 * Run control: the vCPU threads, and stopping and pausing them from outside.
 *
 * A vCPU thread asks run_enter before every stay in the guest, and is parked there while the machine is
 * paused. Whoever changes the state kicks every vCPU afterwards; a vCPU takes its kick back before it looks
 * at the state, so that no change is lost.
 */
#include <signal.h>
#include <stdlib.h>

#include "base/trace_ring.h"
#include "vcpu/report.h"
#include "vmm/machine.h"

/* With run.lock held. */
static void kick_all(struct vmm *machine)
{
    for (unsigned i = 0; machine->run.ready && i < machine->config.cpu_count; i++) {
        if (!machine->cpus[i].has_thread)
            continue;
        vcpu_kick(machine->cpus[i].vcpu);
        if (!pthread_equal(machine->cpus[i].thread, pthread_self()))
            pthread_kill(machine->cpus[i].thread, machine->config.kick_signal);
    }
}

/* The vCPU whose thread this is; 0 for a thread that is none. With run.lock held. */
static unsigned current_cpu(const struct vmm *machine)
{
    for (unsigned i = 0; machine->run.ready && i < machine->config.cpu_count; i++)
        if (machine->cpus[i].has_thread && pthread_equal(machine->cpus[i].thread, pthread_self()))
            return i;
    return 0;
}

static void end_locked(struct vmm *machine, enum vmm_end_reason reason, uint32_t value)
{
    struct run_control *run = &machine->run;
    if (run->ended)
        return;
    run->ended = true;
    run->end = (struct vmm_end){.reason = reason, .value = value, .cpu = current_cpu(machine)};
    kick_all(machine);
    pthread_cond_broadcast(&run->changed);
}

void machine_end(struct vmm *machine, enum vmm_end_reason reason, uint32_t value)
{
    pthread_mutex_lock(&machine->run.lock);
    end_locked(machine, reason, value);
    pthread_mutex_unlock(&machine->run.lock);
}

/* Ends the run as a failure of the host, met by the vCPU `cpu`. */
static void machine_fail(struct vmm *machine, unsigned cpu, int code, const char *what)
{
    struct run_control *run = &machine->run;
    pthread_mutex_lock(&run->lock);
    if (!run->ended)
        run->failure = error_set_errno(&run->error, code, "vCPU %u: %s", cpu, what);
    end_locked(machine, VMM_END_STOPPED, 0);
    pthread_mutex_unlock(&run->lock);
}

/* What the guest has written without an exit is told to its devices. While every vCPU is out. */
static void settle(struct vmm *machine)
{
    pthread_mutex_lock(&machine->run.settle_lock);
    coalesced_drain(&machine->coalesced);
    machine_report_dirty(machine);
    pthread_mutex_unlock(&machine->run.settle_lock);
}

void vmm_stop(struct vmm *machine)
{
    machine_end(machine, VMM_END_STOPPED, 0);
}

void vmm_pause(struct vmm *machine)
{
    struct run_control *run = &machine->run;
    pthread_mutex_lock(&run->lock);
    run->paused = true;
    kick_all(machine);
    while (run->executing && run->paused)
        pthread_cond_wait(&run->changed, &run->lock);
    bool is_still = run->ready && run->paused;
    pthread_mutex_unlock(&run->lock);
    if (is_still)
        settle(machine);
}

void vmm_resume(struct vmm *machine)
{
    pthread_mutex_lock(&machine->run.lock);
    machine->run.paused = false;
    pthread_cond_broadcast(&machine->run.changed);
    pthread_mutex_unlock(&machine->run.lock);
}

/* Waits while the machine is paused. Whether the vCPU may go into the guest: false at the end of the run. */
static bool run_enter(struct run_control *run)
{
    pthread_mutex_lock(&run->lock);
    while (run->paused && !run->ended)
        pthread_cond_wait(&run->changed, &run->lock);
    bool may_enter = !run->ended;
    run->executing += may_enter;
    pthread_mutex_unlock(&run->lock);
    return may_enter;
}

static void run_leave(struct run_control *run)
{
    pthread_mutex_lock(&run->lock);
    run->executing--;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* The death of a vCPU, unless the run has ended meanwhile: then nobody wants to read of it. */
static void report_and_end(struct machine_cpu *cpu, enum vcpu_end end, enum vmm_end_reason reason)
{
    struct run_control *run = &cpu->machine->run;
    pthread_mutex_lock(&run->report_lock);
    pthread_mutex_lock(&run->lock);
    bool ended = run->ended;
    pthread_mutex_unlock(&run->lock);
    if (!ended) {
        machine_flush_output(cpu->machine);
        vcpu_report(cpu->vcpu, end);
    }
    if (!ended && end == VCPU_HOST_FAILED)
        machine_fail(cpu->machine, cpu->vcpu->index, -cpu->vcpu->error, "KVM_RUN");
    else
        machine_end(cpu->machine, reason, 0);
    pthread_mutex_unlock(&run->report_lock);
}

/* The ends that come with a report. */
static bool is_death(enum vmm_end_reason reason)
{
    return reason == VMM_END_HALTED || reason == VMM_END_TRIPLE_FAULT || reason == VMM_END_NOT_EXECUTED;
}

/* A vCPU has come back for good. */
static void handle_end(struct machine_cpu *cpu, enum vcpu_end end)
{
    struct vmm *machine = cpu->machine;
    switch (end) {
    case VCPU_KICKED:
        return;
    case VCPU_POWER_OFF:
        machine_end(machine, VMM_END_POWER_OFF, 0);
        return;
    case VCPU_RESET:
        machine_end(machine, VMM_END_RESET, 0);
        return;
    case VCPU_HALTED:
        report_and_end(cpu, end, VMM_END_HALTED);
        return;
    case VCPU_SHUTDOWN:
        if (machine->config.triple_fault_resets)
            machine_end(machine, VMM_END_RESET, 0);
        else
            report_and_end(cpu, end, VMM_END_TRIPLE_FAULT);
        return;
    case VCPU_CRASHED:
    case VCPU_NOT_EXECUTED:
        report_and_end(cpu, end, VMM_END_NOT_EXECUTED);
        return;
    case VCPU_HOST_FAILED:
        report_and_end(cpu, end, VMM_END_STOPPED);
    }
}

static void *cpu_main(void *argument)
{
    struct machine_cpu *cpu = argument;
    struct run_control *run = &cpu->machine->run;
    struct trace_thread *trace = trace_attach(machine_cpu_trace(cpu->machine, cpu->vcpu->index));
    int result = cpu->vcpu->index ? 0 : machine_start_state(cpu->machine, cpu->vcpu);
    if (result)
        machine_fail(cpu->machine, cpu->vcpu->index, result, "cannot set its registers");
    if (!cpu->vcpu->index)
        machine_mark(cpu->machine, VMM_MARK_ENTRY);
    while (run_enter(run)) {
        enum vcpu_end end = vcpu_run(cpu->vcpu);
        handle_end(cpu, end);
        vcpu_clear_kick(cpu->vcpu);
        run_leave(run);
    }
    trace_attach(trace);
    return NULL;
}

/* The thread of a vCPU takes the kick signal, and no other but on the caller's own thread. */
static int start_thread(struct machine_cpu *cpu)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, cpu->machine->config.kick_signal);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&cpu->machine->run.lock);
    int result = pthread_create(&cpu->thread, NULL, cpu_main, cpu);
    cpu->has_thread = !result;
    pthread_mutex_unlock(&cpu->machine->run.lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -result;
}

/* The caller of vmm_run is the first vCPU's thread: another one, and its wake-ups, would be a tenth of the
 * whole time of a small guest. */
static void run_first_cpu(struct machine_cpu *cpu)
{
    struct run_control *run = &cpu->machine->run;
    sigset_t kick, before;
    sigemptyset(&kick);
    sigaddset(&kick, cpu->machine->config.kick_signal);
    pthread_sigmask(SIG_UNBLOCK, &kick, &before);
    pthread_mutex_lock(&run->lock);
    cpu->thread = pthread_self();
    cpu->has_thread = true;
    pthread_mutex_unlock(&run->lock);
    cpu_main(cpu);
    pthread_mutex_lock(&run->lock);
    cpu->has_thread = false;
    pthread_mutex_unlock(&run->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_timeout(void *owner)
{
    machine_end(owner, VMM_END_TIMEOUT, 0);
}

/* More than three centuries are for ever. */
#define TIMEOUT_LIMIT_MS 10000000000000u

static int start_timeout(struct vmm *machine, struct event_timer *timeout, struct vmm_error *error)
{
    uint64_t ms = machine->config.timeout_ms;
    if (!ms || ms >= TIMEOUT_LIMIT_MS)
        return 0;
    int result = event_timer_set(timeout, ms * 1000000);
    return result ? error_set_errno(error, result, "machine: cannot start the timeout") : 0;
}

static void join_cpus(struct vmm *machine)
{
    for (unsigned i = 1; i < machine->config.cpu_count; i++) {
        if (!machine->cpus[i].has_thread)
            continue;
        pthread_join(machine->cpus[i].thread, NULL);
        pthread_mutex_lock(&machine->run.lock);
        machine->cpus[i].has_thread = false;
        pthread_mutex_unlock(&machine->run.lock);
    }
}

/* All vCPUs, from their start to their end. */
static void run_cpus(struct vmm *machine)
{
    for (unsigned i = 1; i < machine->config.cpu_count; i++) {
        int result = start_thread(&machine->cpus[i]);
        if (result)
            machine_fail(machine, i, result, "cannot start its thread");
    }
    run_first_cpu(&machine->cpus[0]);
    join_cpus(machine);
}

/* What is made only now, because the image has a say in it. */
static int prepare(struct vmm *machine, struct vmm_error *error)
{
    if (!machine->loaded)
        return error_set(error, -EINVAL, "machine: there is no image to run: call vmm_load first");
    if (machine->has_run)
        return error_set(error, -EALREADY, "machine: has run already; a machine runs once");
    machine->has_run = true;
    uint64_t since_ns = machine_now_ns();
    int result = machine_create_irqchip(machine, error);
    since_ns = machine_count_phase(machine, VMM_PHASE_IRQCHIP, since_ns);
    if (!result)
        result = machine_place_regions(machine, error);
    since_ns = machine_count_phase(machine, VMM_PHASE_MEMORY, since_ns);
    if (!result)
        result = machine_filter_msrs(machine, error);
    if (!result)
        result = machine_create_cpus(machine, error);
    if (!result)
        result = machine_start_trace(machine, error);
    if (!result)
        result = event_loop_start(machine->loop, error);
    if (!result)
        result = machine_start_disks(machine, error);
    machine_count_phase(machine, VMM_PHASE_VCPU, since_ns);
    pthread_mutex_lock(&machine->run.lock);
    machine->run.ready = !result;
    pthread_mutex_unlock(&machine->run.lock);
    return result;
}

/* What the other vCPUs did when one of them died; and where all of them were when the guest was given up, by
 * us or by itself. */
static void report_others(struct vmm *machine)
{
    enum vmm_end_reason reason = machine->run.end.reason;
    bool is_given_up = machine->log.write && (reason == VMM_END_TIMEOUT || reason == VMM_END_PANIC);
    for (unsigned i = 0; i < machine->config.cpu_count; i++) {
        struct vcpu *vcpu = machine->cpus[i].vcpu;
        if (is_given_up)
            vcpu_report_place(vcpu);
        else if (is_death(reason) && i != machine->run.end.cpu && vcpu->exit_count)
            vcpu_report_last(vcpu);
    }
}

/* What is to be done once every vCPU is out for good. */
static int conclude(struct vmm *machine, struct vmm_end *end, struct vmm_error *error)
{
    settle(machine);
    machine_mark(machine, VMM_MARK_END);
    machine_flush_output(machine);
    report_others(machine);
    machine_finish_trace(machine);
    if (end)
        *end = machine->run.end;
    if (machine->run.failure && error)
        *error = machine->run.error;
    return machine->run.failure;
}

int vmm_run(struct vmm *machine, struct vmm_end *end, struct vmm_error *error)
{
    struct event_timer timeout;
    int result = prepare(machine, error);
    if (result) {
        machine_stop_disks(machine);
        event_loop_stop(machine->loop);
        return result;
    }
    event_timer_init(&timeout, machine->loop, on_timeout, machine);
    result = start_timeout(machine, &timeout, error);
    if (!result)
        run_cpus(machine);
    event_timer_fini(&timeout);
    machine_stop_disks(machine);
    event_loop_stop(machine->loop);
    return result ? result : conclude(machine, end, error);
}

const char *vmm_end_name(enum vmm_end_reason reason)
{
    switch (reason) {
    case VMM_END_POWER_OFF:
        return "power-off";
    case VMM_END_RESET:
        return "reset";
    case VMM_END_DEBUG_EXIT:
        return "debug exit";
    case VMM_END_PANIC:
        return "guest panic";
    case VMM_END_STOPPED:
        return "stopped";
    case VMM_END_TIMEOUT:
        return "timeout";
    case VMM_END_HALTED:
        return "halted for good";
    case VMM_END_TRIPLE_FAULT:
        return "triple fault";
    case VMM_END_NOT_EXECUTED:
        return "not executed";
    }
    return "unknown";
}
