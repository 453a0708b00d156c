/* SPDX-License-Identifier: MIT
 *
 * Inside the decoder: what its stages hand on. In the order of the bytes: prefix.h (up to the opcode), insn.c
 * (the walk to the row, and the order of it all), modrm.h, operands.h; validity.h is what a row cannot say.
 * The stages are headers, and always inlined, so that the compiler sees one function and keeps the state in
 * registers: nobody else holds a pointer to it.
 */
#ifndef DECODER_DECODE_H
#define DECODER_DECODE_H

#include <string.h>

#include "decoder/insn.h"
#include "decoder/layout.h"

/* Made from the rows; tables.c. */
#pragma GCC visibility push(hidden)
extern const uint16_t decoder_nodes[];
extern const struct space decoder_spaces[SPACE_COUNT];
extern const struct leaf decoder_leaves[];
extern const struct mvex_row decoder_mvex[];
extern const uint32_t decoder_shapes[]; /* of struct shape */
#pragma GCC visibility pop

#define STAGE static inline __attribute__((always_inline))

/* What the compiler may put out of the way of the common instructions: cold, each line of code costs. */
#define RARE(condition) __builtin_expect(!!(condition), 0)

/* What is known so far, beyond the result itself. */
struct state {
    const uint8_t *at, *start, *end;
    struct insn *insn;
    uint8_t *columns;   /* SIZE_GROUPS of them: which of four columns of a group of sizes */
    uint64_t mode;      /* a struct insn_mode: in one register, taken apart where it is needed */
    uint8_t prefix;     /* 0 none, 1 66, 2 F3, 3 F2: for CHOOSE_PREFIX */
    uint8_t size_index; /* 66, 67 << 1, W << 2, mode << 3: a row of default_sizes[] */
    uint8_t vector;     /* enum state_vector */
    uint8_t low;        /* the byte that names registers: ModRM, or the opcode */
    uint8_t imm_size;
    uint8_t memory_last; /* the last operand_how that is memory here: HOW_RM_LAST or none */
    uint8_t notable;     /* enum state_notable */
};

/* L'L, b, V' and z where EVEX's last byte has them; of VEX and XOP L. */
enum state_vector {
    VECTOR_HIGH = 1u << 3, /* V', not inverted: bit 4 of vvvv, or of the index with VSIB */
    VECTOR_B = 1u << 4,
    VECTOR_LENGTH_SHIFT = 5,
    VECTOR_Z = 1u << 7,
};

/* Why row_check() must look. */
enum state_notable {
    NOTABLE_HIGH = 1u << 0, /* EVEX names a register from 16 on, and general registers end before */
    NOTABLE_MORE = 1u << 1, /* LOCK, REP, REPNE, zeroing, a broadcast, REX2, 3DNow! */
};

#define DECODE_MORE 0x10000 /* in place of a status or a node: out of bytes */

STAGE bool state_has(const struct state *state, size_t count)
{
    return (size_t)(state->end - state->at) >= count;
}

/* `size` is 1, 2, 4 or 8. */
STAGE uint64_t read_bytes(const uint8_t *at, unsigned size)
{
    uint64_t eight;
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
        memcpy(&eight, at, 8);
        return eight;
    }
}

STAGE int64_t sign_extend(uint64_t value, unsigned size)
{
    return (int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

STAGE unsigned space_node(unsigned space, unsigned opcode)
{
    const struct space *range = &decoder_spaces[space];
    if (opcode < range->first || opcode > range->last)
        return 0;
    return decoder_nodes[range->base + opcode - range->first];
}

STAGE bool state_real(const struct state *state)
{
    return state->mode >> 8 * offsetof(struct insn_mode, real) & 1;
}

STAGE bool state_amd(const struct state *state)
{
    return (state->mode >> 8 * offsetof(struct insn_mode, vendor) & 0xff) == INSN_AMD;
}

STAGE unsigned state_features(const struct state *state)
{
    return state->mode >> 8 * offsetof(struct insn_mode, features) & 0xffff;
}

#define STATE_WIDE(state) ((state)->size_index >> 2 & 1u)

STAGE unsigned state_length_bits(const struct state *state)
{
    return state->vector >> VECTOR_LENGTH_SHIFT & 3u;
}

/* 16 or 0. */
STAGE unsigned state_v_high(const struct state *state)
{
    return (state->vector & VECTOR_HIGH) << 1;
}

/* The bytes of one element that a broadcast repeats, or that disp8 counts. */
STAGE unsigned element_size(unsigned checks)
{
    return 1u << (checks >> CHECK_BROADCAST_SHIFT & 3);
}

#endif
