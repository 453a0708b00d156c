/* SPDX-License-Identifier: MIT
 *
 * Shifts and rotates. OF is defined for a count of 1 only; for others it is computed by the same rule, which
 * is what most processors show. A count of 0 changes nothing but the (rewritten) operand.
 */
#include "mmio/emulate.h"

struct shift {
    uint64_t value;
    unsigned count; /* already cut to 5 or 6 bits, not 0 */
    unsigned bits;
    bool carry; /* in: CF; out: CF */
    bool overflow;
};

static bool bit_of(uint64_t value, unsigned bit)
{
    return bit < 64 && (value >> bit & 1);
}

static uint64_t shift_left(uint64_t value, unsigned count)
{
    return count < 64 ? value << count : 0;
}

static uint64_t shift_right(uint64_t value, unsigned count)
{
    return count < 64 ? value >> count : 0;
}

static void rotate_left(struct shift *shift)
{
    unsigned count = shift->count % shift->bits;
    uint64_t value = shift->value;
    if (count)
        value = value << count | value >> (shift->bits - count);
    shift->carry = value & 1;
    shift->overflow = bit_of(value, shift->bits - 1) != shift->carry;
    shift->value = value;
}

static void rotate_right(struct shift *shift)
{
    unsigned count = shift->count % shift->bits;
    uint64_t value = shift->value;
    if (count)
        value = value >> count | value << (shift->bits - count);
    shift->carry = bit_of(value, shift->bits - 1);
    shift->overflow = bit_of(value, shift->bits - 1) != bit_of(value, shift->bits - 2);
    shift->value = value;
}

/* Through carry: a rotation of bits + 1 bits. */
static void rotate_carry_left(struct shift *shift)
{
    for (unsigned count = shift->count % (shift->bits + 1); count; count--) {
        bool out = bit_of(shift->value, shift->bits - 1);
        shift->value = shift->value << 1 | (shift->carry ? 1 : 0);
        shift->carry = out;
    }
    shift->overflow = bit_of(shift->value, shift->bits - 1) != shift->carry;
}

static void rotate_carry_right(struct shift *shift)
{
    uint64_t mask = size_mask(shift->bits / 8);
    for (unsigned count = shift->count % (shift->bits + 1); count; count--) {
        bool out = shift->value & 1;
        shift->value = (shift->value & mask) >> 1 | (uint64_t)shift->carry << (shift->bits - 1);
        shift->carry = out;
    }
    shift->overflow = bit_of(shift->value, shift->bits - 1) != bit_of(shift->value, shift->bits - 2);
}

static void shift_logical_left(struct shift *shift)
{
    shift->carry = shift->count <= shift->bits && bit_of(shift->value, shift->bits - shift->count);
    shift->value = shift_left(shift->value, shift->count);
    shift->overflow = bit_of(shift->value, shift->bits - 1) != shift->carry;
}

static void shift_logical_right(struct shift *shift)
{
    shift->overflow = bit_of(shift->value, shift->bits - 1);
    shift->carry = bit_of(shift->value, shift->count - 1);
    shift->value = shift_right(shift->value, shift->count);
}

static void shift_arithmetic_right(struct shift *shift)
{
    int64_t value = sign_extend(shift->value, shift->bits / 8);
    shift->overflow = false;
    shift->carry = value >> (shift->count - 1) & 1;
    shift->value = (uint64_t)(value >> shift->count);
}

/* Returns the flags that change. */
static uint64_t shift_apply(unsigned op, struct shift *shift)
{
    switch (op) {
    case INSN_OP_ROL:
        rotate_left(shift);
        return FLAG_CF | FLAG_OF;
    case INSN_OP_ROR:
        rotate_right(shift);
        return FLAG_CF | FLAG_OF;
    case INSN_OP_RCL:
        rotate_carry_left(shift);
        return FLAG_CF | FLAG_OF;
    case INSN_OP_RCR:
        rotate_carry_right(shift);
        return FLAG_CF | FLAG_OF;
    case INSN_OP_SHL:
        shift_logical_left(shift);
        break;
    case INSN_OP_SHR:
        shift_logical_right(shift);
        break;
    default:
        shift_arithmetic_right(shift);
        break;
    }
    return FLAG_CF | FLAG_OF | FLAG_ZF | FLAG_SF | FLAG_PF;
}

/* ROL, ROR, RCL, RCR, SHL, SHR, SAR */
enum step_result emulate_shift(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    unsigned count = operand_read(env, 1) & (size == 8 ? 63 : 31);
    uint64_t old = operand_read(env, 0);
    if (!count) {
        operand_write(env, 0, old);
        return STEP_DONE;
    }
    struct shift shift = {
        .value = old, .count = count, .bits = 8 * size, .carry = env->cpu->rflags & FLAG_CF};
    uint64_t mask = shift_apply(env->insn.op, &shift);
    operand_write(env, 0, shift.value & size_mask(size));
    flags_set(env, mask,
              flags_of(shift.value, size) | (shift.carry ? FLAG_CF : 0) | (shift.overflow ? FLAG_OF : 0));
    return STEP_DONE;
}

/* SHLD and SHRD. A 16-bit operand with a count above 16, undefined in the manual, shifts through
 * destination:source:destination. */
enum step_result emulate_double_shift(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size, bits = 8 * size;
    unsigned count = operand_read(env, 2) & (size == 8 ? 63 : 31);
    uint64_t a = operand_read(env, 0), b = operand_read(env, 1), value;
    if (!count) {
        operand_write(env, 0, a);
        return STEP_DONE;
    }
    bool carry, is_left = env->insn.op == INSN_OP_SHLD;
    if (bits == 16) {
        uint64_t all = a << 32 | b << 16 | a;
        value = is_left ? all << count >> 32 : all >> count;
        carry = is_left ? all >> (48 - count) & 1 : all >> (count - 1) & 1;
    } else if (is_left) {
        value = a << count | b >> (bits - count);
        carry = a >> (bits - count) & 1;
    } else {
        value = a >> count | b << (bits - count);
        carry = a >> (count - 1) & 1;
    }
    value &= size_mask(size);
    bool overflow = (a ^ value) & sign_bit(size);
    operand_write(env, 0, value);
    flags_set(env, FLAG_CF | FLAG_OF | FLAG_ZF | FLAG_SF | FLAG_PF,
              flags_of(value, size) | (carry ? FLAG_CF : 0) | (overflow ? FLAG_OF : 0));
    return STEP_DONE;
}
