/* SPDX-License-Identifier: MIT
 *
 * Reads the rows: the text of each OP() into a `struct row`.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder/insn.h"
#include "decoder/make/make.h"

struct row rows[ROWS_MAX];
unsigned row_count;

static const char *const texts[] = {
#define EXTENSION(name) "*" #name,
#define OP(...)         #__VA_ARGS__,
#include "decoder/opcodes_0f.def"
#include "decoder/opcodes_1byte.def"
#include "decoder/opcodes_apx.def"
#include "decoder/opcodes_evex.def"
#include "decoder/opcodes_knc.def"
#include "decoder/opcodes_sse.def"
#include "decoder/opcodes_vex.def"
#include "decoder/opcodes_x87.def"
#include "decoder/opcodes_xop.def"
#undef OP
#undef EXTENSION
};

static const struct meaning meanings[] = {
#define MEANING(name, access, read, written, undefined, rest) \
    {#name, access, #read, #written, #undefined, #rest},
#include "decoder/mnemonics.def"
#undef MEANING
};

static const char *const ops[] = {
    "NONE",
#define OP(name) #name,
#include "decoder/ops.def"
#undef OP
};

static const struct {
    const char *name, *class;
} isas[] = {
#define ISA(name, class) {#name, #class},
#include "decoder/isa.def"
#undef ISA
};

static const struct {
    const char *name;
    unsigned bit;
} features[] = {
    {"CET", 0}, {"LZCNT", 1},    {"TZCNT", 2},      {"WBNOINVD", 3}, {"APX", 4},
    {"MPX", 5}, {"CLDEMOTE", 6}, {"PREFETCHIT", 7}, {"KNC", 8},
};

void fail(const struct row *row, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "OP(%s): ", row ? row->text : "");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

unsigned dim_values(enum dimension dim)
{
    static const uint8_t values[DIM_FEATURE] = {
        [DIM_LONG] = 2, [DIM_REG] = 8, [DIM_MOD] = 2,     [DIM_RM] = 8,     [DIM_PREFIX] = 4,
        [DIM_SIZE] = 3, [DIM_W] = 2,   [DIM_ADDRESS] = 3, [DIM_LENGTH] = 4, [DIM_B] = 2,
        [DIM_AMD] = 2,  [DIM_ND] = 2,  [DIM_NF] = 2,
    };
    return dim < DIM_FEATURE ? values[dim] : 2;
}

const struct meaning *meaning_find(const char *mnemonic)
{
    for (size_t i = 0; i < ARRAY_COUNT(meanings); i++) {
        if (!strcmp(meanings[i].mnemonic, mnemonic))
            return &meanings[i];
    }
    return NULL;
}

static void limit(struct row *row, enum dimension dim, unsigned set)
{
    row->set[dim] &= set;
    row->given |= 1u << dim;
    if (!row->set[dim])
        fail(row, "contradiction");
}

static bool feature_parse(struct row *row, const char *token)
{
    if (token[0] != '+' && token[0] != '-')
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(features); i++) {
        if (!strcmp(features[i].name, token + 1)) {
            limit(row, DIM_FEATURE + features[i].bit, token[0] == '+' ? 2 : 1);
            return true;
        }
    }
    return false;
}

/* Words of an encoding that limit one property. */
static bool limit_parse(struct row *row, const char *token)
{
    static const struct {
        const char *name;
        unsigned dim, set;
    } limits[] = {
        {"NP", DIM_PREFIX, 1}, {"66", DIM_PREFIX, 2},   {"F3", DIM_PREFIX, 4},    {"F2", DIM_PREFIX, 8},
        {"NF", DIM_PREFIX, 3}, {"o16", DIM_SIZE, 1},    {"o32", DIM_SIZE, 2},     {"o64", DIM_SIZE, 4},
        {"o32+", DIM_SIZE, 6}, {"a16", DIM_ADDRESS, 1}, {"a32", DIM_ADDRESS, 2},  {"a64", DIM_ADDRESS, 4},
        {"W0", DIM_W, 1},      {"W1", DIM_W, 2},        {"rexb0", DIM_B, 1},      {"rexb1", DIM_B, 2},
        {"ND0", DIM_ND, 1},    {"ND1", DIM_ND, 2},      {"NF0", DIM_NF, 1},       {"EH0", DIM_ND, 1},
        {"EH1", DIM_ND, 2},    {"NF1", DIM_NF, 2},      {"rm0", DIM_RM, 1},       {"mem", DIM_MOD, 1},
        {"reg", DIM_MOD, 2},   {"i64", DIM_LONG, 1},    {"o64only", DIM_LONG, 2}, {"amd", DIM_AMD, 2},
        {"intel", DIM_AMD, 1}, {"128", DIM_LENGTH, 1},  {"256", DIM_LENGTH, 2},   {"512", DIM_LENGTH, 4},
        {"L0", DIM_LENGTH, 1}, {"L1", DIM_LENGTH, 2},   {"LIG", DIM_LENGTH, 15},  {"YZ", DIM_LENGTH, 6},
        {"XY", DIM_LENGTH, 3},
    };
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        if (!strcmp(limits[i].name, token)) {
            limit(row, limits[i].dim, limits[i].set);
            if (limits[i].dim == DIM_PREFIX && limits[i].set != 1 && limits[i].set != 3)
                row->checks |= CHECK_MANDATORY;
            return true;
        }
    }
    return feature_parse(row, token);
}

/* "VEX.VL.66.0F38.W0" */
static void vector_parse(struct row *row, char *text)
{
    char *rest = text;
    const char *kind = strsep(&rest, ".");
    unsigned space = !strcmp(kind, "VEX")    ? SPACE_VEX
                     : !strcmp(kind, "XOP")  ? SPACE_XOP
                     : !strcmp(kind, "EVEX") ? SPACE_EVEX
                                             : SPACE_MVEX;
    row->vector = strcmp(kind, "REX2") != 0;
    if (space == SPACE_MVEX && row->vector)
        limit(row, DIM_FEATURE + 8, 2);
    if (!row->vector)
        row->space = SPACE_REX2;
    for (const char *part; (part = strsep(&rest, "."));) {
        if (!strcmp(part, "0F"))
            row->space = space + 1;
        else if (!strcmp(part, "0F38"))
            row->space = space + 2;
        else if (!strcmp(part, "0F3A"))
            row->space = space + 3;
        else if (!strncmp(part, "MAP", 3))
            row->space = space + (unsigned)atoi(part + 3);
        else if (part[0] == 'X' && isxdigit(part[1]) && !part[2])
            row->space = space + (unsigned)strtoul(part + 1, NULL, 16) - 8;
        else if (!strcmp(part, "VL"))
            limit(row, DIM_LENGTH, space == SPACE_EVEX ? 7 : 3);
        else if (!strcmp(part, "LIG")) {
            row->attributes |= INSN_SCALAR;
            limit(row, DIM_LENGTH, 15);
        } else if (strcmp(part, "WIG") && !limit_parse(row, part))
            fail(row, "unknown part %s", part);
    }
    row->checks &= ~(unsigned)CHECK_MANDATORY;
}

static void digits_parse(struct row *row, const char *token, int *opcode)
{
    unsigned value = (unsigned)strtoul(token, NULL, 16);
    if (*opcode < 0) {
        *opcode = (int)value;
        return;
    }
    row->checks |= CHECK_MODRM;
    limit(row, DIM_MOD, 2);
    limit(row, DIM_REG, 1u << (value >> 3 & 7));
    limit(row, DIM_RM, 1u << (value & 7));
}

static bool is_byte(const char *token)
{
    return isxdigit(token[0]) && isxdigit(token[1]) && (!token[2] || token[2] == '+');
}

/* One word of an encoding. `*opcode` is -1 until the opcode byte was seen. */
static void encoding_word(struct row *row, char *token, int *opcode)
{
    if (strchr(token, '.') && isupper(token[0])) {
        vector_parse(row, token);
    } else if (token[0] == '/') {
        row->checks |= CHECK_MODRM;
        if (token[1] != 'r')
            limit(row, DIM_REG, 1u << (token[1] - '0'));
    } else if (*opcode < 0 && !row->vector && !strcmp(token, "0F") && row->space == SPACE_ONE) {
        row->space = SPACE_0F;
    } else if (*opcode < 0 && row->space == SPACE_0F && (!strcmp(token, "38") || !strcmp(token, "3A"))) {
        row->space = !strcmp(token, "38") ? SPACE_0F38 : SPACE_0F3A;
    } else if (*opcode < 0 && row->space == SPACE_0F && !strcmp(token, "0F")) {
        row->space = SPACE_3DNOW;
    } else if (*opcode < 0 && row->space == SPACE_ONE &&
               (!strcmp(token, "66") || !strcmp(token, "F2") || !strcmp(token, "F3"))) {
        limit_parse(row, token);
    } else if (is_byte(token)) {
        digits_parse(row, token, opcode);
    } else if (!limit_parse(row, token)) {
        fail(row, "unknown word %s", token);
    }
}

static unsigned name_find(const struct row *row, const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(ops); i++) {
        if (!strcmp(ops[i], name))
            return i;
    }
    fail(row, "unknown operation %s", name);
}

/* Lower-case words after the operands, and those of the mnemonic's meaning. */
static bool attribute_parse(struct row *row, const char *word)
{
    static const struct {
        const char *name;
        unsigned attributes, checks;
    } words[] = {
        {"d64", 0, CHECK_D64},
        {"f64", 0, CHECK_F64},
        {"prot", 0, CHECK_PROTECTED},
        {"special", 0, CHECK_SPECIAL},
        {"sibmem", 0, CHECK_SIBMEM},
        {"anymod", 0, CHECK_ANYMOD},
        {"cpl0", INSN_PRIVILEGED, 0},
        {"branch", INSN_BRANCH, 0},
        {"stackr", INSN_STACK_READ, 0},
        {"stackw", INSN_STACK_WRITE, 0},
        {"rep", INSN_REPEATS, CHECK_SPECIAL},
        {"rept", INSN_REPEATS | INSN_REPEAT_TEST, CHECK_SPECIAL},
        {"lock", INSN_LOCKABLE, 0},
        {"aligned", INSN_ALIGNED, 0},
        {"bitoffset", INSN_BIT_OFFSET, 0},
        {"unaligned", 0, 0},
        {"nonative", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (!strcmp(words[i].name, word)) {
            row->attributes |= words[i].attributes;
            row->checks |= words[i].checks;
            return true;
        }
    }
    if (!strcmp(word, "wig32"))
        row->wig32 = true;
    else if (!strncmp(word, "op=", 3))
        row->op = name_find(row, word + 3);
    else if (!strcmp(word, "w") || !strcmp(word, "x") || !strcmp(word, "r") || !strcmp(word, "n"))
        row->access = word[0];
    else
        return limit_parse(row, word);
    return true;
}

static unsigned flag_mask(const struct row *row, const char *letters)
{
    static const char names[] = "C.P.A.ZSTIDO..N.RVK";
    unsigned mask = 0;
    for (; *letters; letters++) {
        const char *found = strchr(names, *letters);
        if (!found || *letters == '.')
            fail(row, "unknown flag %c", *letters);
        mask |= 1u << (found - names);
    }
    return mask;
}

static void flags_set(struct row *row, const struct meaning *meaning)
{
    uint32_t set[3] = {0};
    if (meaning) {
        set[0] = flag_mask(row, meaning->read);
        set[2] = flag_mask(row, meaning->undefined);
        set[1] = flag_mask(row, meaning->written) | set[2];
    }
    for (row->flags = 0; row->flags < flag_set_count; row->flags++) {
        if (!memcmp(flag_sets[row->flags], set, sizeof(set)))
            return;
    }
    memcpy(flag_sets[flag_set_count++], set, sizeof(set));
}

static unsigned access_code(char letter)
{
    switch (letter) {
    case 'r':
        return INSN_READ;
    case 'w':
        return INSN_WRITE;
    case 'x':
        return INSN_READ_WRITE;
    case 'a':
        return INSN_ADDRESS;
    default:
        return INSN_ACCESS_NONE;
    }
}

static bool is_rm(unsigned operand)
{
    return OPERAND_HOW(operand) != HOW_NONE && OPERAND_HOW(operand) <= HOW_RM_LAST;
}

/* Of operands that nobody has spoken of: the first is written, the others read; in two-operand SSE and MMX a
 * register that comes first is read too. */
static void access_set(struct row *row, const struct meaning *meaning)
{
    const char *class = isas[row->isa].class;
    bool two = !row->vector && strcmp(class, "GENERAL");
    for (unsigned i = 0; i < row->operand_count; i++) {
        char letter = i ? 'r' : two && !is_rm(row->operands[0]) ? 'x' : 'w';
        if (!i && !row->vector && !strcmp(class, "GENERAL"))
            letter = 'r';
        if (meaning && i < strlen(meaning->access))
            letter = meaning->access[i];
        if (!i && row->access)
            letter = row->access;
        if ((letter == 'n' || letter == 'a') && is_rm(row->operands[i]) && row->set[DIM_MOD] == 1)
            row->operands[i] = (uint16_t)OPERAND_HOW(row->operands[i]); /* nothing is accessed: size 0 */
        row->operands[i] |= (uint16_t)(access_code(letter) << 12);
    }
}

static bool mentions(const struct row *row, const char *word)
{
    return strstr(row->text, word);
}

static void alignment_set(struct row *row)
{
    const char *class = isas[row->isa].class;
    for (unsigned i = 0; i < row->operand_count; i++) {
        unsigned size = OPERAND_SIZE(row->operands[i]);
        if (!row->vector && !strcmp(class, "SSE") && is_rm(row->operands[i]) &&
            (size == SIZE_16 || size == SIZE_X) && !mentions(row, "unaligned"))
            row->attributes |= INSN_ALIGNED;
    }
}

static void meaning_words(struct row *row, const struct meaning *meaning)
{
    char words[128];
    snprintf(words, sizeof(words), "%s", meaning->rest);
    for (char *save, *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (!strcmp(word, "lock") && !(row->operand_count && is_rm(row->operands[0])))
            continue;
        if (!strncmp(word, "op=", 3) && row->op)
            continue;
        if (!attribute_parse(row, word))
            fail(row, "unknown word %s in its mnemonic's meaning", word);
    }
}

/* What follows from the mnemonic and the operands, once the row was read. */
static void finish(struct row *row)
{
    const struct meaning *meaning = meaning_find(row->mnemonic);
    const char *class = isas[row->isa].class;
    if (meaning)
        meaning_words(row, meaning);
    access_set(row, meaning);
    alignment_set(row);
    flags_set(row, meaning);
    bool ours = strcmp(isas[row->isa].name, "KNC"); /* no emulator for it, and no CPU that has it */
    for (unsigned i = 1; i < ARRAY_COUNT(ops) && !row->op && ours; i++) {
        if (!strcmp(ops[i], row->mnemonic))
            row->op = i;
    }
    if (!row->op && ours && strcmp(class, "GENERAL") && strcmp(class, "AMX") && !mentions(row, "nonative"))
        row->op = name_find(row, "NATIVE");
    if (!strcmp(ops[row->op], "JMP_FAR") || !strcmp(ops[row->op], "CALL_FAR"))
        row->checks |= CHECK_FAR;
    if (!strcmp(ops[row->op], "NATIVE"))
        row->attributes |= INSN_NATIVE;
    if (row->space == SPACE_EVEX + 4 || (row->space > SPACE_EVEX && row->set[DIM_FEATURE + 4] == 2))
        row->checks |= CHECK_COMPRESSED; /* what APX has in EVEX counts disp8 in bytes */
    if (row->imm == IMM_S1 || row->imm == IMM_Z || row->imm == IMM_REL)
        row->attributes |= INSN_IMM_SIGNED;
    row->checks |= row->imm << CHECK_IMM_SHIFT;
}

static void row_add(const struct row *row, unsigned opcode, const char *condition)
{
    if (row_count == ROWS_MAX)
        fail(row, "too many rows");
    struct row *copy = &rows[row_count++];
    *copy = *row;
    copy->opcode = opcode;
    strcat(copy->mnemonic, condition);
    finish(copy);
}

/* A W0 that only 64-bit mode looks at: elsewhere W is ignored, for there is no 64-bit register to choose. */
static void row_copy(const struct row *row, unsigned opcode, const char *condition)
{
    struct row ignored = *row;
    struct row minded = *row;
    if (!row->wig32) {
        row_add(row, opcode, condition);
        return;
    }
    ignored.set[DIM_W] = 3;
    limit(&ignored, DIM_LONG, 1);
    limit(&minded, DIM_LONG, 2);
    row_add(&ignored, opcode, condition);
    row_add(&minded, opcode, condition);
}

/* A row that stands for eight registers (+r) or sixteen conditions (+cc) becomes as many. */
static void row_spread(struct row *row, const char *opcode_text, unsigned opcode)
{
    static const char *const conditions[] = {"O", "NO", "B", "AE", "E", "NE", "BE", "A",
                                             "S", "NS", "P", "NP", "L", "GE", "LE", "G"};
    if (strstr(opcode_text, "+cc")) {
        for (unsigned i = 0; i < 16; i++)
            row_copy(row, opcode + i, conditions[i]);
    } else if (strstr(opcode_text, "+r")) {
        for (unsigned i = 0; i < 8; i++)
            row_copy(row, opcode + i, "");
    } else {
        row_copy(row, opcode, "");
    }
}

static void encoding_parse(struct row *row, char *encoding)
{
    char opcode_text[16] = "";
    int opcode = -1;
    for (char *save, *token = strtok_r(encoding, " ", &save); token; token = strtok_r(NULL, " ", &save)) {
        int before = opcode;
        encoding_word(row, token, &opcode);
        if (before < 0 && opcode >= 0)
            snprintf(opcode_text, sizeof(opcode_text), "%s", token);
        if (token[0] == '+' && isalpha(token[1]) && islower(token[1]))
            snprintf(opcode_text, sizeof(opcode_text), "%s", token);
    }
    if (opcode < 0)
        fail(row, "no opcode");
    if (row->space == SPACE_EVEX + 4 && !(row->given >> DIM_ND & 1))
        row->set[DIM_ND] = 1;
    row->opcode = (unsigned)opcode;
    snprintf(row->mnemonic + 24, 8, "%s", strchr(opcode_text, '+') ? strchr(opcode_text, '+') : "");
}

static void row_parse(const char *text, unsigned isa)
{
    struct row row = {.text = text, .isa = isa};
    char copy[256];
    char spread[8];
    snprintf(copy, sizeof(copy), "%s", text);
    for (unsigned dim = 0; dim < DIM_COUNT; dim++)
        row.set[dim] = (uint16_t)((1u << dim_values(dim)) - 1);
    char *rest = copy;
    encoding_parse(&row, strsep(&rest, ","));
    memcpy(spread, row.mnemonic + 24, sizeof(spread));
    const char *mnemonic = rest ? strsep(&rest, ",") : NULL;
    if (!mnemonic)
        fail(&row, "no mnemonic");
    snprintf(row.mnemonic, sizeof(row.mnemonic), "%s", mnemonic + strspn(mnemonic, " "));
    if (!strcmp(spread, "+cc"))
        row.mnemonic[strlen(row.mnemonic) - 2] = 0; /* the "CC" at the end of Jcc */
    for (char *word; (word = strsep(&rest, ","));) {
        word += strspn(word, " ");
        if (!operand_parse(&row, word) && !attribute_parse(&row, word))
            fail(&row, "unknown word %s", word);
    }
    row_spread(&row, spread, row.opcode);
}

static unsigned isa_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(isas); i++) {
        if (!strcmp(isas[i].name, name))
            return i;
    }
    fprintf(stderr, "unknown extension %s\n", name);
    exit(1);
}

void rows_parse(void)
{
    unsigned isa = 0;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (texts[i][0] == '*')
            isa = isa_find(texts[i] + 1);
        else
            row_parse(texts[i], isa);
    }
}
