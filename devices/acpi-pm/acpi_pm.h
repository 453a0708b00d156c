/* SPDX-License-Identifier: MIT
 *
 * ACPI's fixed power management hardware (ACPI 6.5 4.8): event and control registers, through which a guest
 * switches itself off (S5), and the 3.579545 MHz timer. ACPI is always enabled; there are no fixed buttons.
 */
#ifndef DEVICES_ACPI_PM_ACPI_PM_H
#define DEVICES_ACPI_PM_ACPI_PM_H

#include "base/lines.h"
#include "mmio/bus.h"

#define ACPI_PM_PORT_COUNT 12u

struct acpi_pm_config {
    uint64_t base;     /* the first port */
    uint8_t sleep_off; /* the sleep type that means S5 */
    struct power_line power;

    /* Nanoseconds from any start on. NULL: the host's CLOCK_MONOTONIC. */
    uint64_t (*clock_ns)(void *context);
    void *context;
};

struct acpi_pm;

int acpi_pm_create(const struct acpi_pm_config *config, struct acpi_pm **acpi_pm, struct vmm_error *error);
void acpi_pm_destroy(struct acpi_pm *acpi_pm);
struct bus_region *acpi_pm_region(struct acpi_pm *acpi_pm);

#endif
