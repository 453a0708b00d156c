/* SPDX-License-Identifier: MIT
 *
 * What every loader does alike: the image's parts go to where they want to be, modules and boot tables to
 * where there is room. RAM is taken to be 0 where nobody wrote, so that no page is touched for a .bss.
 */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include "boot/boot.h"
#include "boot/elf.h"
#include "boot/placement.h"

/* One boot_load. All pointers are borrowed. */
struct loader {
    const struct boot_image *image;
    const struct boot_config *config;
    const struct guest_memory *memory;
    struct boot_state *state;
    struct vmm_error *error;
    struct memory_map map, backed;
    struct placement placement;
    gpa_t module_gpa[BOOT_MODULE_LIMIT];
};

/* A part of the image: `file_len` bytes, which lie in it from `offset` on, and zeros up to `len`. */
struct loader_part {
    const char *what; /* for messages */
    gpa_t gpa;        /* where it goes; gpa + len does not wrap */
    uint64_t len, offset, file_len;
};

int loader_put(struct loader *loader, const struct loader_part *part);

/* Copies `len` bytes of an image or a module, from `offset` on, to `gpa`, which was placed. */
int loader_copy(struct loader *loader, const struct boot_image *from, gpa_t gpa, uint64_t offset,
                uint64_t len);

/* Puts every segment. */
int loader_put_elf(struct loader *loader, const struct elf_file *file);

/* Makes `gpa` the first instruction. -ENOEXEC unless it lies in the image; `limit` is the first address that
 * the processor cannot reach. */
int loader_enter(struct loader *loader, gpa_t gpa, gpa_t limit);

/* The guest was given the command line at `gpa`. */
void loader_tell_cmdline(struct loader *loader, gpa_t gpa);

/* Puts the modules behind the image: module_gpa says where. */
int loader_put_modules(struct loader *loader);

/*
 * The boot tables are one block of guest memory, so that a small guest has one page of them:
 *
 *   block               rsp
 *   | a page of stack    | page tables, if any | GDT | start info, memory map, strings ... |
 *
 * The stack below rsp is not written. `at` walks from the page tables to the end.
 */
struct boot_tables {
    gpa_t gpa;
    uint8_t *at; /* the host address of gpa */
    uint64_t left;
    gpa_t stack_gpa; /* its end, where the stack begins */
};

/* Takes and maps a block for `len` bytes besides the stack. */
int tables_create(struct loader *loader, uint64_t len, struct boot_tables *tables);

/* The next `len` bytes, padded to 8. The caller has counted them (by tables_size) for tables_create. */
void *tables_take(struct boot_tables *tables, uint64_t len, gpa_t *gpa);
#define tables_size(len) align_up(len, 8)

/* Writes "FIRST SECOND", or one of them where the other is NULL, or "". strings_size tells how much it takes.
 */
gpa_t tables_put_strings(struct boot_tables *tables, const char *first, const char *second);
uint64_t strings_size(const char *first, const char *second);

#endif
