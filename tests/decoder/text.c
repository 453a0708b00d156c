/* SPDX-License-Identifier: MIT
 *
 * The line: mnemonic, length, sizes, what is in force, then each operand with its access.
 */
#include "tests/decoder/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"

struct line {
    char *buffer;
    size_t size, used;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line->buffer + line->used, line->size - line->used, format, arguments);
    va_end(arguments);
    line->used += (size_t)len < line->size - line->used ? (size_t)len : line->size - line->used - 1;
}

static void add_register(struct line *line, unsigned number, unsigned size)
{
    const char *kind = size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : size == 8 ? "q" : "v";
    if (number == INSN_REG_RIP)
        add(line, size == 4 ? "eip" : "rip");
    else if (number != INSN_REG_NONE)
        add(line, "%s%u", kind, number);
    if (size > 8 && number != INSN_REG_NONE)
        add(line, ".%u", size);
}

static void add_memory(struct line *line, const struct insn_memory *memory, unsigned address_size)
{
    static const char *const kinds[] = {"", "moffs ", "implicit "};
    static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    add(line, "%s%s:[", kinds[memory->kind], segments[memory->segment]);
    add_register(line, memory->base, address_size);
    if (memory->index != INSN_REG_NONE) {
        add(line, "+");
        add_register(line, memory->index, memory->index_size);
        add(line, "*%u", memory->scale);
    }
    add(line, "%s%#llx]:%u", memory->disp < 0 ? "-" : "+",
        (unsigned long long)(memory->disp < 0 ? 0 - (uint64_t)memory->disp : (uint64_t)memory->disp),
        memory->size);
}

static void add_operand(struct line *line, const struct insn *insn, const struct insn_operand *operand)
{
    static const char *const kinds[] = {"none", "gpr", "high", "seg", "cr",  "dr",  "tr",
                                        "st",   "mm",  "vec",  "k",   "tmm", "bnd", "imm",
                                        "imm2", "one", "rel",  "far", "mem"};
    static const char *const accesses[] = {"-", "r", "w", "rw", "a"};
    struct insn_memory memory;
    if (insn_memory(insn, operand, &memory))
        add_memory(line, &memory, insn->address_size);
    else if (operand->kind >= INSN_IMM && operand->kind <= INSN_FAR)
        add(line, "%s", kinds[operand->kind]);
    else
        add(line, "%s%u:%u", kinds[operand->kind < INSN_MEM ? operand->kind : INSN_MEM], operand->reg,
            operand->size);
    add(line, "/%s", accesses[operand->access <= 4 ? operand->access : 0]);
}

static void add_prefixes(struct line *line, const struct insn *insn)
{
    if (insn->prefixes & INSN_PREFIX_LOCK)
        add(line, " lock");
    if (insn->attributes & INSN_REPEATS)
        add(line, insn->attributes & INSN_REPEAT_TEST
                      ? (insn->prefixes & INSN_PREFIX_REPNE ? " repne" : " repe")
                      : " rep");
    if (insn->attributes & INSN_XACQUIRE)
        add(line, " xacquire");
    if (insn->attributes & INSN_XRELEASE)
        add(line, " xrelease");
}

static void add_attributes(struct line *line, const struct insn *insn)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {INSN_LOCKABLE, "lockable"},   {INSN_PRIVILEGED, "privileged"},
        {INSN_STACK_READ, "pop"},      {INSN_STACK_WRITE, "push"},
        {INSN_BROADCAST, "broadcast"}, {INSN_ZEROING, "zeroing"},
        {INSN_ROUNDING, "rounding"},   {INSN_SAE, "sae"},
        {INSN_ALIGNED, "aligned"},     {INSN_NATIVE, "native"},
        {INSN_BRANCH, "branch"},       {INSN_BIT_OFFSET, "bitoffset"},
        {INSN_SCALAR, "scalar"},
    };
    if (insn->mask)
        add(line, " k%u", insn->mask);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (insn->attributes & names[i].bit)
            add(line, " %s", names[i].name);
    if (insn->attributes & INSN_ROUNDING)
        add(line, "%u", insn_rounding(insn));
}

char *insn_text(const struct insn *insn, char *buffer, size_t size)
{
    struct line line = {.buffer = buffer, .size = size};
    struct insn_flags flags = insn_flags(insn);
    add(&line, "%s", insn_mnemonic(insn));
    add_prefixes(&line, insn);
    for (unsigned i = 0; i < insn->operand_count; i++) {
        add(&line, i ? ", " : " ");
        add_operand(&line, insn, &insn->operands[i]);
    }
    if (insn->imm_size)
        add(&line, " =%#llx", (unsigned long long)insn->imm);
    if (insn->imm2)
        add(&line, ",%#x", insn->imm2);
    add(&line, "; len %u o%u a%u %s", insn->length, insn->operand_size * 8, insn->address_size * 8,
        insn_isa_name((enum insn_isa)insn->isa));
    if (insn->vector_length)
        add(&line, " v%u", insn->vector_length * 8);
    add_attributes(&line, insn);
    if (flags.read | flags.written)
        add(&line, " flags %x/%x/%x", flags.read, flags.written, flags.undefined);
    return buffer;
}

static const char *const feature_names[] = {"cet", "lzcnt",    "tzcnt",      "wbnoinvd", "apx",
                                            "mpx", "cldemote", "prefetchit", "knc"};
#define FEATURE_COUNT ARRAY_COUNT(feature_names)

/* A feature named is one that is not as by default. */
bool mode_parse(const char *text, struct insn_mode *mode)
{
    char copy[80];
    snprintf(copy, sizeof(copy), "%s", text);
    char *rest, *word = strtok_r(copy, " ", &rest);
    unsigned bits = word ? (unsigned)atoi(word) : 0;
    if (bits != 16 && bits != 32 && bits != 64)
        return false;
    *mode = insn_mode(bits);
    while ((word = strtok_r(NULL, " ", &rest))) {
        size_t i = 0;
        while (i < FEATURE_COUNT && strcmp(word, feature_names[i]))
            i++;
        if (i < FEATURE_COUNT)
            mode->features ^= (uint16_t)(1u << i);
        else if (!strcmp(word, "amd"))
            mode->vendor = INSN_AMD;
        else if (!strcmp(word, "real"))
            mode->real = 1;
        else
            return false;
    }
    return true;
}

char *mode_text(struct insn_mode mode, char *buffer, size_t size)
{
    struct line line = {.buffer = buffer, .size = size};
    add(&line, "%u%s%s", mode.bits, mode.real ? " real" : "", mode.vendor == INSN_AMD ? " amd" : "");
    for (size_t i = 0; i < FEATURE_COUNT; i++)
        if ((mode.features ^ INSN_FEATURES_DEFAULT) >> i & 1)
            add(&line, " %s", feature_names[i]);
    return buffer;
}

size_t hex_parse(const char *hex, uint8_t *bytes, size_t size)
{
    size_t count = 0;
    for (; hex[0] && hex[1] && count < size; hex += 2) {
        unsigned value;
        if (sscanf(hex, "%2x", &value) != 1)
            return 0;
        bytes[count++] = (uint8_t)value;
    }
    return hex[0] ? 0 : count;
}
