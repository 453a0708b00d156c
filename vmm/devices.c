/* SPDX-License-Identifier: MIT
 *
 * What a machine can be given: each vmm_add_* makes a device, hands it its lines, and puts its regions on the
 * bus.
 */
#include <stdlib.h>
#include <string.h>

#include "devices/cmos/cmos.h"
#include "devices/debug-exit/debug_exit.h"
#include "devices/i8042/i8042.h"
#include "devices/port92/port92.h"
#include "devices/post/post.h"
#include "devices/scratch/scratch.h"
#include "devices/serial/serial.h"
#include "vmm/machine.h"

static void request_power(void *owner, enum power_request what, uint32_t value)
{
    static const enum vmm_end_reason reasons[] = {[POWER_RESET] = VMM_END_RESET,
                                                  [POWER_OFF] = VMM_END_POWER_OFF,
                                                  [POWER_PANIC] = VMM_END_PANIC,
                                                  [POWER_DEBUG_EXIT] = VMM_END_DEBUG_EXIT};
    machine_end(owner, reasons[what], value);
}

struct power_line machine_power_line(struct vmm *machine)
{
    return (struct power_line){.request = request_power, .owner = machine};
}

MACHINE_DESTROYER(char_backend)
MACHINE_DESTROYER(cmos)
MACHINE_DESTROYER(debug_exit)
MACHINE_DESTROYER(i8042)
MACHINE_DESTROYER(port92)
MACHINE_DESTROYER(post)
MACHINE_DESTROYER(scratch)
MACHINE_DESTROYER(serial)

static const enum char_kind char_kinds[] = {[VMM_SERIAL_NONE] = CHAR_NONE,
                                            [VMM_SERIAL_DESCRIPTORS] = CHAR_DESCRIPTORS,
                                            [VMM_SERIAL_FILE] = CHAR_FILE,
                                            [VMM_SERIAL_PTY] = CHAR_PTY,
                                            [VMM_SERIAL_SOCKET] = CHAR_SOCKET};

static void press_power_button(void *machine)
{
    vmm_press_power_button(machine);
}

struct vmm_serial_peer {
    struct char_peer peer;
};

int vmm_serial_peer_create(struct vmm_serial_peer **peer, struct vmm_error *error)
{
    *peer = calloc(1, sizeof(**peer));
    return *peer ? 0 : error_set(error, -ENOMEM, "serial: out of memory");
}

void vmm_serial_peer_destroy(struct vmm_serial_peer *peer)
{
    if (peer)
        char_peer_fini(&peer->peer);
    free(peer);
}

int machine_add_char_backend(struct vmm *machine, const struct vmm_serial_config *config,
                             struct char_backend **backend, struct vmm_error *error)
{
    if ((unsigned)config->kind >= ARRAY_COUNT(char_kinds))
        return error_set(error, -EINVAL, "serial: there is no backend %d", (int)config->kind);
    if (!config->path && (config->kind == VMM_SERIAL_FILE || config->kind == VMM_SERIAL_SOCKET))
        return error_set(error, -EINVAL, "serial: a file or a socket needs a path");
    const struct char_config char_config = {.kind = char_kinds[config->kind],
                                            .loop = machine->loop,
                                            .in_fd = config->in_fd,
                                            .out_fd = config->out_fd,
                                            .path = config->path,
                                            .append = config->append,
                                            .peer = config->peer ? &config->peer->peer : NULL,
                                            .escape = config->on_escape != NULL,
                                            .on_power_key = press_power_button,
                                            .on_first_output = machine_mark_serial,
                                            .machine = machine,
                                            .on_escape = config->on_escape,
                                            .context = config->escape_context};
    int result = machine_check_open(machine, error);
    if (!result)
        result = char_backend_create(&char_config, backend, error);
    if (!result)
        result = machine_own(machine, *backend, destroy_char_backend, error);
    return result;
}

static int add_uart(struct vmm *machine, struct char_backend *backend, struct vmm_error *error)
{
    static const struct {
        uint16_t port;
        uint8_t irq;
    } places[SERIAL_LIMIT] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
    unsigned number = machine->serial_count;
    struct serial *serial;
    const struct serial_config config = {.base = places[number].port,
                                         .irq = machine_irq_line(machine, places[number].irq),
                                         .backend = backend,
                                         .loop = machine->loop,
                                         .out2_gates_irq = true};
    int result = serial_create(&config, &serial, error);
    if (!result)
        result = machine_add_ports(machine, serial, destroy_serial, serial_region(serial), error);
    return result;
}

int vmm_add_serial(struct vmm *machine, const struct vmm_serial_config *config, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    struct char_backend *backend;
    if (machine->serial_count == SERIAL_LIMIT)
        return error_set(error, -ENOSPC, "serial: a PC has at most %d serial ports", SERIAL_LIMIT);
    int result = machine_add_char_backend(machine, config, &backend, error);
    if (!result)
        result = add_uart(machine, backend, error);
    if (!result && char_backend_name(backend))
        log_line(&machine->log, VMM_LOG_INFO, "serial port %u is at %s", machine->serial_count + 1,
                 char_backend_name(backend));
    if (!result)
        machine->serial_backends[machine->serial_count++] = backend;
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

int vmm_add_debug_exit(struct vmm *machine, uint16_t port, struct vmm_error *error)
{
    return vmm_add_debug_exit_ports(machine, port, DEBUG_EXIT_PORT_COUNT, error);
}

int vmm_add_debug_exit_ports(struct vmm *machine, uint16_t port, unsigned count, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    struct debug_exit *debug_exit;
    if (!count)
        return error_set(error, -EINVAL, "debug-exit: 0 ports are none: give 1 or more");
    const struct debug_exit_config config = {
        .base = port, .port_count = count, .power = machine_power_line(machine)};
    int result = debug_exit_create(&config, &debug_exit, error);
    if (!result)
        result = machine_add_ports(machine, debug_exit, destroy_debug_exit, debug_exit_region(debug_exit),
                                   error);
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

static int add_cmos(struct vmm *machine, struct vmm_error *error)
{
    uint64_t ram = machine->config.ram_bytes;
    struct cmos *cmos;
    const struct cmos_config config = {.irq = machine_irq_line(machine, CMOS_IRQ),
                                       .loop = machine->loop,
                                       .ram_below_4g_bytes = ram < PCI_HOLE_GPA ? ram : PCI_HOLE_GPA,
                                       .ram_above_4g_bytes = ram < PCI_HOLE_GPA ? 0 : ram - PCI_HOLE_GPA,
                                       .cpu_count = machine->config.cpu_count};
    int result = cmos_create(&config, &cmos, error);
    return result ? result : machine_add_ports(machine, cmos, destroy_cmos, cmos_region(cmos), error);
}

static int add_i8042(struct vmm *machine, struct vmm_error *error)
{
    struct i8042 *i8042;
    const struct i8042_config config = {.irq = machine_irq_line(machine, I8042_IRQ),
                                        .power = machine_power_line(machine)};
    int result = i8042_create(&config, &i8042, error);
    if (!result)
        result = machine_add_ports(machine, i8042, destroy_i8042, i8042_data_region(i8042), error);
    return result ? result : bus_add(machine->ports, i8042_command_region(i8042), error);
}

static int add_port92(struct vmm *machine, struct vmm_error *error)
{
    struct port92 *port92;
    const struct port92_config config = {.power = machine_power_line(machine)};
    int result = port92_create(&config, &port92, error);
    return result ? result : machine_add_ports(machine, port92, destroy_port92, port92_region(port92), error);
}

static int add_post(struct vmm *machine, struct vmm_error *error)
{
    struct post *post;
    const struct post_config config = {.base = POST_PORT};
    int result = post_create(&config, &post, error);
    return result ? result : machine_add_ports(machine, post, destroy_post, post_region(post), error);
}

int vmm_add_legacy(struct vmm *machine, struct vmm_error *error)
{
    static int (*const steps[])(struct vmm *, struct vmm_error *) = {add_cmos, add_i8042, add_port92,
                                                                     add_post, machine_add_fwcfg};
    uint64_t since_ns = machine_now_ns();
    int result = 0;
    for (size_t i = 0; !result && i < ARRAY_COUNT(steps); i++)
        result = steps[i](machine, error);
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

int machine_check_not_ram(const struct vmm *machine, const char *name, uint64_t base, uint64_t len,
                          struct vmm_error *error)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(machine->memory, &count);
    for (size_t i = 0; i < count; i++)
        if (ranges_overlap(base, len, ranges[i].gpa, ranges[i].len))
            return error_set(
                error, -EEXIST, "%s: %#llx bytes at %#llx overlap RAM, which is from %#llx to %#llx", name,
                (unsigned long long)len, (unsigned long long)base, (unsigned long long)ranges[i].gpa,
                (unsigned long long)(ranges[i].gpa + ranges[i].len - 1));
    return 0;
}

int vmm_add_scratch(struct vmm *machine, const struct vmm_scratch_config *config, struct vmm_error *error)
{
    static const enum bus_engine engines[] = {[VMM_MMIO_AUTO] = BUS_ENGINE_AUTO,
                                              [VMM_MMIO_KVM] = BUS_ENGINE_KVM,
                                              [VMM_MMIO_TRAP] = BUS_ENGINE_TRAP};
    struct scratch *scratch;
    if ((unsigned)config->engine >= ARRAY_COUNT(engines))
        return error_set(error, -EINVAL, "scratch: there is no engine %d", (int)config->engine);
    const struct scratch_config scratch_config = {.base = config->base,
                                                  .len = config->len,
                                                  .engine = engines[config->engine],
                                                  .coalesce = config->coalesce,
                                                  .direct = config->direct};
    int result = machine_check_not_ram(machine, "scratch", config->base, config->len, error);
    if (!result)
        result = scratch_create(&scratch_config, &scratch, error);
    if (!result)
        result = machine_own_memory(machine, scratch, destroy_scratch, error);
    return result ? result : bus_add(machine->memory_bus, scratch_region(scratch), error);
}
