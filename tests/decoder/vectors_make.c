/* SPDX-License-Identifier: MIT
 *
 * Writes vectors.def: for every opcode row a memory form and a register form, as far as it has them, found by
 * random search. Where Zydis knows the encoding it must agree in length and memory operands, or the encoding
 * is not taken; rows that it does not know, or takes for something else, come last and are to be read against
 * the manual. Not a test: run by hand when rows change.
 */
#include "decoder/layout.h"
#include "tests/decoder/anatomy.h"
#include "tests/decoder/rows.h"
#include "tests/decoder/text.h"
#include "tests/decoder/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct found {
    uint8_t bytes[16];
    struct insn_mode mode;
    unsigned cost; /* 0: none */
    uint8_t length;
};

/* Lower is better: 64-bit code, plain modes, few prefixes, agreement. */
static unsigned cost_of(const struct insn *insn, const uint8_t *bytes, struct insn_mode mode)
{
    struct anatomy anatomy;
    struct view ours, zydis;
    anatomy_read(&anatomy, bytes, 15, mode.bits);
    view_ours(&ours, bytes, 15, mode.bits, mode.vendor == INSN_AMD ? VIEW_AMD : VIEW_INTEL);
    view_zydis(&zydis, bytes, 15, mode.bits, mode.vendor == INSN_AMD ? VIEW_AMD : VIEW_INTEL);
    unsigned differ = view_compare(&ours, &zydis) &
                      (VIEW_STATUS | VIEW_LENGTH | VIEW_COUNT | VIEW_BASE | VIEW_DISP);
    return 1 + 20u * anatomy.prefix_count + insn->length + (mode.bits != 64 ? 30 : 0) + (mode.real ? 40 : 0) +
           (mode.vendor == INSN_AMD ? 10 : 0) + (mode.features != INSN_FEATURES_DEFAULT ? 200 : 0) +
           (differ ? 400 : 0);
}

static struct insn_mode random_mode(uint64_t *state)
{
    unsigned dice = (unsigned)(random_next(state) >> 40);
    struct insn_mode mode = insn_mode(dice % 8 == 0 ? 16 : dice % 8 == 1 ? 32 : 64);
    mode.vendor = dice >> 3 & 1 ? INSN_AMD : INSN_INTEL;
    if ((dice >> 4) % 8 == 0) /* one feature the other way */
        mode.features ^= (uint16_t)(1u << (dice >> 7) % 9);
    return mode;
}

static void put_rex2(uint64_t *state, uint8_t bytes[16])
{
    memmove(bytes + 2, bytes, 14);
    bytes[0] = 0xd5;
    bytes[1] = (uint8_t)random_next(state);
}

/* The rows by opcode, so that a candidate is held against few. */
static unsigned *row_index[256], row_index_count[256];

static void index_rows(void)
{
    for (unsigned i = 0; i < row_count; i++) {
        unsigned opcode = rows[i].opcode & 255;
        row_index[opcode] = realloc(row_index[opcode], (row_index_count[opcode] + 1) * sizeof(unsigned));
        row_index[opcode][row_index_count[opcode]++] = i;
    }
}

/* The feature that a row's space needs. */
static uint16_t row_features(const struct row *row)
{
    if (row->space == SPACE_REX2 || row->space == SPACE_EVEX + 4 || !(row->features_off & INSN_FEATURE_APX))
        return INSN_FEATURE_APX;
    return row->space >= SPACE_MVEX ? INSN_FEATURE_KNC : 0;
}

static void consider(struct found (*found)[2], const uint8_t bytes[16], struct insn_mode mode,
                     const struct insn *insn)
{
    unsigned form = insn->attributes & INSN_HAS_MODRM && insn->modrm >= 0xc0, cost = 0;
    for (unsigned i = 0; i < row_index_count[insn->opcode]; i++) {
        unsigned row = row_index[insn->opcode][i];
        if (!row_matches(&rows[row], insn, bytes, mode))
            continue;
        struct found *best = &found[row][form];
        if (!cost)
            cost = cost_of(insn, bytes, mode);
        if (best->cost && best->cost <= cost)
            continue;
        memcpy(best->bytes, bytes, 16);
        best->mode = mode;
        best->cost = cost;
        best->length = insn->length;
    }
}

/* The lowest bit of a set, or a random one of it. */
static unsigned random_of(uint64_t *state, unsigned set)
{
    unsigned value;
    do
        value = (unsigned)(random_next(state) >> 60);
    while (set && !(set >> value & 1));
    return value;
}

/* An encoding with what a vector row asks for, and the rest random. False for legacy rows. */
static bool directed_encoding(uint64_t *state, const struct row *row, uint8_t bytes[16])
{
    uint64_t dice = random_next(state);
    unsigned map = row->space >= SPACE_MVEX   ? row->space - SPACE_MVEX
                   : row->space >= SPACE_EVEX ? row->space - SPACE_EVEX
                   : row->space >= SPACE_XOP  ? row->space - SPACE_XOP + 8
                                              : row->space - SPACE_VEX;
    uint8_t low = (uint8_t)(random_of(state, row->prefix) | (dice & 1 ? 0x78 : dice & 0x78) |
                            random_of(state, row->w) << 7);
    if (row->space < SPACE_VEX)
        return false;
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(random_next(state) >> 56);
    if (row->space == SPACE_REX2) {
        bytes[0] = 0xd5;
        bytes[1] = (uint8_t)((dice & 0x77) | random_of(state, row->w) << 3);
        bytes[2] = (uint8_t)row->opcode;
        return true;
    }
    unsigned at = row->space >= SPACE_EVEX ? 4 : 3;
    bytes[0] = row->space >= SPACE_EVEX ? 0x62 : row->space >= SPACE_XOP ? 0x8f : 0xc4;
    bytes[1] = (uint8_t)((dice & 2 ? 0xe0 : dice >> 8 & 0xe0) | (at == 4 ? 0x10 : 0) | map);
    bytes[2] = at == 4 ? low | (row->space >= SPACE_MVEX ? 0 : 4)
                       : low | (uint8_t)(random_of(state, row->length & 3) << 2);
    if (at == 4)
        bytes[3] = (uint8_t)(random_of(state, row->length) << 5 | (dice & 4 ? 8 : 0) | (dice >> 16 & 0x97));
    if (at == 4 && dice & 0x80)
        bytes[3] &= 0x6f;
    if (at == 4 && dice & 0x100)
        bytes[3] &= 0xf8;
    bytes[at] = (uint8_t)row->opcode;
    unsigned mod = random_of(state, row->mod) ? 3 : (unsigned)(dice >> 32) % 3;
    bytes[at + 1] = (uint8_t)(mod << 6 | random_of(state, row->reg) << 3 | random_of(state, row->rm));
    return true;
}

static void search_directed(uint64_t *state, struct found (*found)[2])
{
    for (unsigned row = 0; row < row_count; row++) {
        for (unsigned i = 0; i < 3000; i++) {
            struct insn_mode mode = random_mode(state);
            uint8_t bytes[16];
            struct insn insn;
            if (row_features(&rows[row]))
                mode.features |= row_features(&rows[row]);
            if (!directed_encoding(state, &rows[row], bytes))
                break;
            if (insn_decode(bytes, 15, mode, &insn) == INSN_OK)
                consider(found, bytes, mode, &insn);
        }
    }
}

static void write_vector(const struct found *found)
{
    char text[512], mode[80];
    struct insn insn;
    if (!found->cost || insn_decode(found->bytes, found->length, found->mode, &insn) != INSN_OK)
        return;
    printf("VECTOR(\"%s\", \"", mode_text(found->mode, mode, sizeof(mode)));
    for (unsigned i = 0; i < found->length; i++)
        printf("%02x", found->bytes[i]);
    printf("\", \"%s\")\n", insn_text(&insn, text, sizeof(text)));
}

int main(int argc, char **argv)
{
    uint64_t state = 20240101;
    unsigned long tries = argc > 1 ? strtoul(argv[1], NULL, 0) : 50000000;
    struct found(*found)[2] = calloc(row_count, sizeof(*found));
    index_rows();
    for (unsigned long i = 0; found && i < tries; i++) {
        struct insn_mode mode = random_mode(&state);
        uint8_t bytes[16];
        struct insn insn;
        random_encoding(&state, mode.bits, bytes);
        if (mode.features & INSN_FEATURE_APX && i & 1)
            put_rex2(&state, bytes);
        if (insn_decode(bytes, 15, mode, &insn) == INSN_OK)
            consider(found, bytes, mode, &insn);
    }
    search_directed(&state, found);
    printf("/* SPDX-License-Identifier: MIT\n *\n * Golden vectors: mode, bytes, what struct insn says "
           "(text.c). Written by "
           "vectors_make.\n */\n");
    for (unsigned i = 0; found && i < row_count; i++) {
        write_vector(&found[i][0]);
        write_vector(&found[i][1]);
        if (!found[i][0].cost && !found[i][1].cost)
            fprintf(stderr, "nothing found for %s\n", rows[i].text);
    }
    free(found);
    return 0;
}
