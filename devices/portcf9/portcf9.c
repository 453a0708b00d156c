/* SPDX-License-Identifier: MIT
 *
 * The port lies in the middle of PCI's configuration address (0xcf8, four bytes), which is there for accesses
 * of four bytes only, as this one is for single bytes. So the whole place is taken here: an address must not
 * be split into bytes of which one resets the machine.
 */
#include "devices/portcf9/portcf9.h"

#include <stdlib.h>

#define RESET_OFFSET 1u

#define PORTCF9_HARD  0x02u
#define PORTCF9_RESET 0x04u
#define PORTCF9_FULL  0x08u /* with the power switched off and on */

struct portcf9 {
    struct bus_region region;
    struct lock lock;
    struct power_line power;
    uint8_t value;
    const struct bus_ops *address_ops; /* NULL: there is no PCI */
    void *address_device;
};

static uint64_t portcf9_read(void *device, uint64_t offset, unsigned size)
{
    const struct portcf9 *portcf9 = device;
    if (size == 4 && portcf9->address_ops)
        return portcf9->address_ops->read(portcf9->address_device, 0, size);
    return offset == RESET_OFFSET && size == 1 ? portcf9->value : UINT64_MAX;
}

static void portcf9_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct portcf9 *portcf9 = device;
    if (size == 4 && portcf9->address_ops)
        portcf9->address_ops->write(portcf9->address_device, 0, size, value);
    if (offset != RESET_OFFSET || size != 1)
        return;
    bool rises = value & ~portcf9->value & PORTCF9_RESET;
    portcf9->value = value & (PORTCF9_HARD | PORTCF9_RESET | PORTCF9_FULL);
    if (rises)
        power_line_request(&portcf9->power, POWER_RESET, 0);
}

static const struct bus_ops portcf9_ops = {.read = portcf9_read, .write = portcf9_write};

int portcf9_create(const struct portcf9_config *config, struct portcf9 **out, struct vmm_error *error)
{
    struct portcf9 *portcf9 = calloc(1, sizeof(*portcf9));
    if (!portcf9)
        return error_set(error, -ENOMEM, "portcf9: out of memory");
    portcf9->power = config->power;
    portcf9->region = (struct bus_region){.name = "portcf9",
                                          .base = PORTCF9_PORT - RESET_OFFSET,
                                          .len = 4,
                                          .size_min = 1,
                                          .size_max = 4,
                                          .ops = &portcf9_ops,
                                          .device = portcf9,
                                          .lock = &portcf9->lock};
    *out = portcf9;
    return 0;
}

void portcf9_destroy(struct portcf9 *portcf9)
{
    if (!portcf9)
        return;
    free(portcf9);
}

struct bus_region *portcf9_region(struct portcf9 *portcf9)
{
    return &portcf9->region;
}

void portcf9_set_address(struct portcf9 *portcf9, const struct bus_ops *ops, void *device)
{
    portcf9->address_ops = ops;
    portcf9->address_device = device;
}
