/* SPDX-License-Identifier: MIT
 *
 * Operands as values: registers in all their widths, immediates, and the prepared memory operand.
 */
#include "mmio/emulate.h"

uint64_t gpr_read(const struct step_env *env, unsigned reg, unsigned size)
{
    return env->cpu->gpr[reg & 15] & size_mask(size);
}

void gpr_write(struct step_env *env, unsigned reg, unsigned size, uint64_t value)
{
    uint64_t *gpr = &env->cpu->gpr[reg & 15];
    uint64_t mask = size_mask(size);
    *gpr = size >= 4 ? value & mask : (*gpr & ~mask) | (value & mask);
}

static bool kind_is_memory(unsigned kind)
{
    return kind >= INSN_MEM;
}

bool operand_is_memory(const struct step_env *env, unsigned i)
{
    return kind_is_memory(env->insn.operands[i].kind);
}

uint64_t operand_read(struct step_env *env, unsigned i)
{
    const struct insn_operand *operand = &env->insn.operands[i];
    switch (operand->kind) {
    case INSN_GPR:
        return gpr_read(env, operand->reg, operand->size);
    case INSN_GPR_HIGH:
        return env->cpu->gpr[operand->reg & 3] >> 8 & 0xff;
    case INSN_IMM:
        return i ? env->insn.imm & size_mask(env->insn.operands[0].size) : env->insn.imm;
    case INSN_IMM2:
        return env->insn.imm2;
    case INSN_IMM_ONE:
        return 1;
    case INSN_SEG:
        return env->cpu->segments[operand->reg].selector;
    default:
        return access_read_value(env, &env->operand);
    }
}

void operand_write(struct step_env *env, unsigned i, uint64_t value)
{
    const struct insn_operand *operand = &env->insn.operands[i];
    if (operand->kind == INSN_GPR) {
        gpr_write(env, operand->reg, operand->size, value);
    } else if (operand->kind == INSN_GPR_HIGH) {
        uint64_t *gpr = &env->cpu->gpr[operand->reg & 3];
        *gpr = (*gpr & ~0xff00ull) | (value & 0xff) << 8;
    } else {
        access_write_value(env, &env->operand, value);
    }
}

bool operand_replace(struct step_env *env, unsigned i, uint64_t old, uint64_t value)
{
    bool is_locked = (env->insn.prefixes & INSN_PREFIX_LOCK) || env->insn.op == INSN_OP_XCHG;
    if (is_locked && operand_is_memory(env, i))
        return access_exchange(env, &env->operand, &old, &value);
    operand_write(env, i, value);
    return true;
}

bool condition_holds(const struct step_env *env, unsigned cc)
{
    uint64_t flags = env->cpu->rflags;
    bool sign = flags & FLAG_SF, overflow = flags & FLAG_OF;
    bool holds = false;
    switch (cc >> 1 & 7) {
    case 0:
        holds = overflow;
        break;
    case 1:
        holds = flags & FLAG_CF;
        break;
    case 2:
        holds = flags & FLAG_ZF;
        break;
    case 3:
        holds = flags & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        holds = sign;
        break;
    case 5:
        holds = flags & FLAG_PF;
        break;
    case 6:
        holds = sign != overflow;
        break;
    case 7:
        holds = (flags & FLAG_ZF) || sign != overflow;
        break;
    }
    return holds != (cc & 1);
}
