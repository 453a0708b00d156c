/* SPDX-License-Identifier: MIT
 *
 * The multiboot 1 protocol (Multiboot Specification version 0.6.96), as QEMU's -kernel gives it.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "boot/loader.h"

struct multiboot_header {
    size_t offset; /* in the file */
    uint32_t flags;
    bool has_addresses; /* it says itself where the image goes (flag 16); the fields below are its own */
    uint32_t header_gpa, load_gpa, load_end_gpa, bss_end_gpa, entry_gpa;
};

/* Looks for the header in the first 8 KiB, 4-byte aligned, with a checksum that fits. */
bool multiboot_find(const struct boot_image *image, struct multiboot_header *header);

/* Loads by the header's addresses, or else by `file`, which is NULL where the image is no ELF file. */
int multiboot_load(struct loader *loader, const struct multiboot_header *header, const struct elf_file *file);

#endif
