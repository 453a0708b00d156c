/* SPDX-License-Identifier: MIT
 *
 * The port through which a test guest ends its run with a value, as QEMU's isa-debug-exit: a write asks for
 * POWER_DEBUG_EXIT with the value written. What status becomes of it is the program's decision.
 */
#ifndef DEVICES_DEBUG_EXIT_DEBUG_EXIT_H
#define DEVICES_DEBUG_EXIT_DEBUG_EXIT_H

#include "base/lines.h"
#include "mmio/bus.h"

#define DEBUG_EXIT_PORT       0xf4u
#define DEBUG_EXIT_PORT_COUNT 4u

struct debug_exit_config {
    uint64_t base;       /* the first of its ports */
    unsigned port_count; /* 0 means 4 */
    struct power_line power;
};

struct debug_exit;

int debug_exit_create(const struct debug_exit_config *config, struct debug_exit **debug_exit,
                      struct vmm_error *error);
void debug_exit_destroy(struct debug_exit *debug_exit);
struct bus_region *debug_exit_region(struct debug_exit *debug_exit);

#endif
