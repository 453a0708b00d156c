/* SPDX-License-Identifier: MIT
 *
 * The machine's virtio devices without a medium: the entropy device, and consoles with what their ports are
 * connected to. And what all of the guest's output has in common, that of serial ports as well.
 */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "devices/char/char_backend.h"
#include "devices/virtio-console/virtio_console.h"
#include "devices/virtio-rng/virtio_rng.h"
#include "vmm/machine.h"

struct machine_console {
    struct machine_console *next;
    struct virtio_console *console;
    struct char_backend *backends[VIRTIO_CONSOLE_PORTS_MAX];
};

MACHINE_DESTROYER(virtio_rng)

int vmm_add_rng(struct vmm *machine, enum vmm_transport transport, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    struct virtio_rng *rng;
    const struct virtio_rng_config config = {.memory = machine->memory, .loop = machine->loop};
    int result = virtio_rng_create(&config, &rng, error);
    if (!result)
        result = machine_own(machine, rng, destroy_virtio_rng, error);
    if (!result)
        result = machine_attach_virtio(machine, virtio_rng_virtio(rng), transport, error);
    if (!result)
        result = machine_count_virtio(machine, virtio_rng_virtio(rng), "rng", error);
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

static void destroy_console(void *part)
{
    struct machine_console *console = part;
    virtio_console_destroy(console->console);
    free(console);
}

/* The backends are the machine's by now, and destroyed after the console. */
static int create_console(struct vmm *machine, struct machine_console *console,
                          const struct vmm_console_config *config, struct vmm_error *error)
{
    struct virtio_console_port ports[VIRTIO_CONSOLE_PORTS_MAX];
    if (config->port_count > VIRTIO_CONSOLE_PORTS_MAX)
        return error_set(error, -EINVAL, "virtio-console: %zu ports are more than %d", config->port_count,
                         VIRTIO_CONSOLE_PORTS_MAX);
    for (size_t i = 0; i < config->port_count; i++) {
        const struct vmm_console_port *port = &config->ports[i];
        int result = machine_add_char_backend(machine, &port->where, &console->backends[i], error);
        if (result)
            return result;
        ports[i] = (struct virtio_console_port){
            .backend = console->backends[i], .name = port->name, .is_console = port->is_console};
        if (char_backend_name(console->backends[i]))
            log_line(&machine->log, VMM_LOG_INFO, "virtio-console: port %zu is at %s", i,
                     char_backend_name(console->backends[i]));
    }
    const struct virtio_console_config console_config = {.memory = machine->memory,
                                                         .loop = machine->loop,
                                                         .ports = ports,
                                                         .port_count = (unsigned)config->port_count};
    return virtio_console_create(&console_config, &console->console, error);
}

/* Where the first port is on a terminal, its size is the console's. */
static void copy_size(struct machine_console *console, const struct vmm_console_config *config)
{
    const struct vmm_serial_config *where = &config->ports[0].where;
    struct winsize size;
    if (where->kind == VMM_SERIAL_DESCRIPTORS && ioctl(where->out_fd, TIOCGWINSZ, &size) == 0)
        virtio_console_resize(console->console, size.ws_col, size.ws_row);
}

int vmm_add_console(struct vmm *machine, const struct vmm_console_config *config, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    struct machine_console *console = calloc(1, sizeof(*console)), **end = &machine->consoles;
    if (!console)
        return error_set(error, -ENOMEM, "virtio-console: out of memory");
    int result = create_console(machine, console, config, error);
    if (result) {
        free(console);
        return result;
    }
    result = machine_own(machine, console, destroy_console, error);
    if (!result)
        result = machine_attach_virtio(machine, virtio_console_virtio(console->console), config->transport,
                                       error);
    if (!result)
        result = machine_count_virtio(machine, virtio_console_virtio(console->console), "console", error);
    while (*end)
        end = &(*end)->next;
    if (!result) {
        *end = console;
        copy_size(console, config);
    }
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

int vmm_resize_console(struct vmm *machine, unsigned index, unsigned columns, unsigned rows,
                       struct vmm_error *error)
{
    const struct machine_console *console = machine->consoles;
    for (unsigned i = 0; console && i < index; i++)
        console = console->next;
    if (!console)
        return error_set(error, -ENOENT, "console %u: there is none", index);
    if (columns > UINT16_MAX || rows > UINT16_MAX)
        return error_set(error, -EINVAL, "console %u: %u x %u characters are more than 65535", index, columns,
                         rows);
    virtio_console_resize(console->console, (uint16_t)columns, (uint16_t)rows);
    return 0;
}

void machine_flush_output(struct vmm *machine)
{
    for (unsigned i = 0; i < machine->serial_count; i++)
        char_backend_flush(machine->serial_backends[i]);
    for (const struct machine_console *console = machine->consoles; console; console = console->next)
        for (unsigned i = 0; i < VIRTIO_CONSOLE_PORTS_MAX && console->backends[i]; i++)
            char_backend_flush(console->backends[i]);
}

bool vmm_break_line(struct vmm *machine)
{
    bool was_open = false;
    for (unsigned i = 0; i < machine->serial_count; i++)
        was_open |= char_backend_break_line(machine->serial_backends[i]);
    for (const struct machine_console *console = machine->consoles; console; console = console->next)
        for (unsigned i = 0; i < VIRTIO_CONSOLE_PORTS_MAX && console->backends[i]; i++)
            was_open |= char_backend_break_line(console->backends[i]);
    return was_open;
}
