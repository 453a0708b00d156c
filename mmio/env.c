/* SPDX-License-Identifier: MIT
 *
 * The ends that an instruction can come to, and the questions it asks of the machine.
 */
#include "mmio/env.h"

#include <string.h>

#include "base/bytes.h"
#include "mmio/simd_code.h"

static uint32_t read_pkru(void *owner)
{
    struct step_env *env = owner;
    return env_load_vector(env) == STEP_DONE ? env->cpu->pkru : 0;
}

static void table_written(void *owner, gpa_t gpa, uint64_t len)
{
    const struct step_machine *machine = ((struct step_env *)owner)->machine;
    if (machine->ops->ram_written)
        machine->ops->ram_written(machine->owner, gpa, len);
}

void env_begin(struct step_env *env, const struct step_machine *machine, struct cpu_state *cpu,
               struct step_outcome *outcome)
{
    env->machine = machine;
    env->cpu = cpu;
    env->walk = (struct walk_context){
        .memory = machine->memory,
        .cr0 = cpu->cr0,
        .cr3 = cpu->cr3,
        .cr4 = cpu->cr4,
        .efer = cpu->efer,
        .flags_ac = cpu->rflags & FLAG_AC,
        .physical_address_bits = machine->physical_address_bits ? machine->physical_address_bits : 48,
        .pkru_read = read_pkru,
        .table_written = table_written,
        .owner = env,
    };
    env->tlb = NULL;
    env->is_64bit = cpu_is_64bit(cpu);
    env->bus_locked = false;
    env_renew(env, outcome);
}

void env_end(struct step_env *env)
{
    if (env->bus_locked)
        pthread_mutex_unlock(env->machine->bus_lock);
    env->bus_locked = false;
}

void env_undo(struct cpu_state *cpu, const struct cpu_state *before)
{
    struct cpu_state now = *cpu;
    *cpu = *before;
    cpu->vector = now.vector;
    cpu->pkru = now.pkru;
    memcpy(cpu->dr, now.dr, sizeof(cpu->dr));
    cpu->dr6 = now.dr6;
    cpu->dr7 = now.dr7;
}

void env_load_debug(const struct step_machine *machine, struct cpu_state *cpu)
{
    if (machine->ops->load_debug)
        machine->ops->load_debug(machine->owner, cpu);
}

enum step_result env_raise(struct step_env *env, enum exception_vector vector)
{
    struct step_event *event = &env->outcome->event;
    event->kind = EVENT_EXCEPTION;
    event->vector = (uint8_t)vector;
    event->has_error = false;
    event->is_trap = false;
    event->error_code = 0;
    return STEP_EXCEPTION;
}

enum step_result env_raise_error(struct step_env *env, enum exception_vector vector, uint32_t error_code)
{
    env_raise(env, vector);
    env->outcome->event.has_error = true;
    env->outcome->event.error_code = error_code;
    return STEP_EXCEPTION;
}

enum step_result env_raise_trap(struct step_env *env, uint64_t dr6)
{
    env_raise(env, VECTOR_DB);
    env->outcome->event.dr6 = dr6;
    env->outcome->event.is_trap = true;
    return STEP_EXCEPTION;
}

enum step_result env_unsupported(struct step_env *env, const char *reason)
{
    env->outcome->reason = reason;
    return STEP_UNSUPPORTED;
}

/* The area holds PKRU as well: component 9, 0 where it is in its initial state. */
#define PKRU_COMPONENT 9

static uint8_t *pkru_place(const struct step_env *env)
{
    const struct simd_code *simd = env->machine->simd;
    if (!simd || !(simd_code_layout(simd)->components & XCR0_PKRU))
        return NULL;
    return env->cpu->vector.xsave + simd_code_layout(simd)->offset[PKRU_COMPONENT];
}

static void pkru_load(struct step_env *env)
{
    const uint8_t *place = pkru_place(env);
    if (place)
        env->cpu->pkru = load_le64(env->cpu->vector.xsave + XSAVE_HEADER) & XCR0_PKRU ? load_le32(place) : 0;
}

void env_store_pkru(struct step_env *env, uint32_t value)
{
    uint8_t *place = pkru_place(env), *header = env->cpu->vector.xsave + XSAVE_HEADER;
    env->cpu->pkru = value;
    env->cpu->vector.changed = true;
    if (!place)
        return;
    store_le64(place, value);
    store_le64(header, load_le64(header) | XCR0_PKRU);
}

enum step_result env_load_vector(struct step_env *env)
{
    if (env->cpu->vector.loaded)
        return STEP_DONE;
    const struct step_ops *ops = env->machine->ops;
    if (!ops->load_vector || ops->load_vector(env->machine->owner, env->cpu))
        return env_unsupported(env, "the vector state cannot be read");
    env->cpu->vector.loaded = true;
    pkru_load(env);
    return STEP_DONE;
}

uint64_t env_xcr0(struct step_env *env)
{
    const struct step_ops *ops = env->machine->ops;
    struct cpu_vector *vector = &env->cpu->vector;
    if (!vector->xcr0_known && ops->xcr0_read)
        vector->xcr0 = ops->xcr0_read(env->machine->owner);
    vector->xcr0_known = true;
    return vector->xcr0;
}

bool env_has_feature(struct step_env *env, uint32_t leaf, enum cpuid_register reg, unsigned bit)
{
    uint32_t regs[4] = {0};
    if (env->machine->ops->cpuid)
        env->machine->ops->cpuid(env->machine->owner, leaf, 0, regs);
    return regs[reg] >> bit & 1;
}
