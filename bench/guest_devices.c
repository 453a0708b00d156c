/* SPDX-License-Identifier: MIT
 *
 * See guest_devices.h. Its devices do nothing, so that the figures are those of the way to them.
 */
#include "bench/guest_devices.h"

#include <sys/ioctl.h>

#include "base/error.h"
#include "guest/flat/mmio.h"
#include "vmm/machine.h"

#define DEBUG_EXIT_PORT 0xf4u
#define DEVICE_BYTES    8192u

static bool read_msr(void *context, uint32_t index, uint64_t *value)
{
    (void)context, (void)index;
    *value = 0;
    return true;
}

static bool write_msr(void *context, uint32_t index, uint64_t value)
{
    (void)context, (void)index, (void)value;
    return true;
}

static const struct vmm_msr_ops msr_ops = {.read = read_msr, .write = write_msr};

static void ignore_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    (void)context, (void)offset, (void)size, (void)value;
}

uint64_t guest_read_zero(void *context, uint64_t offset, unsigned size)
{
    (void)context, (void)offset, (void)size;
    return 0;
}

static const struct vmm_region_ops port_ops = {.read = guest_read_zero, .write = ignore_write};

static int add_trace(struct vmm *machine, struct vmm_error *error)
{
    static const struct vmm_trace_buffer buffer = {.mode = VMM_TRACE_RING};
    const struct vmm_trace_config config = {
        .path = "/dev/null", .buffers = &buffer, .buffer_count = 1, .no_marker = true};
    return vmm_add_trace(machine, &config, error);
}

static int add_scratch(struct vmm *machine, const struct bench_guest_config *config, struct vmm_error *error)
{
    bool is_trapped = config->engine == BENCH_TRAP || config->engine == BENCH_AHEAD;
    const struct vmm_scratch_config scratch = {.base = BENCH_DEVICE_GPA,
                                               .len = config->device_bytes ? config->device_bytes
                                                                           : DEVICE_BYTES,
                                               .engine = is_trapped ? VMM_MMIO_TRAP : VMM_MMIO_KVM,
                                               .coalesce = config->engine == BENCH_COALESCED,
                                               .direct = config->engine == BENCH_DIRECT};
    return vmm_add_scratch(machine, &scratch, error);
}

/* What a machine can do without, a figure cannot. */
static int check_needs(const struct vmm *machine, const struct bench_needs *needs, struct vmm_error *error)
{
    if (!needs->capability || ioctl(machine->host.kvm_fd, KVM_CHECK_EXTENSION, needs->capability) > 0)
        return 0;
    return error_set(error, -EOPNOTSUPP, "this host's KVM has no %s", needs->name);
}

int guest_add_devices(struct vmm *machine, const struct bench_guest_config *config,
                      const struct vmm_region_ops *control, void *context, struct vmm_error *error)
{
    int result = check_needs(machine, &config->needs, error);
    if (!result && config->is_traced)
        result = add_trace(machine, error);
    if (!result)
        result = vmm_add_debug_exit(machine, DEBUG_EXIT_PORT, error);
    if (!result)
        result = vmm_add_region(machine, VMM_SPACE_PORTS, "control", MMIO_NEXT_PORT, 1, control, context,
                                error);
    if (!result)
        result = vmm_add_region(machine, VMM_SPACE_PORTS, "sink", BENCH_PORT, 8, &port_ops, NULL, error);
    if (!result && config->has_msr)
        result = vmm_add_msrs(machine, MMIO_USER_MSR, 1, &msr_ops, NULL, error);
    if (!result && config->coalesced_ports)
        bus_find(machine->ports, BENCH_PORT)->coalesce = true;
    return result ? result : add_scratch(machine, config, error);
}
