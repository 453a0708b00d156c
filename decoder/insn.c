/* SPDX-License-Identifier: MIT
 *
 * The decoder: prefixes and escapes, a walk through the tables to the row, ModRM and immediates, operands,
 * and what a row alone cannot say about validity. The order is that of the bytes; nothing is looked at twice.
 * The tables are made from the rows by decoder/make; docs/decoder.md says how they are laid out.
 */
#include "decoder/insn.h"

#include <string.h>

#include "decoder/layout.h"

#include "decoder/tables.inc"

/* What is known so far, beyond the result itself. */
struct state {
    const uint8_t *at, *end;
    struct insn *insn;
    uint32_t features;
    uint8_t prefix;     /* 0 none, 1 66, 2 F3, 3 F2: for CHOOSE_PREFIX */
    uint8_t wide;       /* REX.W and the like */
    uint8_t size_class; /* 0, 1, 2: operands of 2, 4, 8 bytes, before the row's own rules */
    uint8_t real, amd;
    uint8_t length_bits; /* L, L'L */
    uint8_t v_high;      /* EVEX.V': bit 4 of vvvv, or of the index with VSIB */
    uint8_t evex_b, evex_z;
    uint8_t evex_nd;
    uint8_t element; /* bytes that are broadcast */
};

#define MORE 0x10000 /* in place of a status or a node: out of bytes */

static bool has(const struct state *state, size_t count)
{
    return (size_t)(state->end - state->at) >= count;
}

static uint64_t read_bytes(const uint8_t *at, unsigned size)
{
    uint64_t wide;
    uint32_t four;
    uint16_t two;
    switch (size) {
    case 1:
        return *at;
    case 2:
        memcpy(&two, at, 2);
        return two;
    case 4:
        memcpy(&four, at, 4);
        return four;
    default:
        memcpy(&wide, at, 8);
        return wide;
    }
}

static int64_t sign_extend(uint64_t value, unsigned size)
{
    return (int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

/* Prefixes and escapes */

static unsigned space_node(unsigned space, unsigned opcode)
{
    const struct space *range = &spaces[space];
    if (opcode < range->first || opcode > range->last)
        return 0;
    return nodes[range->base + opcode - range->first];
}

/* VEX, XOP and EVEX may not follow these. */
static bool vector_allowed(const struct state *state)
{
    unsigned bad = INSN_PREFIX_LOCK | INSN_PREFIX_REP | INSN_PREFIX_REPNE | INSN_PREFIX_OPERAND |
                   INSN_PREFIX_REX;
    return !(state->insn->prefixes & bad) && !state->real;
}

/* Bits that all the vector prefixes have: of the second byte R, X, B; of the third W, vvvv and pp. */
static void vector_fields(struct state *state, unsigned rxb, unsigned last)
{
    struct insn *insn = state->insn;
    insn->vvvv = ~last >> 3 & 15;
    state->prefix = last & 3;
    if (last & 0x80) {
        state->wide = 1;
        insn->rex = INSN_REX_W;
    }
    if (insn->bits == 64) {
        rxb = ~rxb;
        insn->rex |= (uint8_t)(rxb >> 5 & 7);
    }
}

/* Two or three bytes that stand for prefix and map; then the opcode. */
static int vex_decode(struct state *state, unsigned byte)
{
    struct insn *insn = state->insn;
    unsigned space = byte == 0x8f ? SPACE_XOP - 8 : SPACE_VEX;
    unsigned map = 1;
    insn->encoding = byte == 0x8f ? INSN_XOP : INSN_VEX;
    if (!has(state, byte == 0xc5 ? 2 : 3))
        return MORE;
    if (byte == 0xc5) {
        unsigned last = *state->at++;
        vector_fields(state, last | 0x60, last & 0x7f);
        state->length_bits = last >> 2 & 1;
    } else {
        unsigned first = *state->at++;
        unsigned last = *state->at++;
        map = first & 31;
        vector_fields(state, first, last);
        state->length_bits = last >> 2 & 1;
        if (byte == 0x8f ? map > 10 : map > 7)
            return 0;
    }
    insn->map = (uint8_t)map;
    insn->opcode = *state->at++;
    return (int)space_node(space + map, insn->opcode);
}

static int evex_decode(struct state *state)
{
    struct insn *insn = state->insn;
    insn->encoding = INSN_EVEX;
    if (!has(state, 4))
        return MORE;
    unsigned first = state->at[0];
    unsigned second = state->at[1];
    unsigned third = state->at[2];
    if (first & 8 || !(second & 4))
        return 0;
    vector_fields(state, first, second);
    if (insn->bits == 64)
        insn->rex |= first & 0x10 ? 0 : INSN_REX_R4;
    state->v_high = third & 8 ? 0 : 16;
    state->length_bits = third >> 5 & 3;
    state->evex_b = third >> 4 & 1;
    state->evex_z = third >> 7 & 1;
    insn->mask = third & 7;
    insn->map = first & 7;
    insn->opcode = state->at[3];
    state->at += 4;
    return (int)space_node(SPACE_EVEX + insn->map, insn->opcode);
}

/* After an 0F. */
static int escape_decode(struct state *state)
{
    struct insn *insn = state->insn;
    if (!has(state, 1))
        return MORE;
    unsigned byte = *state->at++;
    if (byte == 0x0f) {
        insn->encoding = INSN_3DNOW;
        insn->map = 1;
        return (int)space_node(SPACE_3DNOW, 0);
    }
    if ((byte & ~2u) == 0x38) {
        if (!has(state, 1))
            return MORE;
        insn->map = byte == 0x38 ? 2 : 3;
        insn->opcode = *state->at++;
        return (int)space_node(byte == 0x38 ? SPACE_0F38 : SPACE_0F3A, insn->opcode);
    }
    insn->map = 1;
    insn->opcode = (uint8_t)byte;
    return nodes[256 + byte];
}

/* A byte that begins a vector prefix, or is an opcode of old. */
static int vector_or_old(struct state *state, unsigned byte)
{
    struct insn *insn = state->insn;
    if (!has(state, 1)) {
        return MORE;
    } else if (byte == 0x8f ? (*state->at & 31) < 8 : insn->bits != 64 && *state->at < 0xc0) {
        insn->opcode = (uint8_t)byte;
        return (int)space_node(SPACE_SHADOW, byte);
    }
    if (!vector_allowed(state))
        return 0;
    return byte == 0x62 ? evex_decode(state) : vex_decode(state, byte);
}

static void segment_prefix(struct state *state, unsigned byte)
{
    unsigned segment = byte >= 0x64 ? INSN_FS + (byte - 0x64) : byte >> 3 & 3;
    if (state->insn->bits == 64 && segment < INSN_FS)
        return; /* ignored: an FS or GS before it stays in force */
    state->insn->segment = (uint8_t)segment;
    state->insn->prefixes |= INSN_PREFIX_SEGMENT;
}

static void repeat_prefix(struct state *state, unsigned byte)
{
    struct insn *insn = state->insn;
    insn->prefixes &= (uint16_t) ~(INSN_PREFIX_REP | INSN_PREFIX_REPNE);
    insn->prefixes |= byte == 0xf3 ? INSN_PREFIX_REP : INSN_PREFIX_REPNE;
    state->prefix = byte == 0xf3 ? 2 : 3;
}

/* Reads up to the opcode. The node of its row or choice; 0 for none; -MORE. */
static int opcode_decode(struct state *state)
{
    struct insn *insn = state->insn;
    for (;;) {
        if (!has(state, 1))
            return MORE;
        unsigned byte = *state->at++;
        unsigned node = nodes[byte];
        if (node >> 12 != (NODE_CHOICE >> 12 | CHOOSE_BYTE)) {
            insn->opcode = (uint8_t)byte;
            return (int)node;
        }
        switch (node & 15) {
        case BYTE_REX:
            if (insn->bits != 64) {
                insn->opcode = (uint8_t)byte;
                return (int)space_node(SPACE_SHADOW, byte);
            }
            insn->rex = byte & 15;
            insn->prefixes |= INSN_PREFIX_REX;
            continue;
        case BYTE_0F:
            return escape_decode(state);
        case BYTE_VEX2:
        case BYTE_VEX3:
        case BYTE_EVEX:
        case BYTE_XOP:
            return vector_or_old(state, byte);
        case BYTE_REX2:
            insn->opcode = (uint8_t)byte;
            return (int)space_node(SPACE_SHADOW, byte);
        case BYTE_SEGMENT:
            segment_prefix(state, byte);
            break;
        case BYTE_OPERAND:
            insn->prefixes |= INSN_PREFIX_OPERAND;
            state->prefix += !state->prefix;
            break;
        case BYTE_ADDRESS:
            insn->prefixes |= INSN_PREFIX_ADDRESS;
            break;
        case BYTE_LOCK:
            insn->prefixes |= INSN_PREFIX_LOCK;
            break;
        default:
            repeat_prefix(state, byte);
            break;
        }
        insn->rex = 0; /* a REX that is not last does not count */
        insn->prefixes &= (uint16_t)~INSN_PREFIX_REX;
    }
}

/* The walk to the row */

static unsigned test_value(const struct state *state, unsigned test)
{
    const struct insn *insn = state->insn;
    switch (test) {
    case TEST_LONG:
        return insn->bits == 64;
    case TEST_B:
        return insn->rex & INSN_REX_B;
    case TEST_ADDRESS:
        return insn->address_size >> 2; /* 2, 4, 8 */
    case TEST_LENGTH:
        return state->length_bits;
    case TEST_AMD:
        return state->amd;
    case TEST_ND:
        return state->evex_nd;
    default:
        return state->features >> (test - TEST_FEATURE) & 1;
    }
}

/* From a choice to a leaf: its number, 0 for none, or -1 where the ModRM byte that decides is missing. */
static int choose(const struct state *state, unsigned node)
{
    do {
        unsigned index = NODE_INDEX(node);
        unsigned kind = NODE_KIND(node);
        if (kind == CHOOSE_PREFIX) {
            index += state->prefix;
        } else if (kind == CHOOSE_SIZE) {
            index += state->size_class;
        } else if (kind == CHOOSE_W) {
            index += state->wide;
        } else if (kind == CHOOSE_OTHER) {
            index += 1 + test_value(state, nodes[index]);
        } else {
            if (!has(state, 1))
                return -1;
            unsigned modrm = *state->at;
            index += kind == CHOOSE_REG ? modrm >> 3 & 7 : kind == CHOOSE_MOD ? modrm >= 0xc0 : modrm & 7;
        }
        node = nodes[index];
    } while (node & NODE_CHOICE);
    return (int)node;
}

/* ModRM */

/* 16-bit addressing: base | index << 4, 15 for none. */
static const uint8_t pairs16[8] = {0x63, 0x73, 0x65, 0x75, 0xf6, 0xf7, 0xf5, 0xf3};

static int displacement(struct state *state, unsigned size)
{
    if (!has(state, size))
        return MORE;
    state->insn->disp = sign_extend(read_bytes(state->at, size), size);
    state->at += size;
    return INSN_OK;
}

static void segment_default(struct insn *insn, bool stack)
{
    if (!(insn->prefixes & INSN_PREFIX_SEGMENT))
        insn->segment = stack ? INSN_SS : INSN_DS;
}

static int memory16(struct state *state, unsigned mod, unsigned rm)
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
    segment_default(insn, insn->base == 5);
    return mod == 1 ? displacement(state, 1) : mod == 2 || absolute ? displacement(state, 2) : INSN_OK;
}

static void index_decode(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned vsib = checks >> CHECK_VSIB_SHIFT & 3;
    unsigned index = (insn->sib >> 3 & 7) | (insn->rex & INSN_REX_X) << 2;
    if (vsib) {
        unsigned size = insn->vector_length >> (vsib - 1);
        insn->attributes |= INSN_VSIB;
        insn->index = (uint8_t)(index | state->v_high);
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
static int memory32(struct state *state, unsigned mod, unsigned rm, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned high = (insn->rex & INSN_REX_B) << 3 | (insn->rex & INSN_REX_B4);
    if (rm == 4) {
        if (!has(state, 1))
            return MORE;
        insn->sib = *state->at++;
        insn->attributes |= INSN_HAS_SIB;
        rm = insn->sib & 7;
        index_decode(state, checks);
    } else if (rm == 5 && mod == 0 && insn->bits == 64) {
        insn->base = INSN_REG_RIP;
        segment_default(insn, false);
        return displacement(state, 4);
    }
    if (rm == 5 && mod == 0) {
        segment_default(insn, false);
        return displacement(state, 4);
    }
    insn->base = (uint8_t)(rm | high);
    segment_default(insn, insn->base == 4 || insn->base == 5);
    return mod == 1 ? displacement(state, 1) : mod == 2 ? displacement(state, 4) : INSN_OK;
}

static int modrm_decode(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    if (!has(state, 1))
        return MORE;
    unsigned modrm = *state->at++;
    insn->modrm = (uint8_t)modrm;
    insn->attributes |= INSN_HAS_MODRM;
    if (modrm >= 0xc0 || checks & CHECK_ANYMOD)
        return checks & CHECK_MEM ? INSN_INVALID : INSN_OK;
    if (checks & CHECK_REG)
        return INSN_INVALID;
    insn->attributes |= INSN_HAS_MEMORY;
    if (checks & (3u << CHECK_VSIB_SHIFT | CHECK_SIBMEM) && ((modrm & 7) != 4 || insn->address_size == 2))
        return INSN_INVALID;
    if (insn->address_size == 2)
        return memory16(state, modrm >> 6, modrm & 7);
    return memory32(state, modrm >> 6, modrm & 7, checks);
}

/* Immediates */

static const struct {
    uint8_t size; /* 0: of the operand */
    uint8_t more; /* bytes of imm2 */
} immediates[16] = {
    [IMM_1] = {1, 0},   [IMM_S1] = {1, 0}, [IMM_2] = {2, 0}, [IMM_2_1] = {2, 1},
    [IMM_1_1] = {1, 1}, [IMM_4] = {4, 0},  [IMM_8] = {8, 0}, [IMM_FAR] = {0, 2},
};

static int immediate_decode(struct state *state, unsigned kind)
{
    struct insn *insn = state->insn;
    unsigned size = immediates[kind].size;
    unsigned more = immediates[kind].more;
    if (!size)
        size = kind == IMM_MOFFS         ? insn->address_size
               : insn->operand_size == 2 ? 2
               : kind == IMM_V           ? insn->operand_size
                                         : 4;
    if (!has(state, size + more))
        return MORE;
    uint64_t value = read_bytes(state->at, size);
    if (kind == IMM_MOFFS) {
        insn->disp = sign_extend(value, size);
        segment_default(insn, false);
    } else {
        insn->imm = insn->attributes & INSN_IMM_SIGNED ? (uint64_t)sign_extend(value, size) : value;
        insn->imm_size = size & 15;
    }
    if (more)
        insn->imm2 = (uint16_t)read_bytes(state->at + size, more);
    state->at += size + more;
    return INSN_OK;
}

/* Operands */

static const uint16_t fixed_sizes[] = {
    [SIZE_0] = 0,     [SIZE_1] = 1,     [SIZE_2] = 2,       [SIZE_4] = 4,     [SIZE_8] = 8, [SIZE_16] = 16,
    [SIZE_32] = 32,   [SIZE_64] = 64,   [SIZE_6] = 6,       [SIZE_10] = 10,   [SIZE_3] = 3, [SIZE_48] = 48,
    [SIZE_512] = 512, [SIZE_576] = 576, [SIZE_1024] = 1024, [SIZE_384] = 384,
};

static unsigned size_of(const struct state *state, unsigned code)
{
    const struct insn *insn = state->insn;
    switch (code) {
    case SIZE_V:
        return insn->operand_size;
    case SIZE_Y:
        return insn->rex & INSN_REX_W ? 8 : 4;
    case SIZE_Z:
        return insn->operand_size == 2 ? 2 : 4;
    case SIZE_A:
        return insn->operand_size * 2u;
    case SIZE_P:
        return insn->operand_size + 2u;
    case SIZE_S:
        return insn->bits == 64 ? 10 : 6;
    case SIZE_M:
        return insn->bits == 64 ? 8 : 4;
    case SIZE_ADDR:
        return insn->address_size;
    case SIZE_ENV:
        return insn->operand_size == 2 ? 14 : 28;
    case SIZE_SAVE:
        return insn->operand_size == 2 ? 94 : 108;
    case SIZE_2Y:
        return insn->bits == 64 ? 16 : 8;
    case SIZE_X:
        return insn->vector_length;
    case SIZE_XH:
        return insn->vector_length / 2u;
    case SIZE_XQ:
        return insn->vector_length / 4u;
    case SIZE_XO:
        return insn->vector_length / 8u;
    case SIZE_DDUP:
        return insn->vector_length == 16 ? 8 : insn->vector_length;
    default:
        return fixed_sizes[code];
    }
}

static unsigned element_size(unsigned checks)
{
    return 1u << (checks >> CHECK_BROADCAST_SHIFT & 3);
}

/* The unit of disp8 with EVEX (SDM 2A 2.7.5): what one access moves. */
static void displacement_scale(struct state *state, const struct shape *shape)
{
    unsigned unit = 1;
    if (state->insn->attributes & INSN_BROADCAST || shape->checks & CHECK_COMPRESSED) {
        unit = element_size(shape->checks);
    } else {
        for (unsigned i = 0; i < INSN_OPERANDS_MAX; i++) {
            unsigned how = OPERAND_HOW(shape->operands[i]);
            if (how != HOW_NONE && how <= HOW_RM_LAST)
                unit = size_of(state, OPERAND_SIZE(shape->operands[i]));
        }
    }
    state->insn->disp *= unit;
}

static void gpr_set(const struct insn *insn, struct insn_operand *operand, unsigned reg)
{
    operand->kind = INSN_GPR;
    if (operand->size == 1 && reg - 4 < 4 && !(insn->prefixes & INSN_PREFIX_REX)) {
        operand->kind = INSN_GPR_HIGH;
        reg -= 4;
    }
    operand->reg = (uint8_t)reg;
}

static void vector_set(struct insn_operand *operand, unsigned reg)
{
    operand->kind = INSN_VECTOR;
    operand->reg = (uint8_t)reg;
    operand->size = operand->size < 16 ? 16 : operand->size;
}

static void set(struct insn_operand *operand, unsigned kind, unsigned reg)
{
    operand->kind = (uint8_t)kind;
    operand->reg = (uint8_t)reg;
}

static void rm_operand(const struct state *state, struct insn_operand *operand, unsigned how)
{
    const struct insn *insn = state->insn;
    unsigned rm = (insn->modrm & 7) | (insn->rex & INSN_REX_B) << 3;
    switch (how) {
    case HOW_E_V:
        operand->size = insn->operand_size & 0xfff;
        gpr_set(insn, operand, rm);
        break;
    case HOW_E_D:
        operand->size = insn->rex & INSN_REX_W ? 8 : 4;
        gpr_set(insn, operand, rm);
        break;
    case HOW_E:
        gpr_set(insn, operand, rm | (insn->rex & INSN_REX_B4));
        break;
    case HOW_W:
        vector_set(operand, rm | (insn->encoding == INSN_EVEX ? (insn->rex & INSN_REX_X) << 3 : 0));
        break;
    case HOW_Q:
        set(operand, INSN_MMX, rm & 7);
        break;
    case HOW_KE:
        set(operand, INSN_MASK, rm & 7);
        break;
    case HOW_TE:
        set(operand, INSN_TILE, rm);
        break;
    default:
        set(operand, INSN_BND, rm);
        break;
    }
}

/* Fills one operand. False where the register that it names does not exist. */
static bool operand_decode(struct state *state, unsigned code, struct insn_operand *operand)
{
    struct insn *insn = state->insn;
    unsigned how = OPERAND_HOW(code);
    unsigned reg = (insn->modrm >> 3 & 7) | (insn->rex & INSN_REX_R) << 1;
    operand->access = OPERAND_ACCESS(code) & 15;
    operand->size = size_of(state, OPERAND_SIZE(code)) & 0xfff;
    if (how <= HOW_RM_LAST) {
        if (!(insn->attributes & INSN_HAS_MEMORY)) {
            rm_operand(state, operand, how);
            return operand->kind < INSN_TILE || operand->kind > INSN_BND ||
                   operand->reg < (operand->kind == INSN_TILE ? 8 : 4);
        }
        operand->kind = INSN_MEM;
        if (insn->attributes & INSN_BROADCAST)
            operand->size = state->element;
        if (!(operand->access & INSN_READ_WRITE))
            operand->size = 0;
        return true;
    }
    switch (how) {
    case HOW_G:
        gpr_set(insn, operand, reg | (insn->rex & INSN_REX_R4) >> 2);
        return operand->reg < 16 || state->features & INSN_FEATURE_APX;
    case HOW_V:
        vector_set(operand, reg | (insn->rex & INSN_REX_R4) >> 2);
        break;
    case HOW_P:
        set(operand, INSN_MMX, reg & 7);
        break;
    case HOW_KG:
        set(operand, INSN_MASK, reg);
        return reg < 8 && !(insn->rex & INSN_REX_R4);
    case HOW_TG:
        set(operand, INSN_TILE, reg);
        return reg < 8;
    case HOW_BG:
        set(operand, INSN_BND, reg);
        return reg < 4;
    case HOW_S:
        set(operand, INSN_SEG, reg & 7);
        return operand->reg <= INSN_GS;
    case HOW_C:
        set(operand, INSN_CR, reg);
        break;
    case HOW_D:
        set(operand, INSN_DR, reg);
        return reg < 8;
    case HOW_T:
        set(operand, INSN_TR, reg & 7);
        break;
    case HOW_MEM_REG:
        set(operand, INSN_MEM_REG, reg);
        break;
    case HOW_B:
        gpr_set(insn, operand, insn->vvvv);
        break;
    case HOW_H:
        vector_set(operand, insn->vvvv);
        break;
    case HOW_KH:
        set(operand, INSN_MASK, insn->vvvv);
        return insn->vvvv < 8;
    case HOW_TH:
        set(operand, INSN_TILE, insn->vvvv);
        return insn->vvvv < 8;
    case HOW_L:
        vector_set(operand, insn->imm >> 4 & (insn->bits == 64 ? 15 : 7));
        break;
    case HOW_Z:
        gpr_set(insn, operand, (insn->opcode & 7) | (insn->rex & INSN_REX_B) << 3);
        break;
    case HOW_AX:
        set(operand, INSN_GPR, 0);
        break;
    case HOW_CX:
        set(operand, INSN_GPR, 1);
        break;
    case HOW_DX:
        set(operand, INSN_GPR, 2);
        break;
    case HOW_SEG:
        set(operand, INSN_SEG, OPERAND_SIZE(code));
        operand->size = 2;
        break;
    case HOW_ST0:
        set(operand, INSN_X87, 0);
        break;
    case HOW_STI:
        set(operand, INSN_X87, insn->modrm & 7);
        break;
    case HOW_XMM0:
        set(operand, INSN_VECTOR, 0);
        break;
    case HOW_IMM:
        operand->kind = INSN_IMM;
        break;
    case HOW_IMM2:
        operand->kind = INSN_IMM2;
        break;
    case HOW_ONE:
        operand->kind = INSN_IMM_ONE;
        break;
    case HOW_REL:
        operand->kind = INSN_RELATIVE;
        break;
    case HOW_FAR:
        operand->kind = INSN_FAR;
        break;
    case HOW_MOFFS:
        operand->kind = INSN_MEM_MOFFS;
        break;
    case HOW_SI:
        operand->kind = INSN_MEM_SI;
        segment_default(insn, false);
        break;
    case HOW_DI:
        operand->kind = INSN_MEM_DI;
        segment_default(insn, false);
        break;
    case HOW_XLAT:
        operand->kind = INSN_MEM_XLAT;
        segment_default(insn, false);
        break;
    default:
        operand->kind = INSN_MEM_MASK;
        segment_default(insn, false);
        break;
    }
    return true;
}

/* Validity */

/* With b set: broadcast from memory; rounding, or no exceptions, between registers. False where neither
 * exists. */
static bool broadcast_set(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    if (!has(state, 1))
        return true;
    if (*state->at < 0xc0) {
        if (!(checks >> CHECK_BROADCAST_SHIFT & 3) || checks & CHECK_COMPRESSED)
            return false;
        insn->attributes |= INSN_BROADCAST;
        state->element = (uint8_t)element_size(checks);
        return true;
    }
    if (!(checks & (CHECK_ER | CHECK_SAE)))
        return false;
    insn->attributes |= checks & CHECK_ER ? INSN_ROUNDING | INSN_SAE : INSN_SAE;
    if (checks & CHECK_ER)
        insn->attributes |= (uint32_t)state->length_bits << INSN_ROUNDING_SHIFT;
    state->length_bits = insn->attributes & INSN_SCALAR ? 0 : 2;
    return true;
}

static bool mask_valid(const struct state *state, const struct shape *shape)
{
    const struct insn *insn = state->insn;
    unsigned checks = shape->checks;
    if (insn->mask ? !(checks & CHECK_MASK) : checks & CHECK_MASK_NEEDED)
        return false;
    return !state->evex_z || (insn->mask && checks & CHECK_ZEROING);
}

/* What VEX, XOP and EVEX reserve. Before ModRM is read, because the vector length decides sizes. */
static bool vector_valid(struct state *state, const struct shape *shape)
{
    struct insn *insn = state->insn;
    unsigned checks = shape->checks;
    if (insn->encoding == INSN_EVEX) {
        if (state->evex_b && !broadcast_set(state, checks))
            return false;
        if (!mask_valid(state, shape))
            return false;
        insn->attributes |= state->evex_z ? INSN_ZEROING : 0;
    }
    if (state->length_bits == 3 || !(checks & CHECK_L128 << state->length_bits))
        return false;
    insn->vector_length = (uint8_t)(insn->attributes & INSN_SCALAR ? 16 : 16 << state->length_bits);
    if (checks & (state->wide ? CHECK_W0 : CHECK_W1))
        return false;
    if (state->prefix)
        insn->prefixes |= (uint16_t)(INSN_MANDATORY_66 << (state->prefix - 1));
    if (!(checks & CHECK_VVVV) && insn->vvvv)
        return false;
    if (!(checks & (CHECK_VVVV | 3u << CHECK_VSIB_SHIFT)) && state->v_high)
        return false;
    if (insn->bits != 64) {
        if (state->v_high)
            return false;
        insn->vvvv &= 7;
        insn->rex = checks & CHECK_W1 ? INSN_REX_W : 0; /* W as a part of the opcode; no 64-bit register */
    } else if (!(checks >> CHECK_VSIB_SHIFT & 3)) {
        insn->vvvv |= state->v_high;
    }
    return true;
}

/* LOCK: a row that allows it, its first operand in memory; AMD's LOCK MOV CR0 is CR8. */
static bool lock_valid(const struct state *state)
{
    struct insn *insn = state->insn;
    if (insn->op == INSN_OP_MOV_CR && state->amd)
        return true;
    return insn->attributes & INSN_LOCKABLE && insn->operands[0].kind == INSN_MEM;
}

static bool all_differ(const struct insn *insn, unsigned kind)
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

static bool special_valid(const struct state *state)
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

static bool mode_valid(const struct state *state, unsigned checks)
{
    if (checks & CHECK_NOT64 && state->insn->bits == 64)
        return false;
    if (checks & CHECK_ONLY64 && state->insn->bits != 64)
        return false;
    return !(checks & CHECK_PROTECTED) || !state->real;
}

/* REP and the elision hints, where the row knows them; they mean nothing elsewhere. */
static void repeat_attributes(struct insn *insn)
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

/* Operand size: 66 and W, the row's default of 64, and 66 being part of the opcode. */
static void operand_size_set(struct state *state, unsigned checks)
{
    struct insn *insn = state->insn;
    unsigned size = 2u << state->size_class;
    if (checks & CHECK_MANDATORY) {
        insn->prefixes |= (uint16_t)(INSN_MANDATORY_66 << (state->prefix - 1));
        if (state->prefix == 1 && size != 8)
            size = insn->bits == 16 ? 2 : 4;
    }
    if (checks & (CHECK_D64 | CHECK_F64) && insn->bits == 64 && (size == 4 || checks & CHECK_F64))
        size = 8;
    insn->operand_size = (uint8_t)size;
}

/* Sizes that the prefixes give, once they are all known. */
static void sizes_set(struct state *state)
{
    struct insn *insn = state->insn;
    bool operand = insn->prefixes & INSN_PREFIX_OPERAND;
    bool address = insn->prefixes & INSN_PREFIX_ADDRESS;
    if (insn->encoding == INSN_LEGACY)
        state->wide = insn->rex >> 3 & 1;
    if (insn->bits == 64) {
        state->size_class = state->wide ? 2 : operand ? 0 : 1;
        insn->address_size = address ? 4 : 8;
    } else {
        state->size_class = operand == (insn->bits == 16);
        insn->address_size = address == (insn->bits == 16) ? 4 : 2;
    }
}

static int row_decode(struct state *state, const struct leaf *leaf)
{
    struct insn *insn = state->insn;
    const struct shape *shape = &shapes[leaf->shape];
    unsigned checks = shape->checks;
    int status = INSN_OK;
    if (leaf->form & LEAF_PREFIX_EXACT && (leaf->form >> LEAF_PREFIX_SHIFT & 3) != state->prefix)
        return INSN_INVALID;
    insn->mnemonic = leaf->mnemonic;
    insn->op = leaf->op;
    insn->isa = leaf->isa;
    insn->flags = leaf->flags;
    insn->attributes = shape->attributes;
    insn->base = insn->index = INSN_REG_NONE;
    operand_size_set(state, checks);
    if ((leaf->form & LEAF_LENGTH) != LEAF_LENGTH_L)
        insn->vector_length = (uint8_t)((leaf->form & LEAF_LENGTH) << 3);
    else if (!vector_valid(state, shape))
        return INSN_INVALID;
    if (checks & (CHECK_NOT64 | CHECK_ONLY64 | CHECK_PROTECTED) && !mode_valid(state, checks))
        return INSN_INVALID;
    if (checks & CHECK_MODRM) {
        status = modrm_decode(state, checks);
        if (status)
            return status;
        if (insn->encoding == INSN_EVEX && insn->modrm >> 6 == 1)
            displacement_scale(state, shape);
    }
    if (checks >> CHECK_IMM_SHIFT & 15) {
        status = immediate_decode(state, checks >> CHECK_IMM_SHIFT & 15);
        if (status)
            return status;
    }
    unsigned count = 0;
    for (; count < INSN_OPERANDS_MAX && shape->operands[count]; count++) {
        if (!operand_decode(state, shape->operands[count], &insn->operands[count]))
            status = INSN_INVALID;
    }
    insn->operand_count = count & 15;
    if (checks & CHECK_SPECIAL && !special_valid(state))
        return INSN_INVALID;
    if (insn->prefixes & INSN_PREFIX_LOCK && !lock_valid(state))
        return INSN_INVALID;
    if (state->evex_z && insn->operands[0].kind == INSN_MEM)
        return INSN_INVALID;
    repeat_attributes(insn);
    return status;
}

/* 3DNow!: the opcode follows the operands. */
static int suffix_decode(struct state *state)
{
    struct insn *insn = state->insn;
    const struct leaf *any = &leaves[space_node(SPACE_3DNOW, spaces[SPACE_3DNOW].first)];
    int status = row_decode(state, any);
    if (status)
        return status;
    if (!has(state, 1))
        return MORE;
    insn->opcode = *state->at++;
    const struct leaf *leaf = &leaves[space_node(SPACE_3DNOW, insn->opcode)];
    insn->mnemonic = leaf->mnemonic;
    insn->isa = leaf->isa;
    return leaf->shape ? INSN_OK : INSN_INVALID;
}

static int decode(struct state *state)
{
    int node = opcode_decode(state);
    if (node == MORE)
        return MORE;
    sizes_set(state);
    if (state->insn->encoding == INSN_3DNOW)
        return suffix_decode(state);
    if (node & NODE_CHOICE) {
        node = choose(state, (unsigned)node);
        if (node < 0)
            return MORE;
    }
    if (!node)
        return INSN_INVALID;
    return row_decode(state, &leaves[node]);
}

enum insn_status insn_decode(const uint8_t *bytes, size_t len, struct insn_mode mode, struct insn *insn)
{
    struct state state = {
        .at = bytes,
        .end = bytes + (len < INSN_BYTES_MAX ? len : INSN_BYTES_MAX),
        .insn = insn,
        .features = mode.features,
        .real = mode.real,
        .amd = mode.vendor == INSN_AMD,
    };
    memset(insn, 0, sizeof(*insn));
    insn->bits = mode.bits;
    int status = decode(&state);
    if (status == MORE)
        return len < INSN_BYTES_MAX ? INSN_NEED_BYTES : INSN_TOO_LONG;
    insn->length = (uint8_t)(state.at - bytes);
    return (enum insn_status)status;
}
