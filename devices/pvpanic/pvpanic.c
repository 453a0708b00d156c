/* SPDX-License-Identifier: MIT
 *
 * Only the plain panic is understood. A guest that saves its own crash dump would rather be left alone, and
 * reports an event that is not offered here.
 */
#include "devices/pvpanic/pvpanic.h"

#include <stdlib.h>

#define PVPANIC_PANICKED 0x01u

struct pvpanic {
    struct bus_region region;
    struct power_line power;
};

static uint64_t pvpanic_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return PVPANIC_PANICKED;
}

static void pvpanic_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct pvpanic *pvpanic = device;
    (void)offset, (void)size;
    if (value & PVPANIC_PANICKED)
        power_line_request(&pvpanic->power, POWER_PANIC, 0);
}

static const struct bus_ops pvpanic_ops = {.read = pvpanic_read, .write = pvpanic_write};

int pvpanic_create(const struct pvpanic_config *config, struct pvpanic **out, struct vmm_error *error)
{
    struct pvpanic *pvpanic = calloc(1, sizeof(*pvpanic));
    if (!pvpanic)
        return error_set(error, -ENOMEM, "pvpanic: out of memory");
    pvpanic->power = config->power;
    pvpanic->region = (struct bus_region){.name = "pvpanic",
                                          .base = PVPANIC_PORT,
                                          .len = 1,
                                          .size_min = 1,
                                          .size_max = 1,
                                          .ops = &pvpanic_ops,
                                          .device = pvpanic};
    *out = pvpanic;
    return 0;
}

void pvpanic_destroy(struct pvpanic *pvpanic)
{
    free(pvpanic);
}

struct bus_region *pvpanic_region(struct pvpanic *pvpanic)
{
    return &pvpanic->region;
}
