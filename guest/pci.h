/* SPDX-License-Identifier: MIT
 *
 * PCI by configuration mechanism #1 (PCI 3.0, 3.2.2.3.2): bus 0, function 0 of each slot.
 */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include "guest/kernel.h"

#define PCI_SLOT_COUNT 32u
#define PCI_NONE       0xffffffffu /* no such slot, no such capability */

#define PCI_ID         0x00
#define PCI_COMMAND    0x04
#define PCI_CACHE_LINE 0x0c
#define PCI_BAR        0x10
#define PCI_LINE       0x3c
#define PCI_PIN        0x3d
#define PCI_CAP_MSIX   0x11
#define PCI_CAP_OWN    0x09 /* of the vendor */

uint32_t pci_read(uint32_t slot, uint32_t offset);
void pci_write(uint32_t slot, uint32_t offset, uint32_t value);
uint8_t pci_read8(uint32_t slot, uint32_t offset);

/* The slot of device number *index with these IDs, or PCI_NONE, and *index is less by how many there are. */
uint32_t pci_find(uint16_t vendor, uint16_t device, unsigned *index);

/* The next capability of this kind behind the one at `after` (0: the first), or PCI_NONE. */
uint32_t pci_capability(uint32_t slot, uint8_t kind, uint32_t after);

/* Where a memory BAR lies, which is mapped on the way; 0 where it does not. */
uint64_t pci_map_bar(uint32_t slot, unsigned bar);

/* Memory and bus mastering on. */
void pci_enable(uint32_t slot);

/* Message `index` of MSI-X comes as this vector of the local APIC `apic_id`; the whole is switched on.
 * False where there is no MSI-X. */
bool pci_msix_set(uint32_t slot, unsigned index, uint32_t apic_id, uint8_t vector);
void pci_msix_off(uint32_t slot);

#endif
