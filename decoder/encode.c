/* SPDX-License-Identifier: MIT
 *
 * The same instruction for 64-bit mode, with [register] as its memory operand or with registers alone. It is
 * built from the decoded fields, never from the guest's bytes, and decoded again before anyone may run it.
 */
#include <string.h>

#include "decoder/insn.h"

struct writer {
    uint8_t *bytes;
    size_t len;
};

static void put(struct writer *writer, unsigned byte)
{
    if (writer->len < INSN_BYTES_MAX)
        writer->bytes[writer->len] = (uint8_t)byte;
    writer->len++;
}

static unsigned mandatory(const struct insn *insn)
{
    return insn->prefixes & INSN_MANDATORY_66   ? 1
           : insn->prefixes & INSN_MANDATORY_F3 ? 2
           : insn->prefixes & INSN_MANDATORY_F2 ? 3
                                                : 0;
}

/* B, as it extends `reg` or, where that is INSN_REG_NONE, the register that ModRM.rm names. */
static unsigned rex_b(const struct insn *insn, unsigned reg)
{
    return reg == INSN_REG_NONE ? insn->rex & INSN_REX_B : reg >= 8 ? INSN_REX_B : 0;
}

/* The bits that a vector prefix stores inverted: R, X, B. [reg] has no index; of a register X is bit 4. */
static unsigned rxb(const struct insn *insn, unsigned reg)
{
    unsigned bits = insn->rex & INSN_REX_R ? 0x80 : 0;
    if (reg == INSN_REG_NONE && insn->encoding == INSN_EVEX && insn->rex & INSN_REX_X)
        bits |= 0x40;
    return (bits | (rex_b(insn, reg) ? 0x20 : 0)) ^ 0xe0;
}

static void put_vex(struct writer *writer, const struct insn *insn, unsigned reg)
{
    unsigned length = insn->vector_length == 32 ? 4 : 0;
    put(writer, insn->encoding == INSN_XOP ? 0x8f : 0xc4);
    put(writer, rxb(insn, reg) | insn->map);
    put(writer, (insn->rex & INSN_REX_W ? 0x80u : 0) | (~insn->vvvv & 15u) << 3 | length | mandatory(insn));
}

static void put_evex(struct writer *writer, const struct insn *insn, unsigned reg)
{
    unsigned length = insn->vector_length == 64 ? 2 : insn->vector_length == 32;
    if (insn->attributes & INSN_ROUNDING)
        length = insn_rounding(insn);
    bool b = insn->attributes & (INSN_BROADCAST | INSN_ROUNDING | INSN_SAE);
    put(writer, 0x62);
    put(writer, rxb(insn, reg) | (insn->rex & INSN_REX_R4 ? 0 : 0x10) | insn->map);
    put(writer, (insn->rex & INSN_REX_W ? 0x80u : 0) | (~insn->vvvv & 15u) << 3 | 4 | mandatory(insn));
    put(writer, (insn->attributes & INSN_ZEROING ? 0x80u : 0) | length << 5 | (b ? 0x10 : 0) |
                    (insn->vvvv & 16 ? 0 : 8) | insn->mask);
}

/* 66 as an operand size that selects 16 bits, F2 and F3, LOCK; REX; 0F and what follows it. */
static void put_legacy(struct writer *writer, const struct insn *insn, unsigned reg)
{
    unsigned rex = (insn->rex & (INSN_REX_W | INSN_REX_R)) | rex_b(insn, reg);
    /* A vector instruction would take 66 for another instruction; it has no use for it. */
    bool narrow = insn->operand_size == 2 && mandatory(insn) != 1 && insn_class(insn) <= INSN_CLASS_X87;
    if (insn->prefixes & INSN_PREFIX_LOCK)
        put(writer, 0xf0);
    if (narrow || insn->prefixes & INSN_MANDATORY_66)
        put(writer, 0x66);
    if (insn->prefixes & (INSN_PREFIX_REP | INSN_PREFIX_REPNE))
        put(writer, insn->prefixes & INSN_PREFIX_REP ? 0xf3 : 0xf2);
    if (rex || (insn->prefixes & INSN_PREFIX_REX))
        put(writer, 0x40 | rex);
    if (insn->map)
        put(writer, 0x0f);
    if (insn->encoding == INSN_3DNOW)
        put(writer, 0x0f);
    else if (insn->map > 1)
        put(writer, insn->map == 2 ? 0x38 : 0x3a);
}

/* [reg]: with a zero displacement where the register's number alone means something else. */
static void put_modrm(struct writer *writer, const struct insn *insn, unsigned reg)
{
    unsigned low = reg & 7;
    if (reg == INSN_REG_NONE) {
        put(writer, insn->modrm);
        return;
    }
    put(writer, (insn->modrm & 0x38) | low | (low == 5 ? 0x40 : 0));
    if (low == 4)
        put(writer, 0x24);
    if (low == 5)
        put(writer, 0);
}

static void put_immediate(struct writer *writer, const struct insn *insn)
{
    for (unsigned i = 0; i < insn->imm_size; i++)
        put(writer, insn->imm >> 8 * i & 0xff);
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (insn->operands[i].kind == INSN_IMM2)
            put(writer, insn->imm2 & 0xff);
}

/* Whether `again`, decoded from what was written, is `insn` but for its memory operand. */
static bool same(const struct insn *insn, const struct insn *again, unsigned reg)
{
    if (again->mnemonic != insn->mnemonic || again->vector_length != insn->vector_length ||
        again->mask != insn->mask || again->operand_count != insn->operand_count || again->imm != insn->imm ||
        again->base != reg || again->index != INSN_REG_NONE || again->disp)
        return false;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (memcmp(&insn->operands[i], &again->operands[i], sizeof(insn->operands[i])) != 0)
            return false;
    }
    return true;
}

static size_t encode(const struct insn *insn, unsigned reg, uint8_t bytes[INSN_BYTES_MAX])
{
    struct writer writer = {bytes, 0};
    struct insn again;
    if (insn->encoding == INSN_LEGACY || insn->encoding == INSN_3DNOW)
        put_legacy(&writer, insn, reg);
    else if (insn->encoding == INSN_EVEX)
        put_evex(&writer, insn, reg);
    else
        put_vex(&writer, insn, reg);
    if (insn->encoding != INSN_3DNOW)
        put(&writer, insn->opcode);
    if (insn->attributes & INSN_HAS_MODRM)
        put_modrm(&writer, insn, reg);
    if (insn->encoding == INSN_3DNOW)
        put(&writer, insn->opcode);
    put_immediate(&writer, insn);
    if (writer.len > INSN_BYTES_MAX || insn_decode(bytes, writer.len, insn_mode(64), &again) != INSN_OK)
        return 0;
    return again.length == writer.len && same(insn, &again, reg) ? writer.len : 0;
}

size_t insn_encode_with_memory(const struct insn *insn, unsigned reg, uint8_t bytes[INSN_BYTES_MAX])
{
    if (!insn_modrm_memory(insn) || insn->attributes & INSN_VSIB || reg > 15 ||
        (insn->bits == 64 && insn->rex & (INSN_REX_B4 | INSN_REX_X4)))
        return 0;
    return encode(insn, reg, bytes);
}

size_t insn_encode_registers(const struct insn *insn, uint8_t bytes[INSN_BYTES_MAX])
{
    if (insn->attributes & INSN_HAS_MEMORY)
        return 0;
    return encode(insn, INSN_REG_NONE, bytes);
}
