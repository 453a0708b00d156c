/* SPDX-License-Identifier: MIT
 *
 * The decoder: from bytes to `struct insn`, everything an emulator needs to know about one x86 instruction,
 * and back: the same instruction with another memory operand. Pure functions over what they are given: no
 * state, no allocation, no memory of the guest. From any thread. How it works is in docs/decoder.md.
 *
 * Text is not made here; insn_mnemonic() gives the bare name.
 */
#ifndef DECODER_INSN_H
#define DECODER_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_BYTES_MAX    15
#define INSN_OPERANDS_MAX 4

enum insn_status {
    INSN_OK,
    INSN_NEED_BYTES, /* what there is begins a valid instruction, or one that is not yet known to be invalid
                      */
    INSN_INVALID,    /* #UD */
    INSN_TOO_LONG,   /* more than 15 bytes: #GP(0) */
};

enum insn_vendor { INSN_INTEL, INSN_AMD };

/* Extensions that give a meaning to encodings that older processors took for something else (a NOP, another
 * instruction, or the same without a prefix). */
enum insn_feature {
    INSN_FEATURE_CET = 1u << 0,        /* ENDBR, RDSSP: else NOP */
    INSN_FEATURE_LZCNT = 1u << 1,      /* else F3 is ignored: BSR */
    INSN_FEATURE_TZCNT = 1u << 2,      /* else F3 is ignored: BSF */
    INSN_FEATURE_WBNOINVD = 1u << 3,   /* else F3 is ignored: WBINVD */
    INSN_FEATURE_APX = 1u << 4,        /* REX2, EVEX map 4, R16 to R31 */
    INSN_FEATURE_MPX = 1u << 5,        /* else NOP */
    INSN_FEATURE_CLDEMOTE = 1u << 6,   /* else NOP */
    INSN_FEATURE_PREFETCHIT = 1u << 7, /* PREFETCHIT0/1: else NOP */
    INSN_FEATURE_KNC = 1u << 8,        /* MVEX and the Knights Corner mask instructions */
};
#define INSN_FEATURES_DEFAULT \
    (INSN_FEATURE_CET | INSN_FEATURE_LZCNT | INSN_FEATURE_TZCNT | INSN_FEATURE_WBNOINVD)

/* What the bytes are decoded as. Small: pass it by value. */
struct insn_mode {
    uint8_t bits;   /* 16, 32 or 64: the default operand size of the code segment, 64 in long mode */
    uint8_t real;   /* real or virtual-8086 mode (bits is 16 or 32): VEX and what needs protection is #UD */
    uint8_t vendor; /* enum insn_vendor */
    uint16_t features; /* enum insn_feature */
};

/* Intel, protected or long mode, default features. */
static inline struct insn_mode insn_mode(unsigned bits)
{
    return (struct insn_mode){.bits = (uint8_t)bits, .vendor = INSN_INTEL, .features = INSN_FEATURES_DEFAULT};
}

enum insn_encoding {
    INSN_LEGACY,
    INSN_3DNOW, /* 0F 0F: opcode is the suffix byte */
    INSN_VEX,
    INSN_XOP,
    INSN_EVEX,
    INSN_MVEX, /* KNC */
    INSN_REX2, /* legacy opcodes with R16 to R31 (APX) */
};

/* `map` of struct insn: for legacy encodings 0 one-byte, 1 0F, 2 0F38, 3 0F3A; for the others the value of
 * their map field. */

/* Prefixes seen, whether or not they have an effect. The last of REP and REPNE wins, and the last segment. */
enum insn_prefix {
    INSN_PREFIX_LOCK = 1u << 0,
    INSN_PREFIX_REPNE = 1u << 1,   /* F2 is the one in force */
    INSN_PREFIX_REP = 1u << 2,     /* F3 is the one in force */
    INSN_PREFIX_OPERAND = 1u << 3, /* 66 */
    INSN_PREFIX_ADDRESS = 1u << 4, /* 67 */
    INSN_PREFIX_SEGMENT = 1u << 5, /* a segment override in force (in 64-bit mode only FS and GS) */
    INSN_PREFIX_REX = 1u << 6,     /* a REX that counts (REX2 too) */
    /* The mandatory prefix (VEX, EVEX: pp) that chose this opcode row; then it is no REP and no 66. */
    INSN_MANDATORY_66 = 1u << 8,
    INSN_MANDATORY_F3 = 1u << 9,
    INSN_MANDATORY_F2 = 1u << 10,
};

/* `rex` of struct insn: as the register fields extend, whatever prefix they came from (not inverted). */
enum insn_rex {
    INSN_REX_B = 1u << 0,
    INSN_REX_X = 1u << 1,
    INSN_REX_R = 1u << 2,
    INSN_REX_W = 1u << 3,  /* outside 64-bit mode only where it is a part of the opcode */
    INSN_REX_B4 = 1u << 4, /* bit 4 of the base or rm register */
    INSN_REX_X4 = 1u << 5, /* bit 4 of the index register */
    INSN_REX_R4 = 1u << 6, /* bit 4 of the reg register */
};

enum insn_attribute {
    INSN_HAS_MODRM = 1u << 0,
    INSN_HAS_SIB = 1u << 1,
    INSN_LOCKABLE = 1u << 2,    /* LOCK is legal (and, where it was given, was checked) */
    INSN_PRIVILEGED = 1u << 3,  /* #GP outside ring 0 (CLI, IN and the like by IOPL are not among them) */
    INSN_REPEATS = 1u << 4,     /* a string instruction with a REP in force: rCX counts it down */
    INSN_REPEAT_TEST = 1u << 5, /* and ZF ends it (CMPS, SCAS) */
    INSN_STACK_READ = 1u << 6,  /* the implicit stack operand, of operand_size bytes each */
    INSN_STACK_WRITE = 1u << 7,
    INSN_BROADCAST = 1u << 8,   /* the memory operand is one element, repeated */
    INSN_ZEROING = 1u << 9,     /* masked-off elements become 0 */
    INSN_ROUNDING = 1u << 10,   /* static rounding (insn_rounding()), exceptions suppressed */
    INSN_SAE = 1u << 11,        /* exceptions suppressed alone */
    INSN_VSIB = 1u << 12,       /* `index` is a vector register */
    INSN_ALIGNED = 1u << 13,    /* #GP unless the memory operand is aligned to its size */
    INSN_NATIVE = 1u << 14,     /* x87 or vector: may be run on this CPU with its memory operand replaced */
    INSN_BRANCH = 1u << 15,     /* may set rip to something else than the next instruction */
    INSN_BIT_OFFSET = 1u << 16, /* BT, BTS, BTR, BTC with a register: the bit may lie outside the operand */
    INSN_SCALAR = 1u << 17,     /* one element, whatever vector_length says */
    INSN_IMM_SIGNED = 1u << 18, /* `imm` was sign-extended from imm_size */
    INSN_HAS_MEMORY = 1u << 19, /* the ModRM byte names memory */
    INSN_XACQUIRE = 1u << 20,   /* F2 with LOCK: a hint */
    INSN_NO_FLAGS = 1u << 22,   /* APX: the flags stay as they are */
    INSN_XRELEASE = 1u << 21,   /* F3 with LOCK (or MOV to memory): a hint */
};

#define INSN_ROUNDING_SHIFT 30 /* the two highest bits of `attributes`: insn_rounding() */

enum insn_operand_kind {
    INSN_OPERAND_NONE,
    INSN_GPR,      /* reg 0 to 31, size 1 to 8 */
    INSN_GPR_HIGH, /* AH, CH, DH, BH: bits 8 to 15 of reg 0 to 3 */
    INSN_SEG,      /* enum insn_segment */
    INSN_CR,
    INSN_DR,
    INSN_TR,
    INSN_X87,    /* st(reg) */
    INSN_MMX,    /* mm0 to mm7 */
    INSN_VECTOR, /* xmm, ymm or zmm: `size` is 16, 32 or 64 for the register's name */
    INSN_MASK,   /* k0 to k7 as an operand */
    INSN_TILE,
    INSN_BND,
    INSN_IMM,      /* `imm` of the instruction */
    INSN_IMM2,     /* `imm2` */
    INSN_IMM_ONE,  /* the 1 of a shift by D0, D1 */
    INSN_RELATIVE, /* a branch target: next rip + `imm` */
    INSN_FAR,      /* selector `imm2`, offset `imm` */
    /* Memory: expand with insn_memory(). */
    INSN_MEM,       /* by ModRM */
    INSN_MEM_MOFFS, /* absolute offset `disp` */
    INSN_MEM_SI,    /* string source: segment:[rSI] */
    INSN_MEM_DI,    /* string destination: ES:[rDI] */
    INSN_MEM_XLAT,  /* segment:[rBX + AL] */
    INSN_MEM_MASK,  /* MASKMOVQ, MASKMOVDQU: segment:[rDI] */
    INSN_MEM_REG,   /* MOVDIR64B, ENQCMD: ES:[reg] */
};

enum insn_access {
    INSN_ACCESS_NONE = 0, /* of memory: never touched as data (NOP, prefetch, INVLPG) */
    INSN_READ = 1,
    INSN_WRITE = 2,
    INSN_READ_WRITE = 3,
    INSN_ADDRESS = 4, /* LEA: only the address is computed */
};

struct insn_operand {
    uint8_t kind; /* enum insn_operand_kind */
    uint8_t reg;
    uint16_t size : 12;  /* bytes; of memory: of one access, 0 where none is made */
    uint16_t access : 4; /* enum insn_access */
};

enum insn_segment { INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS };

/* `base` and `index` hold a register number 0 to 31, or: */
#define INSN_REG_NONE 0xff
#define INSN_REG_RIP  0x80 /* rip, or eip with a 32-bit address size: of the next instruction */

/* Operands are in Intel's order. Those of the mnemonic's own definition (rAX and rDX of MUL, CL of CMPXCHG,
 * the flags) are not listed; fixed registers that Intel's syntax writes out are. */
struct insn {
    uint64_t imm; /* zero-extended, or sign-extended to 64 bits where the instruction does so */
    int64_t disp; /* disp8*N applied; of a moffs the offset */
    struct insn_operand operands[INSN_OPERANDS_MAX];
    uint16_t mnemonic; /* enum insn_mnemonic (decoder/mnemonic.h); for a name, insn_mnemonic() */
    uint8_t op;        /* enum insn_op: what an emulator does */
    uint8_t isa;       /* enum insn_isa */
    uint8_t flags;     /* insn_flags() explains it */
    uint8_t length;
    uint8_t operand_size; /* 2, 4, 8: of `v` operands, after 66, REX.W and defaults of 64 */
    uint8_t operand_count : 4;
    uint8_t imm_size : 4; /* bytes of `imm` in the encoding, 0 to 8 */
    uint16_t prefixes;    /* enum insn_prefix */
    uint16_t imm2;        /* ENTER's level, a far pointer's selector, the second byte of EXTRQ and INSERTQ */
    uint32_t attributes;  /* enum insn_attribute */
    uint8_t bits;         /* of the mode: 16, 32, 64 */
    uint8_t encoding;     /* enum insn_encoding */
    uint8_t map;
    uint8_t opcode;
    uint8_t modrm;
    uint8_t sib;
    uint8_t rex;           /* enum insn_rex */
    uint8_t vvvv;          /* VEX, XOP, EVEX: the register named there (0 to 31), not inverted */
    uint8_t mask;          /* EVEX: k0 to k7; 0 masks nothing */
    uint8_t address_size;  /* 2, 4, 8 */
    uint8_t vector_length; /* 16, 32, 64; 0 for no vector instruction, 8 for MMX */
    uint8_t segment; /* enum insn_segment in force for memory that may be overridden: SS for bases rSP, rBP */
    uint8_t base;    /* of the ModRM memory operand, or INSN_REG_NONE */
    uint8_t index;
    uint8_t scale;      /* 1, 2, 4, 8; 0 without an index */
    uint8_t index_size; /* of the index register: address_size, or with VSIB 16, 32, 64 */
};
_Static_assert(sizeof(struct insn) <= 64, "one cache line");

/* Decodes the instruction at the start of `bytes`; never reads beyond `len`, nor beyond 15 bytes. *insn is
 * meaningful after INSN_OK only. */
enum insn_status insn_decode(const uint8_t *bytes, size_t len, struct insn_mode mode, struct insn *insn);

enum insn_op {
    INSN_OP_NONE, /* not in the emulator's repertoire */
#define OP(name) INSN_OP_##name,
#include "decoder/ops.def"
#undef OP
    INSN_OP_COUNT,
};

enum insn_isa {
#define ISA(name, class) INSN_ISA_##name,
#include "decoder/isa.def"
#undef ISA
    INSN_ISA_COUNT,
};

/* The register state that an instruction works on, for loading and for #NM. */
enum insn_class {
    INSN_CLASS_GENERAL,
    INSN_CLASS_X87,
    INSN_CLASS_MMX,
    INSN_CLASS_SSE,
    INSN_CLASS_AVX,
    INSN_CLASS_AVX512,
    INSN_CLASS_AMX,
};
enum insn_class insn_class(const struct insn *insn);

/* "AVX512_VBMI2" */
const char *insn_isa_name(enum insn_isa isa);
/* "vpaddb": lower case, Intel's spelling. */
const char *insn_mnemonic(const struct insn *insn);

/* EFLAGS bits. Where an instruction writes a flag only sometimes (a shift by 0) it is in read and in written.
 */
struct insn_flags {
    uint32_t read, written, undefined; /* undefined ones are also written */
};
struct insn_flags insn_flags(const struct insn *insn);

/* EVEX static rounding: 0 nearest, 1 down, 2 up, 3 toward zero. */
static inline unsigned insn_rounding(const struct insn *insn)
{
    return insn->attributes >> INSN_ROUNDING_SHIFT;
}

/* A memory operand, explicit or implicit, in one form. */
enum insn_memory_kind { INSN_MEMORY_MODRM, INSN_MEMORY_MOFFS, INSN_MEMORY_IMPLICIT };
struct insn_memory {
    int64_t disp;
    uint8_t segment;     /* enum insn_segment: in 64-bit mode only FS and GS have a base */
    uint8_t base;        /* 0 to 31, INSN_REG_RIP, INSN_REG_NONE */
    uint8_t index;       /* 0 to 31, INSN_REG_NONE; of XLAT 0: AL, with index_size 1 */
    uint8_t scale;       /* 0 without an index */
    uint8_t index_size;  /* 1 for AL, 2, 4, 8; 16, 32, 64 for a vector register */
    uint8_t kind;        /* enum insn_memory_kind */
    uint16_t size : 12;  /* as in struct insn_operand */
    uint16_t access : 4; /* enum insn_access */
};

/* False where the operand is not memory. */
bool insn_memory(const struct insn *insn, const struct insn_operand *operand, struct insn_memory *memory);

/* The operand that is memory by ModRM, or NULL. */
const struct insn_operand *insn_modrm_memory(const struct insn *insn);

/* What addresses are made of. */
struct insn_registers {
    const uint64_t *gpr; /* in the order of encodings: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ... */
    const uint64_t *segment_base; /* in the order of enum insn_segment */
    uint64_t next_rip;            /* of the instruction after this one */
};

/* The offset into the segment, cut to the address size. `element` is added as the index, times the scale, for
 * VSIB (the element's index, sign-extended); pass 0 otherwise. */
uint64_t insn_offset(const struct insn *insn, const struct insn_memory *memory,
                     const struct insn_registers *registers, int64_t element);

/* The linear address: the offset, plus the segment's base (in 64-bit mode only FS and GS), cut to 32 bits
 * outside 64-bit mode. */
uint64_t insn_address(const struct insn *insn, const struct insn_memory *memory,
                      const struct insn_registers *registers, int64_t element);

/* The segment register that LDS, LES, LFS, LGS, LSS load. */
enum insn_segment insn_load_far_segment(const struct insn *insn);

/* Writes the same instruction, for 64-bit mode, with its ModRM memory operand replaced by [reg], `reg` 0 to
 * 15, no displacement, no segment override, 64-bit addresses. Returns its length, at most 15, or 0 where
 * there is no such operand, it is VSIB, or the encoding does not decode to the same instruction again (which
 * is checked). Other operands stay as they are; LOCK and REP prefixes in force too. */
size_t insn_encode_with_memory(const struct insn *insn, unsigned reg, uint8_t bytes[INSN_BYTES_MAX]);

/* The same for an instruction without a memory operand. */
size_t insn_encode_registers(const struct insn *insn, uint8_t bytes[INSN_BYTES_MAX]);

#endif
