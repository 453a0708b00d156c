/* SPDX-License-Identifier: MIT
 *
 * A new CS, a new stack.
 */
#include "mmio/far.h"

#include "mmio/branch.h"
#include "mmio/stack.h"

#define SLOTS_MAX 11 /* the frame of an event in virtual-8086 mode, with an error code, is 10 */

bool far_is_code(const struct step_env *env, const struct descriptor *descriptor)
{
    if (descriptor_is_system(descriptor) || !(descriptor_type(descriptor) & SEGMENT_CODE))
        return false;
    unsigned attributes = descriptor->low >> 40 & 0xf0ff;
    return !cpu_is_long(env->cpu) || (attributes & (SEGMENT_L | SEGMENT_DB)) != (SEGMENT_L | SEGMENT_DB);
}

enum step_result far_enter(struct step_env *env, struct descriptor *descriptor, unsigned cpl, uint64_t rip)
{
    struct cpu_state *cpu = env->cpu;
    TRY(descriptor_mark(env, descriptor, SEGMENT_ACCESSED));
    struct cpu_segment cs = descriptor_segment(descriptor);
    cs.selector = (uint16_t)((cs.selector & ~SELECTOR_RPL) | cpl);
    cpu->segments[CPU_CS] = cs;
    cpu->cpl = (uint8_t)cpl;
    env->is_64bit = cpu_is_64bit(cpu);
    env->outcome->changed_system = true;
    return branch_to(env, rip, env->is_64bit ? 8 : 4);
}

struct cpu_segment far_null_stack(unsigned cpl)
{
    return (struct cpu_segment){.selector = (uint16_t)cpl,
                                .attributes = (uint16_t)(cpl << SEGMENT_DPL_SHIFT)};
}

void far_switch_stack(struct step_env *env, const struct cpu_segment *ss, uint64_t rsp)
{
    env->cpu->segments[CPU_SS] = *ss;
    stack_pointer_set(env, rsp);
    env->outcome->changed_system = true;
}

enum step_result far_pop(struct step_env *env, uint64_t pointer, unsigned size, unsigned count,
                         uint64_t values[])
{
    struct access slots[SLOTS_MAX];
    for (unsigned i = 0; i < count; i++)
        TRY(stack_prepare(env, pointer + i * size, size, ACCESS_READ, &slots[i]));
    for (unsigned i = 0; i < count; i++)
        values[i] = access_read_value(env, &slots[i]);
    return STEP_DONE;
}

enum step_result far_push(struct step_env *env, uint64_t *pointer, unsigned size, unsigned count,
                          const uint64_t values[])
{
    struct access slots[SLOTS_MAX];
    for (unsigned i = 0; i < count; i++)
        TRY(stack_prepare(env, *pointer - (i + 1) * size, size, ACCESS_WRITE, &slots[i]));
    for (unsigned i = 0; i < count; i++)
        access_write_value(env, &slots[i], values[i]);
    *pointer -= count * size;
    return STEP_DONE;
}
