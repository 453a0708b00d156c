/* SPDX-License-Identifier: MIT
 *
 * The processor as an image finds it, for each of the three modes, and the GDT and page tables in guest
 * memory that go with it. The fields that depend on the protocol (rip, rbx, ...) stay the caller's.
 */
#ifndef BOOT_CPU_STATE_H
#define BOOT_CPU_STATE_H

#include "boot/loader.h"

/* Where the GDT has what. */
enum selectors {
    SELECTORS_OWN,   /* 32-bit code at 0x08, data at 0x10, 64-bit code at 0x18 */
    SELECTORS_LINUX, /* code of the mode at 0x10 and data at 0x18, as Linux's boot protocol asks for */
};
#define SELECTOR_TSS 0x20 /* two entries in 64-bit mode */
#define GDT_BYTES    48

/* 16-bit real mode at `entry`, below 1 MiB. */
void state_real16(struct boot_state *state, gpa_t entry);

/* Flat 32-bit protected mode without paging, as PVH and multiboot ask for. Takes GDT_BYTES of the tables. */
void state_prot32(struct boot_state *state, struct boot_tables *tables, enum selectors selectors);

/* 64-bit mode. Takes page_tables_size() of the tables, page-aligned, and GDT_BYTES. */
void state_long64(struct boot_state *state, struct boot_tables *tables, bool gib_pages,
                  enum selectors selectors);
uint64_t page_tables_size(bool gib_pages);

/* The first address that state_long64 does not map. */
gpa_t page_tables_end(bool gib_pages);

#endif
