/* SPDX-License-Identifier: MIT
 *
 * Far JMP, CALL and RET, IRET, and the INT family (SDM 2A, APM 3).
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/branch.h"
#include "mmio/deliver.h"
#include "mmio/emulate.h"
#include "mmio/far.h"
#include "mmio/stack.h"
#include "mmio/task.h"
#include "mmio/v86.h"

/* Where a far transfer goes. */
struct target {
    uint64_t rip;
    uint16_t selector;
    struct descriptor descriptor;   /* outside real mode */
    unsigned gate_size, parameters; /* of a call gate: the width of a slot, and slots to copy; else 0 */
};

static bool is_protected(const struct step_env *env)
{
    return cpu_is_protected(env->cpu);
}

/* The far pointer: in the instruction, or in memory, offset first. */
static void read_pointer(struct step_env *env, struct target *target)
{
    uint8_t bytes[10] = {0};
    unsigned size = env->insn.operand_size;
    if (env->insn.operands[0].kind == INSN_FAR) {
        target->rip = env->insn.imm & size_mask(size);
        target->selector = env->insn.imm2;
        return;
    }
    access_read(env, &env->operand, bytes);
    size = env->operand.len - 2u; /* which on AMD's processors is 4 where 8 bytes are pushed */
    target->rip = load_le(bytes, size);
    target->selector = load_le16(bytes + size);
}

/* The gate's own checks; then the code segment and offset that it names, which replace the target's. */
static enum step_result follow_gate(struct step_env *env, struct target *target)
{
    struct descriptor *gate = &target->descriptor;
    unsigned type = descriptor_type(gate), dpl = descriptor_dpl(gate);
    bool is_long = cpu_is_long(env->cpu);
    if ((type != SYSTEM_CALL_GATE && (is_long || type != SYSTEM_CALL_GATE16)) || dpl < env->cpu->cpl ||
        dpl < (target->selector & SELECTOR_RPL))
        return selector_fault(env, VECTOR_GP, target->selector);
    if (!descriptor_is_present(gate))
        return selector_fault(env, VECTOR_NP, target->selector);
    if (is_long)
        TRY(descriptor_read(env, target->selector, 16, VECTOR_GP, gate));
    target->gate_size = is_long ? 8 : type == SYSTEM_CALL_GATE ? 4 : 2;
    target->parameters = is_long ? 0 : gate->low >> 32 & 31;
    target->selector = (uint16_t)(gate->low >> 16);
    target->rip = (gate->low & 0xffff) | (gate->low >> 32 & 0xffff0000) | gate->high << 32;
    target->rip &= size_mask(target->gate_size);
    if (!(target->selector & ~SELECTOR_RPL))
        return env_gp(env);
    return descriptor_read(env, target->selector, 8, VECTOR_GP, gate);
}

/* Through a gate CALL may go to a more privileged segment; the RPL of the gate's selector counts for nothing.
 */
static bool gate_allows(const struct step_env *env, const struct descriptor *descriptor)
{
    unsigned cpl = env->cpu->cpl, dpl = descriptor_dpl(descriptor);
    bool is_64bit = descriptor->low >> 53 & 1;
    if (cpu_is_long(env->cpu) && !is_64bit)
        return false;
    if (env->insn.op == INSN_OP_JMP_FAR && !far_is_conforming(descriptor))
        return dpl == cpl;
    return dpl <= cpl;
}

static bool direct_allows(const struct step_env *env, const struct target *target)
{
    unsigned cpl = env->cpu->cpl, dpl = descriptor_dpl(&target->descriptor);
    if (far_is_conforming(&target->descriptor))
        return dpl <= cpl;
    return dpl == cpl && (target->selector & SELECTOR_RPL) <= cpl;
}

/* JMP and CALL: what the selector names. */
static enum step_result read_target(struct step_env *env, struct target *target)
{
    if (!(target->selector & ~SELECTOR_RPL))
        return env_gp(env);
    return descriptor_read(env, target->selector, 8, VECTOR_GP, &target->descriptor);
}

/* The target's code segment, checked. */
static enum step_result check_target(struct step_env *env, struct target *target)
{
    struct descriptor *descriptor = &target->descriptor;
    if (descriptor_is_system(descriptor))
        TRY(follow_gate(env, target));
    if (!far_is_code(env, descriptor) ||
        !(target->gate_size ? gate_allows(env, descriptor) : direct_allows(env, target)))
        return selector_fault(env, VECTOR_GP, target->selector);
    if (!descriptor_is_present(descriptor))
        return selector_fault(env, VECTOR_NP, target->selector);
    return STEP_DONE;
}

static enum step_result enter_real(struct step_env *env, uint16_t selector, uint64_t rip)
{
    TRY(branch_to(env, rip, env->insn.operand_size));
    segment_load_real(&env->cpu->segments[CPU_CS], selector);
    env->outcome->changed_system = true;
    return STEP_DONE;
}

enum step_result emulate_jmp_far(struct step_env *env)
{
    struct target target = {0};
    read_pointer(env, &target);
    if (!is_protected(env))
        return enter_real(env, target.selector, target.rip);
    TRY(read_target(env, &target));
    if (task_is_entry(env, &target.descriptor))
        return task_enter(env, &target.descriptor, false);
    TRY(check_target(env, &target));
    return far_enter(env, &target.descriptor, env->cpu->cpl, target.rip);
}

/* The frame goes to the stack of the old mode, CS is the new one's: its checks come first, its size last. */
static enum step_result call_same_privilege(struct step_env *env, struct target *target, unsigned size)
{
    bool was_64bit = env->is_64bit;
    struct cpu_segment cs = env->cpu->segments[CPU_CS];
    uint64_t pointer = stack_pointer(env), frame[2] = {cs.selector, env->next_rip};
    TRY(far_enter(env, &target->descriptor, env->cpu->cpl, target->rip));
    bool is_64bit = env->is_64bit;
    env->is_64bit = was_64bit;
    TRY(far_push(env, &pointer, size, 2, frame));
    stack_pointer_set(env, pointer);
    env->is_64bit = is_64bit;
    return STEP_DONE;
}

/* Through a gate to a more privileged level: the old stack's address, the parameters on it, and the return
 * address go to the level's own stack. */
static enum step_result call_inner(struct step_env *env, struct target *target)
{
    struct cpu_state *cpu = env->cpu;
    unsigned cpl = descriptor_dpl(&target->descriptor), size = target->gate_size, count = target->parameters;
    bool is_long = cpu_is_long(cpu);
    struct cpu_segment ss = far_null_stack(cpl);
    uint64_t pointer, old = stack_pointer(env), slots[31], frame[4 + 31];
    TRY(far_pop(env, old, size, count, slots));
    TRY(is_long ? far_stack_long(env, FAR_STACK_LEVEL(cpl), &pointer)
                : far_stack_legacy(env, cpl, &ss, &pointer));
    frame[0] = cpu->segments[CPU_SS].selector;
    frame[1] = cpu->gpr[CPU_RSP];
    for (unsigned i = 0; i < count; i++)
        frame[2 + i] = slots[count - 1 - i];
    frame[2 + count] = cpu->segments[CPU_CS].selector;
    frame[3 + count] = env->next_rip;
    cpu->segments[CPU_SS] = ss;
    TRY(far_enter(env, &target->descriptor, cpl, target->rip));
    TRY(far_push(env, &pointer, size, 4 + count, frame));
    stack_pointer_set(env, pointer);
    return STEP_DONE;
}

enum step_result emulate_call_far(struct step_env *env)
{
    struct target target = {0};
    unsigned size = env->insn.operand_size;
    read_pointer(env, &target);
    if (!is_protected(env)) {
        uint64_t pointer = stack_pointer(env);
        uint64_t frame[2] = {env->cpu->segments[CPU_CS].selector, env->next_rip};
        TRY(enter_real(env, target.selector, target.rip));
        TRY(far_push(env, &pointer, size, 2, frame));
        stack_pointer_set(env, pointer);
        return STEP_DONE;
    }
    TRY(read_target(env, &target));
    if (task_is_entry(env, &target.descriptor))
        return task_enter(env, &target.descriptor, true);
    TRY(check_target(env, &target));
    const struct descriptor *code = &target.descriptor;
    if (target.gate_size && !far_is_conforming(code) && descriptor_dpl(code) < env->cpu->cpl)
        return call_inner(env, &target);
    return call_same_privilege(env, &target, target.gate_size ? target.gate_size : size);
}

/* The code segment that RET and IRET go back to: never to a more privileged one. */
static enum step_result check_return(struct step_env *env, struct target *target)
{
    struct descriptor *descriptor = &target->descriptor;
    unsigned rpl = target->selector & SELECTOR_RPL;
    if (!(target->selector & ~SELECTOR_RPL))
        return env_gp(env);
    TRY(descriptor_read(env, target->selector, 8, VECTOR_GP, descriptor));
    unsigned dpl = descriptor_dpl(descriptor);
    bool allowed = rpl >= env->cpu->cpl && (far_is_conforming(descriptor) ? dpl <= rpl : dpl == rpl);
    if (!far_is_code(env, descriptor) || !allowed)
        return selector_fault(env, VECTOR_GP, target->selector);
    if (!descriptor_is_present(descriptor))
        return selector_fault(env, VECTOR_NP, target->selector);
    return STEP_DONE;
}

static enum step_result check_return_stack(struct step_env *env, const struct target *target,
                                           uint16_t selector, struct cpu_segment *ss)
{
    unsigned cpl = target->selector & SELECTOR_RPL;
    bool to_64bit = cpu_is_long(env->cpu) && (target->descriptor.low >> 53 & 1);
    if ((selector & ~SELECTOR_RPL) || !to_64bit || cpl == 3 || (selector & SELECTOR_RPL) != cpl)
        return segment_load_stack(env, selector, cpl, VECTOR_GP, ss);
    *ss = far_null_stack(cpl);
    return STEP_DONE;
}

/* Data segments that the outer privilege may not have become null. */
static void drop_segments(struct step_env *env)
{
    static const uint8_t names[] = {CPU_ES, CPU_DS, CPU_FS, CPU_GS};
    for (unsigned i = 0; i < sizeof(names); i++) {
        struct cpu_segment *segment = &env->cpu->segments[names[i]];
        unsigned dpl = (segment->attributes & SEGMENT_DPL) >> SEGMENT_DPL_SHIFT;
        bool is_conforming = (segment->attributes & 0xc) == 0xc;
        if ((segment->attributes & SEGMENT_PRESENT) && !is_conforming && dpl < env->cpu->cpl)
            *segment = (struct cpu_segment){.attributes = 0};
    }
}

enum step_result emulate_ret_far(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    unsigned extra = env->insn.operands[0].kind == INSN_IMM ? env->insn.imm & 0xffff : 0;
    uint64_t pointer = stack_pointer(env), frame[4];
    struct target target;
    TRY(far_pop(env, pointer, size, 2, frame));
    target.rip = frame[0];
    target.selector = (uint16_t)frame[1];
    pointer += 2 * size + extra;
    if (!is_protected(env)) {
        TRY(enter_real(env, target.selector, target.rip));
        stack_pointer_set(env, pointer);
        return STEP_DONE;
    }
    TRY(check_return(env, &target));
    unsigned cpl = target.selector & SELECTOR_RPL;
    if (cpl == env->cpu->cpl) {
        stack_pointer_set(env, pointer);
        return far_enter(env, &target.descriptor, cpl, target.rip);
    }
    struct cpu_segment ss;
    TRY(far_pop(env, pointer, size, 2, frame + 2));
    TRY(check_return_stack(env, &target, (uint16_t)frame[3], &ss));
    TRY(far_enter(env, &target.descriptor, cpl, target.rip));
    far_switch_stack(env, &ss, frame[2] + extra);
    drop_segments(env);
    return STEP_DONE;
}

/* The flags that IRET may load at the old privilege. */
static uint64_t iret_mask(const struct step_env *env, unsigned size)
{
    uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;
    if (env->cpu->cpl <= (env->cpu->rflags >> FLAG_IOPL_BIT & 3))
        mask |= FLAG_IF;
    if (env->cpu->cpl == 0)
        mask |= FLAG_IOPL | FLAG_VIF | FLAG_VIP;
    return mask & size_mask(size);
}

static enum step_result iret_real(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t frame[3], pointer = stack_pointer(env);
    bool is_v86 = env->cpu->rflags & FLAG_VM;
    if (v86_is_restricted(env))
        return v86_iret(env);
    TRY(far_pop(env, pointer, size, 3, frame));
    TRY(enter_real(env, (uint16_t)frame[1], frame[0]));
    stack_pointer_set(env, pointer + 3 * size);
    uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;
    flags_set(env, (is_v86 ? mask : mask | FLAG_IOPL) & size_mask(size), frame[2]);
    return STEP_DONE;
}

/* Back to virtual-8086 mode: nine slots, and segments that are nothing but selectors. */
static enum step_result iret_to_v86(struct step_env *env, uint64_t pointer)
{
    static const uint8_t names[] = {CPU_ES, CPU_DS, CPU_FS, CPU_GS};
    struct cpu_state *cpu = env->cpu;
    uint64_t frame[9];
    TRY(far_pop(env, pointer, 4, 9, frame));
    flags_set(env, (iret_mask(env, 4) | FLAG_VM | FLAG_IF), frame[2]);
    TRY(segment_load(env, CPU_CS, (uint16_t)frame[1]));
    TRY(segment_load(env, CPU_SS, (uint16_t)frame[4]));
    for (unsigned i = 0; i < 4; i++)
        TRY(segment_load(env, names[i], (uint16_t)frame[5 + i]));
    cpu->gpr[CPU_RSP] = (uint32_t)frame[3];
    cpu->cpl = 3;
    return branch_to(env, frame[0], 4);
}

static enum step_result iret_protected(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t pointer = stack_pointer(env), frame[5];
    struct target target;
    bool from_64bit = env->is_64bit;
    TRY(far_pop(env, pointer, size, from_64bit ? 5 : 3, frame));
    if (size == 4 && (frame[2] & FLAG_VM) && env->cpu->cpl == 0 && !cpu_is_long(env->cpu))
        return iret_to_v86(env, pointer);
    target.rip = frame[0];
    target.selector = (uint16_t)frame[1];
    TRY(check_return(env, &target));
    unsigned cpl = target.selector & SELECTOR_RPL;
    bool outer = cpl != env->cpu->cpl;
    uint64_t mask = iret_mask(env, size);
    if (!outer && !from_64bit) {
        stack_pointer_set(env, pointer + 3 * size);
        TRY(far_enter(env, &target.descriptor, cpl, target.rip));
        flags_set(env, mask, frame[2]);
        return STEP_DONE;
    }
    struct cpu_segment ss;
    if (!from_64bit)
        TRY(far_pop(env, pointer + 3 * size, size, 2, frame + 3));
    TRY(check_return_stack(env, &target, (uint16_t)frame[4], &ss));
    TRY(far_enter(env, &target.descriptor, cpl, target.rip));
    far_switch_stack(env, &ss, frame[3]);
    flags_set(env, mask, frame[2]);
    if (outer)
        drop_segments(env);
    return STEP_DONE;
}

enum step_result emulate_iret(struct step_env *env)
{
    env->keep_rf = true;
    if (!is_protected(env)) {
        TRY(iret_real(env));
    } else if (env->cpu->rflags & FLAG_NT) {
        return cpu_is_long(env->cpu) ? env_gp(env) : task_return(env);
    } else {
        TRY(iret_protected(env));
    }
    env->cpu->nmi_masked = false;
    return STEP_DONE;
}

/* INT n, INT3, INTO, INT1 */
enum step_result emulate_int(struct step_env *env)
{
    struct step_event event = {.kind = EVENT_SOFTWARE_EXCEPTION};
    switch (env->insn.op) {
    case INSN_OP_INT:
        event.kind = EVENT_SOFTWARE_INTERRUPT;
        event.vector = (uint8_t)env->insn.imm;
        break;
    case INSN_OP_INT1:
        event.kind = EVENT_PRIVILEGED_SOFTWARE_EXCEPTION;
        event.vector = VECTOR_DB;
        break;
    case INSN_OP_INT3:
        event.vector = VECTOR_BP;
        break;
    default:
        event.vector = VECTOR_OF;
        if (!(env->cpu->rflags & FLAG_OF))
            return STEP_DONE;
        break;
    }
    return deliver_once(env, &event, env->next_rip);
}
