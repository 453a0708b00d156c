/* SPDX-License-Identifier: MIT
 *
 * --device virtio-console and --device virtio-rng, and what a serial port or a console's port is connected
 * to.
 */
#ifndef VMM_CLI_RUN_CONSOLES_H
#define VMM_CLI_RUN_CONSOLES_H

#include "vmm/cli/cli.h"

#define CONSOLE_LIMIT       4
#define CONSOLE_PORTS_LIMIT 8
#define RNG_LIMIT           4

struct run_console {
    char *argument; /* which the texts are in */
    struct vmm_console_port ports[CONSOLE_PORTS_LIMIT];
    struct vmm_console_config config;
};

struct run_consoles {
    struct run_console consoles[CONSOLE_LIMIT];
    enum vmm_transport rngs[RNG_LIMIT];
    unsigned console_count, rng_count;
};

/* stdio, none, pty, file:PATH, unix:PATH; a borrow of `text`. False, with a message that names the option. */
bool run_parse_where(const char *option, const char *text, struct vmm_serial_config *where);

/* KEY=VALUE,... or NULL; copied. False, with a message, where it is not understood. */
bool run_console_parse(struct run_consoles *consoles, const char *rest);
bool run_rng_parse(struct run_consoles *consoles, char *rest);

/* How many ports of consoles are connected in that way. */
unsigned run_consoles_count(const struct run_consoles *consoles, enum vmm_serial_kind kind);

/* The number of the console whose first port is the program's own terminal; false where there is none. */
bool run_consoles_find_terminal(const struct run_consoles *consoles, unsigned *index);

/* Gives those ports, where they are a terminal, the escape key of struct vmm_serial_config. */
void run_consoles_set_escape(struct run_consoles *consoles, void (*on_escape)(void *context), void *context);

/* At the guest's next start its output goes on behind what files have of the one before. */
void run_consoles_append(struct run_consoles *consoles);

/* What their ports are connected to stays from one start of the guest to the next. */
int run_consoles_keep(struct run_consoles *consoles, struct vmm_error *error);

int run_consoles_add(struct run_consoles *consoles, struct vmm *machine, struct vmm_error *error);
void run_consoles_fini(struct run_consoles *consoles);

#endif
