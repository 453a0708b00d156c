/* SPDX-License-Identifier: MIT
 *
 * Views compared and printed. Mnemonics are compared by what they mean, not by how they are spelt: each of
 * the three has its own habits for conditions (jz, je), for x87 and for the suffixes of string instructions.
 */
#include "tests/decoder/view.h"

#include <stdio.h>
#include <string.h>

#include "base/types.h"

int64_t view_wrap(int64_t disp, unsigned address_size)
{
    return address_size == 2 ? (int16_t)disp : address_size == 4 ? (int32_t)disp : disp;
}

static unsigned compare_memory(const struct view_memory *a, const struct view_memory *b)
{
    return (a->segment != b->segment ? VIEW_SEGMENT : 0) | (a->base != b->base ? VIEW_BASE : 0) |
           (a->index != b->index ? VIEW_INDEX : 0) | (a->scale != b->scale ? VIEW_SCALE : 0) |
           (a->disp != b->disp ? VIEW_DISP : 0) | (a->size != b->size ? VIEW_SIZE : 0) |
           (a->access != b->access ? VIEW_ACCESS : 0);
}

/* An order of their own for the operands of movs and cmps: the one with the larger access first, then by
 * base. */
static bool is_swapped(const struct view *a, const struct view *b)
{
    return a->memory_count == 2 && b->memory_count == 2 && a->memory[0].base != b->memory[0].base &&
           a->memory[0].base == b->memory[1].base && a->memory[1].base == b->memory[0].base;
}

static bool is_equal_mnemonic(const char *a, const char *b);

unsigned view_compare(const struct view *ours, const struct view *other)
{
    if (ours->status != other->status)
        return VIEW_STATUS;
    if (ours->status != VIEW_OK)
        return 0;
    unsigned mask = (ours->length != other->length ? VIEW_LENGTH : 0) |
                    (ours->lock != other->lock ? VIEW_LOCK : 0) |
                    (ours->address_size != other->address_size ? VIEW_ADDRESS_SIZE : 0) |
                    (ours->memory_count != other->memory_count ? VIEW_COUNT : 0);
    if (ours->mnemonic && other->mnemonic && !is_equal_mnemonic(ours->mnemonic, other->mnemonic))
        mask |= VIEW_MNEMONIC;
    unsigned flip = is_swapped(ours, other) ? 1 : 0;
    for (unsigned i = 0; i < ours->memory_count && !(mask & VIEW_COUNT); i++)
        mask |= compare_memory(&ours->memory[i], &other->memory[i ^ flip]);
    return mask;
}

/* A condition's other spellings, to one of them. */
static const char *condition_of(const char *text)
{
    static const char *const pairs[][2] = {
        {"c", "b"},   {"nae", "b"}, {"nc", "nb"}, {"ae", "nb"}, {"e", "z"},   {"ne", "nz"}, {"na", "be"},
        {"a", "nbe"}, {"pe", "p"},  {"po", "np"}, {"nge", "l"}, {"ge", "nl"}, {"ng", "le"}, {"g", "nle"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++)
        if (!strcmp(text, pairs[i][0]))
            return pairs[i][1];
    return text;
}

/* Other names of the same instruction, to one of them. */
static const char *alias_of(const char *text)
{
    static const char *const pairs[][2] = {
        {"sal", "shl"},
        {"pfsqrt", "pfrsqrt"},
        {"pfcpit1", "pfrcpit1"},
        {"feni8087_nop", "fneni"},
        {"fdisi8087_nop", "fndisi"},
        {"fsetpm287_nop", "fnsetpm"},
        {"fwait", "wait"},
        {"retn", "ret"},
        {"retf", "lret"},
        {"far ret", "lret"},
        {"jmpf", "ljmp"},
        {"callf", "lcall"},
        {"int1", "icebp"},
        {"xlatb", "xlat"},
        {"iretw", "iret"},
        {"movabs", "mov"},
        {"fstpnce", "fstp"},
        {"ud2b", "ud1"},
        {"retfq", "lret"},
        {"loopz", "loope"},
        {"loopnz", "loopne"},
        {"pushaw", "pusha"},
        {"popaw", "popa"},
        {"fucompi", "fucomip"},
        {"fcompi", "fcomip"},
        {"pushal", "pushad"},
        {"popal", "popad"},
        {"sysretq", "sysret"},
        {"sysexitq", "sysexit"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++)
        if (!strcmp(text, pairs[i][0]))
            return pairs[i][1];
    return text;
}

static bool is_equal_mnemonic(const char *a, const char *b)
{
    static const char *const families[] = {"cmov", "set", "j", "cmp"};
    if (a == b || !strcmp(a, b) || !strcmp(alias_of(a), alias_of(b)))
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(families); i++) {
        size_t len = strlen(families[i]);
        if (!strncmp(a, families[i], len) && !strncmp(b, families[i], len) &&
            !strcmp(condition_of(a + len), condition_of(b + len)))
            return true;
    }
    return false;
}

static const char *register_name(uint16_t reg, char buffer[8])
{
    static const char *const prefixes[] = {"-", "b", "w", "d", "r", "xmm", "ymm", "zmm", "ip", "?"};
    if (!reg)
        return "-";
    snprintf(buffer, 8, "%s%u", prefixes[reg >> 8], reg & 0xff);
    return buffer;
}

static int print_memory(const struct view_memory *memory, char *buffer, size_t size)
{
    char base[8], index[8];
    return snprintf(buffer, size, " [%c:%s+%s*%u%+lld size %u access %s%s%s]",
                    memory->segment ? memory->segment : '-', register_name(memory->base, base),
                    register_name(memory->index, index), memory->scale, (long long)memory->disp, memory->size,
                    memory->access & VIEW_READ ? "r" : "", memory->access & VIEW_WRITE ? "w" : "",
                    memory->access & VIEW_ADDRESS ? "a" : "");
}

char *view_print(const struct view *view, char *buffer, size_t size)
{
    static const char *const states[] = {"ok", "truncated", "invalid", "too long"};
    int used = snprintf(buffer, size, "%s", states[view->status]);
    if (view->status == VIEW_OK)
        used += snprintf(buffer + used, size - (size_t)used, " %u %s%s a%u", view->length,
                         view->lock ? "lock " : "", view->mnemonic ? view->mnemonic : "",
                         view->address_size * 8);
    for (unsigned i = 0; i < view->memory_count && (size_t)used < size; i++)
        used += print_memory(&view->memory[i], buffer + used, size - (size_t)used);
    return buffer;
}

char *view_print_fields(unsigned mask, char *buffer, size_t size)
{
    static const char *const names[VIEW_FIELD_COUNT] = {
        "validity", "length", "lock", "address-size", "operand-count", "segment", "base",
        "index",    "scale",  "disp", "size",         "access",        "mnemonic"};
    int used = 0;
    buffer[0] = 0;
    for (unsigned i = 0; i < VIEW_FIELD_COUNT && (size_t)used < size; i++)
        if (mask & 1u << i)
            used += snprintf(buffer + used, size - (size_t)used, "%s%s", used ? "," : "", names[i]);
    return buffer;
}
