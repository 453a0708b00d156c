/* SPDX-License-Identifier: MIT
 *
 * The firmware, or the VMM in its place, has assigned the BARs.
 */
#include "guest/pci.h"

#include "guest/page.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  (1u << 31)

#define COMMAND_MEMORY (1u << 1)
#define COMMAND_MASTER (1u << 2)
#define STATUS_CAPS    (1u << 20)
#define CAPABILITIES   0x34
#define BAR_IS_PORT    1u
#define BAR_IS_64BIT   4u

#define MSIX_ENABLE      (1u << 31) /* in the dword at the capability */
#define MSIX_MASK_ALL    (1u << 30)
#define MSIX_TABLE       4u
#define MSIX_ENTRY_BYTES 16u
#define MSI_ADDRESS      0xfee00000u

static void select(uint32_t slot, uint32_t offset)
{
    out32(CONFIG_ADDRESS, CONFIG_ENABLE | slot << 11 | (offset & 0xfc));
}

uint32_t pci_read(uint32_t slot, uint32_t offset)
{
    select(slot, offset);
    return in32(CONFIG_DATA);
}

uint8_t pci_read8(uint32_t slot, uint32_t offset)
{
    select(slot, offset);
    return in8((uint16_t)(CONFIG_DATA + (offset & 3)));
}

void pci_write(uint32_t slot, uint32_t offset, uint32_t value)
{
    select(slot, offset);
    out32(CONFIG_DATA, value);
}

uint32_t pci_find(uint16_t vendor, uint16_t device, unsigned *index)
{
    for (uint32_t slot = 0; slot < PCI_SLOT_COUNT; slot++)
        if (pci_read(slot, PCI_ID) == ((uint32_t)device << 16 | vendor) && !(*index)--)
            return slot;
    return PCI_NONE;
}

uint32_t pci_capability(uint32_t slot, uint8_t kind, uint32_t after)
{
    if (!after && !(pci_read(slot, PCI_COMMAND) & STATUS_CAPS))
        return PCI_NONE;
    uint32_t at = pci_read8(slot, after ? after + 1 : CAPABILITIES) & 0xfcu;
    for (unsigned steps = 0; at && steps < 48; steps++, at = pci_read8(slot, at + 1) & 0xfcu)
        if (pci_read8(slot, at) == kind)
            return at;
    return PCI_NONE;
}

uint64_t pci_map_bar(uint32_t slot, unsigned bar)
{
    uint32_t low = pci_read(slot, PCI_BAR + 4 * bar);
    uint64_t address = low & ~0xfull;
    if (low & BAR_IS_PORT)
        return 0;
    if (low & BAR_IS_64BIT)
        address |= (uint64_t)pci_read(slot, PCI_BAR + 4 * bar + 4) << 32;
    if (address)
        page_map_identity(address, LARGE_PAGE_BYTES, PTE_PRESENT | PTE_WRITE | PTE_UNCACHED);
    return address;
}

void pci_enable(uint32_t slot)
{
    pci_write(slot, PCI_COMMAND, (pci_read(slot, PCI_COMMAND) & 0xffff) | COMMAND_MEMORY | COMMAND_MASTER);
}

bool pci_msix_set(uint32_t slot, unsigned index, uint32_t apic_id, uint8_t vector)
{
    uint32_t at = pci_capability(slot, PCI_CAP_MSIX, 0);
    if (at == PCI_NONE || index > (pci_read(slot, at) >> 16 & 0x7ff))
        return false;
    uint32_t table = pci_read(slot, at + MSIX_TABLE);
    uint64_t bar = pci_map_bar(slot, table & 7);
    if (!bar)
        return false;
    uint64_t entry = bar + (table & ~7u) + index * MSIX_ENTRY_BYTES;
    MEM(uint32_t, entry) = MSI_ADDRESS | apic_id << 12;
    MEM(uint32_t, entry + 4) = 0;
    MEM(uint32_t, entry + 8) = vector;
    MEM(uint32_t, entry + 12) = 0;
    pci_write(slot, at, (pci_read(slot, at) | MSIX_ENABLE) & ~MSIX_MASK_ALL);
    return true;
}

void pci_msix_off(uint32_t slot)
{
    uint32_t at = pci_capability(slot, PCI_CAP_MSIX, 0);
    if (at != PCI_NONE)
        pci_write(slot, at, pci_read(slot, at) & ~MSIX_ENABLE);
}
