/* SPDX-License-Identifier: MIT
 *
 * The decoder: prefixes and escapes, a walk through the tables to the row, ModRM and immediates, operands,
 * and what a row alone cannot say about validity. The order is that of the bytes; nothing is looked at twice.
 * The tables are made from the rows by decoder/make; docs/decoder.md says how they are laid out.
 */
#include "decoder/decode.h"
#include "decoder/modrm.h"
#include "decoder/operands.h"
#include "decoder/prefix.h"
#include "decoder/validity.h"

STAGE unsigned test_value(const struct state *state, unsigned test)
{
    const struct insn *insn = state->insn;
    switch (test) {
    case TEST_LONG:
        return insn->bits == 64;
    case TEST_SIZE:
        return state->columns[SIZE_BY_OPERAND];
    case TEST_B:
        return insn->rex & INSN_REX_B;
    case TEST_ADDRESS:
        return insn->address_size >> 2; /* 2, 4, 8 */
    case TEST_LENGTH:
        return state_length_bits(state);
    case TEST_AMD:
        return state_amd(state);
    case TEST_ND:
        return state->vector >> 4 & 1;
    case TEST_NF:
        return insn->mask >> 2;
    case TEST_KNC:
        return state_features(state) >> 8 & insn->bits >> 6;
    default:
        return state_features(state) >> (test - TEST_FEATURE) & 1;
    }
}

/* From a choice to a leaf: its number, 0 for none, or -1 where the ModRM byte that decides is missing. */
STAGE int choose(const struct state *state, unsigned node)
{
    do {
        unsigned index = NODE_INDEX(node);
        unsigned kind = NODE_KIND(node);
        if (kind == CHOOSE_PREFIX) {
            index += state->prefix;
        } else if (kind == CHOOSE_W) {
            index += STATE_WIDE(state);
        } else if (kind == CHOOSE_OTHER) {
            index += 1 + test_value(state, decoder_nodes[index]);
        } else {
            if (!state_has(state, 1))
                return -1;
            unsigned modrm = *state->at;
            index += kind == CHOOSE_REG ? modrm >> 3 & 7 : kind == CHOOSE_MOD ? modrm >= 0xc0 : modrm & 7;
        }
        node = decoder_nodes[index];
    } while (node >= NODE_CHOICE);
    return (int)node;
}

/* REP and the elision hints, where the row knows them; they mean nothing elsewhere. */
STAGE void repeat_attributes(struct insn *insn)
{
    if (!(insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE))) {
        insn->attributes &= ~(uint32_t)(INSN_REPEATS | INSN_REPEAT_TEST);
        return;
    }
    bool release = insn->prefixes & INSN_PREFIX_REP;
    if (insn->operands[0].kind != INSN_MEM || insn->map)
        return;
    if (insn->prefixes & INSN_PREFIX_LOCK || insn->op == INSN_OP_XCHG)
        insn->attributes |= release ? INSN_XRELEASE : INSN_XACQUIRE;
    else if (release && insn->op == INSN_OP_MOV && insn->opcode != 0xa2 && insn->opcode != 0xa3)
        insn->attributes |= INSN_XRELEASE;
}

/* What a row makes of the operand size: its default of 64, and 66 being part of the opcode. */
STAGE void operand_size_set(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned class = state->columns[SIZE_BY_OPERAND];
    unsigned width = checks & CHECK_FAR;
    if (checks & CHECK_MANDATORY) {
        insn->prefixes |= (uint16_t)(INSN_MANDATORY_66 << (state->prefix - 1));
        if (state->prefix == 1 && class != 2)
            class = insn->bits != 16;
    }
    if (width && width != CHECK_FAR && insn->bits == 64 &&
        (class || (width == CHECK_F64 && !state_amd(state))))
        class = 2;
    insn->operand_size = (uint8_t)(2 << class);
    /* AMD's processors know no far pointers with an offset of 64 bits; what is pushed has them. */
    if (class == 2 && width == CHECK_FAR && state_amd(state))
        class = 1;
    state->columns[SIZE_BY_OPERAND] = (uint8_t) class;
}

/* The columns of sizes[] that follow from the mode (16, 32, 64 bits), W, 67 and 66: by operand size (0, 1, 2
 * for 2, 4, 8 bytes), by mode and W, by address size (as operand size). Where a vector's length has its
 * column once it is known, and in the last, stand operand and address size in bytes. */
#define SIZES(operand, mode, address)                               \
    {                                                               \
        0, 0, 0, operand, mode, address, 2 << operand, 2 << address \
    }
static const uint8_t default_sizes[3 * 8][SIZE_GROUPS] = {
    /* 16: none, 66, 67, both; and the same with W, which only a vector prefix has */
    SIZES(0, 0, 0),
    SIZES(1, 0, 0),
    SIZES(0, 0, 1),
    SIZES(1, 0, 1),
    SIZES(0, 0, 0),
    SIZES(1, 0, 0),
    SIZES(0, 0, 1),
    SIZES(1, 0, 1),
    /* 32 */
    SIZES(1, 0, 1),
    SIZES(0, 0, 1),
    SIZES(1, 0, 0),
    SIZES(0, 0, 0),
    SIZES(1, 0, 1),
    SIZES(0, 0, 1),
    SIZES(1, 0, 0),
    SIZES(0, 0, 0),
    /* 64 */
    SIZES(1, 1, 2),
    SIZES(0, 1, 2),
    SIZES(1, 1, 1),
    SIZES(0, 1, 1),
    SIZES(2, 2, 2),
    SIZES(2, 2, 2),
    SIZES(2, 2, 1),
    SIZES(2, 2, 1),
};

/* Sizes that the prefixes give, once they are all known. */
STAGE void sizes_set(struct state *state)
{
    const uint8_t *columns = default_sizes[state->size_index];
    memcpy(state->columns, columns, SIZE_GROUPS);
    state->insn->address_size = columns[SIZE_GROUPS - 1];
}

_Static_assert(offsetof(struct insn, op) - offsetof(struct insn, mnemonic) == offsetof(struct leaf, op) &&
                   offsetof(struct insn, flags) - offsetof(struct insn, mnemonic) ==
                       offsetof(struct leaf, flags) &&
                   offsetof(struct insn, prefixes) - offsetof(struct insn, mnemonic) >= sizeof(struct leaf),
               "row_decode() copies a leaf over the first fields of these, and over none that is set before");

/* A mandatory prefix that the path has not checked, and the vector length. */
STAGE int row_vector(struct state *state, unsigned form, unsigned checks)
{
    struct insn *insn = state->insn;
    if (form & LEAF_PREFIX_EXACT && (form >> LEAF_PREFIX_SHIFT & 3) != state->prefix)
        return INSN_INVALID;
    if (!(form & LEAF_LENGTH))
        return INSN_OK;
    if ((form & LEAF_LENGTH) != LEAF_LENGTH_L)
        insn->vector_length = (uint8_t)((form & LEAF_LENGTH) << 3);
    else if (state->vector & VECTOR_B && insn->map != 4 && !state_has(state, 1))
        return DECODE_MORE; /* ModRM decides what b means */
    else if (!vector_valid(state, checks, form & LEAF_PREFIX_EXACT))
        return INSN_INVALID;
    state->columns[SIZE_BY_VECTOR] = (uint8_t)((insn->vector_length >> 5) + (insn->vector_length > 8));
    return INSN_OK;
}

/* What a row says without a look at more bytes. */
STAGE int row_apply(struct state *state, const struct leaf *leaf, const struct shape *shape)
{
    struct insn *insn = state->insn;
    unsigned checks = shape->checks;
    insn->attributes = shape->attributes;
    if (leaf->form & (LEAF_LENGTH | LEAF_PREFIX_EXACT)) {
        int status = row_vector(state, leaf->form, checks);
        if (status)
            return status;
    }
    if (checks & (CHECK_NOT64 | CHECK_ONLY64 | CHECK_PROTECTED | CHECK_MANDATORY | CHECK_FAR)) {
        operand_size_set(state, checks);
        if (!mode_valid(state, checks))
            return INSN_INVALID;
    }
    return INSN_OK;
}

/* 3DNow!: the opcode follows the operands. */
STAGE int suffix_decode(struct state *state)
{
    struct insn *insn = state->insn;
    if (!state_has(state, 1))
        return DECODE_MORE;
    insn->opcode = *state->at++;
    const struct leaf *leaf = &decoder_leaves[space_node(SPACE_3DNOW, insn->opcode)];
    insn->mnemonic = leaf->mnemonic;
    insn->isa = leaf->isa;
    return leaf->shape ? INSN_OK : INSN_INVALID;
}

/* Rules that few instructions come under; the operands are known. */
STAGE int row_check(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    if (state->notable & NOTABLE_HIGH && !high_valid(insn))
        return INSN_INVALID;
    if (!(state->notable & NOTABLE_MORE) && !(checks & CHECK_SPECIAL))
        return INSN_OK;
    if (insn->attributes & INSN_BROADCAST)
        element_apply(insn, checks);
    if (checks & CHECK_SPECIAL && !special_valid(state))
        return INSN_INVALID;
    if (insn->prefixes & INSN_PREFIX_LOCK && !lock_valid(state))
        return INSN_INVALID;
    if (state->vector & VECTOR_Z && insn->operands[0].kind == INSN_MEM)
        return INSN_INVALID;
    repeat_attributes(insn);
    if (insn->encoding == INSN_REX2)
        return rex2_valid(insn) ? INSN_OK : INSN_INVALID;
    return insn->encoding == INSN_3DNOW ? suffix_decode(state) : INSN_OK;
}

STAGE int row_decode(struct state *state, const struct leaf *leaf)
{
    struct insn *insn = state->insn;
    const struct shape *shape = (const struct shape *)&decoder_shapes[leaf->shape];
    unsigned checks = shape->checks;
    memcpy(&insn->mnemonic, leaf, sizeof(*leaf)); /* what follows the flags is set below */
    insn->operand_size = state->columns[SIZE_BY_VECTOR];
    state->low = insn->opcode;
    int status = row_apply(state, leaf, shape);
    if (status)
        return status;
    if (checks & CHECK_MODRM) {
        status = modrm_decode(state, checks);
        if (RARE(status))
            return status;
        if (insn->encoding == INSN_EVEX && insn->modrm >> 6 == 1)
            displacement_scale(state, shape, leaf->form >> LEAF_COUNT_SHIFT);
    }
    if (checks >> CHECK_IMM_SHIFT & 15) {
        status = immediate_decode(state, checks >> CHECK_IMM_SHIFT & 15);
        if (RARE(status))
            return status;
    }
    if (!operands_decode(state, shape, leaf->form >> LEAF_COUNT_SHIFT))
        return INSN_INVALID;
    return RARE(state->notable | (checks & CHECK_SPECIAL)) ? row_check(state, checks) : INSN_OK;
}

STAGE int decode(struct state *state)
{
    int node = opcode_decode(state);
    if (RARE(node == DECODE_MORE))
        return DECODE_MORE;
    sizes_set(state);
    if (node >= (int)NODE_CHOICE) {
        node = choose(state, (unsigned)node);
        if (RARE(node < 0))
            return DECODE_MORE;
    }
    if (RARE(!node))
        return INSN_INVALID;
    return row_decode(state, &decoder_leaves[node]);
}

/* `end` is at most 15 bytes after `bytes`. The columns are the caller's. */
STAGE void state_init(struct state *state, const uint8_t *bytes, const uint8_t *end, uint64_t mode,
                      struct insn *insn)
{
    uint8_t bits = (uint8_t)mode;
    *state = (struct state){
        .at = bytes,
        .start = bytes,
        .end = end,
        .insn = insn,
        .size_index = (uint8_t)(bits >> 5 << 3),
        .mode = mode,
    };
    *insn = (struct insn){.bits = bits, .segment = INSN_DS, .base = INSN_REG_NONE, .index = INSN_REG_NONE};
}

STAGE enum insn_status state_end(const struct state *state, int status)
{
    if (RARE(status == DECODE_MORE))
        return state->end - state->start < INSN_BYTES_MAX ? INSN_NEED_BYTES : INSN_TOO_LONG;
    state->insn->length = (uint8_t)(state->at - state->start);
    return (enum insn_status)status;
}

#include "decoder/mvex.h"

_Static_assert(sizeof(struct insn_mode) <= sizeof(uint64_t) && offsetof(struct insn_mode, bits) == 0,
               "struct state has it in one register");

/* No guard for the stack: no array in it has an index from the instruction, and the check would cost as much
 * as an operand. */
__attribute__((no_stack_protector)) enum insn_status insn_decode(const uint8_t *bytes, size_t len,
                                                                 struct insn_mode mode, struct insn *insn)
{
    uint64_t packed = 0;
    uint8_t columns[SIZE_GROUPS];
    struct state state;
    memcpy(&packed, &mode, sizeof(mode));
    state_init(&state, bytes, bytes + (len < INSN_BYTES_MAX ? len : INSN_BYTES_MAX), packed, insn);
    state.columns = columns;
    int status = decode(&state);
    if (RARE(status == INSN_INVALID && state_features(&state) & INSN_FEATURE_KNC))
        return mvex_decode(state.start, state.end, state.mode, insn);
    return state_end(&state, status);
}
