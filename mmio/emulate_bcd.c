/* SPDX-License-Identifier: MIT
 *
 * Decimal adjustment: AAA, AAS, AAD, AAM, DAA, DAS. Not in 64-bit mode, which the decoder has seen to.
 */
#include "mmio/emulate.h"

/* DAA adds and DAS subtracts 6 for the low digit and 0x60 for the high one (SDM 2A). */
static void adjust_packed(struct step_env *env, bool is_add)
{
    uint8_t old = (uint8_t)gpr_read(env, CPU_RAX, 1), al = old;
    bool old_carry = env->cpu->rflags & FLAG_CF;
    bool low = (old & 15) > 9 || (env->cpu->rflags & FLAG_AF), high = old > 0x99 || old_carry;
    bool carry = high;
    if (low) {
        if (!is_add && old < 6)
            carry = true;
        al = is_add ? (uint8_t)(al + 6) : (uint8_t)(al - 6);
    }
    if (high)
        al = is_add ? (uint8_t)(al + 0x60) : (uint8_t)(al - 0x60);
    gpr_write(env, CPU_RAX, 1, al);
    flags_set(env, FLAGS_STATUS & ~FLAG_OF, flags_of(al, 1) | (carry ? FLAG_CF : 0) | (low ? FLAG_AF : 0));
}

static void adjust_unpacked(struct step_env *env, bool is_add)
{
    uint16_t ax = (uint16_t)gpr_read(env, CPU_RAX, 2);
    bool adjust = (ax & 15) > 9 || (env->cpu->rflags & FLAG_AF);
    if (adjust)
        ax = is_add ? (uint16_t)(ax + 0x106) : (uint16_t)(ax - 0x106);
    gpr_write(env, CPU_RAX, 2, ax & 0xff0f);
    flags_set(env, FLAG_CF | FLAG_AF, adjust ? FLAG_CF | FLAG_AF : 0);
}

enum step_result emulate_bcd(struct step_env *env)
{
    uint8_t base = (uint8_t)env->insn.imm;
    uint16_t ax = (uint16_t)gpr_read(env, CPU_RAX, 2);
    switch (env->insn.op) {
    case INSN_OP_AAA:
    case INSN_OP_AAS:
        adjust_unpacked(env, env->insn.op == INSN_OP_AAA);
        return STEP_DONE;
    case INSN_OP_DAA:
    case INSN_OP_DAS:
        adjust_packed(env, env->insn.op == INSN_OP_DAA);
        return STEP_DONE;
    case INSN_OP_AAM:
        if (!base)
            return env_raise(env, VECTOR_DE);
        ax = (uint16_t)((ax & 0xff) / base << 8 | (ax & 0xff) % base);
        break;
    default: /* AAD */
        ax = (uint8_t)((ax & 0xff) + (ax >> 8) * base);
        break;
    }
    gpr_write(env, CPU_RAX, 2, ax);
    flags_set(env, FLAG_SF | FLAG_ZF | FLAG_PF, flags_of(ax & 0xff, 1));
    return STEP_DONE;
}
