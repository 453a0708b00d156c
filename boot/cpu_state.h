/* SPDX-License-Identifier: MIT
 *
 * The processor as an image finds it, for each of the three modes, and the GDT and page tables in guest
 * memory that go with it. The fields that depend on the protocol (rip, rbx, ...) stay the caller's.
 */
#ifndef BOOT_CPU_STATE_H
#define BOOT_CPU_STATE_H

#include "boot/loader.h"

/* Selectors in the GDT. */
enum {
    SELECTOR_CODE32 = 0x08,
    SELECTOR_DATA = 0x10,
    SELECTOR_CODE64 = 0x18,
    SELECTOR_TSS = 0x20, /* two entries in 64-bit mode */
};
#define GDT_BYTES 48

/* 16-bit real mode at `entry`, below 1 MiB. */
void state_real16(struct boot_state *state, gpa_t entry);

/* Flat 32-bit protected mode without paging, as PVH and multiboot ask for. Takes GDT_BYTES of the tables. */
void state_prot32(struct boot_state *state, struct boot_tables *tables);

/* 64-bit mode. Takes page_tables_size() of the tables, which have to be the first, and GDT_BYTES. */
void state_long64(struct boot_state *state, struct boot_tables *tables, bool gib_pages);
uint64_t page_tables_size(bool gib_pages);

/* The first address that state_long64 does not map. */
gpa_t page_tables_end(bool gib_pages);

#endif
