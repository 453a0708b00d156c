/* SPDX-License-Identifier: MIT
 *
 * What the processor refuses although a row matches: reserved fields of the vector prefixes, LOCK, registers
 * that may not be equal (SDM 2A 2.3.8, 2.7.11; SDM 2 "Exceptions Type").
 */
#ifndef DECODER_VALIDITY_H
#define DECODER_VALIDITY_H

#include "decoder/decode.h"
#include "decoder/mnemonic.h"

/* With b set: broadcast from memory; rounding, or no exceptions, between registers. False where neither
 * exists. */
STAGE bool broadcast_set(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    if (*state->at < 0xc0) {
        if (!(checks >> CHECK_BROADCAST_SHIFT & 3) || checks & CHECK_COMPRESSED)
            return false;
        insn->attributes |= INSN_BROADCAST;
        state->notable |= NOTABLE_MORE;
        return true;
    }
    if (!(checks & (CHECK_ER | CHECK_SAE)))
        return false;
    if (!(checks & CHECK_SAE))
        insn->attributes |= INSN_ROUNDING | INSN_SAE | state_length_bits(state) << INSN_ROUNDING_SHIFT;
    else if (!(checks & CHECK_ER))
        insn->attributes |= INSN_SAE;
    state->vector &= (uint8_t) ~(3u << VECTOR_LENGTH_SHIFT);
    state->vector |= insn->attributes & INSN_SCALAR ? 0 : 2u << VECTOR_LENGTH_SHIFT;
    return true;
}

STAGE bool mask_valid(const struct state *state, unsigned checks)
{
    const struct insn *insn = state->insn;
    if (insn->mask ? !(checks & CHECK_MASK) : checks & CHECK_MASK_NEEDED)
        return false;
    return !(state->vector & VECTOR_Z) || (insn->mask && checks & CHECK_ZEROING);
}

/* Of EVEX in map 4: what is not in struct insn yet, in one value: fields that must be 0, V', W, the prefix.
 */
STAGE unsigned apx_fields(const struct state *state)
{
    return state_length_bits(state) | (state->vector & VECTOR_Z) >> 5 | state_v_high(state) << 4 |
           STATE_WIDE(state) << 12 | (unsigned)state->prefix << 16;
}

/* EVEX map 4: the integer instructions of APX, with a destination of their own (ND) and without flags (NF).
 * Not inlined, and without a pointer to the state: the others shall not pay for it. */
__attribute__((noinline, cold)) static bool apx_valid(struct insn *insn, unsigned checks, unsigned fields,
                                                      bool exact)
{
    unsigned prefix = fields >> 16;
    unsigned v_high = fields >> 4 & 16;
    bool conditional = insn->mnemonic == MNEMONIC_CCMP || insn->mnemonic == MNEMONIC_CTEST;
    if (fields & 7 || checks & (fields >> 12 & 1 ? CHECK_W0 : CHECK_W1) || (prefix > 1 && !exact))
        return false;
    if (prefix)
        insn->prefixes |= (uint16_t)(INSN_MANDATORY_66 << (prefix - 1));
    if (conditional) { /* vvvv is the flags that result, and the mask's bits a part of the condition */
        insn->mask = 0;
        return true;
    }
    insn->imm2 = 0;
    if (insn->mask & 3 || (insn->mask && !(checks & CHECK_MASK)))
        return false;
    if (!(checks & CHECK_VVVV) && insn->vvvv | v_high)
        return false;
    insn->attributes |= insn->mask ? INSN_NO_FLAGS : 0;
    insn->mask = 0;
    insn->vvvv |= (uint8_t)v_high;
    return true;
}

/* REX2 reaches general registers only, and XSAVE and its like not at all. */
__attribute__((noinline, cold)) static bool rex2_valid(struct insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operands[i].kind == INSN_VECTOR)
            insn->operands[i].reg &= 15;
    }
    return !(insn->op >= INSN_OP_XSAVE && insn->op <= INSN_OP_XRSTORS);
}

/* What VEX, XOP and EVEX reserve. Before ModRM is read, because the vector length decides sizes. */
STAGE bool vector_valid(struct state *state, unsigned checks, bool exact)
{
    struct insn *insn = state->insn;
    if (insn->encoding == INSN_EVEX) {
        if (insn->map == 4)
            return apx_valid(insn, checks, apx_fields(state), exact);
        if (state->vector & VECTOR_B && !broadcast_set(state, checks))
            return false;
        if (!mask_valid(state, checks))
            return false;
        insn->attributes |= state->vector & VECTOR_Z ? INSN_ZEROING : 0;
    }
    unsigned length_bits = state_length_bits(state);
    if (length_bits == 3 || !(checks & CHECK_L128 << length_bits))
        return false;
    insn->vector_length = (uint8_t)(insn->attributes & INSN_SCALAR ? 16 : 16 << length_bits);
    if (checks & (STATE_WIDE(state) ? CHECK_W0 : CHECK_W1))
        return false;
    if (state->prefix)
        insn->prefixes |= (uint16_t)(INSN_MANDATORY_66 << (state->prefix - 1));
    if (insn->mask && insn_class(insn) == INSN_CLASS_GENERAL) { /* the BMI that APX has in EVEX: NF */
        if (insn->mask != 4)
            return false;
        insn->attributes |= INSN_NO_FLAGS;
        insn->mask = 0;
    }
    if (!(checks & CHECK_VVVV) && insn->vvvv)
        return false;
    if (!(checks & (CHECK_VVVV | 3u << CHECK_VSIB_SHIFT)) && state->vector & VECTOR_HIGH)
        return false;
    if (insn->bits != 64) {
        if (state->vector & VECTOR_HIGH)
            return false;
        insn->vvvv &= 7;
        insn->rex = checks & CHECK_W1 ? INSN_REX_W : 0; /* a part of the opcode, never a 64-bit register */
    } else if (!(checks >> CHECK_VSIB_SHIFT & 3)) {
        insn->vvvv |= (uint8_t)state_v_high(state);
    }
    return true;
}

/* LOCK: a row that allows it, its first operand in memory; AMD's LOCK MOV CR0 is CR8. */
STAGE bool lock_valid(const struct state *state)
{
    struct insn *insn = state->insn;
    if (insn->op == INSN_OP_MOV_CR && state_amd(state))
        return true;
    return insn->attributes & INSN_LOCKABLE && insn->operands[0].kind == INSN_MEM;
}

STAGE bool all_differ(const struct insn *insn, unsigned kind)
{
    const struct insn_operand *o = insn->operands;
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = i + 1; j < 3; j++) {
            if (o[i].kind == kind && o[j].kind == kind && o[i].reg == o[j].reg)
                return false;
        }
    }
    return true;
}

STAGE bool special_valid(const struct state *state)
{
    struct insn *insn = state->insn;
    struct insn_operand *control = &insn->operands[insn->opcode >> 1 & 1 ? 0 : 1];
    switch (insn->op) {
    case INSN_OP_MOV_SEG:
        return insn->operands[0].reg != INSN_CS;
    case INSN_OP_MOV_CR:
        if (insn->prefixes & INSN_PREFIX_LOCK && control->reg & 8)
            return false;
        if (insn->prefixes & INSN_PREFIX_LOCK)
            control->reg |= 8;
        return control->reg < 9 && 0x11du >> control->reg & 1;
    case INSN_OP_GATHER:
        for (unsigned i = 0; i < 3; i++) {
            if (insn->operands[i].kind == INSN_VECTOR && insn->operands[i].reg == insn->index)
                return false;
        }
        return all_differ(insn, INSN_VECTOR);
    default:
        break;
    }
    if (insn->isa == INSN_ISA_AVX512_FP16) /* VFMULCPH and its like: the result is no source */
        return insn->operands[0].reg != insn->operands[1].reg &&
               (insn->operands[2].kind == INSN_MEM || insn->operands[0].reg != insn->operands[2].reg);
    return all_differ(insn, INSN_TILE);
}

STAGE bool mode_valid(const struct state *state, unsigned checks)
{
    if (checks & CHECK_NOT64 && state->insn->bits == 64)
        return false;
    if (checks & CHECK_ONLY64 && state->insn->bits != 64)
        return false;
    return !(checks & CHECK_PROTECTED) || !state_real(state);
}

#endif
