/* SPDX-License-Identifier: MIT
 *
 * PUSH, POP and their relatives. The stack slots are prepared before a device that the other operand may be
 * is read, and rSP changes when all has gone well.
 */
#include "mmio/emulate.h"
#include "mmio/segment.h"
#include "mmio/stack.h"
#include "mmio/v86.h"

unsigned stack_pointer_size(const struct step_env *env)
{
    if (env->is_64bit)
        return 8;
    return env->cpu->segments[CPU_SS].attributes & SEGMENT_DB ? 4 : 2;
}

uint64_t stack_pointer(const struct step_env *env)
{
    return env->cpu->gpr[CPU_RSP] & size_mask(stack_pointer_size(env));
}

void stack_pointer_set(struct step_env *env, uint64_t value)
{
    gpr_write(env, CPU_RSP, stack_pointer_size(env), value);
}

enum step_result stack_prepare(struct step_env *env, uint64_t pointer, unsigned size, unsigned flags,
                               struct access *access)
{
    *access = (struct access){.segment = CPU_SS,
                              .offset = pointer & size_mask(stack_pointer_size(env)),
                              .len = (uint16_t)size,
                              .align = (uint8_t)size,
                              .flags = (uint8_t)flags};
    return access_prepare(env, access);
}

enum step_result stack_push(struct step_env *env, unsigned size, uint64_t value)
{
    struct access slot;
    TRY(stack_prepare(env, stack_pointer(env) - size, size, ACCESS_WRITE, &slot));
    access_write_value(env, &slot, value);
    stack_pointer_set(env, stack_pointer(env) - size);
    return STEP_DONE;
}

enum step_result stack_pop(struct step_env *env, unsigned size, uint64_t *value)
{
    struct access slot;
    TRY(stack_prepare(env, stack_pointer(env), size, ACCESS_READ, &slot));
    *value = access_read_value(env, &slot);
    stack_pointer_set(env, stack_pointer(env) + size);
    return STEP_DONE;
}

/* Intel's processors write two bytes of a segment register pushed as four, and leave the rest of the slot. */
static unsigned push_width(const struct step_env *env, unsigned size)
{
    return env->insn.operands[0].kind == INSN_SEG && size == 4 && !env->machine->vendor_amd ? 2 : size;
}

enum step_result emulate_push(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    struct access slot;
    TRY(stack_prepare(env, stack_pointer(env) - size, size, ACCESS_WRITE, &slot));
    if (push_width(env, size) != size)
        TRY(stack_prepare(env, stack_pointer(env) - size, 2, ACCESS_WRITE, &slot));
    access_write_value(env, &slot, operand_read(env, 0));
    stack_pointer_set(env, stack_pointer(env) - size);
    return STEP_DONE;
}

/* A memory destination is addressed with the rSP behind the pop. */
enum step_result emulate_pop(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    struct access slot;
    TRY(stack_prepare(env, stack_pointer(env), size, ACCESS_READ, &slot));
    stack_pointer_set(env, stack_pointer(env) + size);
    const struct insn_operand *to = &env->insn.operands[0];
    if (operand_is_memory(env, 0))
        TRY(operand_prepare(env, 0));
    uint64_t value = access_read_value(env, &slot);
    if (to->kind != INSN_SEG) {
        operand_write(env, 0, value);
        return STEP_DONE;
    }
    TRY(segment_load(env, to->reg, (uint16_t)value));
    if (to->reg == CPU_SS)
        env->shadow = SHADOW_MOV_SS;
    return STEP_DONE;
}

enum step_result emulate_pusha(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t pointer = stack_pointer(env);
    struct access slots[8];
    for (unsigned i = 0; i < 8; i++)
        TRY(stack_prepare(env, pointer - (i + 1) * size, size, ACCESS_WRITE, &slots[i]));
    for (unsigned i = 0; i < 8; i++)
        access_write_value(env, &slots[i], env->cpu->gpr[i]);
    stack_pointer_set(env, pointer - 8 * size);
    return STEP_DONE;
}

enum step_result emulate_popa(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t pointer = stack_pointer(env);
    struct access slots[8];
    for (unsigned i = 0; i < 8; i++)
        TRY(stack_prepare(env, pointer + i * size, size, ACCESS_READ, &slots[i]));
    for (unsigned i = 0; i < 8; i++)
        if (7 - i != CPU_RSP)
            gpr_write(env, 7 - i, size, access_read_value(env, &slots[i]));
    stack_pointer_set(env, pointer + 8 * size);
    return STEP_DONE;
}

static unsigned iopl(const struct step_env *env)
{
    return env->cpu->rflags >> FLAG_IOPL_BIT & 3;
}

enum step_result emulate_pushf(struct step_env *env)
{
    if (v86_is_restricted(env))
        return v86_pushf(env);
    return stack_push(env, env->insn.operand_size, env->cpu->rflags & ~(uint64_t)(FLAG_RF | FLAG_VM));
}

enum step_result emulate_popf(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t value;
    if (v86_is_restricted(env))
        return v86_popf(env);
    uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
    if (env->cpu->cpl <= iopl(env))
        mask |= FLAG_IF;
    if (env->cpu->cpl == 0)
        mask |= FLAG_IOPL;
    TRY(stack_pop(env, size, &value));
    flags_set(env, mask & size_mask(size), value);
    return STEP_DONE;
}

/* The frame pointers of `level` - 1 outer procedures are copied between the pushes of the old rBP and the new
 * one. Every slot is prepared first; the last check is of the byte that the new rSP points to. */
enum step_result emulate_enter(struct step_env *env)
{
    unsigned size = env->insn.operand_size, level = env->insn.imm2 & 31, used = 0;
    uint64_t pointer = stack_pointer(env), frame_mask = size_mask(stack_pointer_size(env));
    uint64_t base = env->cpu->gpr[CPU_RBP];
    struct access slot, probe, outer;
    TRY(stack_prepare(env, pointer - size, size, ACCESS_WRITE, &slot));
    uint64_t new_frame = (pointer - size) & frame_mask;
    uint64_t new_pointer = (pointer - size * (level + 1) - (env->insn.imm & 0xffff)) & frame_mask;
    for (unsigned i = 1; i <= level; i++)
        TRY(stack_prepare(env, pointer - size * (i + 1), size, ACCESS_WRITE, &probe));
    for (unsigned i = 1; i < level; i++)
        TRY(stack_prepare(env, base - size * i, size, ACCESS_READ, &probe));
    TRY(stack_prepare(env, new_pointer, size, ACCESS_WRITE, &probe));
    access_write_value(env, &slot, base);
    for (used = 1; used < level; used++) {
        TRY(stack_prepare(env, base - size * used, size, ACCESS_READ, &outer));
        uint64_t value = access_read_value(env, &outer);
        TRY(stack_prepare(env, pointer - size * (used + 1), size, ACCESS_WRITE, &slot));
        access_write_value(env, &slot, value);
    }
    if (level) {
        TRY(stack_prepare(env, pointer - size * (level + 1), size, ACCESS_WRITE, &slot));
        access_write_value(env, &slot, new_frame);
    }
    gpr_write(env, CPU_RBP, size, new_frame);
    stack_pointer_set(env, new_pointer);
    return STEP_DONE;
}

enum step_result emulate_leave(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t value;
    stack_pointer_set(env, env->cpu->gpr[CPU_RBP]);
    TRY(stack_pop(env, size, &value));
    gpr_write(env, CPU_RBP, size, value);
    return STEP_DONE;
}
