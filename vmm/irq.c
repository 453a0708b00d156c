/* SPDX-License-Identifier: MIT
 *
 * Interrupts: from a device's line to the controllers in KVM, to our IOAPIC, or to nobody. And doorbells,
 * which go the other way.
 *
 * A message-signalled interrupt is one system call with its address and data (KVM_SIGNAL_MSI). An irqfd would
 * be one as well, and would need a route in KVM's table, which costs a grace period of the kernel each time a
 * guest changes a vector; it is for interrupts that come from the kernel itself.
 *
 * Threads: machine_irq_line's lines are set from any thread; the rest while nothing runs.
 */
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/trace.h"
#include "vmm/machine.h"

#define PIC_LINES 16

static void set_line(void *owner, unsigned gsi, bool level)
{
    struct vmm *machine = owner;
    struct kvm_irq_level line = {.irq = gsi, .level = level};
    trace_set_irq(gsi, level);
    switch (__atomic_load_n(&machine->irqchip, __ATOMIC_ACQUIRE)) { /* of machine_create_irqchip */
    case VMM_IRQCHIP_KERNEL:
        ioctl(machine->vm_fd, KVM_IRQ_LINE, &line);
        return;
    case VMM_IRQCHIP_SPLIT:
        ioapic_set(machine->ioapic, gsi, level);
        return;
    case VMM_IRQCHIP_AUTO:
    case VMM_IRQCHIP_NONE:
        return;
    }
}

struct irq_line machine_irq_line(struct vmm *machine, unsigned gsi)
{
    return (struct irq_line){.set = set_line, .owner = machine, .number = gsi};
}

void machine_ioapic_eoi(void *owner, uint8_t vector)
{
    struct vmm *machine = owner;
    if (machine->ioapic)
        ioapic_end_of_interrupt(machine->ioapic, vector);
}

/* The GSIs of level-triggered devices that a PIC has, too. */
static uint16_t level_triggered(const struct vmm *machine)
{
    uint32_t gsis = machine_pci_gsis(machine);
    if (machine->acpi_ged)
        gsis |= 1u << ACPI_GED_GSI;
    for (unsigned i = 0; i < machine->virtio_mmio_count; i++)
        if (machine->virtio_mmios[i].gsi < PIC_LINES)
            gsis |= 1u << machine->virtio_mmios[i].gsi;
    return (uint16_t)gsis;
}

/* The edge/level control registers, ports 0x4d0 and 0x4d1, are firmware's to write. To a PIC that takes a
 * level for an edge, an interrupt that comes while the line is up is none, and no other ever comes. */
static int set_level_triggered(struct vmm *machine, struct vmm_error *error)
{
    uint16_t lines = level_triggered(machine);
    for (unsigned i = 0; i < 2; i++) {
        struct kvm_irqchip chip = {.chip_id = i ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER};
        uint8_t own = (uint8_t)(lines >> 8 * i);
        if (!own)
            continue;
        int result = ioctl(machine->vm_fd, KVM_GET_IRQCHIP, &chip);
        chip.chip.pic.elcr |= own & chip.chip.pic.elcr_mask;
        if (result || ioctl(machine->vm_fd, KVM_SET_IRQCHIP, &chip))
            return error_set_errno(error, -errno, "/dev/kvm: cannot make lines of the PIC level-triggered");
    }
    return 0;
}

static int create_kernel_irqchip(struct vmm *machine, struct vmm_error *error)
{
    /* The speaker's port 0x61 too: guests calibrate their clocks by it. */
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    if (!machine->host.irqchip)
        return error_set(error, -ENOTSUP,
                         "irqchip: this host's KVM has no interrupt controllers: choose none");
    if (ioctl(machine->vm_fd, KVM_CREATE_IRQCHIP, 0))
        return error_set_errno(error, -errno, "/dev/kvm: cannot create the interrupt controllers");
    if (machine->host.pit2 && ioctl(machine->vm_fd, KVM_CREATE_PIT2, &pit))
        return error_set_errno(error, -errno, "/dev/kvm: cannot create the PIT");
    return set_level_triggered(machine, error);
}

static void send_msi(void *owner, uint64_t address, uint32_t data)
{
    struct vmm *machine = owner;
    if (machine->irqchip == VMM_IRQCHIP_NONE)
        return;
    struct kvm_msi msi = {
        .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};
    trace_msi(address, data);
    ioctl(machine->vm_fd, KVM_SIGNAL_MSI, &msi);
}

/* KVM reports an end of interrupt only for vectors that it finds in its routing table, so the table follows
 * the IOAPIC's redirection table. */
static void change_route(void *owner, unsigned pin, uint64_t address, uint32_t data, bool gone)
{
    struct vmm *machine = owner;
    struct kvm_irq_routing_entry *entries = machine->routing->entries;
    unsigned at = 0;
    while (at < machine->routing->nr && entries[at].gsi != pin)
        at++;
    if (gone) {
        if (at < machine->routing->nr)
            entries[at] = entries[--machine->routing->nr];
    } else {
        entries[at] = (struct kvm_irq_routing_entry){.gsi = pin, .type = KVM_IRQ_ROUTING_MSI};
        entries[at].u.msi.address_lo = (uint32_t)address;
        entries[at].u.msi.address_hi = (uint32_t)(address >> 32);
        entries[at].u.msi.data = data;
        machine->routing->nr += at == machine->routing->nr;
    }
    ioctl(machine->vm_fd, KVM_SET_GSI_ROUTING, machine->routing);
}

struct msi_line machine_msi_line(struct vmm *machine)
{
    return (struct msi_line){.send = send_msi, .owner = machine};
}

static int set_doorbell(struct vmm *machine, const struct doorbell *doorbell, uint32_t flags)
{
    struct kvm_ioeventfd event = {.datamatch = doorbell->value,
                                  .addr = doorbell->address,
                                  .len = doorbell->size,
                                  .fd = doorbell->event_fd,
                                  .flags = flags};
    if (doorbell->is_port)
        event.flags |= KVM_IOEVENTFD_FLAG_PIO;
    if (doorbell->has_value)
        event.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    return ioctl(machine->vm_fd, KVM_IOEVENTFD, &event) ? -errno : 0;
}

static int attach_doorbell(void *owner, const struct doorbell *doorbell)
{
    struct vmm *machine = owner;
    if (!machine->host.ioeventfd || (!doorbell->size && !machine->host.ioeventfd_any_size))
        return -ENOTSUP;
    return set_doorbell(machine, doorbell, 0);
}

static void detach_doorbell(void *owner, const struct doorbell *doorbell)
{
    set_doorbell(owner, doorbell, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

struct doorbell_line machine_doorbell_line(struct vmm *machine)
{
    return (struct doorbell_line){.attach = attach_doorbell, .detach = detach_doorbell, .owner = machine};
}

static int create_split_irqchip(struct vmm *machine, struct vmm_error *error)
{
    struct kvm_enable_cap enable = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {IOAPIC_PIN_COUNT}};
    const struct ioapic_config config = {
        .base = IOAPIC_BASE,
        .output = {.msi_send = send_msi, .route_changed = change_route, .owner = machine}};
    if (!machine->host.split_irqchip || !machine->host.signal_msi)
        return error_set(error, -ENOTSUP,
                         "irqchip: this host's KVM has no split interrupt controllers: choose kernel");
    if (ioctl(machine->vm_fd, KVM_ENABLE_CAP, &enable))
        return error_set_errno(error, -errno, "/dev/kvm: cannot create the local APICs");
    machine->routing = calloc(1, sizeof(*machine->routing) +
                                     IOAPIC_PIN_COUNT * sizeof(machine->routing->entries[0]));
    if (!machine->routing)
        return error_set(error, -ENOMEM, "machine: out of memory");
    int result = ioapic_create(&config, &machine->ioapic, error);
    return result ? result : bus_add(machine->memory_bus, ioapic_region(machine->ioapic), error);
}

/* Making controllers and giving them up again costs milliseconds on some hosts: a lone CPU with a flat image,
 * which mostly wants none, gets none unless it was asked for or has PCI devices. */
static enum vmm_irqchip choose_irqchip(const struct vmm *machine)
{
    if (machine->config.irqchip != VMM_IRQCHIP_AUTO)
        return machine->config.irqchip;
    return machine->is_flat && machine->config.cpu_count == 1 && !machine->pci ? VMM_IRQCHIP_NONE
                                                                               : VMM_IRQCHIP_KERNEL;
}

static int create_irqchip(struct vmm *machine, enum vmm_irqchip irqchip, struct vmm_error *error)
{
    switch (irqchip) {
    case VMM_IRQCHIP_KERNEL:
        return create_kernel_irqchip(machine, error);
    case VMM_IRQCHIP_SPLIT:
        return create_split_irqchip(machine, error);
    case VMM_IRQCHIP_AUTO:
    case VMM_IRQCHIP_NONE:
        break;
    }
    return 0;
}

/* A line may be set by another thread meanwhile: it finds no controllers, or whole ones. */
int machine_create_irqchip(struct vmm *machine, struct vmm_error *error)
{
    enum vmm_irqchip irqchip = choose_irqchip(machine);
    int result = create_irqchip(machine, irqchip, error);
    if (result)
        return result;
    __atomic_store_n(&machine->irqchip, irqchip, __ATOMIC_RELEASE);
    machine_repeat_events(machine);
    return 0;
}

void machine_destroy_irqchip(struct vmm *machine)
{
    if (machine->ioapic)
        bus_remove(machine->memory_bus, ioapic_region(machine->ioapic));
    ioapic_destroy(machine->ioapic);
    free(machine->routing);
}
