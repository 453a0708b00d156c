/* SPDX-License-Identifier: MIT
 *
 * Instructions that a guest seldom has, and whose plainest legal behaviour is enough: a transaction that
 * always aborts, a monitor that never arms. Without the extension in the guest's CPUID they are #UD before
 * this.
 */
#include "mmio/branch.h"
#include "mmio/emulate.h"

/* XBEGIN: aborted at once, for no reason that a retry would help: EAX is 0, and the fallback runs. XEND has
 * then nothing to end, XABORT does nothing outside a transaction, XTEST finds none. */
enum step_result emulate_transaction(struct step_env *env)
{
    switch (env->insn.op) {
    case INSN_OP_XBEGIN:
        env->cpu->gpr[CPU_RAX] = 0;
        return branch_to(env, env->next_rip + env->insn.imm, env->is_64bit ? 8 : env->insn.operand_size);
    case INSN_OP_XEND:
        return env_gp(env);
    case INSN_OP_XTEST:
        flags_set(env, FLAGS_STATUS, FLAG_ZF);
        return STEP_DONE;
    default:
        return STEP_DONE;
    }
}

/* TPAUSE and UMWAIT: the flags say that no time limit has ended the wait. */
static enum step_result pause_for_a_while(struct step_env *env)
{
    if ((uint32_t)operand_read(env, 0) >> 1 || (env->cpu->cpl && (env->cpu->cr4 & CR4_TSD)))
        return env_gp(env);
    flags_set(env, FLAGS_STATUS, 0);
    return STEP_DONE;
}

/* MONITOR and MWAIT, and their relatives for applications: a wake-up that comes at once is one of the allowed
 * ones. The monitored line is read. */
enum step_result emulate_monitor(struct step_env *env)
{
    bool is_waitpkg = env->insn.isa == INSN_ISA_WAITPKG;
    if (env->insn.op == INSN_OP_MWAIT)
        return is_waitpkg ? pause_for_a_while(env) : STEP_DONE;
    if (!is_waitpkg && (uint32_t)env->cpu->gpr[CPU_RCX])
        return env_gp(env);
    uint64_t address = is_waitpkg ? operand_read(env, 0) : env->cpu->gpr[CPU_RAX];
    struct access line = {.segment = env->insn.segment,
                          .offset = address & size_mask(env->insn.address_size),
                          .len = 1,
                          .flags = ACCESS_READ};
    return access_prepare(env, &line);
}

/* PTWRITE, where nothing is traced: the operand is read. */
enum step_result emulate_ptwrite(struct step_env *env)
{
    operand_read(env, 0);
    return STEP_DONE;
}

/* CLFLUSH, CLFLUSHOPT, CLWB: checked as a load of one byte; the caches are the host's. */
enum step_result emulate_clflush(struct step_env *env)
{
    struct insn_memory memory;
    uint64_t bases[CPU_SEGMENT_COUNT] = {0};
    struct insn_registers registers = {env->cpu->gpr, bases, env->next_rip};
    if (!insn_memory(&env->insn, &env->insn.operands[0], &memory))
        return env_raise(env, VECTOR_UD);
    struct access byte = {.segment = memory.segment,
                          .offset = insn_offset(&env->insn, &memory, &registers, 0),
                          .len = 1,
                          .flags = ACCESS_READ};
    return access_prepare(env, &byte);
}

/* CLUI, STUI, TESTUI */
enum step_result emulate_user_interrupt_flag(struct step_env *env)
{
    return env->cpu->cr4 & CR4_UINTR ? env_unsupported(env, "user interrupts") : env_raise(env, VECTOR_UD);
}

/* The extensions that CPUID does not tell alone, and those that no guest has: CPUID hides them
 * (features_mask_impossible), and KVM switches them on for nobody. */
bool emulate_is_switched_on(struct step_env *env)
{
    if (insn_class(&env->insn) == INSN_CLASS_AMX)
        return false;
    switch (env->insn.isa) {
    case INSN_ISA_VMX:
        return env->cpu->cr4 & CR4_VMXE;
    case INSN_ISA_SVM:
        return env->cpu->efer & EFER_SVME;
    case INSN_ISA_UINTR:
        return env->cpu->cr4 & CR4_UINTR;
    case INSN_ISA_SMX:
    case INSN_ISA_SGX:
    case INSN_ISA_BASE: /* RSM outside SMM */
    case INSN_ISA_TDX:
    case INSN_ISA_SEAM:
    case INSN_ISA_PBNDKB:
    case INSN_ISA_SNP:
    case INSN_ISA_INVLPGB:
    case INSN_ISA_MCOMMIT:
    case INSN_ISA_USER_MSR:
    case INSN_ISA_MSRLIST:
    case INSN_ISA_ENQCMD:
    case INSN_ISA_KEYLOCKER:
    case INSN_ISA_KEYLOCKER_WIDE:
    case INSN_ISA_FRED:
    case INSN_ISA_PCONFIG:
    case INSN_ISA_HRESET:
    case INSN_ISA_RDPRU:
    case INSN_ISA_LWP:
        return false;
    }
    return true;
}
