/* SPDX-License-Identifier: MIT
 *
 * The port at which a guest says that it has panicked, as QEMU's pvpanic: reading tells which events are
 * understood, writing one reports it.
 */
#ifndef DEVICES_PVPANIC_PVPANIC_H
#define DEVICES_PVPANIC_PVPANIC_H

#include "base/lines.h"
#include "mmio/bus.h"

#define PVPANIC_PORT 0x505u

struct pvpanic_config {
    struct power_line power;
};

struct pvpanic;

int pvpanic_create(const struct pvpanic_config *config, struct pvpanic **pvpanic, struct vmm_error *error);
void pvpanic_destroy(struct pvpanic *pvpanic);
struct bus_region *pvpanic_region(struct pvpanic *pvpanic);

#endif
