/* SPDX-License-Identifier: MIT
 *
 * Operands: from a shape's codes, by tables rather than by cases.
 */
#ifndef DECODER_OPERANDS_H
#define DECODER_OPERANDS_H

#include "decoder/decode.h"

/* Sizes in bytes, of a register in four columns, of memory in the other four: for each code the column of its
 * group (see default_sizes[]). */
#define SIZES_MEMORY 4
#define SAME(...)                \
    {                            \
        __VA_ARGS__, __VA_ARGS__ \
    }
#define ALWAYS(size) SAME(size, size, size, size)
#define NAMED(size)  ((size) < 16 ? 16 : (size))
#define MEMORY(m, ...)          \
    {                           \
        __VA_ARGS__, m, m, m, m \
    }
#define VECTOR(a, b, c, d)                                 \
    {                                                      \
        NAMED(a), NAMED(b), NAMED(c), NAMED(d), a, b, c, d \
    }
static const uint16_t sizes[SIZE_GROUPS * 8][8] = {
    [SIZE_1] = ALWAYS(1),
    [SIZE_2] = ALWAYS(2),
    [SIZE_4] = ALWAYS(4),
    [SIZE_8] = ALWAYS(8),
    [SIZE_16] = ALWAYS(16),
    [SIZE_32] = ALWAYS(32),
    [SIZE_64] = ALWAYS(64),
    [SIZE_10] = ALWAYS(10),
    [SIZE_48] = ALWAYS(48),
    [SIZE_512] = ALWAYS(512),
    [SIZE_576] = ALWAYS(576),
    [SIZE_1024] = ALWAYS(1024),
    [SIZE_1_X] = VECTOR(1, 1, 1, 1),
    [SIZE_2_X] = VECTOR(2, 2, 2, 2),
    [SIZE_4_X] = VECTOR(4, 4, 4, 4),
    [SIZE_8_X] = VECTOR(8, 8, 8, 8),
    [SIZE_V] = SAME(2, 4, 8, 0),
    [SIZE_Z] = SAME(2, 4, 4, 0),
    [SIZE_A] = SAME(4, 8, 16, 0),
    [SIZE_P] = SAME(4, 6, 10, 0),
    [SIZE_ENV] = SAME(14, 28, 28, 0),
    [SIZE_SAVE] = SAME(94, 108, 108, 0),
    [SIZE_0_V] = MEMORY(0, 2, 4, 8, 0),
    [SIZE_2_V] = MEMORY(2, 2, 4, 8, 0),
    [SIZE_Y] = SAME(4, 4, 8, 0),
    [SIZE_1_Y] = MEMORY(1, 4, 4, 8, 0),
    [SIZE_2_Y] = MEMORY(2, 4, 4, 8, 0),
    [SIZE_4_Y] = MEMORY(4, 4, 4, 8, 0),
    [SIZE_S] = SAME(6, 10, 10, 0),
    [SIZE_M] = SAME(4, 8, 8, 0),
    [SIZE_2M] = SAME(8, 16, 16, 0),
    [SIZE_ADDR] = SAME(2, 4, 8, 0),
    [SIZE_X] = VECTOR(8, 16, 32, 64),
    [SIZE_XH] = VECTOR(4, 8, 16, 32),
    [SIZE_XQ] = VECTOR(2, 4, 8, 16),
    [SIZE_XO] = VECTOR(1, 2, 4, 8),
    [SIZE_DDUP] = VECTOR(8, 8, 32, 64),
};

/* Where an operand's register number comes from: a byte of registers_set(). */
enum register_source {
    FROM_ZERO,
    FROM_ONE,
    FROM_TWO,
    FROM_VVVV,
    FROM_RM,        /* ModRM.rm or the opcode's low bits */
    FROM_RM_VECTOR, /* EVEX extends it by X */
    FROM_REG,
};

/* How an operand is found: its kind (as a register, where it may be memory) and the source of its number.
 * Where `odd`, register_odd() has a say: by the bits of the number that count, those that no such register
 * has, and more. */
static const struct how {
    uint8_t kind, from, odd, bits, bad;
    uint8_t unused[3]; /* eight bytes are found faster than five */
} hows[64] = {
    [HOW_E] = {INSN_GPR, FROM_RM, 0, 31, 0x10},        [HOW_E_BYTE] = {INSN_GPR, FROM_RM, 1, 31, 0},
    [HOW_W] = {INSN_VECTOR, FROM_RM_VECTOR, 0, 31, 0}, [HOW_Q] = {INSN_MMX, FROM_RM, 1, 7, 0},
    [HOW_KE] = {INSN_MASK, FROM_RM, 1, 7, 0},          [HOW_TE] = {INSN_TILE, FROM_RM, 1, 31, 0x18},
    [HOW_BE] = {INSN_BND, FROM_RM, 1, 31, 0x1c},       [HOW_G] = {INSN_GPR, FROM_REG, 0, 31, 0x10},
    [HOW_G_BYTE] = {INSN_GPR, FROM_REG, 1, 31, 0},     [HOW_V] = {INSN_VECTOR, FROM_REG, 0, 31, 0},
    [HOW_P] = {INSN_MMX, FROM_REG, 1, 7, 0},           [HOW_KG] = {INSN_MASK, FROM_REG, 1, 31, 0x18},
    [HOW_TG] = {INSN_TILE, FROM_REG, 1, 31, 0x18},     [HOW_BG] = {INSN_BND, FROM_REG, 1, 31, 0x1c},
    [HOW_S] = {INSN_SEG, FROM_REG, 1, 7, 0},           [HOW_C] = {INSN_CR, FROM_REG, 0, 31, 0},
    [HOW_D] = {INSN_DR, FROM_REG, 1, 31, 0x18},        [HOW_MEM_REG] = {INSN_MEM_REG, FROM_REG, 0, 31, 0},
    [HOW_B] = {INSN_GPR, FROM_VVVV, 0, 31, 0x10},      [HOW_H] = {INSN_VECTOR, FROM_VVVV, 0, 31, 0},
    [HOW_KH] = {INSN_MASK, FROM_VVVV, 1, 31, 0x18},    [HOW_TH] = {INSN_TILE, FROM_VVVV, 1, 31, 0x18},
    [HOW_L] = {INSN_VECTOR, FROM_ZERO, 1, 31, 0},      [HOW_Z] = {INSN_GPR, FROM_RM, 0, 31, 0},
    [HOW_Z_BYTE] = {INSN_GPR, FROM_RM, 1, 31, 0},      [HOW_AX] = {INSN_GPR, FROM_ZERO, 0, 31, 0},
    [HOW_CX] = {INSN_GPR, FROM_ONE, 0, 31, 0},         [HOW_DX] = {INSN_GPR, FROM_TWO, 0, 31, 0},
    [HOW_SEG] = {INSN_SEG, FROM_ZERO, 1, 31, 0},       [HOW_ST0] = {INSN_X87, FROM_ZERO, 0, 31, 0},
    [HOW_STI] = {INSN_X87, FROM_RM, 1, 7, 0},          [HOW_XMM0] = {INSN_VECTOR, FROM_ZERO, 0, 31, 0},
    [HOW_IMM] = {INSN_IMM, FROM_ZERO, 0, 31, 0},       [HOW_IMM2] = {INSN_IMM2, FROM_ZERO, 0, 31, 0},
    [HOW_ONE] = {INSN_IMM_ONE, FROM_ZERO, 0, 31, 0},   [HOW_REL] = {INSN_RELATIVE, FROM_ZERO, 0, 31, 0},
    [HOW_FAR] = {INSN_FAR, FROM_ZERO, 0, 31, 0},       [HOW_MOFFS] = {INSN_MEM_MOFFS, FROM_ZERO, 0, 31, 0},
    [HOW_SI] = {INSN_MEM_SI, FROM_ZERO, 0, 31, 0},     [HOW_DI] = {INSN_MEM_DI, FROM_ZERO, 0, 31, 0},
    [HOW_XLAT] = {INSN_MEM_XLAT, FROM_ZERO, 0, 31, 0}, [HOW_MASKMOV] = {INSN_MEM_MASK, FROM_ZERO, 0, 31, 0},
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
    unsigned code = memory_code(shape, count);
    state->insn->disp *= element ? element_size(shape->checks)
                                 : sizes[code][SIZES_MEMORY + state->columns[code >> 3]];
}

/* The candidates for register numbers. */
STAGE void registers_set(const struct state *state, uint8_t registers[8])
{
    static const uint8_t constants[4] = {0, 1, 2};
    const struct insn *insn = state->insn;
    unsigned rex = insn->rex;
    unsigned rm = (state->low & 7u) | (rex & INSN_REX_B) << 3;
    unsigned reg = (state->low >> 3 & 7u) | (rex & INSN_REX_R) << 1;
    unsigned vector = rm;
    memcpy(registers, constants, sizeof(constants));
    if (insn->encoding >= INSN_VEX) {
        vector |= insn->encoding >= INSN_EVEX ? (rex & INSN_REX_X) << 3 : 0;
        rm |= rex & INSN_REX_B4;
        reg |= (rex & INSN_REX_R4) >> 2;
        registers[FROM_VVVV] = insn->vvvv;
    }
    registers[FROM_RM] = (uint8_t)rm;
    registers[FROM_RM_VECTOR] = (uint8_t)vector;
    registers[FROM_REG] = (uint8_t)reg;
}

/* The registers that are not what the tables make of them: AH to BH, segments, is4, and of which there are
 * only eight. False where there is no such register. */
STAGE bool register_odd(const struct state *state, const struct shape_operand *from,
                        struct insn_operand *operand)
{
    const struct insn *insn = state->insn;
    operand->reg &= hows[from->how].bits;
    if (operand->reg & hows[from->how].bad)
        return false;
    switch (from->how) {
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
    default:
        if (operand->kind == INSN_GPR && operand->reg - 4u < 4 && !(insn->prefixes & INSN_PREFIX_REX) &&
            insn->encoding != INSN_EVEX) {
            operand->kind = INSN_GPR_HIGH;
            operand->reg -= 4;
        }
        return true;
    }
}

/* One operand. False where there is no such register. */
STAGE bool operand_decode(const struct state *state, const struct shape_operand *shape,
                          struct insn_operand *operand, const uint8_t registers[8])
{
    const struct how *how = &hows[shape->how];
    const uint16_t *columns = &sizes[shape->size][state->columns[shape->group]];
    uint16_t tail = (uint16_t)(shape->access << 8); /* with the size, as struct insn_operand ends */
    if (shape->how <= state->memory_last) {
        tail |= columns[SIZES_MEMORY];
        operand->kind = INSN_MEM;
        memcpy((char *)operand + 2, &tail, sizeof(tail));
        return true;
    }
    tail |= columns[0];
    operand->kind = how->kind;
    operand->reg = registers[how->from];
    memcpy((char *)operand + 2, &tail, sizeof(tail));
    return !RARE(how->odd) || register_odd(state, shape, operand);
}

/* Memory that is broadcast. */
STAGE void element_apply(struct insn *insn, unsigned checks)
{
    for (unsigned i = 0; i < INSN_OPERANDS_MAX; i++) {
        if (insn->operands[i].kind == INSN_MEM)
            insn->operands[i].size = element_size(checks) & 0xfff;
    }
}

/* All of the shape's operands. False where one names a register that does not exist. */
STAGE bool operands_decode(const struct state *state, const struct shape *shape, unsigned count)
{
    struct insn *insn = state->insn;
    const struct shape_operand *how = shape->operands;
    uint8_t registers[8];
    registers_set(state, registers);
    insn->operand_count = count & 15;
    insn->imm_size = state->imm_size & 15;
    if (count > 0 && !operand_decode(state, &how[0], &insn->operands[0], registers))
        return false;
    if (count > 1 && !operand_decode(state, &how[1], &insn->operands[1], registers))
        return false;
    for (unsigned i = 2; i < count; i++) {
        if (!operand_decode(state, &how[i], &insn->operands[i], registers))
            return false;
    }
    return true;
}

/* General registers from 16 on are APX's. */
STAGE bool high_valid(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operands[i].kind == INSN_GPR && insn->operands[i].reg > 15)
            return false;
    }
    return true;
}

#endif
