/* SPDX-License-Identifier: MIT
 *
 * Virtual-8086 mode below IOPL 3: what the virtual-mode extensions (CR4.VME, SDM 3B chapter 20) do instead of
 * the #GP that is there without them. VIF stands for IF, in words alone.
 */
#ifndef MMIO_V86_H
#define MMIO_V86_H

#include "mmio/access.h"

/* Whether PUSHF, POPF and IRET are these, and not the usual ones. */
static inline bool v86_is_restricted(const struct step_env *env)
{
    uint64_t flags = env->cpu->rflags;
    return (flags & FLAG_VM) && (flags & FLAG_IOPL) != FLAG_IOPL;
}

enum step_result v86_pushf(struct step_env *env);
enum step_result v86_popf(struct step_env *env);
enum step_result v86_iret(struct step_env *env);

/* INT n in virtual-8086 mode. STEP_DONE, and *is_redirected says whether it has gone to the program's own
 * vector table, at linear address 0; else it is the IDT's. */
enum step_result v86_int(struct step_env *env, unsigned vector, uint64_t return_rip, bool *is_redirected);

/* Both VIF and VIP in front of an instruction, which is #GP(0). */
static inline bool v86_is_pending(const struct cpu_state *cpu)
{
    if ((cpu->rflags & (FLAG_VIF | FLAG_VIP)) != (FLAG_VIF | FLAG_VIP))
        return false;
    bool is_virtual = cpu->rflags & FLAG_VM ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && (cpu->cr4 & CR4_PVI);
    return is_virtual && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL;
}

#endif
