/* SPDX-License-Identifier: MIT
 *
 * Where a virtio device goes: onto the PCI bus, or into a page of registers of its own. And what those cost
 * that are no disks.
 *
 *   3 GiB   VIRTIO_MMIO_GPA                                    0xe0000000
 *   | free  | a page for each virtio-mmio device, up to the end | PCI's low window
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtio_mmio.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/machine.h"

MACHINE_DESTROYER(virtio_mmio)
MACHINE_DESTROYER(virtio_pci)

/* The GSI may change until the image is loaded. */
static void set_mmio_line(void *owner, unsigned index, bool level)
{
    struct vmm *machine = owner;
    const struct irq_line line = machine_irq_line(machine, machine->virtio_mmios[index].gsi);
    irq_line_set(&line, level);
}

void machine_use_pic_for_virtio(struct vmm *machine, bool use)
{
    /* No ISA device of ours has them, nor PCI. 13 cannot be level-triggered, but it is the last that is left.
     */
    uint32_t irqs[VIRTIO_MMIO_LIMIT] = {5, 9, 7, 6, 14, 15, 12, machine->pci ? 13 : 10};
    for (unsigned i = 0; i < machine->virtio_mmio_count; i++)
        machine->virtio_mmios[i].gsi = use ? irqs[i] : VIRTIO_MMIO_GSI + i;
}

static int attach_mmio(struct vmm *machine, struct virtio *virtio, struct vmm_error *error)
{
    unsigned index = machine->virtio_mmio_count;
    struct virtio_mmio *mmio;
    int result = machine_check_unloaded(machine, virtio_config(virtio)->name, error);
    if (result)
        return result;
    if (index == VIRTIO_MMIO_LIMIT)
        return error_set(error, -ENOSPC, "%s: at most %d devices by virtio-mmio; PCI has room for more",
                         virtio_config(virtio)->name, VIRTIO_MMIO_LIMIT);
    const struct virtio_mmio_config config = {.base = VIRTIO_MMIO_GPA + index * VIRTIO_MMIO_BYTES,
                                              .irq = {set_mmio_line, machine, index},
                                              .doorbells = machine_doorbell_line(machine),
                                              .virtio = virtio};
    result = virtio_mmio_create(&config, &mmio, error);
    if (!result)
        result = machine_own(machine, mmio, destroy_virtio_mmio, error);
    if (!result)
        result = bus_add(machine->memory_bus, virtio_mmio_region(mmio), error);
    if (!result)
        machine->virtio_mmios[machine->virtio_mmio_count++] = (struct acpi_virtio_mmio){
            .base = (uint32_t)config.base, .len = VIRTIO_MMIO_BYTES, .gsi = VIRTIO_MMIO_GSI + index};
    return result;
}

static int attach_pci(struct vmm *machine, struct virtio *virtio, struct vmm_error *error)
{
    struct virtio_pci *virtio_pci;
    struct pci *pci;
    int result = machine_pci(machine, &pci, error);
    if (result)
        return result;
    const struct virtio_pci_config config = {.pci = pci, .slot = PCI_SLOT_ANY, .virtio = virtio};
    result = virtio_pci_create(&config, &virtio_pci, error);
    return result ? result : machine_own(machine, virtio_pci, destroy_virtio_pci, error);
}

int machine_attach_virtio(struct vmm *machine, struct virtio *virtio, enum vmm_transport transport,
                          struct vmm_error *error)
{
    switch (transport) {
    case VMM_TRANSPORT_PCI:
        return attach_pci(machine, virtio, error);
    case VMM_TRANSPORT_MMIO:
        return attach_mmio(machine, virtio, error);
    }
    return error_set(error, -EINVAL, "%s: there is no transport %d", virtio_config(virtio)->name,
                     (int)transport);
}

struct counted_virtio {
    struct counted_virtio *next;
    char name[16]; /* the kind and a number */
    const char *kind;
    struct virtio *virtio;
};

static void destroy_counted(void *part)
{
    free(part);
}

int machine_count_virtio(struct vmm *machine, struct virtio *virtio, const char *kind,
                         struct vmm_error *error)
{
    struct counted_virtio *counted = calloc(1, sizeof(*counted)), **end = &machine->counted;
    unsigned number = 0;
    if (!counted)
        return error_set(error, -ENOMEM, "%s: out of memory", kind);
    for (; *end; end = &(*end)->next)
        number += strcmp((*end)->kind, kind) == 0;
    counted->kind = kind;
    counted->virtio = virtio;
    snprintf(counted->name, sizeof(counted->name), "%s%u", kind, number);
    int result = machine_own(machine, counted, destroy_counted, error);
    if (!result)
        *end = counted;
    return result;
}

size_t vmm_stats_virtio(struct vmm *machine, struct vmm_virtio_stat *list, size_t capacity)
{
    size_t found = 0;
    for (const struct counted_virtio *of = machine->counted; of; of = of->next, found++) {
        struct virtio_counts counts;
        if (found >= capacity)
            continue;
        virtio_get_counts(of->virtio, &counts);
        list[found] = (struct vmm_virtio_stat){.name = of->name,
                                               .request_count = counts.chains,
                                               .guest_out_bytes = counts.out_bytes,
                                               .guest_in_bytes = counts.in_bytes,
                                               .doorbell_count = counts.doorbells,
                                               .notify_count = counts.notifies,
                                               .interrupt_count = counts.interrupts,
                                               .suppressed_count = counts.suppressed};
    }
    return found;
}
