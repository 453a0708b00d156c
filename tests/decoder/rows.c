/* SPDX-License-Identifier: MIT
 *
 * Rows matched against instructions by what the bytes say, not by the tables that the decoder went through.
 */
#include "tests/decoder/rows.h"

#include "base/types.h"
#include "decoder/layout.h"
#include "tests/decoder/anatomy.h"

#include <string.h>
#include <strings.h>

#define FEATURES_ALL (2u * INSN_FEATURE_KNC - 1)

const struct row rows[] = {
#define ROW(...) {__VA_ARGS__},
#include "decoder/rows.inc"
#undef ROW
};
const unsigned row_count = ARRAY_COUNT(rows);

static bool is_space(unsigned space, const struct insn *insn)
{
    switch ((enum insn_encoding)insn->encoding) {
    case INSN_REX2:
        if (space == SPACE_REX2 && insn->map == 0)
            return true;
        /* fall through */
    case INSN_LEGACY:
        return space == insn->map || (space == SPACE_SHADOW && insn->map == 0);
    case INSN_3DNOW:
        return space == SPACE_3DNOW;
    case INSN_VEX:
        return space == (unsigned)SPACE_VEX + insn->map;
    case INSN_XOP:
        return space == SPACE_XOP + insn->map - 8u;
    case INSN_EVEX:
        return space == (unsigned)SPACE_EVEX + insn->map;
    case INSN_MVEX:
        return space == (unsigned)SPACE_MVEX + insn->map;
    }
    return false;
}

/* Operand size by prefixes alone: 0, 1, 2 for 2, 4, 8 bytes. */
static unsigned size_class(const struct insn *insn, const struct anatomy *anatomy)
{
    if (insn->bits == 64)
        return anatomy->w ? 2 : anatomy->operand ? 0 : 1;
    return (insn->bits == 32) ^ anatomy->operand;
}

/* What does not stand in the bytes, or only in a prefix. */
static bool is_mode(const struct row *row, const struct insn *insn, struct insn_mode mode)
{
    return row->long_mode >> (insn->bits == 64) & 1 && row->address >> (insn->address_size / 4) & 1 &&
           row->amd >> (mode.vendor == INSN_AMD) & 1 && row->rex_b >> (insn->rex & INSN_REX_B ? 1 : 0) & 1 &&
           !(mode.features & ~row->features_on) && !(~mode.features & ~row->features_off & FEATURES_ALL);
}

bool row_matches(const struct row *row, const struct insn *insn, const uint8_t *bytes, struct insn_mode mode)
{
    struct anatomy anatomy;
    if (row->opcode != insn->opcode || !is_space(row->space, insn) ||
        strcasecmp(row->mnemonic, insn_mnemonic(insn)))
        return false;
    anatomy_read(&anatomy, bytes, INSN_BYTES_MAX, insn->bits);
    bool has_modrm = insn->attributes & INSN_HAS_MODRM;
    if (has_modrm && (!(row->reg >> (insn->modrm >> 3 & 7) & 1) || !(row->rm >> (insn->modrm & 7) & 1) ||
                      !(row->mod >> (insn->modrm >= 0xc0) & 1)))
        return false;
    if (!is_mode(row, insn, mode))
        return false;
    if (insn->encoding == INSN_REX2)
        return true;
    bool is_vector = anatomy.encoding != ANATOMY_LEGACY;
    return row->prefix >> anatomy.pp & 1 && row->w >> anatomy.w & 1 &&
           (!is_vector || row->length >> anatomy.l & 1) &&
           (is_vector || row->size >> size_class(insn, &anatomy) & 1);
}
