/* SPDX-License-Identifier: MIT
 *
 * Names for addresses, from the symbol table of an ELF file (of 32 or 64 bits) or from the lines of a
 * System.map, and code from an ELF file's segments. Offsets that lead out of the file are left out.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"
#include "vmm/cli/read_file.h"
#include "vmm/cli/trace.h"

struct symbol {
    uint64_t address;
    const char *name; /* in the file */
};

struct symbols {
    char *bytes; /* the file; a System.map is cut into lines, a 0 behind each */
    size_t len;
    bool is_elf;
    struct symbol *list; /* by address */
    size_t count, capacity;
};

/* A function's symbol is hardly further away than that. */
#define SYMBOL_REACH (1u << 20)

static bool add_symbol(struct symbols *symbols, uint64_t address, const char *name)
{
    if (symbols->count == symbols->capacity) {
        size_t capacity = symbols->capacity ? 2 * symbols->capacity : 1024;
        struct symbol *list = realloc(symbols->list, capacity * sizeof(*list));
        if (!list)
            return false;
        symbols->list = list;
        symbols->capacity = capacity;
    }
    symbols->list[symbols->count++] = (struct symbol){address, name};
    return true;
}

/* What a header of either class says, in one form. Not every section has its bytes in the file: .bss does
 * not. */
struct section {
    uint64_t offset, len, entry_bytes;
    uint32_t type, link;
};

static bool read_section(const struct symbols *symbols, bool is_64bit, unsigned index,
                         struct section *section)
{
    const Elf64_Ehdr *wide = (const void *)symbols->bytes;
    const Elf32_Ehdr *narrow = (const void *)symbols->bytes;
    uint64_t table = is_64bit ? wide->e_shoff : narrow->e_shoff;
    unsigned count = is_64bit ? wide->e_shnum : narrow->e_shnum;
    uint64_t bytes = is_64bit ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr), offset = index * bytes;
    if (index >= count || table > symbols->len || !range_inside(table + offset, bytes, 0, symbols->len))
        return false;
    if (is_64bit) {
        Elf64_Shdr header;
        memcpy(&header, symbols->bytes + table + offset, sizeof(header));
        *section = (struct section){header.sh_offset, header.sh_size, sizeof(Elf64_Sym), header.sh_type,
                                    header.sh_link};
    } else {
        Elf32_Shdr header;
        memcpy(&header, symbols->bytes + table + offset, sizeof(header));
        *section = (struct section){header.sh_offset, header.sh_size, sizeof(Elf32_Sym), header.sh_type,
                                    header.sh_link};
    }
    return true;
}

static Elf64_Sym read_symbol(const char *bytes, bool is_64bit)
{
    Elf64_Sym wide;
    Elf32_Sym narrow;
    if (is_64bit) {
        memcpy(&wide, bytes, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, bytes, sizeof(narrow));
    return (Elf64_Sym){.st_name = narrow.st_name,
                       .st_info = narrow.st_info,
                       .st_shndx = narrow.st_shndx,
                       .st_value = narrow.st_value};
}

static bool read_table(struct symbols *symbols, bool is_64bit, const struct section *table,
                       const struct section *strings)
{
    if (!range_inside(table->offset, table->len, 0, symbols->len) ||
        !range_inside(strings->offset, strings->len, 0, symbols->len))
        return true; /* cut off */
    const char *names = symbols->bytes + strings->offset;
    if (!strings->len || names[strings->len - 1])
        return true; /* not a string table */
    for (uint64_t at = 0; table->len - at >= table->entry_bytes; at += table->entry_bytes) {
        Elf64_Sym symbol = read_symbol(symbols->bytes + table->offset + at, is_64bit);
        unsigned type = ELF64_ST_TYPE(symbol.st_info);
        if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || symbol.st_name >= strings->len ||
            !names[symbol.st_name] || (type != STT_FUNC && type != STT_NOTYPE))
            continue;
        if (!add_symbol(symbols, symbol.st_value, names + symbol.st_name))
            return false;
    }
    return true;
}

static bool read_elf(struct symbols *symbols)
{
    bool is_64bit = symbols->bytes[EI_CLASS] == ELFCLASS64;
    struct section table, strings;
    if (symbols->len < sizeof(Elf64_Ehdr))
        return true;
    for (unsigned i = 0; read_section(symbols, is_64bit, i, &table); i++)
        if (table.type == SHT_SYMTAB && read_section(symbols, is_64bit, table.link, &strings) &&
            !read_table(symbols, is_64bit, &table, &strings))
            return false;
    return true;
}

/* "ffffffff81000000 T _stext" */
static bool read_map(struct symbols *symbols)
{
    char *rest = symbols->bytes, *line, *end;
    while ((line = strsep(&rest, "\n"))) {
        uint64_t address = strtoull(line, &end, 16);
        if (end == line || end[0] != ' ' || !end[1] || end[2] != ' ' || !strchr("tTwW", end[1]))
            continue;
        char *tab = strchr(end + 3, '\t'); /* /proc/kallsyms: the module follows */
        if (tab)
            *tab = ' ';
        if (!add_symbol(symbols, address, end + 3))
            return false;
    }
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *left = a, *right = b;
    return left->address < right->address ? -1 : left->address > right->address;
}

int symbols_open(const char *path, struct symbols **out, struct vmm_error *error)
{
    struct symbols *symbols = calloc(1, sizeof(*symbols));
    *out = NULL;
    if (!symbols)
        return error_set(error, -ENOMEM, "%s: out of memory", path);
    int result = read_file(path, &symbols->bytes, &symbols->len, error);
    if (!result && !symbols->len)
        result = error_set(error, -EINVAL, "%s: is empty", path);
    symbols->is_elf = !result && symbols->len > SELFMAG && memcmp(symbols->bytes, ELFMAG, SELFMAG) == 0;
    if (!result && !(symbols->is_elf ? read_elf(symbols) : read_map(symbols)))
        result = error_set(error, -ENOMEM, "%s: out of memory", path);
    if (!result && !symbols->count)
        result = error_set(error, -EINVAL,
                           "%s: has no symbols: give an ELF file that is not stripped, or a System.map",
                           path);
    if (result) {
        symbols_close(symbols);
        return result;
    }
    qsort(symbols->list, symbols->count, sizeof(*symbols->list), by_address);
    *out = symbols;
    return 0;
}

void symbols_close(struct symbols *symbols)
{
    if (!symbols)
        return;
    free(symbols->bytes);
    free(symbols->list);
    free(symbols);
}

const char *symbols_name(const struct symbols *symbols, uint64_t address, char *text, size_t text_bytes)
{
    size_t low = 0, high = symbols ? symbols->count : 0;
    *text = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbols->list[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || address - symbols->list[low - 1].address > SYMBOL_REACH)
        return text;
    const struct symbol *symbol = &symbols->list[low - 1];
    int len = snprintf(text, text_bytes, "%.80s", symbol->name);
    for (char *at = text; *at; at++)
        *at = trace_printable(*at);
    if (address != symbol->address && len >= 0 && (size_t)len < text_bytes)
        snprintf(text + len, text_bytes - (size_t)len, "+%#" PRIx64, address - symbol->address);
    return text;
}

/* From one segment; 0 where the address is not in it. */
static size_t segment_code(const struct symbols *symbols, const Elf64_Phdr *segment, uint64_t address,
                           uint8_t *bytes, size_t len)
{
    if (segment->p_type != PT_LOAD || !range_inside(address, 1, segment->p_vaddr, segment->p_filesz) ||
        !range_inside(segment->p_offset, segment->p_filesz, 0, symbols->len))
        return 0;
    uint64_t room = segment->p_filesz - (address - segment->p_vaddr);
    size_t count = room < len ? (size_t)room : len;
    memcpy(bytes, symbols->bytes + segment->p_offset + (address - segment->p_vaddr), count);
    return count;
}

static bool read_segment(const struct symbols *symbols, bool is_64bit, unsigned index, Elf64_Phdr *segment)
{
    const Elf64_Ehdr *wide = (const void *)symbols->bytes;
    const Elf32_Ehdr *narrow = (const void *)symbols->bytes;
    uint64_t table = is_64bit ? wide->e_phoff : narrow->e_phoff;
    uint64_t bytes = is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    Elf32_Phdr header;
    if (index >= (is_64bit ? wide->e_phnum : narrow->e_phnum) || table > symbols->len ||
        !range_inside(table + index * bytes, bytes, 0, symbols->len))
        return false;
    if (is_64bit) {
        memcpy(segment, symbols->bytes + table + index * bytes, sizeof(*segment));
        return true;
    }
    memcpy(&header, symbols->bytes + table + index * bytes, sizeof(header));
    *segment = (Elf64_Phdr){.p_type = header.p_type,
                            .p_offset = header.p_offset,
                            .p_vaddr = header.p_vaddr,
                            .p_filesz = header.p_filesz};
    return true;
}

size_t symbols_code(const struct symbols *symbols, uint64_t address, uint8_t *bytes, size_t len)
{
    Elf64_Phdr segment;
    if (!symbols || !symbols->is_elf || symbols->len < sizeof(Elf64_Ehdr))
        return 0;
    bool is_64bit = symbols->bytes[EI_CLASS] == ELFCLASS64;
    for (unsigned i = 0; read_segment(symbols, is_64bit, i, &segment); i++) {
        size_t count = segment_code(symbols, &segment, address, bytes, len);
        if (count)
            return count;
    }
    return 0;
}
