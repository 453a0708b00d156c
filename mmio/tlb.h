/* SPDX-License-Identifier: MIT
 *
 * Translations that are kept while instructions are executed one after another in software, as a processor's
 * own TLB keeps them: until the run ends, or something changes what they depend on. A new session forgets
 * all.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_TLB_H
#define MMIO_TLB_H

#include "mmio/access.h"

#define TLB_ENTRIES 64u /* a power of two */

/* One page, at the privilege and flags of the session; `allowed` are the accesses that have succeeded. */
struct tlb_entry {
    uint64_t page; /* gva >> 12 */
    gpa_t gpa;
    const uint8_t *from; /* as of struct access_piece, at the page's start */
    uint8_t *to;
    uint32_t session;
    uint8_t allowed; /* enum access_flags: READ, WRITE, FETCH */
};

struct tlb {
    uint32_t session; /* never 0 */
    struct tlb_entry entries[TLB_ENTRIES];
};

static inline void tlb_forget(struct tlb *tlb)
{
    tlb->session += tlb->session == UINT32_MAX ? 2 : 1;
}

static inline struct tlb_entry *tlb_place(struct tlb *tlb, gva_t gva)
{
    return &tlb->entries[(gva >> 12 ^ gva >> 18) & (TLB_ENTRIES - 1)];
}

/* The one right that covers the access: a write includes the read. */
static inline unsigned tlb_need(unsigned flags)
{
    return flags & ACCESS_WRITE ? ACCESS_WRITE : flags & ACCESS_FETCH ? ACCESS_FETCH : ACCESS_READ;
}

/* Fills the piece, whose length is set and does not leave the page. */
static inline bool tlb_find(struct tlb *tlb, gva_t gva, unsigned flags, struct access_piece *piece)
{
    const struct tlb_entry *entry = tlb_place(tlb, gva);
    unsigned offset = (unsigned)(gva & (PAGE_BYTES - 1));
    if (entry->page != gva >> 12 || entry->session != tlb->session || !(entry->allowed & tlb_need(flags)) ||
        (flags & ACCESS_SYSTEM))
        return false;
    piece->gpa = entry->gpa + offset;
    piece->from = entry->from ? entry->from + offset : NULL;
    piece->to = entry->to ? entry->to + offset : NULL;
    return true;
}

#endif
