/* SPDX-License-Identifier: MIT
 *
 * ModRM, SIB, displacement and immediates (SDM 2A 2.1.3 to 2.1.5, 2.2.1).
 */
#ifndef DECODER_MODRM_H
#define DECODER_MODRM_H

#include "decoder/decode.h"

/* 16-bit addressing: base | index << 4, 15 for none. */
static const uint8_t pairs16[8] = {0x63, 0x73, 0x65, 0x75, 0xf6, 0xf7, 0xf5, 0xf3};

STAGE int displacement(struct state *state, unsigned size)
{
    if (!state_has(state, size))
        return DECODE_MORE;
    state->insn->disp = sign_extend(read_bytes(state->at, size), size);
    state->at += size;
    return INSN_OK;
}

/* The default is SS where the base is the stack's. */
STAGE void segment_stack(struct insn *insn)
{
    if (!(insn->prefixes & INSN_PREFIX_SEGMENT))
        insn->segment = INSN_SS;
}

STAGE int memory16(struct state *state, unsigned mod, unsigned rm)
{
    struct insn *insn = state->insn;
    bool absolute = mod == 0 && rm == 6;
    if (!absolute) {
        insn->base = pairs16[rm] & 15;
        if (rm < 4) {
            insn->index = pairs16[rm] >> 4;
            insn->scale = 1;
            insn->index_size = 2;
        }
    }
    if (insn->base == 5)
        segment_stack(insn);
    return mod == 1 ? displacement(state, 1) : mod == 2 || absolute ? displacement(state, 2) : INSN_OK;
}

STAGE void index_decode(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned vsib = checks >> CHECK_VSIB_SHIFT & 3;
    unsigned index = (insn->sib >> 3 & 7) | (insn->rex & INSN_REX_X) << 2;
    if (vsib) {
        unsigned size = insn->vector_length >> (vsib - 1);
        insn->attributes |= INSN_VSIB;
        insn->index = (uint8_t)(index | state_v_high(state));
        insn->index_size = (uint8_t)(size < 16 ? 16 : size);
    } else {
        index |= (insn->rex & INSN_REX_X4) >> 1;
        if (index == 4)
            return;
        insn->index = (uint8_t)index;
        insn->index_size = insn->address_size;
    }
    insn->scale = (uint8_t)(1 << (insn->sib >> 6));
}

/* 32 and 64-bit addressing. */
STAGE int memory32(struct state *state, unsigned mod, unsigned rm, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned high = (insn->rex & INSN_REX_B) << 3 | (insn->rex & INSN_REX_B4);
    if (rm == 4) {
        if (!state_has(state, 1))
            return DECODE_MORE;
        insn->sib = *state->at++;
        insn->attributes |= INSN_HAS_SIB;
        rm = insn->sib & 7;
        index_decode(state, checks);
    } else if (rm == 5 && mod == 0 && insn->bits == 64) {
        insn->base = INSN_REG_RIP;
        return displacement(state, 4);
    }
    if (rm == 5 && mod == 0) {
        return displacement(state, 4);
    }
    insn->base = (uint8_t)(rm | high);
    if (insn->base == 4 || insn->base == 5)
        segment_stack(insn);
    return mod == 1 ? displacement(state, 1) : mod == 2 ? displacement(state, 4) : INSN_OK;
}

STAGE int modrm_decode(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    if (!state_has(state, 1))
        return DECODE_MORE;
    unsigned modrm = *state->at++;
    insn->modrm = state->low = (uint8_t)modrm;
    if (modrm >= 0xc0)
        return checks & CHECK_MEM ? INSN_INVALID : INSN_OK;
    if (RARE(checks & (3u << CHECK_VSIB_SHIFT | CHECK_SIBMEM | CHECK_ANYMOD | CHECK_REG))) {
        if (checks & CHECK_ANYMOD)
            return INSN_OK;
        if (checks & CHECK_REG || (modrm & 7) != 4 || insn->address_size == 2)
            return INSN_INVALID;
    }
    insn->attributes |= INSN_HAS_MEMORY;
    state->memory_last = HOW_RM_LAST;
    if (RARE(insn->address_size == 2))
        return memory16(state, modrm >> 6, modrm & 7);
    return memory32(state, modrm >> 6, modrm & 7, checks);
}

static const struct {
    uint8_t size; /* 0: of the operand */
    uint8_t more; /* bytes of imm2 */
    uint8_t sign; /* extended by it */
    uint8_t unused;
} immediates[16] = {
    [IMM_1] = {1, 0, 0},   [IMM_S1] = {1, 0, 1},  [IMM_2] = {2, 0, 0},     [IMM_2_1] = {2, 1, 0},
    [IMM_1_1] = {1, 1, 0}, [IMM_4] = {4, 0, 0},   [IMM_8] = {8, 0, 0},     [IMM_FAR] = {0, 2, 0},
    [IMM_Z] = {0, 0, 1},   [IMM_REL] = {0, 0, 1}, [IMM_MOFFS] = {0, 0, 1},
};

/* The immediate's low `size` bytes, extended by zeros or by the sign. Eight bytes at once where there are so
 * many. */
STAGE uint64_t immediate_read(const struct state *state, unsigned size, bool is_signed)
{
    unsigned unused = 64 - 8 * size;
    uint64_t value = RARE(!state_has(state, 8)) ? read_bytes(state->at, size) : read_bytes(state->at, 8);
    value <<= unused;
    return is_signed ? (uint64_t)((int64_t)value >> unused) : value >> unused;
}

/* What the shape calls IMM_Z, IMM_V and the like: bytes by operand or address size. */
STAGE unsigned immediate_size(const struct insn *insn, unsigned kind)
{
    if (kind == IMM_MOFFS)
        return insn->address_size;
    return kind == IMM_V || insn->operand_size == 2 ? insn->operand_size : 4;
}

STAGE int immediate_decode(struct state *state, unsigned kind)
{
    struct insn *insn = state->insn;
    unsigned size = immediates[kind].size;
    if (!size)
        size = immediate_size(insn, kind);
    if (RARE(!state_has(state, size + immediates[kind].more)))
        return DECODE_MORE;
    uint64_t value = immediate_read(state, size, immediates[kind].sign);
    state->at += size;
    if (RARE(kind == IMM_MOFFS)) {
        insn->disp = (int64_t)value;
        return INSN_OK;
    }
    insn->imm = value;
    state->imm_size = (uint8_t)size;
    if (RARE(immediates[kind].more)) {
        insn->imm2 = (uint16_t)read_bytes(state->at, immediates[kind].more);
        state->at += immediates[kind].more;
    }
    return INSN_OK;
}

#endif
