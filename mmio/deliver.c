/* SPDX-License-Identifier: MIT
 *
 * Events through the interrupt vector table of real mode and the IDT of the others (SDM 3A 6.10 to 6.15, APM
 * 2 chapter 8). What a task gate does is task.c's.
 */
#include "mmio/deliver.h"

#include <string.h>

#include "base/bytes.h"
#include "mmio/branch.h"
#include "mmio/far.h"
#include "mmio/stack.h"
#include "mmio/task.h"
#include "mmio/v86.h"

#define ERROR_EXT 1u
#define ERROR_IDT 2u

struct gate {
    uint64_t rip;
    uint16_t selector;
    uint8_t type, dpl, ist;
    bool is_present;
};

static bool is_software(const struct step_event *event)
{
    return event->kind == EVENT_SOFTWARE_INTERRUPT || event->kind == EVENT_SOFTWARE_EXCEPTION;
}

static enum step_result gate_fault(struct step_env *env, enum exception_vector vector,
                                   const struct step_event *event)
{
    return env_raise_error(env, vector, event->vector * 8u + ERROR_IDT);
}

static enum step_result gate_read(struct step_env *env, const struct step_event *event, struct gate *gate)
{
    bool is_long = cpu_is_long(env->cpu);
    unsigned size = is_long ? 16 : 8;
    uint8_t bytes[16] = {0};
    struct access access = {.gva = env->cpu->idt.base + event->vector * size,
                            .len = (uint16_t)size,
                            .flags = ACCESS_READ | ACCESS_SYSTEM};
    if (event->vector * size + size - 1 > env->cpu->idt.limit)
        return gate_fault(env, VECTOR_GP, event);
    TRY(access_prepare_linear(env, &access));
    access_read(env, &access, bytes);
    uint64_t low = load_le64(bytes);
    gate->rip = (low & 0xffff) | (low >> 32 & 0xffff0000) | load_le64(bytes + 8) << 32;
    gate->selector = (uint16_t)(low >> 16);
    gate->ist = is_long ? low >> 32 & 7 : 0;
    gate->type = low >> 40 & 31; /* with S, which must be 0 */
    gate->dpl = low >> 45 & 3;
    gate->is_present = low >> 47 & 1;
    return STEP_DONE;
}

static enum step_result gate_check(struct step_env *env, const struct step_event *event, struct gate *gate)
{
    bool is_32bit = gate->type == SYSTEM_INT_GATE || gate->type == SYSTEM_TRAP_GATE;
    bool is_16bit = gate->type == SYSTEM_INT_GATE16 || gate->type == SYSTEM_TRAP_GATE16;
    if (cpu_is_long(env->cpu) ? !is_32bit : !is_32bit && !is_16bit && gate->type != SYSTEM_TASK_GATE)
        return gate_fault(env, VECTOR_GP, event);
    if (is_software(event) && gate->dpl < env->cpu->cpl)
        return gate_fault(env, VECTOR_GP, event);
    if (!gate->is_present)
        return gate_fault(env, VECTOR_NP, event);
    if (is_16bit)
        gate->rip &= 0xffff;
    return STEP_DONE;
}

/* The handler's code segment; in long mode it is 64-bit code. */
static enum step_result handler_check(struct step_env *env, const struct gate *gate,
                                      struct descriptor *descriptor)
{
    if (!(gate->selector & ~SELECTOR_RPL))
        return env_gp(env);
    TRY(descriptor_read(env, gate->selector, 8, VECTOR_GP, descriptor));
    bool is_64bit = descriptor->low >> 53 & 1;
    bool is_v86 = env->cpu->rflags & FLAG_VM;
    if (!far_is_code(env, descriptor) || descriptor_dpl(descriptor) > env->cpu->cpl ||
        (cpu_is_long(env->cpu) && !is_64bit) ||
        (is_v86 && (descriptor_dpl(descriptor) || far_is_conforming(descriptor))))
        return selector_fault(env, VECTOR_GP, gate->selector);
    if (!descriptor_is_present(descriptor))
        return selector_fault(env, VECTOR_NP, gate->selector);
    return STEP_DONE;
}

/* The frame from the top down. */
struct frame {
    unsigned count;
    uint64_t values[11];
};

static void frame_add(struct frame *frame, uint64_t value)
{
    frame->values[frame->count++] = value;
}

static uint64_t pushed_flags(const struct cpu_state *cpu, const struct step_event *event)
{
    bool is_fault = event->kind == EVENT_EXCEPTION && !event->is_trap;
    if (is_software(event) || event->kind == EVENT_PRIVILEGED_SOFTWARE_EXCEPTION)
        return cpu->rflags & ~(uint64_t)FLAG_RF;
    return is_fault ? cpu->rflags | FLAG_RF : cpu->rflags;
}

static struct frame frame_make(const struct cpu_state *cpu, const struct step_event *event, bool with_stack,
                               uint64_t return_rip)
{
    static const uint8_t names[] = {CPU_GS, CPU_FS, CPU_DS, CPU_ES};
    struct frame frame = {.count = 0};
    if (cpu->rflags & FLAG_VM)
        for (unsigned i = 0; i < 4; i++)
            frame_add(&frame, cpu->segments[names[i]].selector);
    if (with_stack) {
        frame_add(&frame, cpu->segments[CPU_SS].selector);
        frame_add(&frame, cpu->gpr[CPU_RSP]);
    }
    frame_add(&frame, pushed_flags(cpu, event));
    frame_add(&frame, cpu->segments[CPU_CS].selector);
    frame_add(&frame, return_rip);
    if (event->has_error)
        frame_add(&frame, event->error_code);
    return frame;
}

static void leave_v86(struct cpu_state *cpu)
{
    static const uint8_t names[] = {CPU_GS, CPU_FS, CPU_DS, CPU_ES};
    for (unsigned i = 0; i < 4; i++)
        cpu->segments[names[i]] = (struct cpu_segment){.attributes = 0};
}

/* The stack of the handler made current, and the frame on it. */
static enum step_result enter_handler(struct step_env *env, const struct gate *gate,
                                      struct descriptor *handler, const struct frame *frame,
                                      const struct cpu_segment *ss, uint64_t pointer)
{
    struct cpu_state *cpu = env->cpu;
    bool is_long = cpu_is_long(cpu), is_wide = gate->type >= SYSTEM_INT_GATE;
    unsigned cpl = far_is_conforming(handler) ? cpu->cpl : descriptor_dpl(handler);
    uint64_t cleared = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM;
    if (cpu->rflags & FLAG_VM)
        leave_v86(cpu);
    if (gate->type == SYSTEM_INT_GATE || gate->type == SYSTEM_INT_GATE16)
        cleared |= FLAG_IF;
    if (ss)
        cpu->segments[CPU_SS] = *ss;
    cpu->rflags &= ~cleared;
    TRY(far_enter(env, handler, cpl, gate->rip));
    TRY(far_push(env, &pointer, is_long ? 8 : is_wide ? 4 : 2, frame->count, frame->values));
    stack_pointer_set(env, pointer);
    env->trap_lost = true;
    return STEP_DONE;
}

static enum step_result deliver_protected(struct step_env *env, const struct step_event *event,
                                          uint64_t return_rip)
{
    struct cpu_state *cpu = env->cpu;
    struct gate gate = {0};
    struct descriptor handler;
    struct cpu_segment ss;
    if ((cpu->rflags & FLAG_VM) && event->kind == EVENT_SOFTWARE_INTERRUPT) {
        bool is_redirected;
        TRY(v86_int(env, event->vector, return_rip, &is_redirected));
        if (is_redirected)
            return STEP_DONE;
    }
    TRY(gate_read(env, event, &gate));
    TRY(gate_check(env, event, &gate));
    if (gate.type == SYSTEM_TASK_GATE)
        return task_event(env, gate.selector, event, pushed_flags(cpu, event), return_rip);
    TRY(handler_check(env, &gate, &handler));
    unsigned cpl = far_is_conforming(&handler) ? cpu->cpl : descriptor_dpl(&handler);
    bool is_long = cpu_is_long(cpu), changes = cpl != cpu->cpl;
    uint64_t pointer = is_long ? cpu->gpr[CPU_RSP] : stack_pointer(env);
    struct frame frame = frame_make(cpu, event, is_long || changes, return_rip);
    if (is_long) {
        unsigned entry = gate.ist ? FAR_STACK_IST(gate.ist) : FAR_STACK_LEVEL(cpl);
        if (gate.ist || changes)
            TRY(far_stack_long(env, entry, &pointer));
        pointer &= ~15ull;
        ss = far_null_stack(cpl);
    } else if (changes) {
        TRY(far_stack_legacy(env, cpl, &ss, &pointer));
    }
    return enter_handler(env, &gate, &handler, &frame, changes ? &ss : NULL, pointer);
}

/* Real mode: four bytes for each vector, a frame of three words. */
static enum step_result deliver_real(struct step_env *env, const struct step_event *event,
                                     uint64_t return_rip)
{
    struct cpu_state *cpu = env->cpu;
    struct access access = {
        .gva = cpu->idt.base + event->vector * 4u, .len = 4, .flags = ACCESS_READ | ACCESS_SYSTEM};
    if (event->vector * 4u + 3 > cpu->idt.limit)
        return gate_fault(env, VECTOR_GP, event);
    TRY(access_prepare_linear(env, &access));
    uint64_t entry = access_read_value(env, &access), pointer = stack_pointer(env);
    uint64_t frame[3] = {cpu->rflags, cpu->segments[CPU_CS].selector, return_rip};
    TRY(branch_to(env, entry & 0xffff, 2));
    TRY(far_push(env, &pointer, 2, 3, frame));
    stack_pointer_set(env, pointer);
    segment_load_real(&cpu->segments[CPU_CS], (uint16_t)(entry >> 16));
    cpu->rflags &= ~(uint64_t)(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    env->outcome->changed_system = true;
    env->trap_lost = true;
    return STEP_DONE;
}

static bool has_selector_error(unsigned vector)
{
    return vector == VECTOR_TS || vector == VECTOR_NP || vector == VECTOR_SS || vector == VECTOR_GP;
}

enum step_result deliver_once(struct step_env *env, const struct step_event *event, uint64_t return_rip)
{
    enum step_result result = env->cpu->cr0 & CR0_PE ? deliver_protected(env, event, return_rip)
                                                     : deliver_real(env, event, return_rip);
    /* the fault of an event that the program did not ask for is marked as external */
    struct step_event *fault = &env->outcome->event;
    if (result == STEP_EXCEPTION && has_selector_error(fault->vector) && !is_software(event))
        fault->error_code |= ERROR_EXT;
    return result;
}

static bool is_contributory(const struct step_event *event)
{
    unsigned vector = event->vector;
    return event->kind == EVENT_EXCEPTION &&
           (vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP) || vector == VECTOR_CP);
}

static bool is_page_fault(const struct step_event *event)
{
    return event->kind == EVENT_EXCEPTION && event->vector == VECTOR_PF;
}

/* SDM 3A table 6-5. False: the second event takes the first one's place. */
static bool makes_double_fault(const struct step_event *first, const struct step_event *second)
{
    if (is_page_fault(first))
        return is_page_fault(second) || is_contributory(second);
    return is_contributory(first) && is_contributory(second);
}

/* What the processor tells in registers besides the frame. */
static void event_registers(const struct step_machine *machine, struct cpu_state *cpu,
                            const struct step_event *event)
{
    if (is_page_fault(event))
        cpu->cr2 = event->cr2;
    if (event->kind == EVENT_EXCEPTION && event->vector == VECTOR_DB) {
        env_load_debug(machine, cpu);
        cpu->dr6 = (cpu->dr6 & ~0xfull) | event->dr6 | DR6_FIXED;
        cpu->dr7 &= ~(uint64_t)DR7_GD;
    }
    if (event->kind == EVENT_NMI)
        cpu->nmi_masked = true;
    cpu->halted = false;
    cpu->interrupt_shadow = 0;
}

static enum step_result deliver_or_undo(const struct step_machine *machine, struct cpu_state *cpu,
                                        const struct step_event *event, struct step_outcome *outcome)
{
    struct step_env env;
    struct cpu_state before = *cpu;
    env_begin(&env, machine, cpu, outcome);
    enum step_result result = deliver_once(&env, event, cpu->rip);
    env_end(&env);
    if (result == STEP_DONE)
        cpu->rip = env.next_rip;
    else if (result != STEP_EXCEPTION || !outcome->task_switched)
        env_undo(cpu, &before);
    return result == STEP_DONE && env.dr6 ? env_raise_trap(&env, env.dr6) : result;
}

enum step_result deliver_event(const struct step_machine *machine, struct cpu_state *cpu,
                               const struct step_event *event, struct step_outcome *outcome)
{
    struct step_event present = *event, cause = {.kind = EVENT_EXCEPTION};
    for (;;) {
        event_registers(machine, cpu, &present);
        enum step_result result = deliver_or_undo(machine, cpu, &present, outcome);
        if (result != STEP_EXCEPTION)
            return result;
        struct step_event second = outcome->event;
        if (is_page_fault(&second))
            cpu->cr2 = second.cr2; /* also where it ends as #DF */
        bool was_double = present.kind == EVENT_EXCEPTION && present.vector == VECTOR_DF;
        if (second.is_trap) { /* the handler is a task that is debugged */
            present = second;
            continue;
        }
        if (was_double) {
            const struct step_event chain[] = {*event, cause, second};
            memcpy(outcome->undelivered, chain, sizeof(chain));
            outcome->event = present;
            return STEP_EXCEPTION;
        }
        if (makes_double_fault(&present, &second)) {
            cause = second;
            second = (struct step_event){.kind = EVENT_EXCEPTION, .vector = VECTOR_DF, .has_error = true};
        }
        present = second;
    }
}
