/* SPDX-License-Identifier: MIT
 *
 * Operands: from a shape's codes, by tables rather than by cases.
 */
#ifndef DECODER_OPERANDS_H
#define DECODER_OPERANDS_H

#include "decoder/decode.h"

/* Sizes in bytes: for each code a column by the operand size (2, 4, 8), W, the mode, and so on; and again for
 * a vector register, whose name is of 16 bytes or more. */
#define NAMED(size) ((size) < 16 ? 16 : (size))
#define COLUMNS(a, b, c, d)                                \
    {                                                      \
        a, b, c, d, NAMED(a), NAMED(b), NAMED(c), NAMED(d) \
    }
static const uint16_t sizes[SIZE_GROUPS * 8][8] = {
    [SIZE_1] = COLUMNS(1, 1, 1, 1),           [SIZE_2] = COLUMNS(2, 2, 2, 2),
    [SIZE_4] = COLUMNS(4, 4, 4, 4),           [SIZE_8] = COLUMNS(8, 8, 8, 8),
    [SIZE_16] = COLUMNS(16, 16, 16, 16),      [SIZE_32] = COLUMNS(32, 32, 32, 32),
    [SIZE_64] = COLUMNS(64, 64, 64, 64),      [SIZE_10] = COLUMNS(10, 10, 10, 10),
    [SIZE_48] = COLUMNS(48, 48, 48, 48),      [SIZE_512] = COLUMNS(512, 512, 512, 512),
    [SIZE_576] = COLUMNS(576, 576, 576, 576), [SIZE_1024] = COLUMNS(1024, 1024, 1024, 1024),
    [SIZE_V] = COLUMNS(2, 4, 8, 0),           [SIZE_Z] = COLUMNS(2, 4, 4, 0),
    [SIZE_A] = COLUMNS(4, 8, 16, 0),          [SIZE_P] = COLUMNS(4, 6, 10, 0),
    [SIZE_ENV] = COLUMNS(14, 28, 28, 0),      [SIZE_SAVE] = COLUMNS(94, 108, 108, 0),
    [SIZE_Y] = COLUMNS(4, 8, 0, 0),           [SIZE_S] = COLUMNS(6, 10, 0, 0),
    [SIZE_M] = COLUMNS(4, 8, 0, 0),           [SIZE_2Y] = COLUMNS(8, 16, 0, 0),
    [SIZE_ADDR] = COLUMNS(2, 4, 8, 0),        [SIZE_X] = COLUMNS(8, 16, 32, 64),
    [SIZE_XH] = COLUMNS(4, 8, 16, 32),        [SIZE_XQ] = COLUMNS(2, 4, 8, 16),
    [SIZE_XO] = COLUMNS(1, 2, 4, 8),          [SIZE_DDUP] = COLUMNS(8, 8, 32, 64),
};

STAGE unsigned operand_size(const struct state *state, unsigned code)
{
    return sizes[code][state->size_context[code >> 3]];
}

/* Where an operand's register number may come from: a byte of registers_of(). */
enum register_source {
    FROM_ZERO,
    FROM_ONE,
    FROM_TWO,
    FROM_VVVV,
    FROM_RM,        /* general register */
    FROM_RM_VECTOR, /* EVEX extends it by X */
    FROM_REG,
    FROM_OPCODE,
};

/* How an operand is found: its kind (as a register, where it may be memory), the source of its number and the
 * bits of it that count, the bits that no such register has, its columns of sizes[], and whether
 * register_odd() has a say. */
static const struct how {
    uint8_t kind, shift, bits, bad, column, odd;
    uint8_t unused[2]; /* eight bytes are found faster than six */
} hows[64] = {
    [HOW_E] = {INSN_GPR, FROM_RM * 8, 31, 0x10, 0, 0},
    [HOW_E_BYTE] = {INSN_GPR, FROM_RM * 8, 31, 0x10, 0, 1},
    [HOW_E_V] = {INSN_GPR, FROM_RM * 8, 31, 0x10, 0, 1},
    [HOW_E_D] = {INSN_GPR, FROM_RM * 8, 31, 0x10, 0, 1},
    [HOW_W] = {INSN_VECTOR, FROM_RM_VECTOR * 8, 31, 0x00, 4, 0},
    [HOW_Q] = {INSN_MMX, FROM_RM * 8, 7, 0x00, 0, 0},
    [HOW_KE] = {INSN_MASK, FROM_RM * 8, 7, 0x18, 0, 0},
    [HOW_TE] = {INSN_TILE, FROM_RM * 8, 31, 0x18, 0, 0},
    [HOW_BE] = {INSN_BND, FROM_RM * 8, 31, 0x1c, 0, 0},
    [HOW_G] = {INSN_GPR, FROM_REG * 8, 31, 0x10, 0, 0},
    [HOW_G_BYTE] = {INSN_GPR, FROM_REG * 8, 31, 0x10, 0, 1},
    [HOW_V] = {INSN_VECTOR, FROM_REG * 8, 31, 0x00, 4, 0},
    [HOW_P] = {INSN_MMX, FROM_REG * 8, 7, 0x00, 0, 0},
    [HOW_KG] = {INSN_MASK, FROM_REG * 8, 31, 0x18, 0, 0},
    [HOW_TG] = {INSN_TILE, FROM_REG * 8, 31, 0x18, 0, 0},
    [HOW_BG] = {INSN_BND, FROM_REG * 8, 31, 0x1c, 0, 0},
    [HOW_S] = {INSN_SEG, FROM_REG * 8, 7, 0x00, 0, 1},
    [HOW_C] = {INSN_CR, FROM_REG * 8, 31, 0x00, 0, 0},
    [HOW_D] = {INSN_DR, FROM_REG * 8, 31, 0x18, 0, 0},
    [HOW_MEM_REG] = {INSN_MEM_REG, FROM_REG * 8, 31, 0x00, 0, 0},
    [HOW_B] = {INSN_GPR, FROM_VVVV * 8, 31, 0x10, 0, 0},
    [HOW_H] = {INSN_VECTOR, FROM_VVVV * 8, 31, 0x00, 4, 0},
    [HOW_KH] = {INSN_MASK, FROM_VVVV * 8, 31, 0x18, 0, 0},
    [HOW_TH] = {INSN_TILE, FROM_VVVV * 8, 31, 0x18, 0, 0},
    [HOW_L] = {INSN_VECTOR, FROM_ZERO * 8, 31, 0x00, 4, 1},
    [HOW_Z] = {INSN_GPR, FROM_OPCODE * 8, 31, 0x10, 0, 0},
    [HOW_Z_BYTE] = {INSN_GPR, FROM_OPCODE * 8, 31, 0x10, 0, 1},
    [HOW_AX] = {INSN_GPR, FROM_ZERO * 8, 31, 0x10, 0, 0},
    [HOW_CX] = {INSN_GPR, FROM_ONE * 8, 31, 0x10, 0, 0},
    [HOW_DX] = {INSN_GPR, FROM_TWO * 8, 31, 0x10, 0, 0},
    [HOW_SEG] = {INSN_SEG, FROM_ZERO * 8, 31, 0x00, 0, 1},
    [HOW_ST0] = {INSN_X87, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_STI] = {INSN_X87, FROM_RM * 8, 7, 0x00, 0, 0},
    [HOW_XMM0] = {INSN_VECTOR, FROM_ZERO * 8, 31, 0x00, 4, 0},
    [HOW_IMM] = {INSN_IMM, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_IMM2] = {INSN_IMM2, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_ONE] = {INSN_IMM_ONE, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_REL] = {INSN_RELATIVE, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_FAR] = {INSN_FAR, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_MOFFS] = {INSN_MEM_MOFFS, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_SI] = {INSN_MEM_SI, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_DI] = {INSN_MEM_DI, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_XLAT] = {INSN_MEM_XLAT, FROM_ZERO * 8, 31, 0x00, 0, 0},
    [HOW_MASKMOV] = {INSN_MEM_MASK, FROM_ZERO * 8, 31, 0x00, 0, 0},
};

STAGE unsigned memory_code(const struct shape *shape, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned how = shape->operands[i].how;
        if (how != HOW_NONE && how <= HOW_RM_LAST)
            return shape->operands[i].size;
    }
    return SIZE_1;
}

/* What one access moves is the unit (SDM 2A 2.7.5). */
STAGE void displacement_scale(struct state *state, const struct shape *shape, unsigned count)
{
    bool element = state->insn->attributes & INSN_BROADCAST || shape->checks & CHECK_COMPRESSED;
    state->insn->disp *= element ? element_size(shape->checks)
                                 : operand_size(state, memory_code(shape, count));
}

/* The candidates for register numbers, a byte each. */
STAGE uint64_t registers_of(const struct insn *insn)
{
    unsigned rex = insn->rex;
    uint64_t from = 0x020100;
    if (insn->attributes & INSN_HAS_MODRM) {
        uint64_t rm = (insn->modrm & 7) | (rex & INSN_REX_B) << 3;
        uint64_t reg = (insn->modrm >> 3 & 7) | (rex & INSN_REX_R) << 1;
        from |= (rm | rm << 8 | reg << 16) << 32;
    } else {
        from |= (uint64_t)((insn->opcode & 7) | (rex & INSN_REX_B) << 3) << 56;
    }
    if (insn->encoding >= INSN_VEX) {
        uint64_t base = rex & INSN_REX_B4;
        uint64_t vector = insn->encoding >= INSN_EVEX ? (rex & INSN_REX_X) << 3 : 0;
        from |= (uint64_t)insn->vvvv << 24 | (base | vector << 8 | (rex & INSN_REX_R4) >> 2 << 16) << 32 |
                base << 56;
    }
    return from;
}

/* The registers that are not what the tables make of them: AH to BH, operands with a size of their own
 * between registers, segments, is4. False where there is no such register. */
STAGE bool register_odd(const struct state *state, const struct shape_operand *from,
                        struct insn_operand *operand)
{
    const struct insn *insn = state->insn;
    switch (from->how) {
    case HOW_E_V:
        operand->size = insn->operand_size;
        return true;
    case HOW_E_D:
        operand->size = operand_size(state, SIZE_Y) & 0xfff;
        return true;
    case HOW_S:
        return operand->reg <= INSN_GS;
    case HOW_SEG:
        operand->reg = from->size;
        operand->size = 2;
        return true;
    case HOW_L:
        if (insn->bits != 64)
            state->insn->imm &= 0x7f; /* there are eight */
        operand->reg = insn->imm >> 4 & 15;
        return true;
    default: /* a byte */
        if (operand->reg - 4u < 4 && !(insn->prefixes & INSN_PREFIX_REX) && insn->encoding != INSN_EVEX) {
            operand->kind = INSN_GPR_HIGH;
            operand->reg -= 4;
        }
        return true;
    }
}

/* One operand; what is wrong with it, or 0. `memory_last` is the last way of finding operands that is memory
 * here. */
STAGE unsigned operand_decode(const struct state *state, const struct shape_operand *shape,
                              struct insn_operand *operand, uint64_t registers)
{
    const struct how *how = &hows[shape->how];
    const uint16_t *columns = &sizes[shape->size][state->size_context[shape->size >> 3]];
    uint16_t tail = shape->access; /* with the size, as struct insn_operand ends */
    if (shape->how <= state->memory_last) {
        tail |= columns[0];
        operand->kind = INSN_MEM;
        memcpy((char *)operand + 2, &tail, sizeof(tail));
        return 0;
    }
    unsigned reg = registers >> how->shift & how->bits;
    tail |= columns[how->column];
    operand->kind = how->kind;
    operand->reg = (uint8_t)reg;
    memcpy((char *)operand + 2, &tail, sizeof(tail));
    if (how->odd)
        return !register_odd(state, shape, operand);
    return reg & how->bad;
}

/* Memory that is broadcast. */
STAGE void element_apply(const struct state *state)
{
    for (unsigned i = 0; i < INSN_OPERANDS_MAX; i++) {
        if (state->insn->operands[i].kind == INSN_MEM)
            state->insn->operands[i].size = state->element;
    }
}

/* All of the shape's operands. False where one names a register that does not exist. */
STAGE bool operands_decode(const struct state *state, const struct shape *shape, unsigned count)
{
    struct insn *insn = state->insn;
    const struct shape_operand *how = shape->operands;
    struct insn_operand *operand = insn->operands;
    uint64_t registers = registers_of(insn);
    unsigned bad = 0;
    insn->operand_count = count & 15;
    insn->imm_size = state->imm_size & 15;
    if (count > 0)
        bad |= operand_decode(state, &how[0], &operand[0], registers);
    if (count > 1)
        bad |= operand_decode(state, &how[1], &operand[1], registers);
    for (unsigned i = 2; i < count; i++)
        bad |= operand_decode(state, &how[i], &operand[i], registers);
    return !bad || (state_features(state) & INSN_FEATURE_APX && bad == 0x10);
}

#endif
