/* SPDX-License-Identifier: MIT
 *
 * Moves: everything that copies, widens, swaps or selects, and the instructions that touch single flags.
 */
#include <string.h>

#include "mmio/emulate.h"
#include "mmio/segment.h"

enum step_result emulate_mov(struct step_env *env)
{
    operand_write(env, 0, operand_read(env, 1));
    return STEP_DONE;
}

enum step_result emulate_mov_seg(struct step_env *env)
{
    const struct insn_operand *to = &env->insn.operands[0];
    uint64_t value = operand_read(env, 1);
    if (to->kind != INSN_SEG) {
        operand_write(env, 0, value);
        return STEP_DONE;
    }
    TRY(segment_load(env, to->reg, (uint16_t)value));
    if (to->reg == CPU_SS)
        env->shadow = SHADOW_MOV_SS;
    return STEP_DONE;
}

static uint64_t swap_bytes(uint64_t value, unsigned size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

enum step_result emulate_movbe(struct step_env *env)
{
    operand_write(env, 0, swap_bytes(operand_read(env, 1), env->insn.operands[0].size));
    return STEP_DONE;
}

/* BSWAP of a 16-bit register is undefined; the processors clear it. */
enum step_result emulate_bswap(struct step_env *env)
{
    unsigned size = env->insn.operands[0].size;
    uint64_t value = operand_read(env, 0);
    operand_write(env, 0, size == 2 ? 0 : swap_bytes(value, size));
    return STEP_DONE;
}

/* MOVZX, MOVSX, MOVSXD */
enum step_result emulate_movx(struct step_env *env)
{
    uint64_t value = operand_read(env, 1);
    if (env->insn.op == INSN_OP_MOVSX)
        value = (uint64_t)sign_extend(value, env->insn.operands[1].size);
    operand_write(env, 0, value);
    return STEP_DONE;
}

enum step_result emulate_xchg(struct step_env *env)
{
    unsigned memory = operand_is_memory(env, 1) ? 1 : 0;
    uint64_t a, b = operand_read(env, 1 - memory);
    do {
        a = operand_read(env, memory);
    } while (!operand_replace(env, memory, a, b));
    operand_write(env, 1 - memory, a);
    return STEP_DONE;
}

enum step_result emulate_lea(struct step_env *env)
{
    struct insn_memory memory;
    uint64_t bases[CPU_SEGMENT_COUNT] = {0};
    struct insn_registers registers = {env->cpu->gpr, bases, env->next_rip};
    if (!insn_memory(&env->insn, &env->insn.operands[1], &memory))
        return env_raise(env, VECTOR_UD);
    operand_write(env, 0, insn_offset(&env->insn, &memory, &registers, 0));
    return STEP_DONE;
}

/* The memory is read, and a 32-bit destination loses its upper half, whatever the condition says. */
enum step_result emulate_cmovcc(struct step_env *env)
{
    uint64_t value = operand_read(env, 1);
    if (!condition_holds(env, env->insn.opcode & 15))
        value = operand_read(env, 0);
    operand_write(env, 0, value);
    return STEP_DONE;
}

enum step_result emulate_setcc(struct step_env *env)
{
    operand_write(env, 0, condition_holds(env, env->insn.opcode & 15));
    return STEP_DONE;
}

enum step_result emulate_xlat(struct step_env *env)
{
    gpr_write(env, CPU_RAX, 1, access_read_value(env, &env->operand));
    return STEP_DONE;
}

/* Operand 0 is the destination in ES:[reg], which must be aligned; the source is the prepared operand. */
enum step_result emulate_movdir64b(struct step_env *env)
{
    uint8_t line[64];
    struct insn_memory memory;
    uint64_t bases[CPU_SEGMENT_COUNT] = {0};
    struct insn_registers registers = {env->cpu->gpr, bases, env->next_rip};
    if (!insn_memory(&env->insn, &env->insn.operands[0], &memory))
        return env_raise(env, VECTOR_UD);
    struct access to = {.segment = CPU_ES,
                        .offset = insn_offset(&env->insn, &memory, &registers, 0),
                        .len = sizeof(line),
                        .flags = ACCESS_WRITE | ACCESS_EXACT};
    TRY(access_prepare(env, &to));
    access_read(env, &env->operand, line);
    access_write(env, &to, line);
    return STEP_DONE;
}

/* LDS, LES, LFS, LGS, LSS: offset first, selector behind it. */
enum step_result emulate_load_far(struct step_env *env)
{
    uint8_t pointer[10];
    uint64_t offset = 0;
    uint16_t selector;
    unsigned size = env->insn.operand_size;
    access_read(env, &env->operand, pointer);
    memcpy(&offset, pointer, size);
    memcpy(&selector, pointer + size, 2);
    unsigned segment = insn_load_far_segment(&env->insn);
    TRY(segment_load(env, segment, selector));
    operand_write(env, 0, offset);
    return STEP_DONE;
}

enum step_result emulate_cbw(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    gpr_write(env, CPU_RAX, size, (uint64_t)sign_extend(env->cpu->gpr[CPU_RAX], size / 2));
    return STEP_DONE;
}

enum step_result emulate_cwd(struct step_env *env)
{
    unsigned size = env->insn.operand_size;
    gpr_write(env, CPU_RDX, size, env->cpu->gpr[CPU_RAX] & sign_bit(size) ? ~0ull : 0);
    return STEP_DONE;
}

#define FLAGS_AH (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF)

enum step_result emulate_lahf(struct step_env *env)
{
    uint64_t value = (env->cpu->rflags & FLAGS_AH) | FLAG_FIXED;
    env->cpu->gpr[CPU_RAX] = (env->cpu->gpr[CPU_RAX] & ~0xff00ull) | value << 8;
    return STEP_DONE;
}

enum step_result emulate_sahf(struct step_env *env)
{
    flags_set(env, FLAGS_AH, env->cpu->gpr[CPU_RAX] >> 8);
    return STEP_DONE;
}

enum step_result emulate_salc(struct step_env *env)
{
    gpr_write(env, CPU_RAX, 1, env->cpu->rflags & FLAG_CF ? 0xff : 0);
    return STEP_DONE;
}

/* CLC, STC, CMC, CLD, STD */
enum step_result emulate_flag(struct step_env *env)
{
    uint64_t *flags = &env->cpu->rflags;
    switch (env->insn.op) {
    case INSN_OP_CLC:
        *flags &= ~(uint64_t)FLAG_CF;
        break;
    case INSN_OP_STC:
        *flags |= FLAG_CF;
        break;
    case INSN_OP_CMC:
        *flags ^= FLAG_CF;
        break;
    case INSN_OP_CLD:
        *flags &= ~(uint64_t)FLAG_DF;
        break;
    default:
        *flags |= FLAG_DF;
        break;
    }
    return STEP_DONE;
}

/* Prefetches, hints, fences: order and caches are the host's, and every access here is finished in order. */
enum step_result emulate_nop(struct step_env *env)
{
    (void)env;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return STEP_DONE;
}
