/* SPDX-License-Identifier: MIT
 *
 * System control port A as on the IBM PS/2: of its bits only the two that kernels use do anything.
 */
#include "devices/port92/port92.h"

#include <stdlib.h>

#define PORT92_RESET 0x01u /* a 0 to 1 change resets */
#define PORT92_A20   0x02u

struct port92 {
    struct bus_region region;
    struct lock lock;
    struct power_line power;
    uint8_t value;
};

static uint64_t port92_read(void *device, uint64_t offset, unsigned size)
{
    const struct port92 *port92 = device;
    (void)offset, (void)size;
    return port92->value;
}

static void port92_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct port92 *port92 = device;
    (void)offset, (void)size;
    bool rises = value & ~port92->value & PORT92_RESET;
    port92->value = (uint8_t)value;
    if (rises)
        power_line_request(&port92->power, POWER_RESET, 0);
}

static const struct bus_ops port92_ops = {.read = port92_read, .write = port92_write};

int port92_create(const struct port92_config *config, struct port92 **out, struct vmm_error *error)
{
    struct port92 *port92 = calloc(1, sizeof(*port92));
    if (!port92)
        return error_set(error, -ENOMEM, "port92: out of memory");
    port92->power = config->power;
    port92->value = PORT92_A20;
    port92->region = (struct bus_region){.name = "port92",
                                         .base = PORT92_PORT,
                                         .len = 1,
                                         .size_min = 1,
                                         .size_max = 1,
                                         .ops = &port92_ops,
                                         .device = port92,
                                         .lock = &port92->lock};
    *out = port92;
    return 0;
}

void port92_destroy(struct port92 *port92)
{
    if (!port92)
        return;
    free(port92);
}

struct bus_region *port92_region(struct port92 *port92)
{
    return &port92->region;
}
