/* SPDX-License-Identifier: MIT
 *
 * Prefixes and escapes: everything up to the opcode byte (SDM 2A 2.1 to 2.3, 2.7; APM 3 1.2).
 */
#ifndef DECODER_PREFIX_H
#define DECODER_PREFIX_H

#include "decoder/decode.h"

/* VEX, XOP and EVEX may not follow these. */
STAGE bool vector_allowed(const struct state *state)
{
    unsigned bad = INSN_PREFIX_LOCK | INSN_PREFIX_REP | INSN_PREFIX_REPNE | INSN_PREFIX_OPERAND |
                   INSN_PREFIX_REX;
    return !(state->insn->prefixes & bad) && !state_real(state);
}

/* Bits that all the vector prefixes have: of the second byte R, X, B; of the third W, vvvv and pp. */
STAGE void vector_fields(struct state *state, unsigned rxb, unsigned last)
{
    struct insn *insn = state->insn;
    insn->vvvv = ~last >> 3 & 15;
    state->prefix = last & 3;
    if (last & 0x80) {
        state->size_index |= 4;
        insn->rex = INSN_REX_W;
    }
    if (insn->bits == 64) {
        rxb = ~rxb;
        insn->rex |= (uint8_t)(rxb >> 5 & 7);
    }
}

/* Two or three bytes that stand for prefix and map; then the opcode. */
STAGE int vex_decode(struct state *state, unsigned byte)
{
    struct insn *insn = state->insn;
    unsigned space = byte == 0x8f ? SPACE_XOP - 8 : SPACE_VEX;
    unsigned map = 1;
    insn->encoding = byte == 0x8f ? INSN_XOP : INSN_VEX;
    if (!state_has(state, byte == 0xc5 ? 2 : 3))
        return DECODE_MORE;
    if (byte == 0xc5) {
        unsigned last = *state->at++;
        vector_fields(state, last | 0x60, last & 0x7f);
        state->vector = (last & 4) << 3;
    } else {
        unsigned first = *state->at++;
        unsigned last = *state->at++;
        map = first & 31;
        vector_fields(state, first, last);
        state->vector = (last & 4) << 3;
        if (byte == 0x8f ? map > 10 : map > 7)
            return 0;
    }
    insn->map = (uint8_t)map;
    insn->opcode = *state->at++;
    return (int)space_node(space + map, insn->opcode);
}

STAGE int evex_decode(struct state *state)
{
    struct insn *insn = state->insn;
    insn->encoding = INSN_EVEX;
    if (!state_has(state, 4))
        return DECODE_MORE;
    unsigned first = state->at[0];
    unsigned second = state->at[1];
    unsigned third = state->at[2];
    bool apx = state_features(state) & INSN_FEATURE_APX && insn->bits == 64;
    if (!apx && (first & 8 || !(second & 4) || (first & 7) == 4))
        return 0;
    vector_fields(state, first, second);
    if (insn->bits == 64)
        insn->rex |= (first & 0x10 ? 0 : INSN_REX_R4) | (first & 8 ? INSN_REX_B4 : 0) |
                     (second & 4 ? 0 : INSN_REX_X4);
    state->vector = (uint8_t)(third ^ VECTOR_HIGH);
    state->notable = third & VECTOR_Z ? NOTABLE_MORE : 0;
    if (!apx && (insn->rex & INSN_REX_R4 || state->vector & VECTOR_HIGH))
        state->notable |= NOTABLE_HIGH;
    insn->mask = third & 7;
    insn->map = first & 7;
    insn->opcode = state->at[3];
    state->at += 4;
    if (insn->map == 4) {
        state->size_index |= state->prefix == 1; /* 66 is the operand size here */
        insn->imm2 = third & 15;                 /* CCMP, CTEST: the condition */
    }
    return (int)space_node(SPACE_EVEX + insn->map, insn->opcode);
}

/* The node of a byte behind REX2; some rows of both maps are reserved (APX 3.1.2). */
__attribute__((noinline, cold)) static int rex2_node(struct insn *insn, unsigned payload)
{
    unsigned byte = insn->opcode;
    if (insn->prefixes & INSN_PREFIX_REX)
        return 0;
    insn->encoding = INSN_REX2;
    insn->prefixes |= INSN_PREFIX_REX;
    insn->rex = payload & 0x7f;
    insn->map = payload >> 7 & 1;
    if (payload & 0x80)
        return (byte & 0xf0) == 0x30 || (byte & 0xf0) == 0x80 || byte == 0x0f ? 0 : decoder_nodes[256 + byte];
    unsigned node = space_node(SPACE_REX2, byte);
    if (node)
        return (int)node;
    if (0x4490u >> (byte >> 4) & 1) /* 4x, 7x, Ax, Ex */
        return 0;
    node = byte == 0x8f ? space_node(SPACE_SHADOW, byte) : decoder_nodes[byte];
    return node < NODE_BYTE ? (int)node : 0;
}

/* REX2: a payload byte, then the opcode, in one of two maps. */
STAGE int rex2_decode(struct state *state)
{
    if (!state_has(state, 2))
        return DECODE_MORE;
    unsigned payload = *state->at++;
    state->insn->opcode = *state->at++;
    state->size_index |= payload >> 1 & 4;
    state->notable = NOTABLE_MORE;
    return rex2_node(state->insn, payload);
}

/* After an 0F. */
STAGE int escape_decode(struct state *state)
{
    struct insn *insn = state->insn;
    if (!state_has(state, 1))
        return DECODE_MORE;
    unsigned byte = *state->at++;
    if (byte == 0x0f) {
        insn->encoding = INSN_3DNOW;
        state->notable = NOTABLE_MORE;
        insn->map = 1;
        return (int)space_node(SPACE_3DNOW, decoder_spaces[SPACE_3DNOW].first); /* as good as any */
    }
    if ((byte & ~2u) == 0x38) {
        if (!state_has(state, 1))
            return DECODE_MORE;
        insn->map = byte == 0x38 ? 2 : 3;
        insn->opcode = *state->at++;
        return (int)space_node(byte == 0x38 ? SPACE_0F38 : SPACE_0F3A, insn->opcode);
    }
    insn->map = 1;
    insn->opcode = (uint8_t)byte;
    return decoder_nodes[256 + byte];
}

/* A byte that begins a vector prefix, or is an opcode of old. */
STAGE int vector_or_old(struct state *state, unsigned byte)
{
    struct insn *insn = state->insn;
    if (!state_has(state, 1)) {
        return DECODE_MORE;
    } else if (byte == 0x8f ? (*state->at & 31) < 8 : insn->bits != 64 && *state->at < 0xc0) {
        insn->opcode = (uint8_t)byte;
        return (int)space_node(SPACE_SHADOW, byte);
    }
    if (!vector_allowed(state))
        return 0;
    return byte == 0x62 ? evex_decode(state) : vex_decode(state, byte);
}

STAGE void segment_prefix(struct state *state, unsigned byte)
{
    unsigned segment = byte >= 0x64 ? INSN_FS + (byte - 0x64) : byte >> 3 & 3;
    if (state->insn->bits == 64 && segment < INSN_FS)
        return; /* ignored: an FS or GS before it stays in force */
    state->insn->segment = (uint8_t)segment;
    state->insn->prefixes |= INSN_PREFIX_SEGMENT;
}

STAGE void repeat_prefix(struct state *state, unsigned byte)
{
    struct insn *insn = state->insn;
    insn->prefixes &= (uint16_t) ~(INSN_PREFIX_REP | INSN_PREFIX_REPNE);
    insn->prefixes |= byte == 0xf3 ? INSN_PREFIX_REP : INSN_PREFIX_REPNE;
    state->prefix = byte == 0xf3 ? 2 : 3;
    state->notable = NOTABLE_MORE;
}

STAGE int opcode_decode(struct state *state)
{
    struct insn *insn = state->insn;
    for (;;) {
        if (!state_has(state, 1))
            return DECODE_MORE;
        unsigned byte = *state->at++;
        if ((byte & 0xf0) == 0x40 &&
            insn->bits == 64) { /* before all others: half of all instructions have it */
            insn->rex = byte & 15;
            insn->prefixes |= INSN_PREFIX_REX;
            state->size_index = (uint8_t)((state->size_index & ~4u) | (byte >> 1 & 4));
            if (!state_has(state, 1))
                return DECODE_MORE;
            byte = *state->at++;
        }
        unsigned node = decoder_nodes[byte];
        if (node < NODE_BYTE) {
            insn->opcode = (uint8_t)byte;
            return (int)node;
        }
        switch (node & 15) {
        case BYTE_REX:
            if (insn->bits == 64) {
                state->at--;
                continue; /* another: only the last one counts */
            }
            insn->opcode = (uint8_t)byte;
            return (int)space_node(SPACE_SHADOW, byte);
        case BYTE_0F:
            return escape_decode(state);
        case BYTE_VEX2:
        case BYTE_VEX3:
        case BYTE_EVEX:
        case BYTE_XOP:
            return vector_or_old(state, byte);
        case BYTE_REX2:
            if (insn->bits == 64 && state_features(state) & INSN_FEATURE_APX)
                return rex2_decode(state);
            insn->opcode = (uint8_t)byte;
            return (int)space_node(SPACE_SHADOW, byte);
        case BYTE_SEGMENT:
            segment_prefix(state, byte);
            break;
        case BYTE_OPERAND:
            insn->prefixes |= INSN_PREFIX_OPERAND;
            state->size_index |= 1;
            state->prefix += !state->prefix;
            break;
        case BYTE_ADDRESS:
            insn->prefixes |= INSN_PREFIX_ADDRESS;
            state->size_index |= 2;
            break;
        case BYTE_LOCK:
            insn->prefixes |= INSN_PREFIX_LOCK;
            state->notable = NOTABLE_MORE;
            break;
        default:
            repeat_prefix(state, byte);
            break;
        }
        insn->rex = 0; /* a REX that is not last does not count */
        insn->prefixes &= (uint16_t)~INSN_PREFIX_REX;
        state->size_index &= (uint8_t)~4u;
    }
}

#endif
