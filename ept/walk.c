/* SPDX-License-Identifier: MIT
 *
 * The page-table walk (SDM 3A 4.3 to 4.7, APM 2 5.3 to 5.6). One loop over the levels serves all modes: a
 * mode is the number of levels, the bits of index for each, and the width of an entry.
 */
#include "ept/walk.h"

#include "base/x86.h"

#define ENTRY_P         0x01u
#define ENTRY_W         0x02u
#define ENTRY_U         0x04u
#define ENTRY_A         0x20u
#define ENTRY_D         0x40u
#define ENTRY_PS        0x80u
#define ENTRY_NX        (1ull << 63)
#define ENTRY_GPA       0x000ffffffffff000ull
#define ENTRY_KEY(e)    ((unsigned)((e) >> 59) & 15)
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

#define LEVELS_MAX     5
#define UPDATE_RETRIES 64 /* another vCPU that keeps on changing an entry only hurts itself */

enum paging_mode {
    PAGING_32,
    PAGING_PAE,
    PAGING_LONG,
};

/* A walk in progress. `entries[i]` is what was read at `gpas[i]`, from the root down. */
struct walk {
    const struct walk_context *context;
    enum paging_mode mode;
    unsigned levels, entry_bytes, index_bits;
    unsigned count;
    gpa_t gpas[LEVELS_MAX];
    uint64_t entries[LEVELS_MAX];
    uint64_t rights;                  /* ENTRY_W and ENTRY_U of all levels, ENTRY_NX of any */
    uint64_t reserved;                /* in entries of every level of the mode */
    const struct memory_range *range; /* where the last entry was found: mostly all lie in one */
};

/* BITS(51, MAXPHYADDR), and NX where it is off; 32-bit entries have neither. */
static uint64_t reserved_everywhere(const struct walk_context *context)
{
    unsigned physical = context->physical_address_bits;
    uint64_t bits = physical < 52 ? BITS(51, physical) : 0;
    return context->efer & EFER_NXE ? bits : bits | ENTRY_NX;
}

static void walk_begin(struct walk *walk, const struct walk_context *context)
{
    walk->context = context;
    walk->count = 0;
    walk->rights = ENTRY_W | ENTRY_U;
    walk->range = NULL;
    walk->entry_bytes = 8;
    walk->index_bits = 9;
    walk->reserved = reserved_everywhere(context);
    if (context->efer & EFER_LMA) {
        walk->mode = PAGING_LONG;
        walk->levels = context->cr4 & CR4_LA57 ? 5 : 4;
    } else if (context->cr4 & CR4_PAE) {
        walk->mode = PAGING_PAE;
        walk->levels = 3;
        walk->reserved |= BITS(62, 52);
    } else {
        walk->mode = PAGING_32;
        walk->levels = 2;
        walk->entry_bytes = 4;
        walk->index_bits = 10;
        walk->reserved = 0;
    }
}

/* The entry's host address, or NULL. Entries are aligned, so one never leaves its range. */
static void *entry_pointer(struct walk *walk, gpa_t gpa)
{
    const struct memory_range *range = walk->range;
    if (__builtin_expect(!range || gpa - range->gpa >= range->len, 0)) {
        size_t count;
        const struct memory_range *ranges = guest_memory_ranges(walk->context->memory, &count);
        range = NULL;
        for (size_t i = 0; i < count && !range; i++)
            if (gpa - ranges[i].gpa < ranges[i].len)
                range = &ranges[i];
        walk->range = range;
    }
    return range ? range->hva + (gpa - range->gpa) : NULL;
}

static uint64_t entry_read(struct walk *walk, gpa_t gpa, struct walk_result *result)
{
    const void *hva = entry_pointer(walk, gpa);
    if (__builtin_expect(hva != NULL, 1))
        return walk->entry_bytes == 8 ? __atomic_load_n((const uint64_t *)hva, __ATOMIC_ACQUIRE)
                                      : __atomic_load_n((const uint32_t *)hva, __ATOMIC_ACQUIRE);
    result->table_outside_ram = true;
    result->table_gpa = gpa;
    return size_mask(walk->entry_bytes);
}

/* Whether the entry at `level` (1 is the lowest) maps a page itself. */
static bool entry_is_leaf(const struct walk *walk, uint64_t entry, unsigned level)
{
    if (level == 1)
        return true;
    if (!(entry & ENTRY_PS))
        return false;
    switch (walk->mode) {
    case PAGING_32:
        return walk->context->cr4 & CR4_PSE;
    case PAGING_PAE:
        return level == 2;
    case PAGING_LONG:
        return level <= 3;
    }
    return false;
}

/* The bits that must be 0 in an entry (SDM 3A tables 4-4 to 4-20). */
static uint64_t entry_reserved(const struct walk *walk, unsigned level, bool is_leaf)
{
    if (walk->mode == PAGING_32) {
        /* PSE-36: bits 13 to 20 of a 4 MiB page are the address's bits 32 to 39 */
        unsigned physical = walk->context->physical_address_bits;
        unsigned above = physical < 40 ? physical : 40;
        return is_leaf && level == 2 ? BITS(21, above - 19) : 0;
    }
    if (walk->mode == PAGING_PAE && level == 3)
        return walk->reserved | ENTRY_NX | BITS(8, 5) | BITS(2, 1);
    if (level >= 4)
        return walk->reserved | ENTRY_PS;
    if (is_leaf && level > 1)
        return walk->reserved | (level == 2 ? BITS(20, 13) : BITS(29, 13));
    return walk->reserved;
}

static gpa_t leaf_gpa(const struct walk *walk, uint64_t entry, unsigned level, gva_t gva,
                      struct walk_result *result)
{
    unsigned shift = 12 + walk->index_bits * (level - 1);
    result->page_bytes = 1ull << shift;
    uint64_t base = entry & ENTRY_GPA;
    if (walk->mode == PAGING_32 && level == 2)
        base = (entry & 0xffc00000u) | (entry >> 13 & 0xff) << 32;
    return align_down(base, result->page_bytes) | (gva & (result->page_bytes - 1));
}

static gpa_t root_gpa(const struct walk *walk)
{
    switch (walk->mode) {
    case PAGING_32:
        return walk->context->cr3 & 0xfffff000u;
    case PAGING_PAE:
        return walk->context->cr3 & 0xffffffe0u;
    case PAGING_LONG:
        break;
    }
    return walk->context->cr3 & ENTRY_GPA;
}

/* Down to the leaf: 0, or the part of the error code that says why not. */
static uint32_t walk_down(struct walk *walk, gva_t gva, struct walk_result *result, bool *found)
{
    gpa_t table = root_gpa(walk);
    for (unsigned level = walk->levels;; level--) {
        unsigned shift = 12 + walk->index_bits * (level - 1);
        uint64_t index = gva >> shift & ((1u << walk->index_bits) - 1);
        gpa_t gpa = table + index * walk->entry_bytes;
        uint64_t entry = entry_read(walk, gpa, result);
        *found = false;
        if (!(entry & ENTRY_P))
            return 0;
        bool is_leaf = entry_is_leaf(walk, entry, level);
        if (entry & entry_reserved(walk, level, is_leaf))
            return PF_PRESENT | PF_RESERVED;
        walk->gpas[walk->count] = gpa;
        walk->entries[walk->count++] = entry;
        if (walk->mode != PAGING_PAE || level != 3)
            walk->rights = (walk->rights & (entry | ENTRY_NX)) | (entry & ENTRY_NX);
        *found = true;
        if (is_leaf) {
            result->gpa = leaf_gpa(walk, entry, level, gva, result);
            return 0;
        }
        table = walk->mode == PAGING_32 ? entry & 0xfffff000u : entry & ENTRY_GPA;
    }
}

static bool key_forbids(const struct walk *walk, unsigned access)
{
    const struct walk_context *context = walk->context;
    if (walk->mode != PAGING_LONG || !(context->cr4 & CR4_PKE) || !(walk->rights & ENTRY_U) ||
        (access & WALK_FETCH) || !context->pkru_read)
        return false;
    uint32_t bits = context->pkru_read(context->owner) >> (2 * ENTRY_KEY(walk->entries[walk->count - 1])) & 3;
    bool write_counts = (access & WALK_WRITE) && ((access & WALK_USER) || (context->cr0 & CR0_WP));
    return (bits & 1) || ((bits & 2) && write_counts);
}

static bool rights_forbid(const struct walk_context *context, uint64_t rights, unsigned access)
{
    bool user_page = rights & ENTRY_U;
    if ((access & WALK_FETCH) && (rights & ENTRY_NX))
        return true;
    if (access & WALK_USER)
        return !user_page || ((access & WALK_WRITE) && !(rights & ENTRY_W));
    if (access & WALK_FETCH)
        return user_page && (context->cr4 & CR4_SMEP);
    if (user_page && (context->cr4 & CR4_SMAP) && (!context->flags_ac || (access & WALK_IMPLICIT)))
        return true;
    return (access & WALK_WRITE) && !(rights & ENTRY_W) && (context->cr0 & CR0_WP);
}

/* What the walk has taken from an entry; other CPUs may change the rest as they like. */
#define ENTRY_JUDGED (ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_PS | ENTRY_GPA | ENTRY_NX | 15ull << 59)

static bool entry_exchange(void *hva, unsigned size, uint64_t *entry, uint64_t value)
{
    if (size == 8)
        return __atomic_compare_exchange_n((uint64_t *)hva, entry, value, false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_ACQUIRE);
    uint32_t old = (uint32_t)*entry;
    bool done = __atomic_compare_exchange_n((uint32_t *)hva, &old, (uint32_t)value, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE);
    *entry = old;
    return done;
}

/* Sets `bits` in an entry that still means what was read; false: it does not, and the walk starts again. */
static bool entry_update(struct walk *walk, unsigned i, uint64_t bits)
{
    uint64_t entry = walk->entries[i];
    void *hva = entry_pointer(walk, walk->gpas[i]);
    if (!hva || walk->range->read_only)
        return true; /* tables in ROM keep their bits */
    while (!entry_exchange(hva, walk->entry_bytes, &entry, entry | bits))
        if ((entry ^ walk->entries[i]) & ENTRY_JUDGED)
            return false;
    if (walk->context->table_written)
        walk->context->table_written(walk->context->owner, walk->gpas[i], walk->entry_bytes);
    return true;
}

static bool walk_update(struct walk *walk, unsigned access)
{
    for (unsigned i = 0; i < walk->count; i++) {
        bool is_leaf = i == walk->count - 1;
        uint64_t bits = ENTRY_A | (is_leaf && (access & WALK_WRITE) ? ENTRY_D : 0);
        if (walk->mode == PAGING_PAE && i == 0)
            continue; /* a PDPTE of PAE has no A bit */
        if ((walk->entries[i] & bits) != bits && !entry_update(walk, i, bits))
            return false;
    }
    return true;
}

static uint32_t access_bits(const struct walk_context *context, unsigned access)
{
    bool nx = (context->efer & EFER_NXE) && (context->cr4 & CR4_PAE);
    bool report_fetch = nx || (context->cr4 & CR4_SMEP);
    return ((access & WALK_WRITE) ? PF_WRITE : 0) | ((access & WALK_USER) ? PF_USER : 0) |
           ((access & WALK_FETCH) && report_fetch ? PF_FETCH : 0);
}

/* The walk of nearly every access: long mode, all tables in one range of RAM, nothing to set and nothing to
 * refuse. False says only that the walk has to be made with care. */
static bool walk_quick(const struct walk_context *context, gva_t gva, unsigned access,
                       struct walk_result *result)
{
    size_t count;
    const struct memory_range *range = guest_memory_ranges(context->memory, &count);
    unsigned shift = context->cr4 & CR4_LA57 ? 48 : 39;
    uint64_t all = ~0ull, any = 0, entry = context->cr3;
    struct walk_trail *trail = &result->trail;
    unsigned level = 0;
    if (!(context->efer & EFER_LMA) || !count)
        return false;
    for (;; shift -= 9, level++) {
        uint64_t offset = (entry & ENTRY_GPA) + (gva >> shift & 511) * 8 - range->gpa;
        if (offset >= range->len)
            return false;
        trail->entries[level] = (const uint64_t *)(range->hva + offset);
        trail->values[level] = entry = __atomic_load_n(trail->entries[level], __ATOMIC_ACQUIRE);
        all &= entry;
        any |= entry;
        if (shift == 12 || (entry & (ENTRY_P | ENTRY_PS)) != ENTRY_P)
            break;
    }
    uint64_t needed = ENTRY_P | ENTRY_A, low = (1ull << shift) - 1;
    bool is_sound = (all & needed) == needed && !(any & reserved_everywhere(context)) && shift <= 30 &&
                    !(entry & low & ~0x1fffull & ENTRY_GPA);
    uint64_t rights = (all & (ENTRY_W | ENTRY_U)) | (any & ENTRY_NX);
    if (!is_sound || ((access & WALK_WRITE) && !(entry & ENTRY_D)) ||
        ((rights & ENTRY_U) && (context->cr4 & CR4_PKE)) || rights_forbid(context, rights, access))
        return false;
    result->gpa = (entry & ENTRY_GPA & ~low) | (gva & low);
    result->page_bytes = low + 1;
    trail->count = level + 1;
    while (++level < WALK_LEVELS) {
        trail->entries[level] = trail->entries[level - 1];
        trail->values[level] = entry;
    }
    return true;
}

/* All of it, by the book. */
__attribute__((noinline)) static bool walk_fully(const struct walk_context *context, gva_t gva,
                                                 unsigned access, struct walk_result *result)
{
    for (unsigned retry = 0; retry < UPDATE_RETRIES; retry++) {
        struct walk walk;
        bool found;
        walk_begin(&walk, context);
        uint32_t why = walk_down(&walk, gva, result, &found);
        if (found) {
            bool key = key_forbids(&walk, access);
            if (key || rights_forbid(context, walk.rights, access))
                why = PF_PRESENT | (key ? PF_KEY : 0);
        }
        if (!found || why) {
            result->error_code = why | access_bits(context, access);
            return false;
        }
        if ((access & WALK_PEEK) || walk_update(&walk, access))
            return true;
    }
    return true;
}

bool walk_gva(const struct walk_context *context, gva_t gva, unsigned access, struct walk_result *result)
{
    result->gpa = gva;
    result->page_bytes = 4 * GIB;
    result->error_code = 0;
    result->table_outside_ram = false;
    result->table_gpa = 0;
    result->trail.count = 0;
    if (!(context->cr0 & CR0_PG) || walk_quick(context, gva, access, result))
        return true;
    return walk_fully(context, gva, access, result);
}
