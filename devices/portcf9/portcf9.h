/* SPDX-License-Identifier: MIT
 *
 * The reset control register of PC chipsets at port 0xcf9: bit 2, when it goes from 0 to 1, resets the
 * machine; bit 1 is whether hard or soft, which is one here.
 */
#ifndef DEVICES_PORTCF9_PORTCF9_H
#define DEVICES_PORTCF9_PORTCF9_H

#include "base/lines.h"
#include "mmio/bus.h"

#define PORTCF9_PORT 0xcf9u

struct portcf9_config {
    struct power_line power;
};

struct portcf9;

int portcf9_create(const struct portcf9_config *config, struct portcf9 **portcf9, struct vmm_error *error);
void portcf9_destroy(struct portcf9 *portcf9);
struct bus_region *portcf9_region(struct portcf9 *portcf9); /* the four ports from 0xcf8 on */

/* The device that accesses of four bytes at 0xcf8 are for: PCI's configuration address. Its operations are
 * borrowed, and called with offset 0. While no vCPU runs. */
void portcf9_set_address(struct portcf9 *portcf9, const struct bus_ops *ops, void *device);

#endif
