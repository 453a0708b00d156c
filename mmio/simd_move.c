/* SPDX-License-Identifier: MIT
 *
 * Whole vectors between a register and memory: what drivers do to devices with vectors, and nothing that
 * needs the CPU. Copied out of and into the XSAVE area, which costs a tenth of running the instruction.
 */
#include "mmio/simd.h"

#include <string.h>

/* MOVUPS, MOVAPS, MOVNTPS and their like, MOVDQA, MOVDQU, MOVNTDQ, LDDQU, MOVNTDQA; VEX and EVEX too. */
bool simd_is_move(const struct insn *insn)
{
    bool has_f3 = insn->prefixes & INSN_MANDATORY_F3, has_f2 = insn->prefixes & INSN_MANDATORY_F2;
    bool has_66 = insn->prefixes & INSN_MANDATORY_66;
    if (!(insn->attributes & INSN_HAS_MEMORY) || insn->mask || insn->encoding == INSN_3DNOW ||
        insn_class(insn) < INSN_CLASS_SSE)
        return false;
    if (insn->map == 2)
        return insn->opcode == 0x2a && has_66;
    if (insn->map != 1)
        return false;
    switch (insn->opcode) {
    case 0x10:
    case 0x11:
    case 0x28:
    case 0x29:
    case 0x2b:
        return !has_f2 && !has_f3;
    case 0x6f:
    case 0x7f:
        return has_66 || has_f3 || has_f2;
    case 0xe7:
        return has_66;
    case 0xf0:
        return has_f2;
    }
    return false;
}

enum step_result simd_move(struct step_env *env)
{
    const struct insn *insn = &env->insn;
    struct simd_operand operand;
    if (!simd_operand(env, &operand) || operand.memory.size > SIMD_BYTES_MAX)
        return env_unsupported(env, "a vector move with unknown operands");
    bool is_load = insn->operands[0].kind == INSN_VECTOR;
    const struct insn_operand *reg = &insn->operands[is_load ? 0 : 1];
    struct access access = {.offset = operand.offset,
                            .len = operand.memory.size,
                            .segment = operand.memory.segment,
                            .align = operand.align,
                            .flags = is_load ? ACCESS_READ : ACCESS_WRITE};
    if (insn->attributes & INSN_ALIGNED)
        access.flags |= ACCESS_EXACT;
    TRY(access_prepare(env, &access));
    uint8_t bytes[SIMD_BYTES_MAX] = {0};
    if (!is_load) {
        xsave_vector_read(simd_area(env), simd_layout(env), reg->reg, bytes, access.len);
        access_write(env, &access, bytes);
        return STEP_DONE;
    }
    access_read(env, &access, bytes);
    env->cpu->vector.changed = true; /* a store has saved its vCPU from writing the state back */
    unsigned width = access.len;
    if (insn->encoding != INSN_LEGACY) /* which clears the rest of the register */
        width = simd_layout(env)->components & XCR0_ZMM_HIGH ? 64 : 32;
    xsave_vector_write(simd_area(env), simd_layout(env), reg->reg, bytes, width);
    return STEP_DONE;
}
