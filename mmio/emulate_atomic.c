/* SPDX-License-Identifier: MIT
 *
 * Exchange and compare: XADD, CMPXCHG and its pairs, CMPccXADD and the RAO additions. With LOCK each is one
 * atomic operation on the host's memory (access_exchange).
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/emulate.h"

enum step_result emulate_xadd(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    uint64_t b = operand_read(env, 1), a, sum, flags;
    bool is_memory = operand_is_memory(env, 0);
    do {
        a = operand_read(env, 0);
        sum = alu_add(a, b, 0, size, &flags);
    } while (is_memory && !operand_replace(env, 0, a, sum));
    operand_write(env, 1, a);
    if (!is_memory) /* XADD r, r with one register twice: the sum stays */
        operand_write(env, 0, sum);
    flags_set(env, FLAGS_STATUS, flags);
    return STEP_DONE;
}

/* Memory is written in any case, with its old value where the comparison fails. So is a register on Intel's
 * processors, which clears the upper half of one of 32 bits; AMD's leave it alone. */
enum step_result emulate_cmpxchg(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    uint64_t expected = gpr_read(env, CPU_RAX, size), old, flags;
    do {
        old = operand_read(env, 0);
        alu_sub(expected, old, 0, size, &flags);
        if (old != expected && env->machine->vendor_amd && !operand_is_memory(env, 0))
            break;
    } while (!operand_replace(env, 0, old, old == expected ? operand_read(env, 1) : old));
    if (old != expected)
        gpr_write(env, CPU_RAX, size, old);
    flags_set(env, FLAGS_STATUS, flags);
    return STEP_DONE;
}

/* CMPXCHG8B, CMPXCHG16B */
enum step_result emulate_cmpxchg_pair(struct step_env *env)
{
    unsigned half = env->operand.len / 2;
    uint8_t old[16], expected[16], value[16];
    store_le(expected, env->cpu->gpr[CPU_RAX], half);
    store_le(expected + half, env->cpu->gpr[CPU_RDX], half);
    bool is_equal;
    for (;;) {
        access_read(env, &env->operand, old);
        is_equal = !memcmp(old, expected, 2 * half);
        memcpy(value, old, sizeof(value));
        if (is_equal) {
            store_le(value, env->cpu->gpr[CPU_RBX], half);
            store_le(value + half, env->cpu->gpr[CPU_RCX], half);
        }
        /* without LOCK too one atomic operation: nothing may see half of it on this host */
        if (access_exchange(env, &env->operand, old, value))
            break;
    }
    if (!is_equal) {
        gpr_write(env, CPU_RAX, half, load_le(old, half));
        gpr_write(env, CPU_RDX, half, load_le(old + half, half));
    }
    flags_set(env, FLAG_ZF, is_equal ? FLAG_ZF : 0);
    return STEP_DONE;
}

static bool exchange_value(struct step_env *env, uint64_t old, uint64_t value)
{
    return access_exchange(env, &env->operand, &old, &value);
}

/* Operands: memory, destination (compared, then the old value), addend. Always locked. */
enum step_result emulate_cmpccxadd(struct step_env *env)
{
    unsigned size = env->operand.len;
    uint64_t compared = operand_read(env, 1), addend = operand_read(env, 2), old, flags,
             saved = env->cpu->rflags;
    do {
        old = operand_read(env, 0);
        env->cpu->rflags = saved;
        alu_sub(old, compared, 0, size, &flags);
        flags_set(env, FLAGS_STATUS, flags);
    } while (!exchange_value(env, old, condition_holds(env, env->insn.opcode & 15) ? old + addend : old));
    operand_write(env, 1, old);
    return STEP_DONE;
}

/* AADD, AAND, AOR, AXOR: no flags, no old value. */
enum step_result emulate_rao(struct step_env *env)
{
    uint64_t b = operand_read(env, 1), old, value;
    do {
        old = operand_read(env, 0);
        switch (env->insn.op) {
        case INSN_OP_AADD:
            value = old + b;
            break;
        case INSN_OP_AAND:
            value = old & b;
            break;
        case INSN_OP_AOR:
            value = old | b;
            break;
        default:
            value = old ^ b;
            break;
        }
    } while (!exchange_value(env, old, value));
    return STEP_DONE;
}
