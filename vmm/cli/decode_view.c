/* SPDX-License-Identifier: MIT
 *
 * One decoded instruction as JSON members, as lines for people, and in Intel's syntax.
 */
#include "vmm/cli/decode_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LEN 16

static const char *const low_names[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
static const char *const segment_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};
static const char *const access_names[] = {"none", "r", "w", "rw", "address"};
static const char *const access_words[] = {"not accessed", "read", "written", "read and written",
                                           "address only"};

/* A general register of 1, 2, 4 or 8 bytes. */
static const char *gpr_name(char *name, unsigned reg, unsigned size)
{
    if (reg >= 8)
        snprintf(name, NAME_LEN, "r%u%s", reg, size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "");
    else if (size == 1)
        snprintf(name, NAME_LEN, reg < 4 ? "%.1sl" : "%sl", low_names[reg]);
    else
        snprintf(name, NAME_LEN, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", low_names[reg]);
    return name;
}

static const char *vector_name(char *name, unsigned reg, unsigned size)
{
    snprintf(name, NAME_LEN, "%cmm%u", size == 64 ? 'z' : size == 32 ? 'y' : 'x', reg);
    return name;
}

static const char *base_name(char *name, const struct insn *insn, unsigned base)
{
    if (base == INSN_REG_RIP)
        return insn->address_size == 4 ? "eip" : "rip";
    return gpr_name(name, base, insn->address_size);
}

static const char *index_name(char *name, const struct insn_memory *memory)
{
    if (memory->index_size >= 16)
        return vector_name(name, memory->index, memory->index_size);
    return gpr_name(name, memory->index, memory->index_size);
}

/* NULL where none is in force: in 64-bit mode but for FS and GS. */
static const char *segment_name(const struct insn *insn, const struct insn_memory *memory)
{
    return insn->bits == 64 && memory->segment < INSN_FS ? NULL : segment_names[memory->segment];
}

static unsigned stack_access(const struct insn *insn)
{
    return (insn->attributes & INSN_STACK_READ ? INSN_READ : 0u) |
           (insn->attributes & INSN_STACK_WRITE ? INSN_WRITE : 0u);
}

static void json_string(FILE *out, const char *key, const char *value)
{
    if (value)
        fprintf(out, ",\"%s\":\"%s\"", key, value);
    else
        fprintf(out, ",\"%s\":null", key);
}

static void json_memory(FILE *out, const struct insn *insn, const struct insn_memory *memory)
{
    static const char *const kinds[] = {"modrm", "moffs", "implicit"};
    char base[NAME_LEN], index[NAME_LEN];
    fprintf(out, "{\"kind\":\"%s\"", kinds[memory->kind]);
    json_string(out, "segment", segment_name(insn, memory));
    json_string(out, "base", memory->base == INSN_REG_NONE ? NULL : base_name(base, insn, memory->base));
    json_string(out, "index", memory->index == INSN_REG_NONE ? NULL : index_name(index, memory));
    fprintf(out, ",\"scale\":%u,\"disp\":%" PRId64 ",\"size\":%u,\"access\":\"%s\"}", memory->scale,
            memory->disp, memory->size, access_names[memory->access]);
}

void decode_view_json(FILE *out, const struct insn *insn)
{
    struct insn_memory memory;
    const char *separator = "";
    fprintf(out, ",\"length\":%u,\"mnemonic\":\"%s\",\"lock\":%s,\"address_size\":%u,\"memory\":[",
            insn->length, insn_mnemonic(insn), insn->prefixes & INSN_PREFIX_LOCK ? "true" : "false",
            insn->address_size);
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (!insn_memory(insn, &insn->operands[i], &memory))
            continue;
        fputs(separator, out);
        json_memory(out, insn, &memory);
        separator = ",";
    }
    fputc(']', out);
    if (stack_access(insn))
        fprintf(out, ",\"stack\":\"%s\"", access_names[stack_access(insn)]);
}

/* Appends to text[len]. */
static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
    size_t len = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + len, size - len, format, arguments);
    va_end(arguments);
}

static uint64_t cut_to(uint64_t value, unsigned size)
{
    return size && size < 8 ? value & ((1ull << 8 * size) - 1) : value;
}

/* "gs:[rbx+rcx*4+0x10]" */
static void memory_text(char *text, size_t size, const struct insn *insn, const struct insn_memory *memory)
{
    char name[NAME_LEN];
    const char *segment = segment_name(insn, memory);
    bool empty = memory->base == INSN_REG_NONE && memory->index == INSN_REG_NONE;
    text[0] = 0;
    if (segment)
        append(text, size, "%s:", segment);
    append(text, size, "[");
    if (memory->base != INSN_REG_NONE)
        append(text, size, "%s", base_name(name, insn, memory->base));
    if (memory->index != INSN_REG_NONE)
        append(text, size, "%s%s", memory->base == INSN_REG_NONE ? "" : "+", index_name(name, memory));
    if (memory->scale > 1)
        append(text, size, "*%u", memory->scale);
    if (empty)
        append(text, size, "0x%" PRIx64, cut_to((uint64_t)memory->disp, insn->address_size));
    else if (memory->disp)
        append(text, size, "%c0x%" PRIx64, memory->disp < 0 ? '-' : '+',
               memory->disp < 0 ? -(uint64_t)memory->disp : (uint64_t)memory->disp);
    append(text, size, "]");
}

static void number_text(char *text, size_t size, const struct insn *insn, const struct insn_operand *operand)
{
    int64_t distance = (int64_t)insn->imm + insn->length;
    switch (operand->kind) {
    case INSN_IMM2:
        snprintf(text, size, "0x%x", insn->imm2);
        break;
    case INSN_IMM_ONE:
        snprintf(text, size, "1");
        break;
    case INSN_RELATIVE:
        snprintf(text, size, "$%c0x%" PRIx64, distance < 0 ? '-' : '+', (uint64_t)llabs(distance));
        break;
    case INSN_FAR:
        snprintf(text, size, "0x%x:0x%" PRIx64, insn->imm2, insn->imm);
        break;
    default:
        snprintf(text, size, "0x%" PRIx64, cut_to(insn->imm, operand->size));
        break;
    }
}

static void operand_text(char *text, size_t size, const struct insn *insn, const struct insn_operand *operand)
{
    static const char *const prefixes[] = {
        [INSN_CR] = "cr",  [INSN_DR] = "dr",  [INSN_TR] = "tr",    [INSN_X87] = "st",
        [INSN_MMX] = "mm", [INSN_MASK] = "k", [INSN_TILE] = "tmm", [INSN_BND] = "bnd",
    };
    struct insn_memory memory;
    char name[NAME_LEN];
    if (insn_memory(insn, operand, &memory))
        memory_text(text, size, insn, &memory);
    else if (operand->kind == INSN_GPR)
        snprintf(text, size, "%s", gpr_name(name, operand->reg, operand->size));
    else if (operand->kind == INSN_GPR_HIGH)
        snprintf(text, size, "%.1sh", low_names[operand->reg]);
    else if (operand->kind == INSN_SEG)
        snprintf(text, size, "%s", segment_names[operand->reg]);
    else if (operand->kind == INSN_VECTOR)
        snprintf(text, size, "%s", vector_name(name, operand->reg, operand->size));
    else if (operand->kind >= INSN_IMM)
        number_text(text, size, insn, operand);
    else
        snprintf(text, size, "%s%u", prefixes[operand->kind], operand->reg);
}

void decode_view_syntax(FILE *out, const struct insn *insn)
{
    char text[96];
    fprintf(out, "%s", insn_mnemonic(insn));
    for (unsigned i = 0; i < insn->operand_count; i++) {
        operand_text(text, sizeof(text), insn, &insn->operands[i]);
        fprintf(out, "%s%s", i ? ", " : " ", text);
        if (!i && insn->mask)
            fprintf(out, " {k%u}%s", insn->mask, insn->attributes & INSN_ZEROING ? " {z}" : "");
    }
}

static const char *operand_kind(const struct insn_operand *operand)
{
    switch (operand->kind) {
    case INSN_IMM:
    case INSN_IMM2:
    case INSN_IMM_ONE:
        return "immediate";
    case INSN_RELATIVE:
    case INSN_FAR:
        return "target";
    case INSN_MEM:
        return "memory";
    case INSN_MEM_MOFFS:
        return "memory offset";
    case INSN_MEM_SI:
    case INSN_MEM_DI:
    case INSN_MEM_XLAT:
    case INSN_MEM_MASK:
    case INSN_MEM_REG:
        return "implied memory";
    default:
        return "register";
    }
}

static void operand_line(FILE *out, const struct insn *insn, const struct insn_operand *operand)
{
    char text[96], size[16] = "";
    bool value = operand->kind >= INSN_IMM && operand->kind <= INSN_FAR;
    operand_text(text, sizeof(text), insn, operand);
    if (operand->size && !value)
        snprintf(size, sizeof(size), "%u byte%s", operand->size, operand->size == 1 ? "" : "s");
    if (value)
        fprintf(out, "    %-15s %s\n", operand_kind(operand), text);
    else
        fprintf(out, "    %-15s %-32s %-10s %s\n", operand_kind(operand), text, size,
                access_words[operand->access]);
}

void decode_view_text(FILE *out, const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++)
        operand_line(out, insn, &insn->operands[i]);
    if (stack_access(insn))
        fprintf(out, "    %-15s %-32s %-10s %s\n", "stack", "", "", access_words[stack_access(insn)]);
}
