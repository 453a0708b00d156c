/* SPDX-License-Identifier: MIT
 *
 * ACPI 6 tables that describe the machine to a kernel: RSDP, XSDT, FADT, FACS, MADT, DSDT,
 * and MCFG where there is PCI. A pure function:
 * what the machine has in, bytes out, made for one address. docs/acpi.md has the tables.
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "base/error.h"
#include "base/types.h"

/* Where PCs have them: the RSDP is searched for from here to 1 MiB. */
#define ACPI_GPA   0xe0000u
#define ACPI_BYTES 0x20000u

/* The ports of the power management registers, from the base on (ACPI 6.5 4.8.3). */
#define ACPI_PM_PORT      0x600u
#define ACPI_PM_CONTROL   4u
#define ACPI_PM_TIMER     8u
#define ACPI_SCI          9u
#define ACPI_SLEEP_OFF    5u /* the sleep type that means S5 */
#define ACPI_GED_PORT     0x60cu
#define ACPI_GED_GSI      5u
#define ACPI_GED_BUTTON   0x01u /* the event: the power button was pressed */
#define ACPI_RESET_PORT   0xcf9u
#define ACPI_RESET_VALUE  6u
#define ACPI_PVPANIC_PORT 0x505u
#define ACPI_FWCFG_PORT   0x510u
#define ACPI_FWCFG_PORTS  12u

struct acpi_virtio_mmio {
    uint32_t base, len, gsi;
};

/* Bus 0, all of PCI that there is. */
struct acpi_pci {
    uint32_t ecam_base, ecam_len;
    uint32_t low_base, low_len;
    uint64_t high_base, high_len; /* len 0: there is no window above 4 GiB */
    /* The GSI of pin `pin` (0 for INTA) of `slot`. */
    unsigned (*gsi)(unsigned slot, unsigned pin);
};

struct acpi_config {
    unsigned cpu_count;                         /* their APIC IDs count from 0 */
    bool has_pic;                               /* there are the two 8259s, and a PIT */
    bool has_reset;                             /* port 0xcf9 */
    bool has_rtc;                               /* with the century at 0x32 */
    bool has_pvpanic;                           /* at ACPI_PVPANIC_PORT */
    bool has_fwcfg;                             /* at ACPI_FWCFG_PORT */
    unsigned serial_count;                      /* up to 4, where PCs have them */
    const struct acpi_virtio_mmio *virtio_mmio; /* borrowed */
    unsigned virtio_mmio_count;
    const struct acpi_pci *pci; /* borrowed; NULL: there is none */
};

#define ACPI_TABLE_LIMIT 7

struct acpi_table {
    char name[5];
    uint32_t offset, len;
};

/* What was built: the whole goes to ACPI_GPA, where the RSDP is first. */
struct acpi_tables {
    size_t len;
    unsigned count;
    struct acpi_table tables[ACPI_TABLE_LIMIT];
    uint8_t bytes[ACPI_BYTES];
};

/* -ENOSPC where so many CPUs or devices do not fit. */
int acpi_build(const struct acpi_config *config, struct acpi_tables *tables, struct vmm_error *error);

#endif
