/* SPDX-License-Identifier: MIT
 *
 * Near control flow, and BOUND. A target is checked before anything is pushed.
 */
#include "base/bytes.h"
#include "mmio/branch.h"
#include "mmio/emulate.h"
#include "mmio/stack.h"

enum step_result branch_to(struct step_env *env, uint64_t target, unsigned size)
{
    target &= size_mask(size);
    if (env->is_64bit ? !access_is_canonical(env, target) : target > env->cpu->segments[CPU_CS].limit)
        return env_gp(env);
    env->next_rip = target;
    return STEP_DONE;
}

static enum step_result branch_relative(struct step_env *env)
{
    return branch_to(env, env->next_rip + env->insn.imm, env->insn.operand_size);
}

enum step_result emulate_jcc(struct step_env *env)
{
    return condition_holds(env, env->insn.opcode & 15) ? branch_relative(env) : STEP_DONE;
}

/* LOOP, LOOPE, LOOPNE count rCX down; JRCXZ only looks at it. */
enum step_result emulate_loop(struct step_env *env)
{
    unsigned size = env->insn.address_size;
    uint64_t count = gpr_read(env, CPU_RCX, size);
    bool is_zero = env->cpu->rflags & FLAG_ZF, taken;
    if (env->insn.op == INSN_OP_JRCXZ) {
        taken = !count;
    } else {
        count = (count - 1) & size_mask(size);
        taken = count && (env->insn.op == INSN_OP_LOOP || is_zero == (env->insn.op == INSN_OP_LOOPE));
    }
    if (taken)
        TRY(branch_relative(env));
    if (env->insn.op != INSN_OP_JRCXZ)
        gpr_write(env, CPU_RCX, size, count);
    return STEP_DONE;
}

/* The target of a near JMP or CALL. */
static uint64_t near_target(struct step_env *env)
{
    return env->insn.operands[0].kind == INSN_RELATIVE ? env->next_rip + env->insn.imm : operand_read(env, 0);
}

enum step_result emulate_jmp(struct step_env *env)
{
    return branch_to(env, near_target(env), env->insn.operand_size);
}

enum step_result emulate_call(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    uint64_t return_rip = env->next_rip;
    struct access slot;
    TRY(stack_prepare(env, stack_pointer(env) - size, size, ACCESS_WRITE, &slot));
    TRY(branch_to(env, near_target(env), size));
    access_write_value(env, &slot, return_rip);
    stack_pointer_set(env, stack_pointer(env) - size);
    return STEP_DONE;
}

enum step_result emulate_ret(struct step_env *env)
{
    uint64_t target;
    TRY(stack_pop(env, env->insn.operand_size, &target));
    TRY(branch_to(env, target, env->insn.operand_size));
    if (env->insn.operands[0].kind == INSN_IMM)
        stack_pointer_set(env, stack_pointer(env) + (env->insn.imm & 0xffff));
    return STEP_DONE;
}

/* Operand 0 must lie between the two signed bounds in memory. */
enum step_result emulate_bound(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    uint8_t bounds[8];
    access_read(env, &env->operand, bounds);
    int64_t index = sign_extend(operand_read(env, 0), size);
    bool is_inside = index >= sign_extend(load_le(bounds, size), size) &&
                     index <= sign_extend(load_le(bounds + size, size), size);
    return is_inside ? STEP_DONE : env_raise(env, VECTOR_BR);
}
