/* SPDX-License-Identifier: MIT
 *
 * --device virtio-console, --device virtio-rng.
 */
#include "vmm/cli/run_consoles.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/keys.h"

bool run_parse_where(const char *option, const char *text, struct vmm_serial_config *where)
{
    *where = (struct vmm_serial_config){.in_fd = -1, .out_fd = -1};
    if (strcmp(text, "stdio") == 0) {
        *where = (struct vmm_serial_config){
            .kind = VMM_SERIAL_DESCRIPTORS, .in_fd = STDIN_FILENO, .out_fd = STDOUT_FILENO};
    } else if (strcmp(text, "none") == 0) {
        where->kind = VMM_SERIAL_NONE;
    } else if (strcmp(text, "pty") == 0) {
        where->kind = VMM_SERIAL_PTY;
    } else if (strncmp(text, "file:", 5) == 0 && text[5]) {
        where->kind = VMM_SERIAL_FILE;
        where->path = text + 5;
    } else if (strncmp(text, "unix:", 5) == 0 && text[5]) {
        where->kind = VMM_SERIAL_SOCKET;
        where->path = text + 5;
    } else {
        cli_usage("run", "--%s: '%s' is none of stdio, none, pty, file:PATH, unix:PATH", option, text);
        return false;
    }
    return true;
}

static bool add_port(struct run_console *console, const char *name, const char *where)
{
    if (console->config.port_count == CONSOLE_PORTS_LIMIT) {
        cli_usage("run", "--device: a virtio-console has at most %d ports", CONSOLE_PORTS_LIMIT);
        return false;
    }
    struct vmm_console_port *port = &console->ports[console->config.port_count++];
    port->name = name;
    port->is_console = !name;
    return run_parse_where("device virtio-console", where, &port->where);
}

/* NAME:WHERE, in place. */
static bool add_named(struct run_console *console, char *text)
{
    char *name = strsep(&text, ":");
    if (text && *name)
        return add_port(console, name, text);
    cli_usage("run", "--device: virtio-console: write port=NAME:WHERE, as port=agent:unix:PATH");
    return false;
}

/* A key at a time, since ports come again and again, in an order that counts. */
static bool parse_ports(struct run_console *console, char *rest)
{
    while (rest) {
        const char *hvc = NULL, *port = NULL;
        const struct device_key keys[] = {
            {"hvc", KEY_TEXT, &hvc, NULL},
            {"port", KEY_TEXT, &port, NULL},
            {"transport", KEY_CHOICE, &console->config.transport, keys_transports}};
        if (!keys_parse("device", "virtio-console", strsep(&rest, ","), keys, ARRAY_COUNT(keys)))
            return false;
        if (hvc && !add_port(console, NULL, hvc))
            return false;
        if (port && !add_named(console, (char *)port))
            return false;
    }
    return true;
}

bool run_console_parse(struct run_consoles *consoles, const char *rest)
{
    if (consoles->console_count == CONSOLE_LIMIT) {
        cli_usage("run", "--device: at most %d of virtio-console", CONSOLE_LIMIT);
        return false;
    }
    if (!rest) {
        cli_usage("run",
                  "--device: virtio-console needs a port: hvc=WHERE for a console, or port=NAME:WHERE");
        return false;
    }
    struct run_console *console = &consoles->consoles[consoles->console_count++];
    console->argument = strdup(rest);
    if (!console->argument || !parse_ports(console, console->argument))
        return false;
    if (console->config.port_count)
        return true;
    cli_usage("run", "--device: virtio-console needs a port: hvc=WHERE for a console, or port=NAME:WHERE");
    return false;
}

bool run_rng_parse(struct run_consoles *consoles, char *rest)
{
    if (consoles->rng_count == RNG_LIMIT) {
        cli_usage("run", "--device: at most %d of virtio-rng", RNG_LIMIT);
        return false;
    }
    const struct device_key keys[] = {
        {"transport", KEY_CHOICE, &consoles->rngs[consoles->rng_count++], keys_transports}};
    return keys_parse("device", "virtio-rng", rest, keys, 1);
}

unsigned run_consoles_count(const struct run_consoles *consoles, enum vmm_serial_kind kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < consoles->console_count; i++)
        for (size_t j = 0; j < consoles->consoles[i].config.port_count; j++)
            count += consoles->consoles[i].ports[j].where.kind == kind;
    return count;
}

bool run_consoles_find_terminal(const struct run_consoles *consoles, unsigned *index)
{
    for (*index = 0; *index < consoles->console_count; ++*index)
        if (consoles->consoles[*index].ports[0].where.kind == VMM_SERIAL_DESCRIPTORS)
            return isatty(STDOUT_FILENO);
    return false;
}

void run_consoles_set_escape(struct run_consoles *consoles, void (*on_escape)(void *context), void *context)
{
    for (unsigned i = 0; i < consoles->console_count && isatty(STDIN_FILENO); i++)
        for (size_t j = 0; j < consoles->consoles[i].config.port_count; j++) {
            struct vmm_serial_config *where = &consoles->consoles[i].ports[j].where;
            if (where->kind != VMM_SERIAL_DESCRIPTORS)
                continue;
            where->on_escape = on_escape;
            where->escape_context = context;
        }
}

void run_consoles_append(struct run_consoles *consoles)
{
    for (unsigned i = 0; i < consoles->console_count; i++)
        for (size_t j = 0; j < consoles->consoles[i].config.port_count; j++)
            consoles->consoles[i].ports[j].where.append = true;
}

int run_consoles_keep(struct run_consoles *consoles, struct vmm_error *error)
{
    int result = 0;
    for (unsigned i = 0; i < consoles->console_count; i++)
        for (size_t j = 0; !result && j < consoles->consoles[i].config.port_count; j++)
            result = vmm_serial_peer_create(&consoles->consoles[i].ports[j].where.peer, error);
    return result;
}

int run_consoles_add(struct run_consoles *consoles, struct vmm *machine, struct vmm_error *error)
{
    int result = 0;
    for (unsigned i = 0; !result && i < consoles->rng_count; i++)
        result = vmm_add_rng(machine, consoles->rngs[i], error);
    for (unsigned i = 0; !result && i < consoles->console_count; i++) {
        struct run_console *console = &consoles->consoles[i];
        console->config.ports = console->ports;
        result = vmm_add_console(machine, &console->config, error);
    }
    return result;
}

void run_consoles_fini(struct run_consoles *consoles)
{
    for (unsigned i = 0; i < consoles->console_count; i++) {
        for (size_t j = 0; j < consoles->consoles[i].config.port_count; j++)
            vmm_serial_peer_destroy(consoles->consoles[i].ports[j].where.peer);
        free(consoles->consoles[i].argument);
    }
}
