/* SPDX-License-Identifier: MIT
 *
 * The extensions of virtual-8086 mode.
 */
#include "mmio/v86.h"

#include "mmio/branch.h"
#include "mmio/emulate.h"
#include "mmio/far.h"
#include "mmio/stack.h"

#define TSS_IO_MAP_OFFSET 102u
#define REDIRECTION_BYTES 32u

/* The words alone are virtual. */
static bool is_virtual(const struct step_env *env)
{
    return (env->cpu->cr4 & CR4_VME) && env->insn.operand_size == 2;
}

/* FLAGS as the program sees them. */
static uint64_t virtual_flags(const struct cpu_state *cpu)
{
    uint64_t flags = (cpu->rflags & ~(uint64_t)FLAG_IF) | FLAG_IOPL;
    return cpu->rflags & FLAG_VIF ? flags | FLAG_IF : flags;
}

/* What it loads: not while its monitor has an interrupt for it, and not TF. */
static enum step_result set_virtual_flags(struct step_env *env, uint64_t flags)
{
    if (((flags & FLAG_IF) && (env->cpu->rflags & FLAG_VIP)) || (flags & FLAG_TF))
        return env_gp(env);
    flags_set(env, FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT, flags);
    flags_set(env, FLAG_VIF, flags & FLAG_IF ? FLAG_VIF : 0);
    return STEP_DONE;
}

enum step_result v86_pushf(struct step_env *env)
{
    return is_virtual(env) ? stack_push(env, 2, virtual_flags(env->cpu)) : env_gp(env);
}

enum step_result v86_popf(struct step_env *env)
{
    uint64_t flags;
    if (!is_virtual(env))
        return env_gp(env);
    TRY(stack_pop(env, 2, &flags));
    return set_virtual_flags(env, flags);
}

static enum step_result enter(struct step_env *env, uint64_t selector, uint64_t ip)
{
    TRY(branch_to(env, ip, 2));
    segment_load_v86(&env->cpu->segments[CPU_CS], (uint16_t)selector);
    env->outcome->changed_system = true;
    return STEP_DONE;
}

enum step_result v86_iret(struct step_env *env)
{
    uint64_t frame[3], pointer = stack_pointer(env);
    if (!is_virtual(env))
        return env_gp(env);
    TRY(far_pop(env, pointer, 2, 3, frame));
    TRY(enter(env, frame[1], frame[0]));
    stack_pointer_set(env, pointer + 6);
    return set_virtual_flags(env, frame[2]);
}

static enum step_result tss_read(struct step_env *env, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct cpu_segment *tr = &env->cpu->tr;
    struct access access = {
        .gva = (uint32_t)(tr->base + offset), .len = (uint16_t)size, .flags = ACCESS_READ | ACCESS_SYSTEM};
    if (!(tr->attributes & 8) || offset + size - 1 > tr->limit) /* a 16-bit TSS has no maps */
        return env_gp(env);
    TRY(access_prepare_linear(env, &access));
    *value = access_read_value(env, &access);
    return STEP_DONE;
}

/* The frame's flags are what the program sees; its handler begins with its interrupts off. */
static enum step_result redirect(struct step_env *env, unsigned vector, uint64_t return_rip)
{
    struct cpu_state *cpu = env->cpu;
    bool has_iopl = !v86_is_restricted(env);
    struct access access = {.gva = vector * 4u, .len = 4, .flags = ACCESS_READ | ACCESS_SYSTEM};
    TRY(access_prepare_linear(env, &access));
    uint64_t entry = access_read_value(env, &access), pointer = stack_pointer(env);
    uint64_t frame[3] = {has_iopl ? cpu->rflags : virtual_flags(cpu), cpu->segments[CPU_CS].selector,
                         return_rip};
    TRY(far_push(env, &pointer, 2, 3, frame));
    TRY(enter(env, entry >> 16, entry & 0xffff));
    stack_pointer_set(env, pointer);
    flags_set(env, FLAG_TF | FLAG_RF | (has_iopl ? FLAG_IF : FLAG_VIF), 0);
    env->trap_lost = true;
    return STEP_DONE;
}

enum step_result v86_int(struct step_env *env, unsigned vector, uint64_t return_rip, bool *is_redirected)
{
    uint64_t map, bits = 0xff;
    *is_redirected = false;
    if (env->cpu->cr4 & CR4_VME) {
        TRY(tss_read(env, TSS_IO_MAP_OFFSET, 2, &map));
        TRY(tss_read(env, map - REDIRECTION_BYTES + vector / 8, 1, &bits));
    }
    if (!(bits >> (vector & 7) & 1)) {
        *is_redirected = true;
        return redirect(env, vector, return_rip);
    }
    return v86_is_restricted(env) ? env_gp(env) : STEP_DONE;
}
