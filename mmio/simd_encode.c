/* SPDX-License-Identifier: MIT
 *
 * The encoding that is run: the decoder's, of a copy of the instruction from which everything is taken away
 * that would change it on this CPU in 64-bit mode (prefixes without effect, the guest's stack pointer); and
 * how an EVEX mask divides a memory operand.
 */
#include "mmio/simd.h"

#include <string.h>

/* Prefixes that choose the row stay; a 66, REP or LOCK that means nothing goes. */
static void strip(struct insn *insn)
{
    unsigned kept = insn->prefixes & (INSN_MANDATORY_66 | INSN_MANDATORY_F3 | INSN_MANDATORY_F2);
    if (kept & INSN_MANDATORY_F3)
        kept |= INSN_PREFIX_REP;
    if (kept & INSN_MANDATORY_F2)
        kept |= INSN_PREFIX_REPNE;
    insn->prefixes = (uint16_t)kept;
    insn->operand_size = 4;
    /* Bit 7 of a register in the immediate is ignored in 32-bit code. */
    unsigned registers = 0;
    for (unsigned i = 0; i < insn->operand_count; i++)
        registers += insn->operands[i].kind == INSN_VECTOR || insn->operands[i].kind == INSN_MEM;
    if (insn->bits != 64 && insn->map == 3 && registers == 4)
        insn->imm &= 0x7f;
}

static size_t encode(const struct insn *insn, unsigned pointer, uint8_t bytes[INSN_BYTES_MAX])
{
    return insn->attributes & INSN_HAS_MEMORY ? insn_encode_with_memory(insn, pointer, bytes)
                                              : insn_encode_registers(insn, bytes);
}

/* rsp cannot be an operand, for signals of the host may come at any time: `spare` takes its place in the one
 * ModRM field that names it. */
static bool replace_rsp(struct insn *insn, unsigned spare)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        struct insn_operand *operand = &insn->operands[i];
        if (operand->kind != INSN_GPR || operand->reg != CPU_RSP)
            continue;
        operand->reg = (uint8_t)spare;
        bool is_reg = (insn->modrm >> 3 & 7) == CPU_RSP && !(insn->rex & INSN_REX_R);
        bool is_rm = insn->modrm >> 6 == 3 && (insn->modrm & 7) == CPU_RSP && !(insn->rex & INSN_REX_B);
        /* Where both fields hold a 4, the other one is a vector register: the general one is the row's. */
        if (is_reg && (!is_rm || i == 0) && !(is_rm && insn->operands[0].kind != INSN_GPR))
            insn->modrm = (uint8_t)((insn->modrm & ~0x38u) | spare << 3);
        else if (is_rm)
            insn->modrm = (uint8_t)((insn->modrm & ~7u) | spare);
        else
            return false;
        return true;
    }
    return false;
}

size_t simd_encode(const struct insn *insn, unsigned pointer, unsigned spare, bool *uses_spare,
                   uint8_t bytes[INSN_BYTES_MAX])
{
    struct insn copy = *insn;
    strip(&copy);
    *uses_spare = false;
    for (unsigned i = 0; i < copy.operand_count; i++)
        if (copy.operands[i].kind == INSN_GPR && copy.operands[i].reg == CPU_RSP)
            *uses_spare = true;
    if (!*uses_spare)
        return encode(&copy, pointer, bytes);
    if (!replace_rsp(&copy, spare))
        return 0;
    size_t len = encode(&copy, pointer, bytes);
    if (len || copy.modrm >> 6 != 3)
        return len;
    /* MOVD r32, xmm4 and the like: the first operand is the rm field after all. */
    copy = *insn;
    strip(&copy);
    for (unsigned i = 0; i < copy.operand_count; i++)
        if (copy.operands[i].kind == INSN_GPR && copy.operands[i].reg == CPU_RSP)
            copy.operands[i].reg = (uint8_t)spare;
    copy.modrm = (uint8_t)((copy.modrm & ~7u) | spare);
    return encode(&copy, pointer, bytes);
}

/* What the mask of an EVEX instruction does to its memory operand, where that is not "one bit for each
 * element of W's size": map, opcode, and the bytes for W0 and W1. 0: the operand is read as a whole, for the
 * instruction moves data between elements, or its elements are not the mask's (SDM 2A 2.8.5, types E4NF,
 * E6NF, E9NF). */
static const struct {
    uint8_t map, opcode, w0, w1;
} exceptions[] = {
    {1, 0x12, 0, 0}, {1, 0x14, 0, 0}, {1, 0x15, 0, 0}, {1, 0x16, 0, 0}, {1, 0x60, 0, 0}, {1, 0x61, 0, 0},
    {1, 0x62, 0, 0}, {1, 0x63, 0, 0}, {1, 0x64, 1, 1}, {1, 0x65, 2, 2}, {1, 0x67, 0, 0}, {1, 0x68, 0, 0},
    {1, 0x69, 0, 0}, {1, 0x6a, 0, 0}, {1, 0x6b, 0, 0}, {1, 0x6c, 0, 0}, {1, 0x6d, 0, 0}, {1, 0x70, 0, 0},
    {1, 0x71, 2, 2}, {1, 0x74, 1, 1}, {1, 0x75, 2, 2}, {1, 0xc6, 0, 0}, {1, 0xd1, 0, 0}, {1, 0xd2, 0, 0},
    {1, 0xd3, 0, 0}, {1, 0xd5, 2, 2}, {1, 0xd8, 1, 1}, {1, 0xd9, 2, 2}, {1, 0xda, 1, 1}, {1, 0xdc, 1, 1},
    {1, 0xdd, 2, 2}, {1, 0xde, 1, 1}, {1, 0xe0, 1, 1}, {1, 0xe1, 0, 0}, {1, 0xe2, 0, 0}, {1, 0xe3, 2, 2},
    {1, 0xe4, 2, 2}, {1, 0xe5, 2, 2}, {1, 0xe8, 1, 1}, {1, 0xe9, 2, 2}, {1, 0xea, 2, 2}, {1, 0xec, 1, 1},
    {1, 0xed, 2, 2}, {1, 0xee, 2, 2}, {1, 0xf1, 0, 0}, {1, 0xf2, 0, 0}, {1, 0xf3, 0, 0}, {1, 0xf5, 0, 0},
    {1, 0xf8, 1, 1}, {1, 0xf9, 2, 2}, {1, 0xfc, 1, 1}, {1, 0xfd, 2, 2}, {2, 0x00, 0, 0}, {2, 0x04, 0, 0},
    {2, 0x0b, 2, 2}, {2, 0x10, 2, 2}, {2, 0x11, 2, 2}, {2, 0x12, 2, 2}, {2, 0x13, 2, 2}, {2, 0x16, 0, 0},
    {2, 0x0c, 0, 0}, {2, 0x0d, 0, 0}, {2, 0xc4, 0, 0}, {2, 0x1c, 1, 1}, {2, 0x1d, 2, 2}, {2, 0x20, 1, 1},
    {2, 0x21, 1, 1}, {2, 0x22, 1, 1}, {2, 0x23, 2, 2}, {2, 0x24, 2, 2}, {2, 0x25, 4, 4}, {2, 0x26, 1, 2},
    {2, 0x2b, 0, 0}, {2, 0x30, 1, 1}, {2, 0x31, 1, 1}, {2, 0x32, 1, 1}, {2, 0x33, 2, 2}, {2, 0x34, 2, 2},
    {2, 0x35, 4, 4}, {2, 0x36, 0, 0}, {2, 0x38, 1, 1}, {2, 0x3a, 2, 2}, {2, 0x3c, 1, 1}, {2, 0x3e, 2, 2},
    {2, 0x54, 1, 2}, {2, 0x62, 1, 2}, {2, 0x66, 1, 2}, {2, 0x70, 2, 2}, {2, 0x72, 2, 2}, {2, 0x75, 0, 0},
    {2, 0x76, 0, 0}, {2, 0x77, 0, 0}, {2, 0x78, 1, 1}, {2, 0x79, 2, 2}, {2, 0x7d, 0, 0}, {2, 0x7e, 0, 0},
    {2, 0x7f, 0, 0}, {2, 0x83, 0, 0}, {2, 0x8d, 0, 0}, {2, 0x8f, 1, 1}, {2, 0xcf, 1, 1}, {3, 0x00, 0, 0},
    {3, 0x01, 0, 0}, {3, 0x03, 0, 0}, {3, 0x04, 0, 0}, {3, 0x05, 0, 0}, {3, 0x0f, 0, 0}, {3, 0x18, 0, 0},
    {3, 0x1a, 0, 0}, {3, 0x23, 0, 0}, {3, 0x38, 0, 0}, {3, 0x3a, 0, 0}, {3, 0x3e, 1, 2}, {3, 0x3f, 1, 2},
    {3, 0x42, 0, 0}, {3, 0x43, 0, 0}, {3, 0x70, 2, 2}, {3, 0x72, 2, 2}, {3, 0xce, 0, 0}, {3, 0xcf, 0, 0},
};

static bool is_exception(const struct insn *insn, unsigned i)
{
    if (exceptions[i].map != insn->map || exceptions[i].opcode != insn->opcode)
        return false;
    /* VPSHRDVW, beside two conversions */
    return insn->map != 2 || insn->opcode != 0x72 || (insn->prefixes & INSN_MANDATORY_66);
}

unsigned simd_element_bytes(const struct insn *insn)
{
    bool is_wide = insn->rex & INSN_REX_W;
    const struct insn_operand *memory = insn_modrm_memory(insn);
    if (!memory)
        return 0;
    if (insn->map == 1 && insn->opcode == 0x6f && (insn->prefixes & INSN_MANDATORY_F2)) /* VMOVDQU8, 16 */
        return is_wide ? 2 : 1;
    if (insn->map == 2 && insn->opcode == 0x72 && (insn->prefixes & INSN_MANDATORY_F2)) /* VCVTNE2PS2BF16 */
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(exceptions); i++)
        if (is_exception(insn, i))
            return is_wide ? exceptions[i].w1 : exceptions[i].w0;
    if (insn->attributes & (INSN_BROADCAST | INSN_SCALAR))
        return memory->size;
    return is_wide ? 8 : 4;
}

/* Instructions that repeat their memory operand over the register: a mask bit for every copy. */
bool simd_is_repeating(const struct insn *insn)
{
    if (insn->attributes & INSN_BROADCAST)
        return true;
    if (insn->map != 2)
        return false;
    unsigned low = insn->opcode & 0xfc;
    return low == 0x18 || low == 0x58 || insn->opcode == 0x78 || insn->opcode == 0x79;
}

/* Bytes of a result element, as far as a conversion's differ from those of its broadcast source. */
unsigned simd_result_bytes(const struct insn *insn, unsigned element)
{
    bool has_66 = insn->prefixes & INSN_MANDATORY_66, has_f3 = insn->prefixes & INSN_MANDATORY_F3;
    if (insn->map == 1 && element == 4) {
        bool to_quad = has_66 && insn->opcode >= 0x78 && insn->opcode <= 0x7b;
        bool to_double = insn->opcode == 0x5a || (has_f3 && (insn->opcode == 0xe6 || insn->opcode == 0x7a));
        return to_quad || to_double ? 8 : 4;
    }
    if (insn->map == 5 && element == 2) {
        if (insn->opcode == 0x5a || (has_66 && insn->opcode >= 0x78 && insn->opcode <= 0x7b))
            return 8;
        return insn->opcode == 0x5b || insn->opcode == 0x78 || insn->opcode == 0x79 ? 4 : 2;
    }
    return insn->map == 6 && insn->opcode == 0x13 ? 4 : element;
}
