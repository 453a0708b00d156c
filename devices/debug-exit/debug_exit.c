/* SPDX-License-Identifier: MIT
 *
 * A write of any width, as bytes, is one request: the bus passes widths up to four through.
 */
#include "devices/debug-exit/debug_exit.h"

#include <stdlib.h>

struct debug_exit {
    struct bus_region region;
    struct power_line power;
};

static uint64_t debug_exit_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0;
}

static void debug_exit_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct debug_exit *debug_exit = device;
    (void)offset, (void)size;
    power_line_request(&debug_exit->power, POWER_DEBUG_EXIT, (uint32_t)value);
}

static const struct bus_ops debug_exit_ops = {.read = debug_exit_read, .write = debug_exit_write};

int debug_exit_create(const struct debug_exit_config *config, struct debug_exit **out,
                      struct vmm_error *error)
{
    struct debug_exit *debug_exit = calloc(1, sizeof(*debug_exit));
    if (!debug_exit)
        return error_set(error, -ENOMEM, "debug-exit: out of memory");
    debug_exit->power = config->power;
    debug_exit->region = (struct bus_region){.name = "debug-exit",
                                             .base = config->base,
                                             .len = config->port_count ? config->port_count
                                                                       : DEBUG_EXIT_PORT_COUNT,
                                             .size_min = 1,
                                             .size_max = 4,
                                             .ops = &debug_exit_ops,
                                             .device = debug_exit};
    *out = debug_exit;
    return 0;
}

void debug_exit_destroy(struct debug_exit *debug_exit)
{
    free(debug_exit);
}

struct bus_region *debug_exit_region(struct debug_exit *debug_exit)
{
    return &debug_exit->region;
}
