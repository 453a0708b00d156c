/* SPDX-License-Identifier: MIT
 *
 * A new CS, a new stack.
 */
#include "mmio/far.h"

#include "mmio/branch.h"
#include "mmio/stack.h"

#define SLOTS_MAX 36 /* a call gate's frame of 4 with 31 parameters */

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
    struct cpu_segment cs = descriptor_segment(descriptor);
    cs.attributes |= SEGMENT_ACCESSED;
    if (!cpu_is_long(cpu)) /* the bit means nothing there */
        cs.attributes &= (uint16_t)~SEGMENT_L;
    cs.selector = (uint16_t)((cs.selector & ~SELECTOR_RPL) | cpl);
    cpu->segments[CPU_CS] = cs;
    cpu->cpl = (uint8_t)cpl;
    env->is_64bit = cpu_is_64bit(cpu);
    env->outcome->changed_system = true;
    TRY(branch_to(env, rip, env->is_64bit ? 8 : 4));
    return descriptor_mark(env, descriptor, SEGMENT_ACCESSED);
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

static enum step_result tss_read(struct step_env *env, unsigned offset, unsigned size, uint64_t *value)
{
    struct access access = {
        .gva = env->cpu->tr.base + offset, .len = (uint16_t)size, .flags = ACCESS_READ | ACCESS_SYSTEM};
    if (offset + size - 1 > env->cpu->tr.limit)
        return selector_fault(env, VECTOR_TS, env->cpu->tr.selector);
    TRY(access_prepare_linear(env, &access));
    *value = access_read_value(env, &access);
    return STEP_DONE;
}

enum step_result far_stack_legacy(struct step_env *env, unsigned cpl, struct cpu_segment *ss,
                                  uint64_t *pointer)
{
    bool is_wide = env->cpu->tr.attributes & 8;
    unsigned width = is_wide ? 4 : 2, offset = is_wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    uint64_t selector = 0;
    TRY(tss_read(env, offset, width, pointer));
    TRY(tss_read(env, offset + width, 2, &selector));
    return segment_load_stack(env, (uint16_t)selector, cpl, VECTOR_TS, ss);
}

enum step_result far_stack_long(struct step_env *env, unsigned entry, uint64_t *pointer)
{
    TRY(tss_read(env, entry, 8, pointer));
    return access_is_canonical(env, *pointer) ? STEP_DONE : env_raise_error(env, VECTOR_SS, 0);
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
