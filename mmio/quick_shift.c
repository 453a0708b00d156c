/* SPDX-License-Identifier: MIT
 *
 * SHL, SHR and SAR of a register of 4 or 8 bytes by a constant that is not 0, with the flags of
 * emulate_shift.c. See quick.h.
 */
#include "mmio/quick_memory.h"

QUICK_INLINE enum quick_result set(struct step_env *env, const struct quick *quick, uint64_t value,
                                   bool carry, bool overflow)
{
    uint64_t flags = (carry ? FLAG_CF : 0) | (overflow ? FLAG_OF : 0) | (value ? 0 : FLAG_ZF) |
                     (value >> (8 * quick->size - 1) ? FLAG_SF : 0) |
                     (__builtin_parity((uint8_t)value) ? 0 : FLAG_PF);
    env->cpu->rflags = (env->cpu->rflags & quick->kept_flags) | flags;
    *quick->to = value;
    return QUICK_DONE;
}

enum quick_result quick_shl(struct step_env *env, const struct quick *quick)
{
    unsigned bits = 8 * quick->size, count = (unsigned)quick->value;
    uint64_t value = *quick->to << count & quick->mask;
    bool carry = *quick->to >> (bits - count) & 1;
    return set(env, quick, value, carry, (value >> (bits - 1)) != carry);
}

enum quick_result quick_shr(struct step_env *env, const struct quick *quick)
{
    uint64_t value = *quick->to & quick->mask;
    unsigned count = (unsigned)quick->value;
    return set(env, quick, value >> count, value >> (count - 1) & 1, value >> (8 * quick->size - 1));
}

enum quick_result quick_sar(struct step_env *env, const struct quick *quick)
{
    int64_t value = (int64_t)(*quick->to << quick->from_shift) >> quick->from_shift;
    unsigned count = (unsigned)quick->value;
    return set(env, quick, (uint64_t)(value >> count) & quick->mask, value >> (count - 1) & 1, false);
}
