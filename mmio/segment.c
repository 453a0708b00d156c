/* SPDX-License-Identifier: MIT
 *
 * Descriptors from the guest's tables. They are read as the supervisor whatever the CPL is, and each is read
 * once.
 */
#include "mmio/segment.h"

#include "base/bytes.h"

static bool table_has(const struct step_env *env, uint16_t selector, unsigned size, gva_t *gva)
{
    const struct cpu_state *cpu = env->cpu;
    bool is_local = selector & SELECTOR_TI;
    if (is_local && !(cpu->ldt.attributes & SEGMENT_PRESENT))
        return false;
    uint64_t limit = is_local ? cpu->ldt.limit : cpu->gdt.limit;
    uint64_t offset = selector & ~7u;
    *gva = (is_local ? cpu->ldt.base : cpu->gdt.base) + offset;
    if (!cpu_is_long(cpu))
        *gva = (uint32_t)*gva;
    return offset + size - 1 <= limit;
}

enum step_result descriptor_read(struct step_env *env, uint16_t selector, unsigned size,
                                 enum exception_vector vector, struct descriptor *descriptor)
{
    *descriptor = (struct descriptor){.selector = selector};
    if (!table_has(env, selector, size, &descriptor->gva))
        return selector_fault(env, vector, selector);
    uint8_t bytes[16] = {0};
    struct access access = {
        .gva = descriptor->gva, .len = (uint16_t)size, .flags = ACCESS_READ | ACCESS_SYSTEM};
    TRY(access_prepare_linear(env, &access));
    access_read(env, &access, bytes);
    descriptor->low = load_le64(bytes);
    descriptor->high = load_le64(bytes + 8);
    return STEP_DONE;
}

struct cpu_segment descriptor_segment(const struct descriptor *descriptor)
{
    uint64_t low = descriptor->low;
    uint32_t limit = (uint32_t)((low & 0xffff) | (low >> 32 & 0xf0000));
    return (struct cpu_segment){
        .base = (low >> 16 & 0xffffff) | (low >> 32 & 0xff000000) | descriptor->high << 32,
        .limit = low >> 55 & 1 ? limit << 12 | 0xfff : limit,
        .selector = descriptor->selector,
        .attributes = low >> 40 & 0xf0ff,
    };
}

enum step_result descriptor_mark(struct step_env *env, struct descriptor *descriptor, unsigned type_bits)
{
    uint64_t bits = (uint64_t)type_bits << 40, old = descriptor->low, value;
    struct access access = {
        .gva = descriptor->gva, .len = 8, .flags = ACCESS_READ | ACCESS_WRITE | ACCESS_SYSTEM};
    if ((old & bits) == bits)
        return STEP_DONE;
    TRY(access_prepare_linear(env, &access));
    do {
        old = access_read_value(env, &access);
        value = old | bits;
    } while (!access_exchange(env, &access, &old, &value));
    descriptor->low |= bits;
    return STEP_DONE;
}

void segment_load_real(struct cpu_segment *segment, uint16_t selector)
{
    segment->selector = selector;
    segment->base = (uint64_t)selector << 4;
}

void segment_load_v86(struct cpu_segment *segment, uint16_t selector)
{
    segment_load_real(segment, selector);
    segment->limit = 0xffff;
    segment->attributes = SEGMENT_PRESENT | SEGMENT_S | SEGMENT_WRITABLE | SEGMENT_ACCESSED | SEGMENT_DPL;
}

/* Null is legal in DS, ES, FS and GS; in SS only in 64-bit mode below CPL 3 with RPL = CPL. SS keeps the CPL.
 */
static enum step_result load_null(struct step_env *env, unsigned segment, uint16_t selector)
{
    unsigned cpl = env->cpu->cpl;
    if (segment == CPU_SS && (!env->is_64bit || cpl == 3 || (selector & SELECTOR_RPL) != cpl))
        return env_gp(env);
    env->cpu->segments[segment] = (struct cpu_segment){
        .selector = selector,
        .attributes = segment == CPU_SS ? (uint16_t)(cpl << SEGMENT_DPL_SHIFT) : 0,
    };
    return STEP_DONE;
}

bool descriptor_is_writable_data(const struct descriptor *descriptor)
{
    unsigned type = descriptor_type(descriptor);
    return !descriptor_is_system(descriptor) && !(type & SEGMENT_CODE) && (type & SEGMENT_WRITABLE);
}

enum step_result segment_load_stack(struct step_env *env, uint16_t selector, unsigned cpl,
                                    enum exception_vector vector, struct cpu_segment *ss)
{
    struct descriptor descriptor;
    if (!(selector & ~SELECTOR_RPL))
        return selector_fault(env, vector, selector);
    TRY(descriptor_read(env, selector, 8, vector, &descriptor));
    if ((selector & SELECTOR_RPL) != cpl || descriptor_dpl(&descriptor) != cpl ||
        !descriptor_is_writable_data(&descriptor))
        return selector_fault(env, vector, selector);
    if (!descriptor_is_present(&descriptor))
        return selector_fault(env, VECTOR_SS, selector);
    TRY(descriptor_mark(env, &descriptor, SEGMENT_ACCESSED));
    *ss = descriptor_segment(&descriptor);
    return STEP_DONE;
}

bool descriptor_may_load_data(const struct step_env *env, const struct descriptor *descriptor)
{
    unsigned type = descriptor_type(descriptor), dpl = descriptor_dpl(descriptor);
    bool is_code = type & SEGMENT_CODE;
    if (descriptor_is_system(descriptor) || (is_code && !(type & SEGMENT_WRITABLE)))
        return false;
    bool is_conforming = is_code && (type & SEGMENT_EXPAND_DOWN);
    return is_conforming || ((descriptor->selector & SELECTOR_RPL) <= dpl && env->cpu->cpl <= dpl);
}

enum step_result segment_load(struct step_env *env, unsigned segment, uint16_t selector)
{
    env->outcome->changed_system = true;
    if (env->cpu->rflags & FLAG_VM) {
        segment_load_v86(&env->cpu->segments[segment], selector);
        return STEP_DONE;
    }
    if (!(env->cpu->cr0 & CR0_PE)) {
        segment_load_real(&env->cpu->segments[segment], selector);
        return STEP_DONE;
    }
    if (!(selector & ~SELECTOR_RPL))
        return load_null(env, segment, selector);
    if (segment == CPU_SS)
        return segment_load_stack(env, selector, env->cpu->cpl, VECTOR_GP, &env->cpu->segments[CPU_SS]);
    struct descriptor descriptor;
    TRY(descriptor_read(env, selector, 8, VECTOR_GP, &descriptor));
    if (!descriptor_may_load_data(env, &descriptor))
        return selector_fault(env, VECTOR_GP, selector);
    if (!descriptor_is_present(&descriptor))
        return selector_fault(env, VECTOR_NP, selector);
    TRY(descriptor_mark(env, &descriptor, SEGMENT_ACCESSED));
    env->cpu->segments[segment] = descriptor_segment(&descriptor);
    return STEP_DONE;
}

/* A system segment from the GDT alone, of one of two types; 16 bytes in long mode. */
static enum step_result read_system(struct step_env *env, uint16_t selector, unsigned types,
                                    struct descriptor *descriptor)
{
    unsigned size = cpu_is_long(env->cpu) ? 16 : 8;
    if (selector & SELECTOR_TI)
        return selector_fault(env, VECTOR_GP, selector);
    TRY(descriptor_read(env, selector, size, VECTOR_GP, descriptor));
    bool has_type = descriptor_is_system(descriptor) && (types >> descriptor_type(descriptor) & 1);
    struct cpu_segment segment = descriptor_segment(descriptor);
    if (!has_type || !access_is_canonical(env, segment.base))
        return selector_fault(env, VECTOR_GP, selector);
    if (!descriptor_is_present(descriptor))
        return selector_fault(env, VECTOR_NP, selector);
    return STEP_DONE;
}

enum step_result segment_load_ldt(struct step_env *env, uint16_t selector)
{
    struct descriptor descriptor;
    env->outcome->changed_system = true;
    if (!(selector & ~SELECTOR_RPL)) {
        env->cpu->ldt = (struct cpu_segment){.selector = selector};
        return STEP_DONE;
    }
    TRY(read_system(env, selector, 1u << SYSTEM_LDT, &descriptor));
    env->cpu->ldt = descriptor_segment(&descriptor);
    return STEP_DONE;
}

enum step_result segment_load_tr(struct step_env *env, uint16_t selector)
{
    struct descriptor descriptor;
    unsigned types = 1u << SYSTEM_TSS_AVAILABLE;
    env->outcome->changed_system = true;
    if (!(selector & ~SELECTOR_RPL))
        return env_gp(env);
    if (!cpu_is_long(env->cpu))
        types |= 1u << SYSTEM_TSS16_AVAILABLE;
    TRY(read_system(env, selector, types, &descriptor));
    TRY(descriptor_mark(env, &descriptor, 2)); /* busy */
    env->cpu->tr = descriptor_segment(&descriptor);
    return STEP_DONE;
}
