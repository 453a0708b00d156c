/* SPDX-License-Identifier: MIT
 *
 * EFER and the FS and GS bases are part of the CPU's state; everything else is the machine's.
 */
#include "mmio/msr.h"

#include "mmio/access.h"

#define EFER_WRITABLE 0x00004d01ull /* SCE, LME, LMA (ignored), NXE, FFXSR */

/* Those of processors that have the feature. */
static uint64_t efer_offered(struct step_env *env)
{
    return EFER_WRITABLE | (env_has_feature(env, 0x80000001, CPUID_ECX, 2) ? EFER_SVME : 0) |
           (env_has_feature(env, 0x80000001, CPUID_ECX, 17) ? EFER_TCE : 0) |
           (env_has_feature(env, 0x80000021, CPUID_EAX, 8) ? EFER_AIBRSE : 0);
}

bool msr_is_kernels(const struct step_env *env, uint32_t index)
{
    const struct step_machine *machine = env->machine;
    return machine->ops->is_kernel_msr && machine->ops->is_kernel_msr(machine->owner, index);
}

enum step_result msr_load(struct step_env *env, uint32_t index, uint64_t *value)
{
    const struct step_machine *machine = env->machine;
    switch (index) {
    case MSR_EFER:
        *value = env->cpu->efer;
        return STEP_DONE;
    case MSR_FS_BASE:
        *value = env->cpu->segments[CPU_FS].base;
        return STEP_DONE;
    case MSR_GS_BASE:
        *value = env->cpu->segments[CPU_GS].base;
        return STEP_DONE;
    default:
        if (!machine->ops->msr_read || msr_is_kernels(env, index))
            return env_unsupported(env, "an MSR");
        return machine->ops->msr_read(machine->owner, index, value) ? STEP_DONE : env_gp(env);
    }
}

static enum step_result store_efer(struct step_env *env, uint64_t value)
{
    struct cpu_state *cpu = env->cpu;
    bool changes_long = (value ^ cpu->efer) & EFER_LME;
    uint64_t set = value & ~cpu->efer;
    if (((set & ~EFER_WRITABLE) && (set & ~efer_offered(env))) || (changes_long && (cpu->cr0 & CR0_PG)))
        return env_gp(env);
    cpu->efer = (value & ~(uint64_t)EFER_LMA) | (cpu->efer & EFER_LMA);
    return STEP_DONE;
}

enum step_result msr_store(struct step_env *env, uint32_t index, uint64_t value)
{
    const struct step_machine *machine = env->machine;
    switch (index) {
    case MSR_EFER:
        env->outcome->changed_system = true;
        return store_efer(env, value);
    case MSR_FS_BASE:
    case MSR_GS_BASE:
        if (!access_is_canonical(env, value))
            return env_gp(env);
        env->outcome->changed_system = true;
        env->cpu->segments[index == MSR_FS_BASE ? CPU_FS : CPU_GS].base = value;
        return STEP_DONE;
    default:
        if (!machine->ops->msr_write || msr_is_kernels(env, index))
            return env_unsupported(env, "an MSR");
        return machine->ops->msr_write(machine->owner, index, value) ? STEP_DONE : env_gp(env);
    }
}
