/* SPDX-License-Identifier: MIT
 *
 * As much of ACPI as says how many CPUs there are, and where PCI configuration space is mapped.
 */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include "guest/kernel.h"

/* The enabled processors of the MADT; 0 where there are no tables. */
uint32_t acpi_cpus(void);

/* Where the MCFG has bus 0; 0 where there is none. */
uint64_t acpi_ecam(void);

#endif
