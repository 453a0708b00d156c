/* SPDX-License-Identifier: MIT
 *
 * The layout of the compiled tables, shared by the decoder and by the program that makes them from the opcode
 * rows (decoder/make/). docs/decoder.md draws it.
 *
 * node (16 bits)  -> a leaf, or a choice by some property of the instruction that leads to another node
 * leaf (8 bytes)  -> what is particular to one row: mnemonic, operation, extension, flags; and its shape
 * shape (8 to 24 bytes)-> what many rows share: operands, attributes, what must be checked
 */
#ifndef DECODER_LAYOUT_H
#define DECODER_LAYOUT_H

#include <stdint.h>

/* A node below NODE_CHOICE is the number of a leaf; leaf 0 is "no such instruction". From NODE_BYTE it is a
 * prefix or an escape, NODE_BYTE + enum node_byte. Between them it is a choice: NODE_CHOICE + (choice << 13)
 * + index / 2, and the alternatives stand at nodes[index + value]. */
#define NODE_CHOICE      0x4000u
#define NODE_BYTE        0xfff0u
#define NODE_KIND(node)  (((node) >> 13) - 2)
#define NODE_INDEX(node) (((node)&0x1fff) << 1)

enum node_choice {
    CHOOSE_PREFIX, /* value: none, 66, F3, F2 */
    CHOOSE_REG,    /* ModRM.reg */
    CHOOSE_MOD,    /* memory, register */
    CHOOSE_RM,     /* ModRM.rm */
    CHOOSE_W,      /* REX.W, VEX.W */
    CHOOSE_OTHER,  /* nodes[index] is an enum node_test; its values follow */
};

enum node_test {
    TEST_LONG,                   /* 64-bit mode */
    TEST_SIZE,                   /* 3 operand sizes */
    TEST_B,                      /* REX.B */
    TEST_ADDRESS,                /* 3 address sizes */
    TEST_LENGTH,                 /* 4: L'L */
    TEST_AMD,                    /* vendor */
    TEST_ND,                     /* EVEX.ND of map 4 */
    TEST_NF,                     /* EVEX.NF of map 4 */
    TEST_FEATURE,                /* + the number of the feature's bit */
    TEST_KNC = TEST_FEATURE + 8, /* in 64-bit mode alone */
};

enum node_byte {
    BYTE_SEGMENT,
    BYTE_OPERAND,
    BYTE_ADDRESS,
    BYTE_LOCK,
    BYTE_REPNE,
    BYTE_REP,
    BYTE_REX, /* in 64-bit mode; INC and DEC otherwise: the leaf in the row after the map (see spaces) */
    BYTE_0F,
    BYTE_VEX2,
    BYTE_VEX3,
    BYTE_EVEX,
    BYTE_XOP,
    BYTE_REX2,
};

/* The opcode spaces. The first two are whole; of the others only the range that is in use is stored. */
enum space_id {
    SPACE_ONE, /* one byte */
    SPACE_0F,
    SPACE_0F38,
    SPACE_0F3A,
    SPACE_3DNOW,
    SPACE_SHADOW, /* what the bytes that are prefixes or escapes otherwise mean: INC, LES, LDS, BOUND, POP,
                     AAD */
    SPACE_VEX,    /* + map 0 to 7 */
    SPACE_XOP = SPACE_VEX + 8,   /* + map 8 to 10 - 8 */
    SPACE_EVEX = SPACE_XOP + 3,  /* + map 0 to 7 */
    SPACE_MVEX = SPACE_EVEX + 8, /* + map 0 to 3 */
    SPACE_REX2 = SPACE_MVEX + 4, /* what the one-byte opcodes mean with REX2 alone */
    SPACE_COUNT,
};

struct space {
    uint16_t base; /* nodes[base + opcode - first] */
    uint8_t first, last;
};

struct leaf {
    uint16_t mnemonic; /* the first four fields as in struct insn: copied at once */
    uint8_t op;
    uint8_t isa;
    uint8_t flags;
    uint8_t form;   /* enum leaf_form */
    uint16_t shape; /* the word at which it begins */
};

/* A row of MVEX, in place of nodes and leaf: nobody is in a hurry there. A zero ends the list. */
struct mvex_row {
    uint8_t opcode;
    uint8_t key;       /* map, prefix << 2; and sets of values: W << 4, E << 6 */
    uint16_t mnemonic; /* and ModRM.reg << 12, or 8 for any */
    uint16_t shape;    /* and the number of operands << 13 */
};

enum leaf_form {
    LEAF_LENGTH = 3, /* vector length: 0, 8, 16, or by the prefix's L */
    LEAF_LENGTH_L = 3,
    LEAF_PREFIX_SHIFT = 2,       /* 2 bits: the mandatory prefix, as CHOOSE_PREFIX counts them, */
    LEAF_PREFIX_EXACT = 1u << 4, /* where the path has not checked it */
    LEAF_COUNT_SHIFT = 5,        /* 3 bits: operands */
};

/* One operand: how it is found, its size, and what that depends on. */
struct shape_operand {
    uint8_t how;    /* enum operand_how */
    uint8_t size;   /* enum operand_size */
    uint8_t group;  /* enum size_group */
    uint8_t access; /* enum insn_access << 4 */
};

/* In decoder_shapes[], words of 32 bits: as many operands as the leaf says. */
struct shape {
    uint32_t attributes; /* enum insn_attribute */
    uint32_t checks;     /* enum shape_check */
    struct shape_operand operands[];
};

enum operand_how {
    HOW_NONE,
    /* Named by ModRM.rm, or memory. */
    HOW_E,
    HOW_E_BYTE, /* a byte register: SPL to DIL, or AH to BH */
    HOW_W,
    HOW_Q,
    HOW_KE,
    HOW_TE,
    HOW_BE,
    HOW_RM_LAST = HOW_BE,
    /* Named by ModRM.reg */
    HOW_G,
    HOW_G_BYTE,
    HOW_V,
    HOW_P,
    HOW_KG,
    HOW_TG,
    HOW_BG,
    HOW_S,
    HOW_C,
    HOW_D,
    HOW_T,
    HOW_MEM_REG,
    /* Named by VEX.vvvv, by the byte after (is4), by the opcode, or fixed */
    HOW_B,
    HOW_H,
    HOW_KH,
    HOW_TH,
    HOW_L,
    HOW_Z,
    HOW_Z_BYTE,
    HOW_AX,
    HOW_CX,
    HOW_DX,
    HOW_SEG, /* `size` is the segment's number */
    HOW_ST0,
    HOW_STI,
    HOW_XMM0,
    HOW_IMM,
    HOW_IMM2,
    HOW_ONE,
    HOW_REL,
    HOW_FAR,
    HOW_MOFFS,
    HOW_SI,
    HOW_DI,
    HOW_XLAT,
    HOW_MASKMOV,
};

enum size_group {
    SIZE_BY_NOTHING, /* three groups */
    SIZE_BY_OPERAND = 3,
    SIZE_BY_MODE, /* not 64-bit, 64-bit, and there with W */
    SIZE_BY_ADDRESS,
    SIZE_BY_VECTOR,
    SIZE_GROUPS = 8, /* one more for what is no size of an operand: see default_sizes[] */
};

/* A size is a row of eight in one of eight groups; the group says what it depends on (struct state). Where a
 * register has another size than memory in its place, the row has both. */
enum operand_size {
    /* Fixed */
    SIZE_0,
    SIZE_1,
    SIZE_2,
    SIZE_4,
    SIZE_8,
    SIZE_16,
    SIZE_32,
    SIZE_64,
    SIZE_10,
    SIZE_48,
    SIZE_512,
    SIZE_576,
    SIZE_1024,
    SIZE_1_X, /* of a vector register, whose name is of 16 bytes or more */
    SIZE_2_X,
    SIZE_4_X,
    SIZE_8_X,
    /* By operand size */
    SIZE_V = SIZE_BY_OPERAND * 8,
    SIZE_Z,    /* 2 or 4 */
    SIZE_A,    /* twice the operand size: BOUND */
    SIZE_P,    /* a far pointer: operand size + 2 */
    SIZE_ENV,  /* x87 environment: 14 or 28 */
    SIZE_SAVE, /* x87 state: 94 or 108 */
    SIZE_0_V,  /* memory of 0, 2, a register of the operand size */
    SIZE_2_V,
    /* By mode */
    SIZE_Y = SIZE_BY_MODE * 8, /* 4, or 8 with W */
    SIZE_1_Y,                  /* memory of 1, 2, 4, a register of 4, or 8 with W */
    SIZE_2_Y,
    SIZE_4_Y,
    SIZE_S,  /* a descriptor table register: 6, or 10 in 64-bit mode */
    SIZE_M,  /* 4, or 8 in 64-bit mode: control registers */
    SIZE_2M, /* twice that: BNDMOV */
    /* By address size */
    SIZE_ADDR = SIZE_BY_ADDRESS * 8,
    /* By vector length */
    SIZE_X = SIZE_BY_VECTOR * 8,
    SIZE_XH,   /* half */
    SIZE_XQ,   /* quarter */
    SIZE_XO,   /* eighth */
    SIZE_DDUP, /* VMOVDDUP: 8 of 16, else whole */
};

/* What the shape asks of the instruction, beyond the path that led there. */
enum shape_check {
    CHECK_MODRM = 1u << 0,
    CHECK_MEM = 1u << 1,               /* no register form */
    CHECK_REG = 1u << 2,               /* no memory form */
    CHECK_IMM_SHIFT = 3,               /* 4 bits: enum shape_imm */
    CHECK_D64 = 1u << 7,               /* operand size 64 by default in 64-bit mode */
    CHECK_F64 = 1u << 8,               /* the same, and Intel ignores 66: near branches */
    CHECK_FAR = CHECK_D64 | CHECK_F64, /* neither: a far branch */
    CHECK_NOT64 = 1u << 9,
    CHECK_ONLY64 = 1u << 10,
    CHECK_PROTECTED = 1u << 11,
    CHECK_MANDATORY = 1u << 12, /* the prefix that led here is part of the opcode */
    CHECK_VVVV = 1u << 13,      /* vvvv names an operand; otherwise it must be clear */
    CHECK_L128 = 1u << 14,      /* vector lengths that exist */
    CHECK_L256 = 1u << 15,
    CHECK_L512 = 1u << 16,
    CHECK_W0 = 1u << 17, /* W must be 0, must be 1 */
    CHECK_W1 = 1u << 18,
    CHECK_MASK = 1u << 19, /* EVEX.aaa (in map 4: NF) may be used, must be used, z may be used */
    CHECK_MASK_NEEDED = 1u << 20,
    CHECK_ZEROING = 1u << 21,
    CHECK_BROADCAST_SHIFT = 22, /* 2 bits: none, 2, 4, 8 bytes */
    CHECK_ER = 1u << 24,        /* with CHECK_SAE: b between registers is ignored */
    CHECK_SAE = 1u << 25,
    CHECK_VSIB_SHIFT = 26,       /* 2 bits: none, index of vector length, of half of it */
    CHECK_SPECIAL = 1u << 28,    /* see special_valid(): by operation */
    CHECK_COMPRESSED = 1u << 29, /* disp8 counts elements of the broadcast size, not operands */
    CHECK_ANYMOD = 1u << 30,     /* ModRM.mod is ignored: always a register */
    CHECK_SIBMEM = 1u << 31,
    /* MVEX has no use for lengths and W here, and a meaning of its own for these (and for CHECK_ER,
       CHECK_SAE): */
    CHECK_CONVERSION_SHIFT = 14, /* 3 bits: enum mvex_conversion */
    CHECK_SWIZZLE = 1u << 17,    /* registers may be swizzled */
    CHECK_NO_E = 1u << 18,       /* E must be 0 between registers */
};

/* What SSS makes of memory: the conversions and broadcasts that exist. */
enum mvex_conversion {
    MVEX_NONE,
    MVEX_F32, /* from float16 and 8 and 16-bit integers */
    MVEX_F32B,
    MVEX_I32,
    MVEX_I32B,
    MVEX_64B,
    MVEX_4TO16,
    MVEX_CONVERSIONS,
};

enum shape_imm {
    IMM_NONE,
    IMM_1,  /* zero-extended */
    IMM_S1, /* sign-extended */
    IMM_2,
    IMM_Z, /* 2 or 4, sign-extended */
    IMM_V, /* 2, 4 or 8 */
    IMM_MOFFS,
    IMM_FAR,
    IMM_2_1, /* ENTER */
    IMM_1_1, /* EXTRQ */
    IMM_4,   /* always four */
    IMM_REL, /* 2 or 4, of the branch's operand size */
    IMM_8,
};

#endif
