/* SPDX-License-Identifier: MIT
 *
 * Instructions that ask the machine: CPUID, time, MSRs, extended control registers, random numbers; and those
 * that move the FS and GS bases.
 */
#include <string.h>
#include <sys/random.h>

#include "mmio/emulate.h"
#include "mmio/msr.h"
#include "mmio/segment.h"
#include "mmio/xsave.h"

/* Of the components in XCR0, standard or compacted (SDM 1 13.4.2, 13.4.3; CPUID leaf 0xD). */
static uint32_t xsave_area_size(struct step_env *env, bool is_compacted)
{
    const struct step_machine *machine = env->machine;
    uint64_t xcr0 = env_xcr0(env);
    uint32_t len = XSAVE_EXTENDED;
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        uint32_t regs[4] = {0};
        if (!(xcr0 >> i & 1))
            continue;
        machine->ops->cpuid(machine->owner, 0xd, i, regs);
        uint32_t offset = !is_compacted ? regs[CPUID_EBX] : regs[CPUID_ECX] & 2 ? (len + 63) & ~63u : len;
        uint32_t end = offset + regs[CPUID_EAX];
        len = end > len ? end : len;
    }
    return len;
}

/* What is not constant in CPUID but follows control registers. */
static void update_cpuid(struct step_env *env, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const uint32_t osxsave = 1u << 27, ospke = 1u << 4;
    const uint64_t cr4 = env->cpu->cr4;
    if (leaf == 1)
        regs[CPUID_ECX] = (regs[CPUID_ECX] & ~osxsave) | (cr4 & CR4_OSXSAVE ? osxsave : 0);
    else if (leaf == 7 && !subleaf)
        regs[CPUID_ECX] = (regs[CPUID_ECX] & ~ospke) | (cr4 & CR4_PKE ? ospke : 0);
    else if (leaf == 0xd && subleaf < 2 && regs[CPUID_EAX])
        regs[CPUID_EBX] = xsave_area_size(env, subleaf == 1);
}

enum step_result emulate_cpuid(struct step_env *env)
{
    const struct step_machine *machine = env->machine;
    uint32_t leaf = (uint32_t)env->cpu->gpr[CPU_RAX], subleaf = (uint32_t)env->cpu->gpr[CPU_RCX];
    uint32_t regs[4] = {0};
    if (!machine->ops->cpuid)
        return env_unsupported(env, "CPUID");
    machine->ops->cpuid(machine->owner, leaf, subleaf, regs);
    update_cpuid(env, leaf, subleaf, regs);
    env->cpu->gpr[CPU_RAX] = regs[CPUID_EAX];
    env->cpu->gpr[CPU_RBX] = regs[CPUID_EBX];
    env->cpu->gpr[CPU_RCX] = regs[CPUID_ECX];
    env->cpu->gpr[CPU_RDX] = regs[CPUID_EDX];
    return STEP_DONE;
}

static void write_pair(struct step_env *env, uint64_t value)
{
    env->cpu->gpr[CPU_RAX] = (uint32_t)value;
    env->cpu->gpr[CPU_RDX] = value >> 32;
}

static uint64_t read_pair(const struct step_env *env)
{
    return env->cpu->gpr[CPU_RDX] << 32 | (uint32_t)env->cpu->gpr[CPU_RAX];
}

enum step_result emulate_rdtsc(struct step_env *env)
{
    const struct step_machine *machine = env->machine;
    uint64_t aux;
    if (env->cpu->cpl && (env->cpu->cr4 & CR4_TSD))
        return env_gp(env);
    if (!machine->ops->tsc_read)
        return env_unsupported(env, "RDTSC");
    if (env->insn.op == INSN_OP_RDTSCP) {
        TRY(msr_load(env, MSR_TSC_AUX, &aux));
        env->cpu->gpr[CPU_RCX] = (uint32_t)aux;
    }
    write_pair(env, machine->ops->tsc_read(machine->owner));
    return STEP_DONE;
}

#define MSR_PMC0 0xc1u

/* Counters that never count: those that every processor of the vendor has read 0. */
enum step_result emulate_rdpmc(struct step_env *env)
{
    uint32_t index = (uint32_t)env->cpu->gpr[CPU_RCX];
    bool exists = env->machine->vendor_amd ? index < 6 : index < 4 || index - 0x40000000u < 3;
    if (env->cpu->cpl && !(env->cpu->cr4 & CR4_PCE))
        return env_gp(env);
    if (msr_is_kernels(env, MSR_PMC0))
        return env_unsupported(env, "RDPMC");
    if (!exists)
        return env_gp(env);
    write_pair(env, 0);
    return STEP_DONE;
}

/* With the number as an immediate: the whole value in one register. */
static enum step_result msr_by_immediate(struct step_env *env)
{
    uint64_t value;
    if (env->insn.op == INSN_OP_WRMSR)
        return msr_store(env, (uint32_t)env->insn.imm, operand_read(env, 1));
    TRY(msr_load(env, (uint32_t)env->insn.imm, &value));
    operand_write(env, 0, value);
    return STEP_DONE;
}

/* RDMSR, WRMSR, WRMSRNS */
enum step_result emulate_msr(struct step_env *env)
{
    uint32_t index = (uint32_t)env->cpu->gpr[CPU_RCX];
    uint64_t value;
    if (env->insn.isa == INSN_ISA_MSR_IMM)
        return msr_by_immediate(env);
    if (env->insn.op == INSN_OP_WRMSR)
        return msr_store(env, index, read_pair(env));
    TRY(msr_load(env, index, &value));
    write_pair(env, value);
    return STEP_DONE;
}

/* RDPKRU, WRPKRU */
enum step_result emulate_pkru(struct step_env *env)
{
    bool writes = env->insn.op == INSN_OP_WRPKRU;
    if (!(env->cpu->cr4 & CR4_PKE))
        return env_raise(env, VECTOR_UD);
    if ((uint32_t)env->cpu->gpr[CPU_RCX] || (writes && (uint32_t)env->cpu->gpr[CPU_RDX]))
        return env_gp(env);
    TRY(env_load_vector(env));
    if (!writes) {
        write_pair(env, env->cpu->pkru);
        return STEP_DONE;
    }
    env_store_pkru(env, (uint32_t)env->cpu->gpr[CPU_RAX]);
    return STEP_DONE;
}

/* XGETBV, XSETBV */
enum step_result emulate_xcr(struct step_env *env)
{
    const struct step_machine *machine = env->machine;
    uint32_t index = (uint32_t)env->cpu->gpr[CPU_RCX];
    if (!(env->cpu->cr4 & CR4_OSXSAVE))
        return env_raise(env, VECTOR_UD);
    if (env->insn.op == INSN_OP_XGETBV && index > 1)
        return env_gp(env);
    TRY(env_load_vector(env));
    if (env->insn.op == INSN_OP_XGETBV) {
        uint64_t in_use;
        memcpy(&in_use, env->cpu->vector.xsave + 512, sizeof(in_use)); /* XSTATE_BV */
        write_pair(env, index ? env_xcr0(env) & in_use : env_xcr0(env));
        return STEP_DONE;
    }
    if (index)
        return env_gp(env);
    if (!machine->ops->xcr0_write)
        return env_unsupported(env, "XSETBV");
    if (!machine->ops->xcr0_write(machine->owner, read_pair(env)))
        return env_gp(env);
    env->cpu->vector.xcr0 = read_pair(env);
    env->cpu->vector.xcr0_known = true;
    return STEP_DONE;
}

/* RDRAND, RDSEED */
enum step_result emulate_random(struct step_env *env)
{
    uint64_t value = 0;
    bool ok = getrandom(&value, sizeof(value), GRND_NONBLOCK) == (ssize_t)sizeof(value);
    operand_write(env, 0, ok ? value : 0);
    flags_set(env, FLAGS_STATUS, ok ? FLAG_CF : 0);
    return STEP_DONE;
}

/* Of either vendor on both, as KVM has it. */
enum step_result emulate_hypercall(struct step_env *env)
{
    const struct step_machine *machine = env->machine;
    uint64_t result;
    if (!machine->ops->hypercall || !machine->ops->hypercall(machine->owner, env->cpu, &result))
        return env_unsupported(env, "a hypercall");
    env->cpu->gpr[CPU_RAX] = env->is_64bit ? result : (uint32_t)result;
    return STEP_DONE;
}

enum step_result emulate_rdpid(struct step_env *env)
{
    uint64_t aux;
    TRY(msr_load(env, MSR_TSC_AUX, &aux));
    operand_write(env, 0, aux);
    return STEP_DONE;
}

enum step_result emulate_fsgsbase(struct step_env *env)
{
    unsigned op = env->insn.op;
    bool is_fs = op == INSN_OP_RDFSBASE || op == INSN_OP_WRFSBASE;
    struct cpu_segment *segment = &env->cpu->segments[is_fs ? CPU_FS : CPU_GS];
    if (!(env->cpu->cr4 & CR4_FSGSBASE))
        return env_raise(env, VECTOR_UD);
    if (op == INSN_OP_RDFSBASE || op == INSN_OP_RDGSBASE) {
        operand_write(env, 0, segment->base);
        return STEP_DONE;
    }
    uint64_t base = operand_read(env, 0);
    if (!access_is_canonical(env, base))
        return env_gp(env);
    segment->base = base;
    env->outcome->changed_system = true;
    return STEP_DONE;
}

enum step_result emulate_swapgs(struct step_env *env)
{
    struct cpu_segment *gs = &env->cpu->segments[CPU_GS];
    uint64_t kernel_base, base = gs->base;
    TRY(msr_load(env, MSR_KERNEL_GS_BASE, &kernel_base));
    TRY(msr_store(env, MSR_KERNEL_GS_BASE, base));
    gs->base = kernel_base;
    env->outcome->changed_system = true;
    return STEP_DONE;
}

/* A load of GS whose base goes where SWAPGS takes it from. */
enum step_result emulate_lkgs(struct step_env *env)
{
    struct cpu_segment *gs = &env->cpu->segments[CPU_GS];
    uint64_t base = gs->base;
    TRY(segment_load(env, CPU_GS, (uint16_t)operand_read(env, 0)));
    TRY(msr_store(env, MSR_KERNEL_GS_BASE, gs->base));
    gs->base = base;
    return STEP_DONE;
}

/* AMD: the cache line at rAX becomes 0. */
enum step_result emulate_clzero(struct step_env *env)
{
    static const uint8_t zeros[64];
    struct access line = {.segment = env->insn.segment,
                          .offset = gpr_read(env, CPU_RAX, env->insn.address_size) & ~63ull,
                          .len = sizeof(zeros),
                          .flags = ACCESS_WRITE};
    TRY(access_prepare(env, &line));
    access_write(env, &line, zeros);
    return STEP_DONE;
}
