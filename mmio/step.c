/* SPDX-License-Identifier: MIT
 *
 * One instruction: fetch (fetch.c), prepare the memory operand, execute (operations.c), and what the
 * processor does around every instruction (RF, TF, the interrupt shadow, breakpoints).
 */
#include "mmio/step.h"

#include <string.h>

#include "mmio/emulate.h"
#include "mmio/execute.h"
#include "mmio/run.h"
#include "mmio/simd.h"
#include "mmio/v86.h"

/* A bit test's register offset moves the operand by whole words, in both directions. */
static int64_t bit_offset(const struct step_env *env)
{
    const struct insn_operand *index = &env->insn.operands[1];
    unsigned size = env->insn.operands[0].size;
    int64_t bit = sign_extend(gpr_read(env, index->reg, index->size), index->size);
    return (bit >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (int64_t)size;
}

/* What #AC asks for (SDM 3A table 6-7): the offset's size of a far pointer, an element's of a pair of bounds.
 */
static uint8_t operand_align(const struct insn *insn, unsigned size)
{
    switch (insn->op) {
    case INSN_OP_BOUND:
        return (uint8_t)(size / 2);
    case INSN_OP_LOAD_FAR:
    case INSN_OP_JMP_FAR:
    case INSN_OP_CALL_FAR:
        return (uint8_t)(size - 2);
    case INSN_OP_MOVDIR64B: /* its source; as other vector loads */
        return 16;
    }
    return size <= 8 && !(size & (size - 1)) ? (uint8_t)size : 0;
}

enum step_result operand_prepare(struct step_env *env, unsigned i)
{
    const struct insn_operand *operand = &env->insn.operands[i];
    struct insn_memory memory;
    uint64_t bases[CPU_SEGMENT_COUNT] = {0};
    struct insn_registers registers = {env->cpu->gpr, bases, env->next_rip};
    if (!insn_memory(&env->insn, operand, &memory))
        return env_unsupported(env, "an operand that should be memory");
    struct access *access = &env->operand;
    access->offset = insn_offset(&env->insn, &memory, &registers, 0);
    if (env->insn.attributes & INSN_BIT_OFFSET)
        access->offset = (access->offset + (uint64_t)bit_offset(env)) & size_mask(env->insn.address_size);
    access->len = memory.size;
    access->segment = memory.segment;
    access->flags = memory.access & INSN_READ_WRITE;
    access->align = operand_align(&env->insn, memory.size);
    if (env->insn.op == INSN_OP_CMPXCHG16B)
        access->flags |= ACCESS_EXACT;
    TRY(access_prepare(env, access));
    if ((env->insn.prefixes & INSN_PREFIX_LOCK) || env->insn.op == INSN_OP_XCHG)
        access_lock(env, access);
    return STEP_DONE;
}

static bool is_accessed(const struct insn_operand *operand)
{
    bool is_explicit = operand->kind == INSN_MEM || operand->kind == INSN_MEM_MOFFS ||
                       operand->kind == INSN_MEM_XLAT;
    return is_explicit && (operand->access & INSN_READ_WRITE) && operand->size;
}

/* The explicit memory operand of an instruction that does not look after it itself. */
static enum step_result prepare_operands(struct step_env *env)
{
    for (unsigned i = 0; i < env->insn.operand_count; i++)
        if (is_accessed(&env->insn.operands[i]))
            TRY(operand_prepare(env, i));
    return STEP_DONE;
}

/* What is #UD before anything else is looked at: no such extension in the guest's CPUID, not switched on, or
 * the privileged instructions that answer so. */
static bool is_enabled(struct step_env *env)
{
    switch (env->insn.op) {
    case INSN_OP_CLAC:
    case INSN_OP_STAC:
        return !env->cpu->cpl && emulate_has_isa(env);
    case INSN_OP_INCSSP:
    case INSN_OP_SAVEPREVSSP:
    case INSN_OP_RSTORSSP:
    case INSN_OP_SETSSBSY:
    case INSN_OP_CLRSSBSY:
    case INSN_OP_WRSS:
    case INSN_OP_WRUSS:
        return env->cpu->cr4 & CR4_CET;
    case INSN_OP_MONITOR:
    case INSN_OP_MWAIT:
        return !(env->cpu->cpl && (env->insn.attributes & INSN_PRIVILEGED)) && emulate_has_isa(env);
    case INSN_OP_ENQCMD:
    case INSN_OP_ENQCMDS:
    case INSN_OP_RDPRU:
    case INSN_OP_NONE:
        return emulate_has_isa(env) && emulate_is_switched_on(env);
    }
    return emulate_has_isa(env);
}

enum step_result execute_insn(struct step_env *env)
{
    unsigned op = env->insn.op;
    if (op == INSN_OP_UD || !is_enabled(env))
        return env_raise(env, VECTOR_UD);
    if ((env->insn.attributes & INSN_PRIVILEGED) && env->cpu->cpl)
        return env_gp(env);
    if (op >= INSN_OP_NATIVE && op < INSN_OP_COUNT)
        return emulate_simd(env);
    emulate_fn *operation = op < INSN_OP_COUNT ? emulate_operations[op] : NULL;
    if (!operation)
        return env_unsupported(env, "an instruction outside the emulator's repertoire");
    if (op != INSN_OP_POP && op != INSN_OP_ARPL)
        TRY(prepare_operands(env));
    return operation(env);
}

bool execute_is_quick(const struct step_env *env, int8_t *memory)
{
    const struct insn *insn = &env->insn;
    unsigned count = 0;
    *memory = -1;
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (is_accessed(&insn->operands[i])) {
            *memory = (int8_t)i;
            count++;
        }
    return count <= 1 && insn->isa == INSN_ISA_BASE && insn->op < INSN_OP_NATIVE &&
           emulate_operations[insn->op] && insn->op != INSN_OP_UD && insn->op != INSN_OP_POP &&
           insn->op != INSN_OP_ARPL && !(insn->attributes & INSN_PRIVILEGED);
}

enum step_result execute_quick(struct step_env *env, int memory)
{
    if (memory >= 0)
        TRY(operand_prepare(env, (unsigned)memory));
    return emulate_operations[env->insn.op](env);
}

/* Instruction breakpoints are faults, which RF suppresses. */
static enum step_result check_breakpoints(struct step_env *env)
{
    const struct cpu_state *cpu = env->cpu;
    if (!(cpu->dr7 & DR7_ACTIVE) || (cpu->rflags & FLAG_RF))
        return STEP_DONE;
    uint64_t gva = cpu->rip + (env->is_64bit ? 0 : cpu->segments[CPU_CS].base), dr6 = 0;
    for (unsigned i = 0; i < 4; i++)
        if ((cpu->dr7 >> (2 * i) & 3) && !(cpu->dr7 >> (16 + 4 * i) & 3) && cpu->dr[i] == gva)
            dr6 |= 1u << i;
    if (!dr6)
        return STEP_DONE;
    env->outcome->event.dr6 = dr6;
    return env_raise(env, VECTOR_DB);
}

enum step_result execute_retire(struct step_env *env, enum step_result result, bool single_step)
{
    struct cpu_state *cpu = env->cpu;
    if (result == STEP_DONE) {
        cpu->rip = env->next_rip;
        if (!env->keep_rf)
            cpu->rflags &= ~(uint64_t)FLAG_RF;
        cpu->interrupt_shadow = env->shadow;
    }
    uint64_t dr6 = env->dr6 | (single_step && !env->trap_lost ? DR6_BS : 0);
    return dr6 && env->shadow != SHADOW_MOV_SS ? env_raise_trap(env, dr6) : result;
}

bool execute_is_plain(const struct step_env *env)
{
    unsigned op = env->insn.op;
    switch (op) {
    case INSN_OP_POP:
        return env->insn.operands[0].kind != INSN_SEG;
    case INSN_OP_MOV_SEG:
    case INSN_OP_MOV_CR:
    case INSN_OP_MOV_DR:
    case INSN_OP_LOAD_FAR:
    case INSN_OP_POPF:
    case INSN_OP_CALL_FAR:
    case INSN_OP_RET_FAR:
    case INSN_OP_IRET:
    case INSN_OP_JMP_FAR:
    case INSN_OP_INT:
    case INSN_OP_INT1:
    case INSN_OP_INT3:
    case INSN_OP_INTO:
    case INSN_OP_CLI:
    case INSN_OP_STI:
    case INSN_OP_PAUSE:
        return false;
    }
    if (op >= INSN_OP_NATIVE)
        return env->cpu->vector.loaded;
    return op != INSN_OP_NONE && op <= INSN_OP_CLZERO;
}

/* From the cache where the same bytes were decoded before. */
static enum step_result fetch(struct step_env *env, const uint8_t *hint, unsigned hint_len, bool *is_plain)
{
    struct step_run *run = env->machine->run;
    *is_plain = false;
    if (!run || hint_len)
        return execute_fetch(env, hint, hint_len);
    return run_fetch(run, env, is_plain);
}

/* Executes what was fetched; where that fails the registers are as before, except in a new task. */
static enum step_result execute_any(struct step_env *env)
{
    struct cpu_state before = *env->cpu;
    enum step_result result = execute_insn(env);
    bool is_late = result == STEP_EXCEPTION && env->outcome->task_switched;
    if (result != STEP_DONE && result != STEP_AGAIN && !is_late)
        env_undo(env->cpu, &before);
    return result;
}

/* The same of a plain instruction, which changes nothing else before it fails. */
static enum step_result execute_plain(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    uint64_t gpr[CPU_GPR_COUNT], rflags = cpu->rflags;
    memcpy(gpr, cpu->gpr, sizeof(gpr));
    enum step_result result = execute_insn(env);
    if (result != STEP_DONE && result != STEP_AGAIN) {
        memcpy(cpu->gpr, gpr, sizeof(gpr));
        cpu->rflags = rflags;
    }
    return result;
}

enum step_result step_insn(const struct step_machine *machine, struct cpu_state *cpu, const uint8_t *hint,
                           unsigned hint_len, struct step_outcome *outcome)
{
    struct step_env env;
    bool is_plain = false, single_step = cpu->rflags & FLAG_TF;
    env_begin(&env, machine, cpu, outcome);
    enum step_result result = check_breakpoints(&env);
    if (result == STEP_DONE && v86_is_pending(cpu))
        result = env_gp(&env);
    if (result == STEP_DONE)
        result = fetch(&env, hint, hint_len, &is_plain);
    if (result == STEP_DONE)
        result = is_plain ? execute_plain(&env) : execute_any(&env);
    env_end(&env);
    return result == STEP_DONE || result == STEP_AGAIN ? execute_retire(&env, result, single_step) : result;
}
