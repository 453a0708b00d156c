/* SPDX-License-Identifier: MIT
 *
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments by decree, no descriptor is read.
 */
#include "mmio/branch.h"
#include "mmio/emulate.h"
#include "mmio/msr.h"
#include "mmio/segment.h"

static struct cpu_segment flat(unsigned selector, unsigned cpl, bool is_code, bool is_64bit)
{
    unsigned attributes = SEGMENT_PRESENT | SEGMENT_S | SEGMENT_G | SEGMENT_ACCESSED | SEGMENT_WRITABLE |
                          cpl << SEGMENT_DPL_SHIFT;
    if (is_code)
        attributes |= SEGMENT_CODE;
    return (struct cpu_segment){
        .limit = 0xffffffff,
        .selector = (uint16_t)selector,
        .attributes = (uint16_t)(attributes | (is_64bit ? SEGMENT_L : SEGMENT_DB)),
    };
}

static enum step_result enter(struct step_env *env, unsigned cs, unsigned ss, unsigned cpl, bool is_64bit)
{
    env->cpu->segments[CPU_CS] = flat(cs | cpl, cpl, true, is_64bit);
    env->cpu->segments[CPU_SS] = flat(ss | cpl, cpl, false, false);
    env->cpu->cpl = (uint8_t)cpl;
    env->is_64bit = cpu_is_64bit(env->cpu);
    env->outcome->changed_system = true;
    return STEP_DONE;
}

static bool is_disabled(const struct step_env *env)
{
    return !(env->cpu->efer & EFER_SCE) || (!env->machine->vendor_amd && !env->is_64bit);
}

enum step_result emulate_syscall(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    bool is_long = cpu_is_long(cpu);
    uint64_t star, target, mask;
    if (is_disabled(env) || !(cpu->cr0 & CR0_PE))
        return env_raise(env, VECTOR_UD);
    TRY(msr_load(env, MSR_STAR, &star));
    target = (uint32_t)star;
    mask = FLAG_VM | FLAG_IF | FLAG_RF;
    if (is_long) {
        TRY(msr_load(env, env->is_64bit ? MSR_LSTAR : MSR_CSTAR, &target));
        TRY(msr_load(env, MSR_FMASK, &mask));
        cpu->gpr[11] = cpu->rflags & ~(uint64_t)FLAG_RF;
        mask |= FLAG_RF;
    }
    cpu->gpr[CPU_RCX] = env->next_rip;
    cpu->rflags = (cpu->rflags & ~mask) | FLAG_FIXED;
    TRY(enter(env, star >> 32 & 0xfffc, (star >> 32 & 0xfffc) + 8, 0, is_long));
    env->next_rip = target;
    env->trap_lost = !(cpu->rflags & FLAG_TF);
    return STEP_DONE;
}

enum step_result emulate_sysret(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    bool to_64bit = env->insn.operand_size == 8;
    uint64_t star, rip = to_64bit ? cpu->gpr[CPU_RCX] : (uint32_t)cpu->gpr[CPU_RCX];
    if (is_disabled(env) || !(cpu->cr0 & CR0_PE))
        return env_raise(env, VECTOR_UD);
    /* on AMD's processors a bad target is the fault of the fetch */
    if (cpu->cpl || (to_64bit && !env->machine->vendor_amd && !access_is_canonical(env, rip)))
        return env_gp(env);
    TRY(msr_load(env, MSR_STAR, &star));
    if (cpu_is_long(cpu))
        cpu->rflags = (cpu->gpr[11] & 0x3c7fd7) | FLAG_FIXED;
    else
        cpu->rflags |= FLAG_IF;
    unsigned base = star >> 48 & 0xffff;
    TRY(enter(env, to_64bit ? base + 16 : base, base + 8, 3, to_64bit));
    env->next_rip = rip;
    return STEP_DONE;
}

enum step_result emulate_sysenter(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    bool is_long = cpu_is_long(cpu);
    uint64_t cs, rip, rsp;
    if (is_long && env->machine->vendor_amd)
        return env_raise(env, VECTOR_UD);
    if (!(cpu->cr0 & CR0_PE))
        return env_gp(env);
    TRY(msr_load(env, MSR_SYSENTER_CS, &cs));
    TRY(msr_load(env, MSR_SYSENTER_EIP, &rip));
    TRY(msr_load(env, MSR_SYSENTER_ESP, &rsp));
    if (!(cs & 0xfffc))
        return env_gp(env);
    cpu->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    TRY(enter(env, cs & 0xfffc, (cs & 0xfffc) + 8, 0, is_long));
    cpu->gpr[CPU_RSP] = is_long ? rsp : (uint32_t)rsp;
    env->next_rip = is_long ? rip : (uint32_t)rip;
    return STEP_DONE;
}

enum step_result emulate_sysexit(struct step_env *env)
{
    struct cpu_state *cpu = env->cpu;
    bool to_64bit = env->insn.operand_size == 8;
    uint64_t cs, rip = cpu->gpr[CPU_RDX], rsp = cpu->gpr[CPU_RCX];
    if (cpu_is_long(cpu) && env->machine->vendor_amd)
        return env_raise(env, VECTOR_UD);
    TRY(msr_load(env, MSR_SYSENTER_CS, &cs));
    if (!(cpu->cr0 & CR0_PE) || cpu->cpl || !(cs & 0xfffc) ||
        (to_64bit && (!access_is_canonical(env, rip) || !access_is_canonical(env, rsp))))
        return env_gp(env);
    unsigned base = (cs & 0xfffc) + (to_64bit ? 32 : 16);
    TRY(enter(env, base, base + 8, 3, to_64bit));
    cpu->gpr[CPU_RSP] = to_64bit ? rsp : (uint32_t)rsp;
    env->next_rip = to_64bit ? rip : (uint32_t)rip;
    return STEP_DONE;
}
