/* SPDX-License-Identifier: MIT
 *
 * Reading ELF files for x86: the headers checked, the loadable segments and the PVH entry point taken out.
 * Nothing is loaded here. Executables and position-independent executables go to the physical addresses of
 * their program headers; relocations are not applied.
 */
#ifndef BOOT_ELF_H
#define BOOT_ELF_H

#include "boot/boot.h"

#define ELF_SEGMENT_LIMIT 64

/* A PT_LOAD that occupies memory. Its file bytes are known to lie in the file, its memory not to wrap. */
struct elf_segment {
    unsigned index; /* of its program header */
    uint64_t offset, file_len;
    gpa_t gpa;
    uint64_t gva;
    uint64_t len; /* in memory; never 0, never below file_len */
    bool executable;
};

struct elf_file {
    bool is_64bit;
    uint64_t entry;  /* e_entry: virtual */
    bool is_program; /* of an operating system: asks for a dynamic linker, or a note says whose it is */
    bool has_pvh_entry;
    uint64_t pvh_entry; /* physical */
    size_t segment_count;
    struct elf_segment segments[ELF_SEGMENT_LIMIT];
};

/* The image is known to begin with ELF's magic. -ENOEXEC with a precise sentence where it is not a sound
 * x86 executable. */
int elf_read(const struct boot_image *image, struct elf_file *file, struct vmm_error *error);

/* Just the class, for a choice before the rest is read: whether the header says ELF64. */
bool elf_is_64bit(const struct boot_image *image);

/* The physical address of e_entry by the executable segment that holds it, e_entry itself where none does:
 * kernels are linked high and entered low. */
gpa_t elf_physical_entry(const struct elf_file *file);

#endif
