/* SPDX-License-Identifier: MIT
 *
 * Translations that are kept while instructions are executed in software. Within a session (a run of
 * instructions) they hold as in a processor's own TLB, until something changes what they depend on. From one
 * session to the next the guest runs by itself and may change everything: a translation is used again only
 * after its page table entries were compared, which is the walk without its thinking.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_TLB_H
#define MMIO_TLB_H

#include "mmio/access.h"

#define TLB_ENTRIES 256u /* a power of two */

/* One page, at the privilege and flags of the session; `allowed` are the accesses that have succeeded. Its
 * trail is kept apart. */
struct tlb_entry {
    uint64_t page; /* gva >> 12 */
    gpa_t gpa;
    const uint8_t *from; /* as of struct access_piece, at the page's start */
    uint8_t *to;
    uint64_t session;    /* in which it is known to hold */
    uint64_t generation; /* of the registers that it depends on */
    uint8_t allowed;     /* enum access_flags: READ, WRITE, FETCH */
};

/* The pages that a session is expected to begin with, because the last one did. */
enum tlb_expected { TLB_CODE, TLB_DATA, TLB_EXPECTED_COUNT };

struct tlb {
    uint64_t session, generation;         /* never 0 */
    uint64_t cr0, cr3, cr4, efer, rights; /* of the generation */
    uint8_t expected[TLB_EXPECTED_COUNT]; /* their entries */
    struct tlb_entry entries[TLB_ENTRIES];
    struct walk_trail trails[TLB_ENTRIES]; /* of each */
};

/* Nothing holds any more. */
static inline void tlb_forget(struct tlb *tlb)
{
    tlb->session++;
    tlb->generation++;
}

/* Makes an entry of an earlier session one of this, if it still holds. */
static inline bool tlb_renew(struct tlb *tlb, unsigned index)
{
    struct tlb_entry *entry = &tlb->entries[index];
    if (entry->generation != tlb->generation || !walk_trail_holds(&tlb->trails[index]))
        return false;
    entry->session = tlb->session;
    return true;
}

/* A new session, for the registers as they are now. */
static inline void tlb_begin(struct tlb *tlb, const struct cpu_state *cpu)
{
    uint64_t rights = cpu->cpl | (cpu->rflags & FLAG_AC);
    tlb->session++;
    if (tlb->cr0 == cpu->cr0 && tlb->cr3 == cpu->cr3 && tlb->cr4 == cpu->cr4 && tlb->efer == cpu->efer &&
        tlb->rights == rights) {
        for (unsigned i = 0; i < TLB_EXPECTED_COUNT; i++)
            tlb_renew(tlb, tlb->expected[i]);
        return;
    }
    tlb->generation++;
    tlb->cr0 = cpu->cr0;
    tlb->cr3 = cpu->cr3;
    tlb->cr4 = cpu->cr4;
    tlb->efer = cpu->efer;
    tlb->rights = rights;
}

static inline unsigned tlb_index(gva_t gva)
{
    return (gva >> 12 ^ gva >> 18) & (TLB_ENTRIES - 1);
}

/* A session has come to the entry, and so will the next. */
static inline void tlb_expect(struct tlb *tlb, unsigned index, unsigned flags)
{
    tlb->expected[flags & ACCESS_FETCH ? TLB_CODE : TLB_DATA] = (uint8_t)index;
}

/* The one right that covers the access: a write includes the read. */
static inline unsigned tlb_need(unsigned flags)
{
    return flags & ACCESS_WRITE ? ACCESS_WRITE : flags & ACCESS_FETCH ? ACCESS_FETCH : ACCESS_READ;
}

static inline bool tlb_same_trail(const struct walk_trail *a, const struct walk_trail *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; same && i < a->count; i++)
        same = a->entries[i] == b->entries[i] && a->values[i] == b->values[i];
    return same;
}

static inline bool tlb_is(const struct tlb_entry *entry, gva_t gva, unsigned flags)
{
    return entry->page == gva >> 12 && (entry->allowed & tlb_need(flags));
}

/* The translation of the page for such an access, where it is known to hold; else NULL. */
static inline const struct tlb_entry *tlb_known(const struct tlb *tlb, gva_t gva, unsigned flags)
{
    const struct tlb_entry *entry = &tlb->entries[tlb_index(gva)];
    return tlb_is(entry, gva, flags) && entry->session == tlb->session ? entry : NULL;
}

/* The same, where it holds. */
static inline const struct tlb_entry *tlb_check(struct tlb *tlb, gva_t gva, unsigned flags)
{
    unsigned index = tlb_index(gva);
    const struct tlb_entry *entry = &tlb->entries[index];
    if (!tlb_is(entry, gva, flags))
        return NULL;
    if (entry->session == tlb->session)
        return entry;
    if (!tlb_renew(tlb, index))
        return NULL;
    tlb_expect(tlb, index, flags);
    return entry;
}

/* Fills the piece, whose length is set and does not leave the page. */
static inline bool tlb_find(struct tlb *tlb, gva_t gva, unsigned flags, struct access_piece *piece)
{
    const struct tlb_entry *entry = flags & ACCESS_SYSTEM ? NULL : tlb_check(tlb, gva, flags);
    unsigned offset = (unsigned)(gva & (PAGE_BYTES - 1));
    if (!entry)
        return false;
    piece->gpa = entry->gpa + offset;
    piece->from = entry->from ? entry->from + offset : NULL;
    piece->to = entry->to ? entry->to + offset : NULL;
    return true;
}

#endif
