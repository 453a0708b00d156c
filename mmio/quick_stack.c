/* SPDX-License-Identifier: MIT
 *
 * PUSH, POP, CALL and RET of 64-bit code, on a stack in RAM. See quick.h.
 */
#include "mmio/quick_memory.h"

/* The slot, on one page: NULL where there is none, and *left says how the instruction ends. */
QUICK_INLINE struct quick_place find_slot(struct step_env *env, const struct quick *quick, unsigned flags,
                                          enum quick_result *left)
{
    struct quick_place place = quick_find(env, quick, sizeof(uint64_t), flags);
    if (!place.page)
        *left = quick_walk(env, quick, sizeof(uint64_t), flags);
    else if (!(flags == ACCESS_WRITE ? (const uint8_t *)place.page->to : place.page->from))
        place.page = NULL; /* a device: *left is QUICK_LEFT */
    return place;
}

enum quick_result quick_push(struct step_env *env, const struct quick *quick)
{
    enum quick_result left = QUICK_LEFT;
    struct quick_place slot = find_slot(env, quick, ACCESS_WRITE, &left);
    if (!slot.page)
        return left;
    quick_write_ram(env, slot, quick, *quick->from);
    env->cpu->gpr[CPU_RSP] -= sizeof(uint64_t);
    return QUICK_WRITTEN;
}

enum quick_result quick_pop(struct step_env *env, const struct quick *quick)
{
    enum quick_result left = QUICK_LEFT;
    struct quick_place slot = find_slot(env, quick, ACCESS_READ, &left);
    if (!slot.page)
        return left;
    env->cpu->gpr[CPU_RSP] += sizeof(uint64_t);
    *quick->to = load_le64(slot.page->from + slot.offset);
    return QUICK_DONE;
}

/* What was written counts when the block at the target is entered. */
QUICK_INLINE enum quick_result call(struct step_env *env, const struct quick *quick, uint64_t target)
{
    enum quick_result left = QUICK_LEFT;
    struct quick_place slot = find_slot(env, quick, ACCESS_WRITE, &left);
    if (!slot.page)
        return left;
    quick_write_ram(env, slot, quick, quick->rip + quick->length);
    env->cpu->gpr[CPU_RSP] -= sizeof(uint64_t);
    env->next_rip = target;
    return QUICK_JUMPED;
}

enum quick_result quick_call(struct step_env *env, const struct quick *quick)
{
    return call(env, quick, quick->value);
}

enum quick_result quick_call_to(struct step_env *env, const struct quick *quick)
{
    uint64_t target = *quick->from;
    return access_is_canonical(env, target) ? call(env, quick, target) : QUICK_LEFT;
}

enum quick_result quick_return(struct step_env *env, const struct quick *quick)
{
    enum quick_result left = QUICK_LEFT;
    struct quick_place slot = find_slot(env, quick, ACCESS_READ, &left);
    if (!slot.page)
        return left;
    uint64_t target = load_le64(slot.page->from + slot.offset);
    if (!access_is_canonical(env, target))
        return QUICK_LEFT;
    env->cpu->gpr[CPU_RSP] += sizeof(uint64_t);
    env->next_rip = target;
    return QUICK_JUMPED;
}
