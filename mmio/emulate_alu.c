/* SPDX-License-Identifier: MIT
 *
 * Addition, subtraction, logic, multiplication and division, with all flags. Where the manual leaves a flag
 * undefined it keeps its value, except that logic clears AF as processors do.
 */
#include "mmio/emulate.h"

uint64_t alu_add(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags)
{
    return alu_add_masked(a, b, carry, size_mask(size), flags);
}

uint64_t alu_sub(uint64_t a, uint64_t b, unsigned carry, unsigned size, uint64_t *flags)
{
    return alu_sub_masked(a, b, carry, size_mask(size), flags);
}

static uint64_t alu_binary(unsigned op, uint64_t a, uint64_t b, unsigned size, uint64_t *flags)
{
    unsigned carry = *flags & FLAG_CF ? 1 : 0;
    uint64_t result = 0;
    switch (op) {
    case INSN_OP_ADD:
        return alu_add(a, b, 0, size, flags);
    case INSN_OP_ADC:
        return alu_add(a, b, carry, size, flags);
    case INSN_OP_SUB:
    case INSN_OP_CMP:
        return alu_sub(a, b, 0, size, flags);
    case INSN_OP_SBB:
        return alu_sub(a, b, carry, size, flags);
    case INSN_OP_OR:
        result = a | b;
        break;
    case INSN_OP_XOR:
        result = a ^ b;
        break;
    default: /* AND, TEST */
        result = a & b;
        break;
    }
    *flags = flags_of(result, size);
    return result;
}

/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST */
enum step_result emulate_alu(struct step_env *env)
{
    unsigned op = env->insn.op, size = env->insn.operands[0].size;
    uint64_t b = operand_read(env, 1);
    uint64_t a, result, flags;
    if (op == INSN_OP_CMP || op == INSN_OP_TEST) {
        flags = 0;
        alu_binary(op, operand_read(env, 0), b, size, &flags);
    } else {
        do {
            a = operand_read(env, 0);
            flags = env->cpu->rflags;
            result = alu_binary(op, a, b, size, &flags);
        } while (!operand_replace(env, 0, a, result));
    }
    flags_set(env, FLAGS_STATUS, flags);
    return STEP_DONE;
}

/* INC, DEC, NOT, NEG */
enum step_result emulate_unary(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    uint64_t a, result, flags, mask = FLAGS_STATUS;
    do {
        a = operand_read(env, 0);
        switch (env->insn.op) {
        case INSN_OP_INC:
            result = alu_add(a, 1, 0, size, &flags);
            mask = FLAGS_STATUS & ~FLAG_CF;
            break;
        case INSN_OP_DEC:
            result = alu_sub(a, 1, 0, size, &flags);
            mask = FLAGS_STATUS & ~FLAG_CF;
            break;
        case INSN_OP_NEG:
            result = alu_sub(0, a, 0, size, &flags);
            break;
        default:
            result = ~a & size_mask(size);
            flags = mask = 0;
            break;
        }
    } while (!operand_replace(env, 0, a, result));
    flags_set(env, mask, flags);
    return STEP_DONE;
}

/* The double-width product of MUL and one-operand IMUL goes to AX, or rDX:rAX. */
enum step_result emulate_mul(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size, bits = 8 * size;
    bool is_signed = env->insn.op == INSN_OP_IMUL_WIDE;
    uint64_t a = gpr_read(env, CPU_RAX, size), b = operand_read(env, 0);
    unsigned __int128 product = is_signed ? (unsigned __int128)((__int128)sign_extend(a, size) *
                                                                sign_extend(b, size))
                                          : (unsigned __int128)a * b;
    uint64_t low = (uint64_t)product & size_mask(size);
    uint64_t high = (uint64_t)(product >> bits) & size_mask(size);
    bool overflows = is_signed ? high != (low & sign_bit(size) ? size_mask(size) : 0) : high != 0;
    if (size == 1) {
        gpr_write(env, CPU_RAX, 2, low | high << 8);
    } else {
        gpr_write(env, CPU_RAX, size, low);
        gpr_write(env, CPU_RDX, size, high);
    }
    flags_set(env, FLAG_CF | FLAG_OF, overflows ? FLAG_CF | FLAG_OF : 0);
    return STEP_DONE;
}

/* IMUL with two or three operands */
enum step_result emulate_imul(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size, first = env->insn.operand_count == 3 ? 1 : 0;
    int64_t a = sign_extend(operand_read(env, first), size),
            b = sign_extend(operand_read(env, first + 1), size);
    __int128 product = (__int128)a * b;
    bool overflows = product != sign_extend((uint64_t)product, size);
    operand_write(env, 0, (uint64_t)product);
    flags_set(env, FLAG_CF | FLAG_OF, overflows ? FLAG_CF | FLAG_OF : 0);
    return STEP_DONE;
}

static bool divide_unsigned(unsigned __int128 a, uint64_t b, unsigned size, uint64_t *quotient,
                            uint64_t *rest)
{
    if (!b || a / b > size_mask(size))
        return false;
    *quotient = (uint64_t)(a / b);
    *rest = (uint64_t)(a % b);
    return true;
}

static bool divide_signed(__int128 a, int64_t b, unsigned size, uint64_t *quotient, uint64_t *rest)
{
    /* the most negative dividend by -1 does not fit, in C as little as in the register */
    bool is_lowest = (unsigned __int128)a == (unsigned __int128)1 << 127;
    if (!b || (is_lowest && b == -1))
        return false;
    __int128 result = a / b;
    if (result != sign_extend((uint64_t)result, size))
        return false;
    *quotient = (uint64_t)result;
    *rest = (uint64_t)(a % b);
    return true;
}

enum step_result emulate_div(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size, bits = 8 * size;
    uint64_t b = operand_read(env, 0), quotient, rest;
    uint64_t low = gpr_read(env, CPU_RAX, size);
    uint64_t high = size == 1 ? env->cpu->gpr[CPU_RAX] >> 8 & 0xff : gpr_read(env, CPU_RDX, size);
    bool fits;
    if (env->insn.op == INSN_OP_DIV) {
        fits = divide_unsigned((unsigned __int128)high << bits | low, b, size, &quotient, &rest);
    } else {
        unsigned __int128 dividend = (unsigned __int128)(__int128)sign_extend(high, size) << bits | low;
        fits = divide_signed((__int128)dividend, sign_extend(b, size), size, &quotient, &rest);
    }
    if (!fits)
        return env_raise(env, VECTOR_DE);
    if (size == 1) {
        gpr_write(env, CPU_RAX, 2, (quotient & 0xff) | (rest & 0xff) << 8);
    } else {
        gpr_write(env, CPU_RAX, size, quotient);
        gpr_write(env, CPU_RDX, size, rest);
    }
    return STEP_DONE;
}

/* ADCX and ADOX: a carry chain in CF or OF alone. */
enum step_result emulate_adcx(struct step_env *env)
{
    uint64_t flag = env->insn.op == INSN_OP_ADCX ? FLAG_CF : FLAG_OF;
    unsigned size = env->insn.operands[0].size;
    uint64_t flags;
    uint64_t result = alu_add(operand_read(env, 0), operand_read(env, 1), env->cpu->rflags & flag ? 1 : 0,
                              size, &flags);
    operand_write(env, 0, result);
    flags_set(env, flag, flags & FLAG_CF ? flag : 0);
    return STEP_DONE;
}
