/* SPDX-License-Identifier: MIT
 *
 * A PCI bus without bridges: bus 0 with 32 slots, its host bridge in slot 0, and the two ways to
 * configuration space: ports 0xcf8 and 0xcfc (PCI Local Bus 3.0 3.2.2.3.2) and memory (ECAM, PCI Express
 * Base 7.2.2). What is in a slot is a struct pci_function, see function.h. docs/pci.md has the whole picture.
 *
 * BARs decode inside of two windows of guest-physical memory only, which are a region of the machine's bus
 * each. Whatever a guest does with BARs changes what these regions pass accesses on to, never the bus.
 *
 * Threads: regions from any thread; everything else while no vCPU runs.
 */
#ifndef DEVICES_PCI_PCI_H
#define DEVICES_PCI_PCI_H

#include "base/lines.h"
#include "mmio/bus.h"

#define PCI_SLOT_COUNT   32
#define PCI_BAR_COUNT    6
#define PCI_INTX_COUNT   4         /* INTA to INTD */
#define PCI_ECAM_BYTES   0x100000u /* of one bus: 4 KiB for each of 32 slots' 8 functions */
#define PCI_ADDRESS_PORT 0xcf8u    /* only as four bytes: port 0xcf9 is another device */
#define PCI_DATA_PORT    0xcfcu

struct pci_window {
    uint64_t base, len; /* whole pages; len 0: there is none */
};

struct pci_config {
    uint64_t ecam_base;                   /* a multiple of PCI_ECAM_BYTES */
    struct pci_window low, high;          /* below 4 GiB, and above */
    struct irq_line intx[PCI_INTX_COUNT]; /* level-triggered; several may be the same line */
    struct msi_line msi;                  /* without a `send` no function has MSI-X */
    struct doorbell_line doorbell;
};

struct pci;

/* The bus with its host bridge. */
int pci_create(const struct pci_config *config, struct pci **pci, struct vmm_error *error);
/* After every function was destroyed. */
void pci_destroy(struct pci *pci);

/* Its regions: memory (the high window is NULL where there is none), and the ports from PCI_DATA_PORT on. */
struct bus_region *pci_ecam_region(struct pci *pci);
struct bus_region *pci_low_region(struct pci *pci);
struct bus_region *pci_high_region(struct pci *pci);
struct bus_region *pci_data_region(struct pci *pci);

/* The configuration address register, for who owns the four ports from PCI_ADDRESS_PORT on: to be called for
 * accesses of four bytes at offset 0. `device` is the struct pci; the operations take its lock themselves. */
extern const struct bus_ops pci_address_ops;

/* What firmware does: gives every BAR an address, in the low window unless it does not fit there, and
 * switches memory decoding and bus mastering on. -ENOSPC, with a sentence, where the windows are too small.
 */
int pci_assign(struct pci *pci, struct vmm_error *error);

/* The line, 0 to 3 for INTA to INTD at the bridge, that pin `pin` (0 to 3) of `slot` is wired to: as slots
 * are wired behind a bridge (PCI-to-PCI Bridge 1.2 9.1), so that neighbours have different lines. */
static inline unsigned pci_intx_line(unsigned slot, unsigned pin)
{
    return (slot + pin) % PCI_INTX_COUNT;
}

#endif
