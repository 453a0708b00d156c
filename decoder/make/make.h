/* SPDX-License-Identifier: MIT
 *
 * The program that turns the opcode rows (decoder/opcodes_*.def) and what the mnemonics mean
 * (decoder/mnemonics.def) into the decoder's tables, when the project is built. Two rows that claim the same
 * encoding, an unknown operand or a row that cannot be reached end the build with the row's text.
 */
#ifndef DECODER_MAKE_H
#define DECODER_MAKE_H

#include "base/types.h"
#include "decoder/layout.h"

/* The properties by which rows are told apart, in the order in which the decoder asks for them. A row has,
 * for each, the set of values that it accepts. */
enum dimension {
    DIM_LONG,
    DIM_REG,
    DIM_MOD,
    DIM_RM,
    DIM_PREFIX,
    DIM_SIZE,
    DIM_ADDRESS,
    DIM_LENGTH,
    DIM_W,
    DIM_B,
    DIM_AMD,
    DIM_ND,
    DIM_NF,
    DIM_FEATURE, /* one for each bit of enum insn_feature */
    DIM_COUNT = DIM_FEATURE + 9,
};

/* While a row is read, an operand is how | size << 6 | access << 12. */
#define OPERAND_HOW(operand)    ((operand)&63)
#define OPERAND_SIZE(operand)   ((operand) >> 6 & 63)
#define OPERAND_ACCESS(operand) ((operand) >> 12 & 7)

struct row {
    const char *text;
    char mnemonic[32];
    unsigned space, opcode;
    uint16_t set[DIM_COUNT];
    unsigned given; /* the dimensions that the row's text names */
    unsigned checks, attributes;
    uint16_t operands[4];
    unsigned operand_count;
    unsigned imm;
    unsigned isa, op, flags, mnemonic_id;
    bool vector; /* VEX, EVEX, XOP */
    bool wig32;  /* W is ignored outside 64-bit mode */
    char access; /* of the first operand, where the row says so: w, x, r */
};

#define ROWS_MAX 6000
extern struct row rows[ROWS_MAX];
extern unsigned row_count;

struct meaning { /* what decoder/mnemonics.def says of a mnemonic */
    const char *mnemonic, *access, *read, *written, *undefined, *rest;
};
const struct meaning *meaning_find(const char *mnemonic);

void fail(const struct row *row, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
unsigned dim_values(enum dimension dim);

void rows_parse(void);
/* Operand tokens ("Ev", "Wx{b32}") to codes; false where the token is none. */
bool operand_parse(struct row *row, const char *token);

void tree_build(void);

extern struct mvex_row mvex_rows[512];
extern unsigned mvex_count;
extern uint16_t nodes[16384];
extern unsigned node_count;
extern struct space spaces[SPACE_COUNT];
extern struct leaf leaves[8192];
extern const struct row *leaf_rows[8192];
extern unsigned leaf_count;
extern uint32_t shape_words[16384];
extern unsigned shape_word_count;
extern uint32_t flag_sets[256][3];
extern unsigned flag_set_count;
extern const char *mnemonics[4096];
extern unsigned mnemonic_count;

#endif
