/* SPDX-License-Identifier: MIT
 *
 * What the DSDT says, as a part of boot/acpi.c: the machine's sleep state and its devices.
 */
#ifndef BOOT_ACPI_DSDT_H
#define BOOT_ACPI_DSDT_H

#include "boot/acpi.h"
#include "boot/aml.h"

/* Appends the objects; the table around them is the caller's. */
void acpi_put_devices(struct aml *aml, const struct acpi_config *config);

#endif
