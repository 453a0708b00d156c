/* SPDX-License-Identifier: MIT
 *
 * Pages of RAM below 4 GiB, and our page tables: RAM, the APICs' windows, and what the tests map. An address
 * that is neither is not mapped.
 */
#ifndef GUEST_PAGE_H
#define GUEST_PAGE_H

#include "guest/kernel.h"

#define PTE_PRESENT  (1ull << 0)
#define PTE_WRITE    (1ull << 1)
#define PTE_USER     (1ull << 2)
#define PTE_UNCACHED (1ull << 4)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY    (1ull << 6)
#define PTE_LARGE    (1ull << 7)
#define PTE_NX       (1ull << 63)
#define PTE_ADDRESS  0x000ffffffffff000ull

/* Where the tests map pages: nothing else is in this half of the address space. */
#define TEST_VA 0xffff800000000000ull

/* Takes over the memory of boot_info, builds the tables and switches to them. */
void page_init(void);

/* A page, not cleared; NULL when there is no more. */
void *page_alloc(void);
void *page_alloc_zeroed(void);
void page_free(void *page);

/* `count` pages in a row with the first at a multiple of `align` bytes, never to be freed; NULL if none. */
void *page_alloc_range(size_t count, uint64_t align);

/* How many pages can still be had. */
size_t page_free_count(void);

/* The entry that maps `va`, made with its tables if need be, which are writable and for user mode; panics
 * without memory. Write it with pte_set(). */
uint64_t *page_entry(uint64_t va, bool is_large);
void pte_set(uint64_t *entry, uint64_t value);

/* Maps the page at `pa` and drops what the TLB had for it. */
void page_map(uint64_t va, uint64_t pa, uint64_t flags);

/* Maps [pa, pa + len) to itself, in large pages. */
void page_map_identity(uint64_t pa, uint64_t len, uint64_t flags);

#endif
