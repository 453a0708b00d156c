/* SPDX-License-Identifier: MIT
 *
 * The PVH boot protocol: Xen's "x86/HVM direct boot ABI", version 1 of its start info.
 */
#ifndef BOOT_PVH_H
#define BOOT_PVH_H

#include "boot/loader.h"

/* Loads an ELF file that has a PVH entry point. */
int pvh_load(struct loader *loader, const struct elf_file *file);

/* The start info with all it points to: the memory map, the command line, the modules (which were put).
 * Flat images get one too. */
uint64_t start_info_size(const struct loader *loader);
gpa_t start_info_put(struct loader *loader, struct boot_tables *tables);

#endif
