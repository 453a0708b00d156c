/* SPDX-License-Identifier: MIT
 *
 * The memory operand of quick instructions, for quick.c and quick_alu.c, whose every function has it inline.
 * A place is on one page, whose translation is known or becomes known.
 */
#ifndef MMIO_QUICK_MEMORY_H
#define MMIO_QUICK_MEMORY_H

#include "base/bytes.h"
#include "mmio/access.h"
#include "mmio/bus_exit.h"
#include "mmio/quick.h"
#include "mmio/tlb.h"

#define QUICK_INLINE static inline __attribute__((always_inline))

struct quick_place {
    const struct tlb_entry *page; /* NULL: none */
    unsigned offset;              /* into it */
};

/* Where the translation is not known to hold: checks it, or walks, and executes the instruction again when it
 * is. Where that fails, QUICK_LEFT: who comes after us finds out why. */
enum quick_result quick_walk(struct step_env *env, const struct quick *quick, unsigned size, unsigned flags);

/* RAM. */
enum quick_result quick_write_ram(struct step_env *env, struct quick_place place, const struct quick *quick,
                                  uint64_t value);

/* The offset into the segment. */
QUICK_INLINE gva_t quick_offset(const struct quick *quick)
{
    return (quick->disp + *quick->base + (*quick->index << quick->shift)) & quick->address_mask;
}

/* A translation that is known is one of a canonical address. */
QUICK_INLINE struct quick_place quick_find(struct step_env *env, const struct quick *quick, unsigned size,
                                           unsigned flags)
{
    gva_t gva = quick_offset(quick) + *quick->segment_base;
    struct quick_place place = {NULL, (unsigned)gva & (PAGE_BYTES - 1)};
    if (__builtin_expect(place.offset + size <= PAGE_BYTES, 1))
        place.page = tlb_known(env->tlb, gva, flags);
    return place;
}

QUICK_INLINE uint64_t quick_read(struct step_env *env, struct quick_place place, unsigned size)
{
    const struct tlb_entry *page = place.page;
    return page->from ? load_le(page->from + place.offset, size)
                      : access_device_read(env, page->gpa + place.offset, size);
}

/* What the instruction ends as that has read from the place. */
QUICK_INLINE enum quick_result quick_has_read(struct quick_place place)
{
    return place.page->from ? QUICK_DONE : QUICK_DEVICE;
}

/* Writes as the last thing of the instruction, which ends so. */
QUICK_INLINE enum quick_result quick_write(struct step_env *env, struct quick_place place,
                                           const struct quick *quick, uint64_t value)
{
    const struct tlb_entry *page = place.page;
    if (page->to)
        return quick_write_ram(env, place, quick, value);
    env->outcome->device_writes++;
    env->outcome->device_gpa = page->gpa + place.offset;
    bus_write_memory(env->machine->bus, page->gpa + place.offset, quick->size, value & quick->mask);
    return QUICK_DEVICE;
}

#endif
