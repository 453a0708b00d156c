/* SPDX-License-Identifier: MIT
 *
 * Single bits, bit counts and bit fields: BT and relatives, scans, POPCNT, CRC32, BMI1, BMI2 and TBM.
 */
#include "mmio/emulate.h"

/* BT, BTS, BTR, BTC. The operand was prepared at the word that a register offset reaches. */
enum step_result emulate_bit_test(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    uint64_t bit = 1ull << (operand_read(env, 1) & (8 * size - 1));
    uint64_t old = operand_read(env, 0), value;
    if (env->insn.op != INSN_OP_BT)
        for (;; old = operand_read(env, 0)) {
            value = env->insn.op == INSN_OP_BTS   ? old | bit
                    : env->insn.op == INSN_OP_BTR ? old & ~bit
                                                  : old ^ bit;
            if (operand_replace(env, 0, old, value))
                break;
        }
    flags_set(env, FLAG_CF, old & bit ? FLAG_CF : 0);
    return STEP_DONE;
}

static unsigned trailing_zeros(uint64_t value, unsigned bits)
{
    return value ? (unsigned)__builtin_ctzll(value) : bits;
}

static unsigned leading_zeros(uint64_t value, unsigned bits)
{
    return value ? (unsigned)__builtin_clzll(value) - (64 - bits) : bits;
}

/* BSF and BSR of 0 leave the destination as it was. */
static void scan(struct step_env *env, uint64_t value, unsigned index)
{
    if (value)
        operand_write(env, 0, index);
    flags_set(env, FLAG_ZF, value ? 0 : FLAG_ZF);
}

static void count_zeros(struct step_env *env, unsigned count, unsigned bits)
{
    operand_write(env, 0, count);
    flags_set(env, FLAG_CF | FLAG_ZF, (count == bits ? FLAG_CF : 0) | (count ? 0 : FLAG_ZF));
}

/* BSF, BSR, TZCNT, LZCNT, POPCNT. TZCNT and LZCNT are BSF and BSR on a guest CPU without them. */
enum step_result emulate_bit_scan(struct step_env *env)
{
    unsigned bits = 8 * env->insn.operands[0].size;
    uint64_t value = operand_read(env, 1);
    switch (env->insn.op) {
    case INSN_OP_POPCNT:
        operand_write(env, 0, (unsigned)__builtin_popcountll(value));
        flags_set(env, FLAGS_STATUS, value ? 0 : FLAG_ZF);
        break;
    case INSN_OP_TZCNT:
        if (env_has_feature(env, 7, CPUID_EBX, 3))
            count_zeros(env, trailing_zeros(value, bits), bits);
        else
            scan(env, value, trailing_zeros(value, bits));
        break;
    case INSN_OP_LZCNT:
        if (env_has_feature(env, 0x80000001, CPUID_ECX, 5))
            count_zeros(env, leading_zeros(value, bits), bits);
        else
            scan(env, value, bits - 1 - leading_zeros(value, bits));
        break;
    case INSN_OP_BSF:
        scan(env, value, trailing_zeros(value, bits));
        break;
    default:
        scan(env, value, bits - 1 - leading_zeros(value, bits));
        break;
    }
    return STEP_DONE;
}

/* Castagnoli's polynomial, reflected, a bit at a time: never more than 64. */
enum step_result emulate_crc32(struct step_env *env)
{
    uint64_t value = operand_read(env, 1);
    uint32_t crc = (uint32_t)operand_read(env, 0);
    for (unsigned bit = 0; bit < 8u * env->insn.operands[1].size; bit++) {
        bool low = (crc ^ value >> bit) & 1;
        crc = crc >> 1 ^ (low ? 0x82f63b78u : 0);
    }
    operand_write(env, 0, crc);
    return STEP_DONE;
}

static uint64_t bit_deposit(uint64_t value, uint64_t mask)
{
    uint64_t result = 0;
    for (; mask; mask &= mask - 1, value >>= 1)
        if (value & 1)
            result |= mask & -mask;
    return result;
}

static uint64_t bit_extract(uint64_t value, uint64_t mask)
{
    uint64_t result = 0;
    for (unsigned at = 0; mask; mask &= mask - 1, at++)
        if (value & mask & -mask)
            result |= 1ull << at;
    return result;
}

static uint64_t bit_field(uint64_t value, uint64_t control)
{
    unsigned start = control & 0xff, len = control >> 8 & 0xff;
    value = start < 64 ? value >> start : 0;
    return len < 64 ? value & ((1ull << len) - 1) : value;
}

/* The one-source group of BMI1 and TBM: result, and in *carry CF. */
static uint64_t bmi_unary(unsigned op, uint64_t a, bool *carry)
{
    bool is_zero = !a, is_ones = !(a + 1);
    *carry = is_zero;
    switch (op) {
    case INSN_OP_BLSI:
        *carry = !is_zero;
        return a & -a;
    case INSN_OP_BLSMSK:
        return a ^ (a - 1);
    case INSN_OP_BLSR:
        return a & (a - 1);
    case INSN_OP_BLSFILL:
        return a | (a - 1);
    case INSN_OP_BLSIC:
        return ~a | (a - 1);
    case INSN_OP_TZMSK:
        return ~a & (a - 1);
    case INSN_OP_T1MSKC:
        *carry = is_ones;
        return ~a | (a + 1);
    default:
        break;
    }
    *carry = is_ones;
    switch (op) {
    case INSN_OP_BLCFILL:
        return a & (a + 1);
    case INSN_OP_BLCI:
        return a | ~(a + 1);
    case INSN_OP_BLCIC:
        return ~a & (a + 1);
    case INSN_OP_BLCMSK:
        return a ^ (a + 1);
    default: /* BLCS */
        return a | (a + 1);
    }
}

static bool bzhi_index_is_out(uint64_t control, unsigned bits)
{
    return (control & 0xff) >= bits;
}

/* The VEX and XOP forms on general registers that set flags, and PDEP and PEXT, which do not. */
enum step_result emulate_bmi(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size, bits = 8 * size, op = env->insn.op;
    uint64_t a = operand_read(env, 1), b = env->insn.operand_count > 2 ? operand_read(env, 2) : 0, result;
    bool carry = false;
    uint64_t changed = FLAG_CF | FLAG_OF | FLAG_ZF | FLAG_SF;
    switch (op) {
    case INSN_OP_ANDN:
        result = ~a & b;
        break;
    case INSN_OP_BEXTR:
        result = bit_field(a, b);
        changed = FLAG_CF | FLAG_OF | FLAG_ZF;
        break;
    case INSN_OP_BZHI:
        carry = bzhi_index_is_out(b, bits);
        result = carry ? a : a & ((1ull << (b & 0xff)) - 1);
        break;
    case INSN_OP_PDEP:
        result = bit_deposit(a, b);
        changed = 0;
        break;
    case INSN_OP_PEXT:
        result = bit_extract(a, b);
        changed = 0;
        break;
    default:
        if (size < 8 && (op == INSN_OP_T1MSKC || op >= INSN_OP_BLCFILL))
            a = (uint64_t)sign_extend(a, size);
        result = bmi_unary(op, a, &carry);
        break;
    }
    operand_write(env, 0, result);
    flags_set(env, changed, flags_of(result, size) | (carry ? FLAG_CF : 0));
    return STEP_DONE;
}

/* The first operand takes the high half; the same register for both keeps the high half. */
enum step_result emulate_mulx(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    unsigned __int128 product = (unsigned __int128)gpr_read(env, CPU_RDX, size) * operand_read(env, 2);
    operand_write(env, 1, (uint64_t)product & size_mask(size));
    operand_write(env, 0, (uint64_t)(product >> (8 * size)));
    return STEP_DONE;
}

/* RORX, SARX, SHLX, SHRX: no flags. */
enum step_result emulate_shiftx(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size, bits = 8 * size;
    uint64_t a = operand_read(env, 1);
    unsigned count = operand_read(env, 2) & (bits - 1);
    switch (env->insn.op) {
    case INSN_OP_RORX:
        a = count ? a >> count | a << (bits - count) : a;
        break;
    case INSN_OP_SARX:
        a = (uint64_t)(sign_extend(a, size) >> count);
        break;
    case INSN_OP_SHLX:
        a <<= count;
        break;
    default:
        a >>= count;
        break;
    }
    operand_write(env, 0, a);
    return STEP_DONE;
}
