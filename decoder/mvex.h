/* SPDX-License-Identifier: MIT
 *
 * Knights Corner's MVEX (Xeon Phi instruction set reference, 3.2 and 3.3): 62 with bit 2 of the third byte
 * clear. Only where the switch asks for it, and where EVEX has found nothing: decoded from the start again,
 * in a function of its own, so that the others do not pay. Its rows are a list, searched from end to end.
 */
#ifndef DECODER_MVEX_H
#define DECODER_MVEX_H

#include "decoder/decode.h"
#include "decoder/modrm.h"
#include "decoder/operands.h"
#include "decoder/prefix.h"
#include "decoder/validity.h"

/* Small: nobody is in a hurry here. */
#ifdef __clang__
#define MVEX_SMALL __attribute__((noinline, cold, minsize, no_stack_protector))
#else
#define MVEX_SMALL __attribute__((noinline, cold, optimize("Os"), no_stack_protector))
#endif

/* Sixty-fourths of the operand that memory holds, by SSS; 0: no such conversion. */
static const uint8_t mvex_sizes[MVEX_CONVERSIONS][8] = {
    [MVEX_NONE] = {64},
    [MVEX_F32] = {64, 0, 0, 32, 16, 16, 32, 32},
    [MVEX_F32B] = {64, 4, 16, 32, 16, 0, 32, 32},
    [MVEX_I32] = {64, 0, 0, 0, 16, 16, 32, 32},
    [MVEX_I32B] = {64, 4, 16, 0, 16, 16, 32, 32},
    [MVEX_64B] = {64, 8, 32},
    [MVEX_4TO16] = {64, 0, 16},
};

/* Segments and 67, then 62 and its bytes up to the opcode. */
MVEX_SMALL static int mvex_prefix(struct state *state)
{
    struct insn *insn = state->insn;
    unsigned byte;
    while (state_has(state, 1) && (byte = *state->at++) != 0x62) {
        unsigned node = decoder_nodes[byte];
        if (node == NODE_BYTE + BYTE_SEGMENT) {
            segment_prefix(state, byte);
        } else if (node == NODE_BYTE + BYTE_ADDRESS) {
            insn->prefixes |= INSN_PREFIX_ADDRESS;
            state->size_index |= 2;
        } else {
            return INSN_INVALID;
        }
    }
    if (!state_has(state, 4))
        return DECODE_MORE;
    unsigned first = state->at[0], second = state->at[1], third = state->at[2];
    if (second & 4)
        return INSN_INVALID;
    insn->encoding = INSN_MVEX;
    vector_fields(state, first, second);
    insn->rex |= first & 0x10 ? 0 : INSN_REX_R4;
    state->vector = third & VECTOR_HIGH ? 0 : VECTOR_HIGH;
    insn->imm2 = third >> 4;
    insn->mask = third & 7;
    insn->map = first & 15;
    insn->opcode = state->at[3];
    state->at += 4;
    return INSN_OK;
}

/* The row, or the end of the list; NULL where the ModRM byte that decides is missing. */
MVEX_SMALL static const struct mvex_row *mvex_find(const struct state *state)
{
    const struct insn *insn = state->insn;
    const struct mvex_row *row = decoder_mvex;
    for (; row->opcode; row++) {
        unsigned reg = row->mnemonic >> 12;
        if (row->opcode != insn->opcode || (row->key & 3) != insn->map ||
            (row->key >> 2 & 3) != state->prefix || !(row->key >> 4 >> STATE_WIDE(state) & 1) ||
            !(row->key >> 6 >> (insn->imm2 >> 3) & 1))
            continue;
        if (!state_has(state, 1))
            return NULL;
        if (reg == 8 || reg == (*state->at >> 3 & 7u))
            break;
    }
    return row;
}

/* The reserved values of vvvv, V' and the mask. */
STAGE bool mvex_fields(const struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    bool vsib = checks >> CHECK_VSIB_SHIFT & 3;
    if (!(checks & CHECK_VVVV) && (insn->vvvv || (state->vector & VECTOR_HIGH && !vsib)))
        return false;
    insn->vvvv |= vsib ? 0 : (uint8_t)state_v_high(state);
    return insn->mask || !(checks & CHECK_MASK_NEEDED);
}

/* What E and SSS mean between registers: with E rounding (and, by S2, no exceptions), otherwise a swizzle. */
STAGE bool mvex_registers(struct insn *insn, unsigned checks)
{
    unsigned select = insn->imm2 & 7;
    unsigned mode = checks & (CHECK_ER | CHECK_SAE);
    if (!(insn->imm2 & 8))
        return !select || checks & CHECK_SWIZZLE;
    if (checks & CHECK_NO_E)
        return false;
    if (!mode)
        return !select;
    if (mode == CHECK_ER)
        insn->attributes |= INSN_ROUNDING | (uint32_t)(select & 3) << INSN_ROUNDING_SHIFT;
    if (mode != (CHECK_ER | CHECK_SAE) && select & 4)
        insn->attributes |= INSN_SAE;
    return true;
}

/* Memory: its size after the conversion, which an 8-bit displacement counts. */
STAGE bool mvex_memory(struct insn *insn, struct insn_operand *operand, unsigned checks)
{
    unsigned size = operand->size;
    unsigned part = mvex_sizes[checks >> CHECK_CONVERSION_SHIFT & 7][insn->imm2 & 7];
    unsigned unit = checks & CHECK_COMPRESSED ? element_size(checks) : size ? size : 64;
    operand->size = (size * part / 64) & 0xfff;
    if (insn->modrm >> 6 == 1)
        insn->disp *= unit * part / 64;
    if ((insn->imm2 & 7) == 1 || (insn->imm2 & 7) == 2)
        insn->attributes |= INSN_BROADCAST;
    return part;
}

/* ModRM, and an immediate of one byte: all that there is, and never a 16-bit address. */
MVEX_SMALL static int mvex_modrm(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned modrm = insn->modrm = state->low = *state->at++;
    int status = INSN_OK;
    if (checks & (modrm >= 0xc0 ? CHECK_MEM : CHECK_REG))
        return INSN_INVALID;
    if (modrm < 0xc0) {
        insn->attributes |= INSN_HAS_MEMORY;
        state->memory_last = HOW_RM_LAST;
        if (checks & 3u << CHECK_VSIB_SHIFT && (modrm & 7) != 4)
            return INSN_INVALID;
        status = memory32(state, modrm >> 6, modrm & 7, checks);
    }
    if (status || !(checks >> CHECK_IMM_SHIFT & 15))
        return status;
    if (!state_has(state, 1))
        return DECODE_MORE;
    insn->imm = *state->at++;
    insn->imm_size = 1;
    return INSN_OK;
}

/* Every vector register has 64 bytes, whatever a memory operand in its place would have. */
MVEX_SMALL static bool mvex_operands(const struct state *state, const struct shape *shape, unsigned count)
{
    struct insn *insn = state->insn;
    uint8_t registers[8];
    registers_set(state, registers);
    insn->operand_count = count & 15;
    for (unsigned i = 0; i < count; i++) {
        struct insn_operand *operand = &insn->operands[i];
        const struct how *how = &hows[shape->operands[i].how];
        bool memory = shape->operands[i].how <= state->memory_last;
        operand->kind = memory ? INSN_MEM : how->kind;
        operand->reg = memory ? 0 : registers[how->from] & how->bits;
        operand->access = (shape->operands[i].access >> 4) & 15;
        operand->size = sizes[shape->operands[i].size][memory ? SIZES_MEMORY + 3 : 3] & 0xfff;
        if (operand->reg & how->bad)
            return false;
        if (memory && !mvex_memory(insn, operand, shape->checks))
            return false;
        if (operand->kind == INSN_VECTOR)
            operand->size = 64;
    }
    return true;
}

STAGE int mvex_row_decode(struct state *state, const struct mvex_row *row)
{
    struct insn *insn = state->insn;
    const struct shape *shape = (const struct shape *)&decoder_shapes[row->shape & 0x1fff];
    unsigned checks = shape->checks, count = row->shape >> 13;
    insn->mnemonic = row->mnemonic & 0xfff;
    insn->isa = INSN_ISA_KNC;
    insn->attributes = shape->attributes;
    insn->vector_length = 64;
    insn->operand_size = STATE_WIDE(state) ? 8 : 4;
    if (state->prefix)
        insn->prefixes |= (uint16_t)(INSN_MANDATORY_66 << (state->prefix - 1));
    if (!mvex_fields(state, checks))
        return INSN_INVALID;
    int status = mvex_modrm(state, checks);
    if (status)
        return status;
    if (!mvex_operands(state, shape, count))
        return INSN_INVALID;
    if (insn->modrm >= 0xc0 && !mvex_registers(insn, checks))
        return INSN_INVALID;
    return checks & CHECK_SPECIAL && insn->operands[0].reg == insn->index ? INSN_INVALID : INSN_OK;
}

MVEX_SMALL static enum insn_status mvex_decode(const uint8_t *bytes, const uint8_t *end, uint64_t mode,
                                               struct insn *insn)
{
    uint8_t columns[SIZE_GROUPS];
    struct state state;
    state_init(&state, bytes, end, mode, insn);
    state.columns = columns;
    /* APX has the bit that tells MVEX from EVEX. */
    int status = insn->bits != 64 || state_features(&state) & INSN_FEATURE_APX ? INSN_INVALID
                                                                               : mvex_prefix(&state);
    if (!status) {
        sizes_set(&state);
        const struct mvex_row *row = mvex_find(&state);
        status = !row ? DECODE_MORE : row->opcode ? mvex_row_decode(&state, row) : INSN_INVALID;
    }
    return state_end(&state, status);
}

#endif
