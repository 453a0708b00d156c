/* SPDX-License-Identifier: MIT
 *
 * The walk of the guest's own page tables, from a guest-virtual to a guest-physical address, in every paging
 * mode of SDM 3A chapter 4, with the permission checks and the accessed and dirty bits. Segmentation and the
 * canonical form are the caller's.
 *
 * The tables belong to a hostile guest and change at any time: every entry is read once and judged by that
 * copy. A table that is not RAM reads as all ones, without touching a device: nearly always a reserved-bit
 * fault.
 *
 * Threads: any; A and D bits are set by compare-exchange, as a processor does.
 */
#ifndef EPT_WALK_H
#define EPT_WALK_H

#include "ept/memory.h"

/* What the access is. None of them: a supervisor's data read. */
enum walk_access {
    WALK_WRITE = 1,    /* also of a read-modify-write */
    WALK_USER = 2,     /* made at CPL 3 and not implicitly supervisor */
    WALK_FETCH = 4,    /* of code */
    WALK_IMPLICIT = 8, /* descriptor tables, TSS: EFLAGS.AC does not override SMAP */
    WALK_PEEK = 16,    /* for a debugger: sets no A and D bits */
};

/* The error code of #PF. */
#define PF_PRESENT  0x01u
#define PF_WRITE    0x02u
#define PF_USER     0x04u
#define PF_RESERVED 0x08u
#define PF_FETCH    0x10u
#define PF_KEY      0x20u

/* The registers that decide about paging. `pkru_read` is called only where the protection key of a user page
 * matters; NULL reads as 0. `table_written` is told of A and D bits; may be NULL. */
struct walk_context {
    const struct guest_memory *memory;
    uint64_t cr0, cr3, cr4, efer;
    bool flags_ac;
    uint8_t physical_address_bits; /* MAXPHYADDR, 32 to 52 */
    uint32_t (*pkru_read)(void *owner);
    void (*table_written)(void *owner, gpa_t gpa, uint64_t len);
    void *owner;
};

/* The entries that a walk went down by, where it had nothing to set and nothing unusual in it: while they
 * hold these values, and the registers theirs, the same walk ends the same way. */
#define WALK_LEVELS 5
struct walk_trail {
    unsigned count; /* 0: not known; the last is repeated up to WALK_LEVELS */
    const uint64_t *entries[WALK_LEVELS];
    uint64_t values[WALK_LEVELS];
};

static inline uint64_t walk_trail_difference(const struct walk_trail *trail, unsigned i)
{
    return __atomic_load_n(trail->entries[i], __ATOMIC_ACQUIRE) ^ trail->values[i];
}

static inline bool walk_trail_holds(const struct walk_trail *trail)
{
    return trail->count && !(walk_trail_difference(trail, 0) | walk_trail_difference(trail, 1) |
                             walk_trail_difference(trail, 2) | walk_trail_difference(trail, 3) |
                             walk_trail_difference(trail, 4));
}

struct walk_result {
    gpa_t gpa;
    uint64_t page_bytes;    /* the mapping's: 4 KiB to 1 GiB, and 4 GiB without paging */
    uint32_t error_code;    /* of #PF, where the walk returned false */
    bool table_outside_ram; /* an entry was not in RAM, and table_gpa says where */
    gpa_t table_gpa;
    struct walk_trail trail; /* beyond `count` nothing is meant */
};

/* false: #PF with result->error_code. `gva` is a linear address: 32 bits outside long mode, canonical in it.
 */
bool walk_gva(const struct walk_context *context, gva_t gva, unsigned access, struct walk_result *result);

#endif
