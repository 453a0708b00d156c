/* SPDX-License-Identifier: MIT
 *
 * The ends that an instruction can come to, and the questions it asks of the machine.
 */
#include "mmio/env.h"

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

enum step_result env_unsupported(struct step_env *env, const char *reason)
{
    env->outcome->reason = reason;
    return STEP_UNSUPPORTED;
}

enum step_result env_load_vector(struct step_env *env)
{
    if (env->cpu->vector.loaded)
        return STEP_DONE;
    const struct step_ops *ops = env->machine->ops;
    if (!ops->load_vector || ops->load_vector(env->machine->owner, env->cpu))
        return env_unsupported(env, "the vector state cannot be read");
    env->cpu->vector.loaded = true;
    return STEP_DONE;
}

bool env_has_feature(struct step_env *env, uint32_t leaf, enum cpuid_register reg, unsigned bit)
{
    uint32_t regs[4] = {0};
    if (env->machine->ops->cpuid)
        env->machine->ops->cpuid(env->machine->owner, leaf, 0, regs);
    return regs[reg] >> bit & 1;
}
