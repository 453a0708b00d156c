/* SPDX-License-Identifier: MIT
 *
 * The encoding that is run: the decoder's, of a copy of the instruction from which everything is taken away
 * that would change it on this CPU in 64-bit mode (prefixes without effect, the guest's stack pointer); and
 * how an EVEX mask divides a memory operand.
 */
#include "mmio/simd.h"

#include <string.h>

#define PREFIXES_KEPT (INSN_MANDATORY_66 | INSN_MANDATORY_F3 | INSN_MANDATORY_F2)

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
    copy.prefixes &= PREFIXES_KEPT;
    copy.operand_size = 4;
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
    copy.prefixes &= PREFIXES_KEPT;
    copy.operand_size = 4;
    for (unsigned i = 0; i < copy.operand_count; i++)
        if (copy.operands[i].kind == INSN_GPR && copy.operands[i].reg == CPU_RSP)
            copy.operands[i].reg = (uint8_t)spare;
    copy.modrm = (uint8_t)((copy.modrm & ~7u) | spare);
    return encode(&copy, pointer, bytes);
}

/* Of the instructions whose mask divides memory into bytes or words, or into sources narrower than the
 * destination: map, opcode, and the bytes for W0 and W1. All others have elements of W's size. */
static const struct {
    uint8_t map, opcode, w0, w1;
} narrow[] = {
    {1, 0x60, 1, 1}, {1, 0x61, 2, 2}, {1, 0x63, 2, 2}, {1, 0x64, 1, 1}, {1, 0x65, 2, 2}, {1, 0x67, 2, 2},
    {1, 0x68, 1, 1}, {1, 0x69, 2, 2}, {1, 0x71, 2, 2}, {1, 0x74, 1, 1}, {1, 0x75, 2, 2}, {1, 0xd5, 2, 2},
    {1, 0xd8, 1, 1}, {1, 0xd9, 2, 2}, {1, 0xda, 1, 1}, {1, 0xdc, 1, 1}, {1, 0xdd, 2, 2}, {1, 0xde, 1, 1},
    {1, 0xe0, 1, 1}, {1, 0xe3, 2, 2}, {1, 0xe4, 2, 2}, {1, 0xe5, 2, 2}, {1, 0xe8, 1, 1}, {1, 0xe9, 2, 2},
    {1, 0xea, 2, 2}, {1, 0xec, 1, 1}, {1, 0xed, 2, 2}, {1, 0xee, 2, 2}, {1, 0xf8, 1, 1}, {1, 0xf9, 2, 2},
    {1, 0xfc, 1, 1}, {1, 0xfd, 2, 2}, {2, 0x00, 1, 1}, {2, 0x04, 2, 2}, {2, 0x0b, 2, 2}, {2, 0x10, 2, 2},
    {2, 0x11, 2, 2}, {2, 0x12, 2, 2}, {2, 0x13, 2, 2}, {2, 0x1c, 1, 1}, {2, 0x1d, 2, 2}, {2, 0x20, 1, 1},
    {2, 0x21, 1, 1}, {2, 0x22, 1, 1}, {2, 0x23, 2, 2}, {2, 0x24, 2, 2}, {2, 0x25, 4, 4}, {2, 0x26, 1, 2},
    {2, 0x30, 1, 1}, {2, 0x31, 1, 1}, {2, 0x32, 1, 1}, {2, 0x33, 2, 2}, {2, 0x34, 2, 2}, {2, 0x35, 4, 4},
    {2, 0x38, 1, 1}, {2, 0x3a, 2, 2}, {2, 0x3c, 1, 1}, {2, 0x3e, 2, 2}, {2, 0x54, 1, 2}, {2, 0x62, 1, 2},
    {2, 0x66, 1, 2}, {2, 0x70, 2, 2}, {2, 0x72, 2, 2}, {2, 0x75, 1, 2}, {2, 0x7d, 1, 2}, {2, 0x8d, 1, 2},
    {2, 0x8f, 1, 1}, {2, 0xcf, 1, 1}, {3, 0x0f, 1, 1}, {3, 0x3e, 1, 2}, {3, 0x3f, 1, 2}, {3, 0x70, 2, 2},
    {3, 0x72, 2, 2},
};

unsigned simd_element_bytes(const struct insn *insn)
{
    bool is_wide = insn->rex & INSN_REX_W;
    const struct insn_operand *memory = insn_modrm_memory(insn);
    if (!memory)
        return 0;
    if (insn->attributes & (INSN_BROADCAST | INSN_SCALAR))
        return memory->size;
    bool is_f2_move = insn->map == 1 && insn->opcode == 0x6f && (insn->prefixes & INSN_MANDATORY_F2);
    if (is_f2_move)
        return is_wide ? 2 : 1;
    for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++)
        if (narrow[i].map == insn->map && narrow[i].opcode == insn->opcode)
            return is_wide ? narrow[i].w1 : narrow[i].w0;
    return is_wide ? 8 : 4;
}
