/* SPDX-License-Identifier: MIT
 *
 * The keyboard controller, with no keyboard and no mouse plugged in: what remains is the reset line, the A20
 * bit (kept, without effect: address line 20 is always open) and enough of a controller that drivers find one
 * and find its ports empty.
 */
#ifndef DEVICES_I8042_I8042_H
#define DEVICES_I8042_I8042_H

#include "base/lines.h"
#include "mmio/bus.h"

#define I8042_DATA_PORT    0x60u
#define I8042_COMMAND_PORT 0x64u
#define I8042_IRQ          1u

struct i8042_config {
    struct irq_line irq; /* IRQ 1: "output buffer full", where the guest enabled it */
    struct power_line power;
};

struct i8042;

int i8042_create(const struct i8042_config *config, struct i8042 **i8042, struct vmm_error *error);
void i8042_destroy(struct i8042 *i8042);
struct bus_region *i8042_data_region(struct i8042 *i8042);    /* port 0x60 */
struct bus_region *i8042_command_region(struct i8042 *i8042); /* port 0x64 */

#endif
