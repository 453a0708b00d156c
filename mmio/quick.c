/* SPDX-License-Identifier: MIT
 *
 * Moves and jumps, each as a function for its kinds of operands. See quick.h.
 */
#include "mmio/quick_memory.h"

enum quick_result quick_walk(struct step_env *env, const struct quick *quick, unsigned size, unsigned flags)
{
    gva_t gva = quick_offset(quick) + *quick->segment_base;
    if ((gva & (PAGE_BYTES - 1)) + size > PAGE_BYTES)
        return QUICK_LEFT;
    if (tlb_check(env->tlb, gva, flags))
        return quick->execute(env, quick);
    env->operand = (struct access){.offset = quick_offset(quick),
                                   .len = (uint16_t)size,
                                   .segment = quick->segment,
                                   .flags = (uint8_t)flags};
    bool is_known = access_prepare(env, &env->operand) == STEP_DONE && tlb_known(env->tlb, gva, flags);
    return is_known ? quick->execute(env, quick) : QUICK_LEFT;
}

enum quick_result quick_write_ram(struct step_env *env, struct quick_place place, const struct quick *quick,
                                  uint64_t value)
{
    const struct tlb_entry *page = place.page;
    access_ram_write(env, page->to + place.offset, page->gpa + place.offset, quick->size, value);
    return QUICK_WRITTEN;
}

enum quick_result quick_end(struct step_env *env, const struct quick *quick)
{
    (void)env, (void)quick;
    return QUICK_LEFT;
}

/* ---- Moves ---- */

QUICK_INLINE enum quick_result set(const struct quick *quick, uint64_t value, enum quick_result result)
{
    *quick->to = (*quick->to & quick->keep) | (value & quick->mask);
    return result;
}

QUICK_INLINE uint64_t extend(const struct quick *quick, uint64_t value, bool is_signed)
{
    value <<= quick->from_shift;
    return is_signed ? (uint64_t)((int64_t)value >> quick->from_shift) : value >> quick->from_shift;
}

enum quick_result quick_mov(struct step_env *env, const struct quick *quick)
{
    (void)env;
    return set(quick, *quick->from, QUICK_DONE);
}

enum quick_result quick_movzx(struct step_env *env, const struct quick *quick)
{
    (void)env;
    return set(quick, extend(quick, *quick->from, false), QUICK_DONE);
}

enum quick_result quick_movsx(struct step_env *env, const struct quick *quick)
{
    (void)env;
    return set(quick, extend(quick, *quick->from, true), QUICK_DONE);
}

enum quick_result quick_mov_from_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->size, ACCESS_READ);
    if (!place.page)
        return quick_walk(env, quick, quick->size, ACCESS_READ);
    return set(quick, quick_read(env, place, quick->size), quick_has_read(place));
}

enum quick_result quick_movzx_from_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->from_size, ACCESS_READ);
    if (!place.page)
        return quick_walk(env, quick, quick->from_size, ACCESS_READ);
    return set(quick, quick_read(env, place, quick->from_size), quick_has_read(place));
}

enum quick_result quick_movsx_from_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->from_size, ACCESS_READ);
    if (!place.page)
        return quick_walk(env, quick, quick->from_size, ACCESS_READ);
    return set(quick, extend(quick, quick_read(env, place, quick->from_size), true), quick_has_read(place));
}

enum quick_result quick_mov_to_memory(struct step_env *env, const struct quick *quick)
{
    struct quick_place place = quick_find(env, quick, quick->size, ACCESS_WRITE);
    if (!place.page)
        return quick_walk(env, quick, quick->size, ACCESS_WRITE);
    return quick_write(env, place, quick, *quick->from);
}

/* Segments do not count for an address. */
enum quick_result quick_lea(struct step_env *env, const struct quick *quick)
{
    (void)env;
    return set(quick, quick_offset(quick), QUICK_DONE);
}

/* ---- Jumps ---- */

enum quick_result quick_jump(struct step_env *env, const struct quick *quick)
{
    env->next_rip = quick->value;
    return QUICK_JUMPED;
}

enum quick_result quick_jump_to(struct step_env *env, const struct quick *quick)
{
    uint64_t target = *quick->from & quick->address_mask;
    if (!access_is_canonical(env, target))
        return QUICK_LEFT;
    env->next_rip = target;
    return QUICK_JUMPED;
}

enum quick_result quick_jump_if(struct step_env *env, const struct quick *quick)
{
    _Static_assert(FLAG_SF == FLAG_OF >> 4 && QUICK_FLAG_LESS == FLAG_SF >> 2, "the shifts");
    uint64_t flags = env->cpu->rflags;
    flags |= ((flags ^ flags >> 4) & FLAG_SF) >> 2;
    return !(flags & quick->flags) == quick->is_negated ? quick_jump(env, quick) : QUICK_DONE;
}

enum quick_result quick_loop(struct step_env *env, const struct quick *quick)
{
    uint64_t count = (*quick->to - 1) & quick->mask;
    *quick->to = count;
    return count ? quick_jump(env, quick) : QUICK_DONE;
}
