/* SPDX-License-Identifier: MIT
 *
 * The I/O permission check of SDM 1 19.5.2, and I/O breakpoints.
 */
#include "mmio/port.h"

#define TSS_IO_MAP_OFFSET 102

static enum step_result tss_read16(struct step_env *env, uint64_t offset, uint64_t *value)
{
    struct access access = {
        .gva = env->cpu->tr.base + offset, .len = 2, .flags = ACCESS_READ | ACCESS_SYSTEM};
    if (offset + 1 > env->cpu->tr.limit)
        return env_gp(env);
    TRY(access_prepare_linear(env, &access));
    *value = access_read_value(env, &access);
    return STEP_DONE;
}

static enum step_result check_bitmap(struct step_env *env, unsigned port, unsigned size)
{
    unsigned type = env->cpu->tr.attributes & SEGMENT_TYPE;
    uint64_t map, bits;
    if (!(env->cpu->tr.attributes & SEGMENT_PRESENT) || !(type & 8))
        return env_gp(env); /* a 16-bit TSS has no bitmap */
    TRY(tss_read16(env, TSS_IO_MAP_OFFSET, &map));
    TRY(tss_read16(env, map + port / 8, &bits));
    return bits >> (port & 7) & ((1u << size) - 1) ? env_gp(env) : STEP_DONE;
}

/* DR7 type 2, with CR4.DE. */
static void check_breakpoints(struct step_env *env, unsigned port, unsigned size)
{
    if (!(env->cpu->dr7 & DR7_ACTIVE) || !(env->cpu->cr4 & CR4_DE))
        return;
    for (unsigned i = 0; i < 4; i++) {
        unsigned len = (env->cpu->dr7 >> (18 + 4 * i) & 3) + 1;
        uint64_t base = env->cpu->dr[i] & ~(uint64_t)(len - 1);
        bool is_io = (env->cpu->dr7 >> (16 + 4 * i) & 3) == 2 && (env->cpu->dr7 >> (2 * i) & 3);
        if (is_io && base < port + size && port < base + len)
            env->dr6 |= 1u << i;
    }
}

enum step_result port_check(struct step_env *env, unsigned port, unsigned size)
{
    const struct cpu_state *cpu = env->cpu;
    const struct step_machine *machine = env->machine;
    bool is_allowed = !(cpu->rflags & FLAG_VM) && cpu->cpl <= (cpu->rflags >> FLAG_IOPL_BIT & 3);
    if ((cpu->cr0 & CR0_PE) && !is_allowed)
        TRY(check_bitmap(env, port, size));
    if (machine->ops->is_kernel_port && machine->ops->is_kernel_port(machine->owner, port, size))
        return env_unsupported(env, "a port of a device inside the kernel");
    check_breakpoints(env, port, size);
    return STEP_DONE;
}

uint64_t port_read(struct step_env *env, unsigned port, unsigned size)
{
    env->outcome->device_reads++;
    return env->machine->ports ? bus_read(env->machine->ports, port, size) : size_mask(size);
}

void port_write(struct step_env *env, unsigned port, unsigned size, uint64_t value)
{
    env->outcome->device_writes++;
    if (env->machine->ports)
        bus_write(env->machine->ports, port, size, value);
}
