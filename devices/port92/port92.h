/* SPDX-License-Identifier: MIT
 *
 * System control port A, 0x92: bit 0 resets the processor, bit 1 is A20 (kept, without effect: address line
 * 20 is always open).
 */
#ifndef DEVICES_PORT92_PORT92_H
#define DEVICES_PORT92_PORT92_H

#include "base/lines.h"
#include "mmio/bus.h"

#define PORT92_PORT 0x92u

struct port92_config {
    struct power_line power;
};

struct port92;

int port92_create(const struct port92_config *config, struct port92 **port92, struct vmm_error *error);
void port92_destroy(struct port92 *port92);
struct bus_region *port92_region(struct port92 *port92);

#endif
