/* SPDX-License-Identifier: MIT
 *
 * The machine's PCI bus: where it lies among the guest's addresses, and which interrupts it has. It is made
 * for the first device that wants to be on it, so a machine without any pays nothing.
 *
 *   3 GiB    0xe0000000      0xf0000000   0xfec00000       4 GiB        2^(n-1)        2^(n-1) + 2^(n-2)
 *   |  free  | low window    | ECAM, 1 MiB | IOAPIC, ...   | RAM ...    | high window  |
 *
 * n is the number of address bits of the guest's CPU. The top quarter is left alone: that of some AMD CPUs is
 * not memory.
 */
#include "devices/portcf9/portcf9.h"
#include "vmm/machine.h"

/* IRQs of the PIC, so that kernels that know no IOAPIC have interrupts too; no ISA device of ours has them.
 */
static const unsigned line_gsis[PCI_INTX_COUNT] = {10, 11, 10, 11};

/* More than 46 bits are beyond what kernels of four page table levels reach. */
#define ADDRESS_BITS_MIN     33
#define ADDRESS_BITS_MAX     46
#define ADDRESS_BITS_DEFAULT 36
#define CPUID_ADDRESS_SIZES  0x80000008u

uint32_t machine_pci_gsis(const struct vmm *machine)
{
    uint32_t gsis = 0;
    for (unsigned line = 0; machine->pci && line < PCI_INTX_COUNT; line++)
        gsis |= 1u << line_gsis[line];
    return gsis;
}

static int read_address_bits(struct vmm *machine, unsigned *bits, struct vmm_error *error)
{
    const struct cpuid_table *table;
    int result = machine_cpuid(machine, &table, error);
    if (result)
        return result;
    const struct kvm_cpuid_entry2 *sizes = cpuid_find(table, CPUID_ADDRESS_SIZES, 0);
    *bits = sizes ? sizes->eax & 0xff : ADDRESS_BITS_DEFAULT;
    if (*bits > ADDRESS_BITS_MAX)
        *bits = ADDRESS_BITS_MAX;
    return 0;
}

static gpa_t ram_end(const struct vmm *machine)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(machine->memory, &count);
    return count ? ranges[count - 1].gpa + ranges[count - 1].len : 0;
}

static struct pci_window high_window(gpa_t ram_end, unsigned bits)
{
    if (bits < ADDRESS_BITS_MIN)
        return (struct pci_window){0};
    uint64_t base = 1ull << (bits - 1), end = base + (1ull << (bits - 2));
    if (base < ram_end)
        base = align_up(ram_end, GIB);
    return (struct pci_window){.base = base, .len = base < end ? end - base : 0};
}

static int add_regions(struct vmm *machine, struct vmm_error *error)
{
    struct pci *pci = machine->pci;
    struct bus_region *high = pci_high_region(pci);
    int result = machine_add_portcf9(machine, error);
    if (!result)
        result = bus_add(machine->ports, pci_data_region(pci), error);
    if (!result)
        result = bus_add(machine->memory_bus, pci_ecam_region(pci), error);
    if (!result)
        result = bus_add(machine->memory_bus, pci_low_region(pci), error);
    if (!result && high)
        result = bus_add(machine->memory_bus, high, error);
    if (!result)
        portcf9_set_address(machine->portcf9, &pci_address_ops, pci);
    return result;
}

MACHINE_DESTROYER(pci)

static int create_pci(struct vmm *machine, struct vmm_error *error)
{
    unsigned bits;
    struct pci_config config = {.ecam_base = PCI_ECAM_GPA,
                                .low = {PCI_LOW_GPA, PCI_LOW_BYTES},
                                .doorbell = machine_doorbell_line(machine)};
    if (machine->host.signal_msi)
        config.msi = machine_msi_line(machine);
    for (unsigned line = 0; line < PCI_INTX_COUNT; line++)
        config.intx[line] = machine_irq_line(machine, line_gsis[line]);
    int result = read_address_bits(machine, &bits, error);
    if (result)
        return result;
    config.high = high_window(ram_end(machine), bits);
    struct pci *pci;
    result = pci_create(&config, &pci, error);
    if (!result)
        result = machine_own(machine, pci, destroy_pci, error);
    if (result)
        return result;
    machine->pci = pci;
    if (machine->config.irqchip == VMM_IRQCHIP_NONE)
        log_line(&machine->log, VMM_LOG_WARNING,
                 "pci: without an interrupt controller no device on it interrupts: the guest has to poll");
    return add_regions(machine, error);
}

int machine_pci(struct vmm *machine, struct pci **pci, struct vmm_error *error)
{
    int result = machine_check_unloaded(machine, "pci", error);
    if (!result && !machine->pci)
        result = create_pci(machine, error);
    *pci = machine->pci;
    return result;
}

int vmm_add_pci(struct vmm *machine, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    struct pci *pci;
    int result = machine_pci(machine, &pci, error);
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

int machine_assign_pci(struct vmm *machine, struct vmm_error *error)
{
    return machine->pci ? pci_assign(machine->pci, error) : 0;
}

struct memory_map_entry machine_pci_reserved(const struct vmm *machine)
{
    if (!machine->pci)
        return (struct memory_map_entry){0};
    return (struct memory_map_entry){
        .gpa = PCI_ECAM_GPA, .len = PCI_ECAM_BYTES, .kind = MEMORY_KIND_RESERVED};
}

static unsigned acpi_gsi(unsigned slot, unsigned pin)
{
    return line_gsis[pci_intx_line(slot, pin)];
}

const struct acpi_pci *machine_acpi_pci(const struct vmm *machine, struct acpi_pci *storage)
{
    if (!machine->pci)
        return NULL;
    const struct bus_region *high = pci_high_region(machine->pci);
    *storage = (struct acpi_pci){.ecam_base = PCI_ECAM_GPA,
                                 .ecam_len = PCI_ECAM_BYTES,
                                 .low_base = PCI_LOW_GPA,
                                 .low_len = PCI_LOW_BYTES,
                                 .high_base = high ? high->base : 0,
                                 .high_len = high ? high->len : 0,
                                 .gsi = acpi_gsi};
    return storage;
}
