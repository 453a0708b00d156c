/* SPDX-License-Identifier: MIT
 *
 * The ELF headers are copied into the C library's structs, 32-bit ones widened, so that the rest sees one
 * shape. Every offset and length of the file is checked against its end before it is used.
 */
#include "boot/elf.h"

#include <elf.h>
#include <string.h>

#include "base/bytes.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

struct elf_reader {
    const struct boot_image *image;
    struct elf_file *file;
    struct vmm_error *error;
    Elf64_Ehdr header;
};

static int refuse_machine(const struct elf_reader *reader)
{
    static const struct {
        uint16_t machine;
        const char *name;
    } names[] = {{EM_386, "i386"},     {EM_X86_64, "x86-64"}, {EM_ARM, "ARM"},    {EM_AARCH64, "AArch64"},
                 {EM_RISCV, "RISC-V"}, {EM_PPC64, "POWER"},   {EM_S390, "S/390"}, {EM_MIPS, "MIPS"}};
    uint16_t machine = reader->header.e_machine;
    const char *name = "another processor";
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (names[i].machine == machine)
            name = names[i].name;
    return error_set(
        reader->error, -ENOEXEC,
        "%s: is an ELF%d file for %s (machine %u); the guest needs ELF64 for x86-64 or ELF32 for i386",
        reader->image->name, reader->file->is_64bit ? 64 : 32, name, machine);
}

static int refuse_type(const struct elf_reader *reader)
{
    const char *name = reader->image->name;
    switch (reader->header.e_type) {
    case ET_REL:
        return error_set(reader->error, -ENOEXEC, "%s: is an ELF object file that was not linked", name);
    case ET_CORE:
        return error_set(reader->error, -ENOEXEC, "%s: is an ELF core dump, not an executable", name);
    }
    return error_set(reader->error, -ENOEXEC, "%s: is an ELF file of type %u, not an executable", name,
                     reader->header.e_type);
}

static void widen_header(Elf64_Ehdr *wide, const Elf32_Ehdr *narrow)
{
    wide->e_type = narrow->e_type;
    wide->e_machine = narrow->e_machine;
    wide->e_entry = narrow->e_entry;
    wide->e_phoff = narrow->e_phoff;
    wide->e_phentsize = narrow->e_phentsize;
    wide->e_phnum = narrow->e_phnum;
}

static int read_header(struct elf_reader *reader)
{
    const struct boot_image *image = reader->image;
    size_t need = reader->file->is_64bit ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    if (image->len < need)
        return error_set(reader->error, -ENOEXEC,
                         "%s: is truncated: an ELF header has %zu bytes, the file has %zu", image->name, need,
                         image->len);
    if (image->bytes[EI_CLASS] != ELFCLASS32 && image->bytes[EI_CLASS] != ELFCLASS64)
        return error_set(reader->error, -ENOEXEC, "%s: is an ELF file of the unknown class %u", image->name,
                         image->bytes[EI_CLASS]);
    if (image->bytes[EI_DATA] != ELFDATA2LSB)
        return error_set(reader->error, -ENOEXEC, "%s: is a big-endian ELF file; x86 is little-endian",
                         image->name);
    memcpy(&reader->header, image->bytes, need);
    if (!reader->file->is_64bit) {
        Elf32_Ehdr narrow;
        memcpy(&narrow, image->bytes, sizeof(narrow));
        widen_header(&reader->header, &narrow);
    }
    uint16_t machine = reader->header.e_machine;
    if (machine != EM_X86_64 && (machine != EM_386 || reader->file->is_64bit))
        return refuse_machine(reader);
    if (reader->header.e_type != ET_EXEC && reader->header.e_type != ET_DYN)
        return refuse_type(reader);
    reader->file->entry = reader->header.e_entry;
    return 0;
}

static int check_program_headers(const struct elf_reader *reader)
{
    const Elf64_Ehdr *header = &reader->header;
    unsigned want = reader->file->is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (!header->e_phnum)
        return error_set(reader->error, -ENOEXEC, "%s: has no program headers, so nothing says what to load",
                         reader->image->name);
    if (header->e_phentsize != want)
        return error_set(reader->error, -ENOEXEC, "%s: its program headers have %u bytes each instead of %u",
                         reader->image->name, header->e_phentsize, want);
    if (!range_inside(header->e_phoff, (uint64_t)header->e_phnum * want, 0, reader->image->len))
        return error_set(
            reader->error, -ENOEXEC,
            "%s: is truncated: its %u program headers at offset %#llx reach past the end of the file "
            "(%#zx bytes)",
            reader->image->name, header->e_phnum, (unsigned long long)header->e_phoff, reader->image->len);
    return 0;
}

static Elf64_Phdr program_header(const struct elf_reader *reader, size_t index)
{
    const uint8_t *at = reader->image->bytes + reader->header.e_phoff + index * reader->header.e_phentsize;
    Elf64_Phdr wide;
    Elf32_Phdr narrow;
    if (reader->file->is_64bit) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return (Elf64_Phdr){
        .p_type = narrow.p_type,
        .p_flags = narrow.p_flags,
        .p_offset = narrow.p_offset,
        .p_vaddr = narrow.p_vaddr,
        .p_paddr = narrow.p_paddr,
        .p_filesz = narrow.p_filesz,
        .p_memsz = narrow.p_memsz,
        .p_align = narrow.p_align,
    };
}

/* The file bytes of program header `index` lie in the file. */
static int check_file_range(const struct elf_reader *reader, const Elf64_Phdr *segment, size_t index)
{
    if (range_inside(segment->p_offset, segment->p_filesz, 0, reader->image->len))
        return 0;
    return error_set(reader->error, -ENOEXEC,
                     "%s: is truncated: segment %zu needs %#llx bytes at offset %#llx, the file has %#zx",
                     reader->image->name, index, (unsigned long long)segment->p_filesz,
                     (unsigned long long)segment->p_offset, reader->image->len);
}

static int add_segment(const struct elf_reader *reader, const Elf64_Phdr *segment, size_t index)
{
    struct elf_file *file = reader->file;
    uint64_t end;
    if (segment->p_filesz > segment->p_memsz)
        return error_set(reader->error, -ENOEXEC,
                         "%s: segment %zu has more bytes in the file (%#llx) than in memory (%#llx)",
                         reader->image->name, index, (unsigned long long)segment->p_filesz,
                         (unsigned long long)segment->p_memsz);
    if (!segment->p_memsz)
        return 0;
    int result = check_file_range(reader, segment, index);
    if (result)
        return result;
    if (!checked_add(segment->p_paddr, segment->p_memsz, &end))
        return error_set(
            reader->error, -ENOEXEC,
            "%s: segment %zu at %#llx with %#llx bytes wraps around the end of the address space",
            reader->image->name, index, (unsigned long long)segment->p_paddr,
            (unsigned long long)segment->p_memsz);
    if (file->segment_count == ELF_SEGMENT_LIMIT)
        return error_set(reader->error, -ENOEXEC, "%s: has more than %d loadable segments",
                         reader->image->name, ELF_SEGMENT_LIMIT);
    file->segments[file->segment_count++] = (struct elf_segment){
        .index = index,
        .offset = segment->p_offset,
        .file_len = segment->p_filesz,
        .gpa = segment->p_paddr,
        .gva = segment->p_vaddr,
        .len = segment->p_memsz,
        .executable = segment->p_flags & PF_X,
    };
    return 0;
}

/* A note: three words (lengths of name and descriptor, type), the name, the descriptor, each padded. */
static int read_note(const struct elf_reader *reader, const uint8_t *at, const Elf64_Nhdr *note,
                     uint64_t descriptor_offset)
{
    if (note->n_type == NT_GNU_ABI_TAG && note->n_namesz == 4 && !memcmp(at + sizeof(*note), "GNU", 4))
        reader->file->is_program = true;
    if (note->n_type != XEN_ELFNOTE_PHYS32_ENTRY || note->n_namesz != 4 ||
        memcmp(at + sizeof(*note), "Xen", 4))
        return 0;
    if (note->n_descsz != 4 && note->n_descsz != 8)
        return error_set(reader->error, -ENOEXEC,
                         "%s: its PVH note holds an entry point of %u bytes instead of 4 or 8",
                         reader->image->name, note->n_descsz);
    reader->file->has_pvh_entry = true;
    reader->file->pvh_entry = load_le(at + descriptor_offset, note->n_descsz);
    return 0;
}

static int read_notes(const struct elf_reader *reader, const Elf64_Phdr *segment, size_t index)
{
    int result = check_file_range(reader, segment, index);
    if (result)
        return result;
    uint64_t align = segment->p_align == 8 ? 8 : 4;
    const uint8_t *at = reader->image->bytes + segment->p_offset;
    uint64_t left = segment->p_filesz;
    Elf64_Nhdr note;
    while (!result && left >= sizeof(note)) {
        memcpy(&note, at, sizeof(note));
        uint64_t descriptor = align_up(sizeof(note) + (uint64_t)note.n_namesz, align);
        uint64_t end = descriptor + note.n_descsz;
        if (end > left)
            return error_set(reader->error, -ENOEXEC,
                             "%s: a note in segment %zu reaches past the segment's end", reader->image->name,
                             index);
        result = read_note(reader, at, &note, descriptor);
        uint64_t step = align_up(end, align) < left ? align_up(end, align) : left;
        at += step;
        left -= step;
    }
    return result;
}

int elf_read(const struct boot_image *image, struct elf_file *file, struct vmm_error *error)
{
    struct elf_reader reader = {.image = image, .file = file, .error = error};
    file->segment_count = 0;
    file->has_pvh_entry = false;
    file->is_program = false;
    file->is_64bit = elf_is_64bit(image);
    int result = read_header(&reader);
    if (!result)
        result = check_program_headers(&reader);
    for (size_t i = 0; !result && i < reader.header.e_phnum; i++) {
        Elf64_Phdr segment = program_header(&reader, i);
        if (segment.p_type == PT_LOAD)
            result = add_segment(&reader, &segment, i);
        else if (segment.p_type == PT_NOTE)
            result = read_notes(&reader, &segment, i);
        else if (segment.p_type == PT_INTERP)
            file->is_program = true;
    }
    if (!result && !file->segment_count)
        return error_set(error, -ENOEXEC, "%s: has no loadable segment", image->name);
    return result;
}

bool elf_is_64bit(const struct boot_image *image)
{
    return image->len > EI_CLASS && image->bytes[EI_CLASS] == ELFCLASS64;
}

gpa_t elf_physical_entry(const struct elf_file *file)
{
    for (size_t i = 0; i < file->segment_count; i++) {
        const struct elf_segment *segment = &file->segments[i];
        if (segment->executable && file->entry >= segment->gva &&
            file->entry - segment->gva < segment->file_len)
            return segment->gpa + (file->entry - segment->gva);
    }
    return file->entry;
}
