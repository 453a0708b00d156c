/* SPDX-License-Identifier: MIT
 *
 * The hardware behind ACPI's Generic Event Device (ACPI 6.5 5.6.9): what the machine has to tell its guest,
 * as bits of one register, and an interrupt. Which bit is which event, the machine and its ACPI tables agree
 * on.
 */
#ifndef DEVICES_ACPI_GED_ACPI_GED_H
#define DEVICES_ACPI_GED_ACPI_GED_H

#include "base/lines.h"
#include "mmio/bus.h"

struct acpi_ged_config {
    uint64_t base;       /* the register's port */
    struct irq_line irq; /* level-triggered */
};

struct acpi_ged;

int acpi_ged_create(const struct acpi_ged_config *config, struct acpi_ged **ged, struct vmm_error *error);
void acpi_ged_destroy(struct acpi_ged *ged);
struct bus_region *acpi_ged_region(struct acpi_ged *ged);

/* Sets these bits, and the interrupt line where any is set now: none (0) tells a line again that was not
 * listening before. Any thread. */
void acpi_ged_raise(struct acpi_ged *ged, uint8_t events);

#endif
