/* SPDX-License-Identifier: MIT
 *
 * Reads the opcode rows as text, with a parser of its own: what it takes from a row is only what an encoding
 * must look like, so that a mistake of the decoder's own reader shows up as a row without a case.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mmio/oracle.h"

static const char *const texts[] = {
#define EXTENSION(name) "*" #name,
#define OP(...)         #__VA_ARGS__,
#include "decoder/opcodes_0f.def"
#include "decoder/opcodes_1byte.def"
#include "decoder/opcodes_evex.def"
#include "decoder/opcodes_sse.def"
#include "decoder/opcodes_vex.def"
#include "decoder/opcodes_x87.def"
#include "decoder/opcodes_xop.def"
#undef OP
#undef EXTENSION
};

struct oracle_row oracle_rows[ARRAY_COUNT(texts)];
unsigned oracle_row_count;

static bool is_word(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return true;
    return false;
}

/* Words that limit one property, wherever they stand in a row. */
static bool limit_parse(struct oracle_row *row, const char *word)
{
    static const char *const ignored[] = {"WIG", "ND0", "ND1", "B0", "B1", NULL};
    const struct {
        const char *name;
        uint8_t *set;
        uint8_t value;
    } limits[] = {
        {"NP", &row->prefix_set, 1},    {"66", &row->prefix_set, 2},   {"F3", &row->prefix_set, 4},
        {"F2", &row->prefix_set, 8},    {"NF", &row->prefix_set, 3},   {"mem", &row->mod_set, 1},
        {"reg", &row->mod_set, 2},      {"W0", &row->w_set, 1},        {"W1", &row->w_set, 2},
        {"128", &row->length_set, 1},   {"256", &row->length_set, 2},  {"512", &row->length_set, 4},
        {"L0", &row->length_set, 1},    {"L1", &row->length_set, 2},   {"YZ", &row->length_set, 6},
        {"XY", &row->length_set, 3},    {"i64", &row->long_set, 1},    {"o64only", &row->long_set, 2},
        {"intel", &row->vendor_set, 1}, {"amd", &row->vendor_set, 2},  {"o16", &row->size_set, 1},
        {"o32", &row->size_set, 2},     {"o64", &row->size_set, 4},    {"o32+", &row->size_set, 6},
        {"a16", &row->address_set, 1},  {"a32", &row->address_set, 2}, {"a64", &row->address_set, 4},
    };
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        if (strcmp(limits[i].name, word))
            continue;
        *limits[i].set &= limits[i].value;
        if (limits[i].set == &row->prefix_set && limits[i].value != 1 && limits[i].value != 3)
            row->has_prefix = true;
        return true;
    }
    return is_word(word, ignored);
}

/* "VEX.VL.66.0F38.W0" */
static void vector_parse(struct oracle_row *row, char *text)
{
    char *rest = text;
    const char *kind = strsep(&rest, ".");
    row->encoding = !strcmp(kind, "VEX")    ? INSN_VEX
                    : !strcmp(kind, "XOP")  ? INSN_XOP
                    : !strcmp(kind, "EVEX") ? INSN_EVEX
                                            : INSN_MVEX;
    row->length_set = 1;
    for (const char *part; (part = strsep(&rest, "."));) {
        if (!strcmp(part, "0F"))
            row->map = 1;
        else if (!strcmp(part, "0F38"))
            row->map = 2;
        else if (!strcmp(part, "0F3A"))
            row->map = 3;
        else if (!strncmp(part, "MAP", 3))
            row->map = (uint8_t)atoi(part + 3);
        else if (part[0] == 'X' && isxdigit((unsigned char)part[1]) && !part[2])
            row->map = (uint8_t)strtoul(part + 1, NULL, 16);
        else if (!strcmp(part, "VL"))
            row->length_set = row->encoding == INSN_EVEX ? 7 : 3;
        else if (!strcmp(part, "LIG"))
            row->length_set = row->encoding == INSN_EVEX ? 7 : 3;
        else if (!strcmp(part, "128") || !strcmp(part, "L0"))
            row->length_set = 1;
        else if (!strcmp(part, "256") || !strcmp(part, "L1"))
            row->length_set = 2;
        else if (!strcmp(part, "512"))
            row->length_set = 4;
        else if (!strcmp(part, "YZ"))
            row->length_set = 6;
        else if (!strcmp(part, "XY"))
            row->length_set = 3;
        else
            limit_parse(row, part);
    }
}

static bool is_byte(const char *word)
{
    return isxdigit((unsigned char)word[0]) && isxdigit((unsigned char)word[1]) &&
           (!word[2] || word[2] == '+');
}

static void byte_parse(struct oracle_row *row, const char *word, bool *has_opcode)
{
    uint8_t value = (uint8_t)strtoul(word, NULL, 16);
    if (*has_opcode) { /* a whole ModRM byte */
        row->mod_set = 2;
        row->reg_set = (uint8_t)(1u << (value >> 3 & 7));
        row->rm_set = (uint8_t)(1u << (value & 7));
        return;
    }
    row->opcode = value;
    row->spread = strstr(word, "+cc") ? 16 : strstr(word, "+r") ? 8 : 1;
    *has_opcode = true;
}

static void encoding_parse(struct oracle_row *row, char *text)
{
    bool has_opcode = false;
    for (char *save, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool is_legacy = row->encoding == INSN_LEGACY;
        if (strchr(word, '.') && isupper((unsigned char)word[0]))
            vector_parse(row, word);
        else if (word[0] == '/' && word[1] != 'r')
            row->reg_set &= (uint8_t)(1u << (word[1] - '0'));
        else if (word[0] == '+' && isupper((unsigned char)word[1]))
            row->feature = word + 1;
        else if (word[0] == '/' || word[0] == '+' || word[0] == '-')
            continue;
        else if (!has_opcode && is_legacy && !row->map && !strcmp(word, "0F"))
            row->map = 1;
        else if (!has_opcode && is_legacy && row->map == 1 && (!strcmp(word, "38") || !strcmp(word, "3A")))
            row->map = !strcmp(word, "38") ? 2 : 3;
        else if (!has_opcode && is_legacy && row->map == 1 && !strcmp(word, "0F"))
            row->encoding = INSN_3DNOW;
        else if (!has_opcode && is_legacy && !row->map &&
                 (!strcmp(word, "66") || !strcmp(word, "F2") || !strcmp(word, "F3")))
            limit_parse(row, word);
        else if (is_byte(word))
            byte_parse(row, word, &has_opcode);
        else
            limit_parse(row, word);
    }
}

static void row_parse(struct oracle_row *row, const char *text, const char *isa)
{
    char copy[256];
    *row = (struct oracle_row){.text = text,
                               .isa = isa,
                               .spread = 1,
                               .prefix_set = 15,
                               .mod_set = 3,
                               .reg_set = 0xff,
                               .rm_set = 0xff,
                               .w_set = 3,
                               .length_set = 7,
                               .size_set = 7,
                               .address_set = 7,
                               .long_set = 3,
                               .vendor_set = 3};
    snprintf(copy, sizeof(copy), "%s", text);
    char *rest = copy;
    encoding_parse(row, strsep(&rest, ","));
    for (char *word; (word = strsep(&rest, ","));) {
        word += strspn(word, " ");
        if (!row->mnemonic[0])
            snprintf(row->mnemonic, sizeof(row->mnemonic), "%s", word);
        else
            limit_parse(row, word);
    }
}

void oracle_rows_parse(void)
{
    const char *isa = "BASE";
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (texts[i][0] == '*')
            isa = texts[i] + 1;
        else
            row_parse(&oracle_rows[oracle_row_count++], texts[i], isa);
    }
}
