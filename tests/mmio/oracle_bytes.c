/* SPDX-License-Identifier: MIT
 *
 * Encodings of a row: random prefixes, registers and addressing form, of which the decoder confirms that they
 * are the row's. Displacements are small, and where they stand is remembered.
 */
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "tests/mmio/oracle.h"

static unsigned pick(unsigned set)
{
    unsigned at = oracle_below((unsigned)__builtin_popcount(set));
    while (at--)
        set &= set - 1;
    return (unsigned)__builtin_ctz(set);
}

struct writer {
    uint8_t *bytes;
    unsigned len;
    unsigned displacement; /* where a displacement of 4 (or 2) bytes stands; 0: nowhere */
};

static void put(struct writer *to, unsigned byte)
{
    to->bytes[to->len++] = (uint8_t)byte;
}

static void put_legacy_prefixes(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    static const uint8_t mandatory[] = {0, 0x66, 0xf3, 0xf2};
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    bool is_string = (row->opcode >= 0xa4 && row->opcode <= 0xaf) && !row->map;
    if (oracle_chance(4))
        put(to, 0xf0);
    if (oracle_chance(10))
        put(to, segments[oracle_below(mode == 64 ? 6 : 4)]);
    if (oracle_chance(10))
        put(to, 0x67);
    unsigned prefix = pick(row->prefix_set);
    if (row->has_prefix || row->prefix_set == 1) {
        if (prefix)
            put(to, mandatory[prefix]);
        if (row->has_prefix && prefix != 1 && oracle_chance(10))
            put(to, 0x66);
        return;
    }
    if (oracle_chance(25))
        put(to, 0x66);
    if (oracle_chance(is_string ? 50 : 2))
        put(to, 0xf2 + oracle_below(2));
}

static void put_legacy(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    put_legacy_prefixes(to, row, mode);
    if (mode == 64 && (row->w_set == 2 || oracle_chance(60)))
        put(to, 0x40 | oracle_below(8) | (row->w_set == 2 ? 8 : row->w_set == 1 ? 0 : oracle_below(2) * 8));
    if (row->map)
        put(to, 0x0f);
    if (row->map >= 2)
        put(to, row->map == 2 ? 0x38 : 0x3a);
    if (row->encoding == INSN_3DNOW)
        put(to, 0x0f);
    else
        put(to, row->opcode + (row->spread > 1 ? oracle_below(row->spread) : 0u));
}

static unsigned vector_vvvv(void)
{
    return oracle_chance(50) ? 15 : oracle_below(16);
}

static void put_vex(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    unsigned w = pick(row->w_set), length = pick(row->length_set & 3), pp = pick(row->prefix_set);
    unsigned rxb = mode == 64 ? oracle_below(8) : 7;
    unsigned last = vector_vvvv() << 3 | length << 2 | pp;
    if (mode != 64)
        last |= 0x40;
    if (row->encoding == INSN_VEX && row->map == 1 && !w && (rxb & 3) == 3 && oracle_chance(50)) {
        put(to, 0xc5);
        put(to, (rxb & 4) << 5 | last);
    } else {
        put(to, row->encoding == INSN_VEX ? 0xc4 : 0x8f);
        put(to, rxb << 5 | row->map);
        put(to, w << 7 | last);
    }
    put(to, row->opcode);
}

static void put_evex(struct writer *to, const struct oracle_row *row, unsigned mode)
{
    unsigned w = pick(row->w_set), length = pick(row->length_set), pp = pick(row->prefix_set);
    unsigned rxb = mode == 64 ? oracle_below(16) : 15;
    unsigned aaa = oracle_chance(40) ? 0 : oracle_below(8);
    unsigned z = aaa && oracle_chance(40), b = oracle_chance(25),
             v = mode == 64 && !oracle_chance(60) ? 0 : 1;
    put(to, 0x62);
    put(to, rxb << 4 | row->map);
    put(to, w << 7 | vector_vvvv() << 3 | 4 | pp);
    put(to, z << 7 | length << 5 | b << 4 | v << 3 | aaa);
    put(to, row->opcode);
}

/* ModRM, SIB and displacement; the immediate is whatever random bytes follow. */
static void put_operands(struct writer *to, const struct oracle_row *row, unsigned address_size)
{
    bool is_memory = row->mod_set == 1 || (row->mod_set == 3 && oracle_chance(80));
    unsigned mod = is_memory ? oracle_below(3) : 3, rm = pick(row->rm_set);
    put(to, mod << 6 | pick(row->reg_set) << 3 | rm);
    bool has_wide = mod == 2;
    if (mod < 3 && address_size > 2 && rm == 4) {
        unsigned sib = (unsigned)oracle_random() & 0xff;
        put(to, sib);
        has_wide |= mod == 0 && (sib & 7) == 5;
    } else if (mod == 0 && rm == (address_size == 2 ? 6 : 5)) {
        has_wide = true;
    }
    if (mod == 1)
        put(to, (unsigned)oracle_random());
    if (has_wide) {
        to->displacement = to->len;
        store_le32(to->bytes + to->len, (uint32_t)oracle_displacement());
        to->len += address_size == 2 ? 2 : 4;
    }
}

bool oracle_bytes_make(struct oracle_case *made, const struct oracle_row *row, unsigned *displacement)
{
    uint8_t buffer[48];
    unsigned mode = made->in.mode;
    struct writer to = {.bytes = buffer};
    if (row->encoding == INSN_LEGACY || row->encoding == INSN_3DNOW)
        put_legacy(&to, row, mode);
    else if (row->encoding == INSN_EVEX)
        put_evex(&to, row, mode);
    else
        put_vex(&to, row, mode);
    bool is_narrowed = memchr(buffer, 0x67, to.len > 4 ? to.len - 1 : to.len) && row->encoding == INSN_LEGACY;
    unsigned address_size = mode == 64 ? (is_narrowed ? 4 : 8) : (mode == 32) != is_narrowed ? 4 : 2;
    put_operands(&to, row, address_size);
    if (row->encoding == INSN_3DNOW)
        put(&to, row->opcode);
    for (unsigned i = 0; i < 16; i++)
        buffer[to.len + i] = (uint8_t)oracle_random();
    memcpy(made->bytes, buffer, INSN_BYTES_MAX);
    *displacement = to.displacement;
    struct insn_mode as = insn_mode(mode);
    as.vendor = oracle_is_amd() ? INSN_AMD : INSN_INTEL;
    if (insn_decode(made->bytes, INSN_BYTES_MAX, as, &made->insn) != INSN_OK)
        return false;
    /* The row is meant, not a neighbour that a prefix or a field led to. */
    return (made->insn.map == row->map || row->encoding == INSN_3DNOW) &&
           made->insn.encoding == row->encoding &&
           (unsigned)(made->insn.opcode - row->opcode) < row->spread &&
           (row->spread == 16 || !strcasecmp(insn_mnemonic(&made->insn), row->mnemonic));
}
