/* SPDX-License-Identifier: MIT
 *
 * What of the machine is ACPI: its devices, and the tables, which are made when the image is loaded, since
 * they tell of everything that was added before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/acpi.h"
#include "devices/acpi-ged/acpi_ged.h"
#include "devices/acpi-pm/acpi_pm.h"
#include "devices/portcf9/portcf9.h"
#include "devices/pvpanic/pvpanic.h"
#include "vmm/machine.h"

MACHINE_DESTROYER(acpi_ged)
MACHINE_DESTROYER(acpi_pm)
MACHINE_DESTROYER(portcf9)
MACHINE_DESTROYER(pvpanic)

static int add_acpi_pm(struct vmm *machine, struct vmm_error *error)
{
    const struct acpi_pm_config config = {
        .base = ACPI_PM_PORT, .sleep_off = ACPI_SLEEP_OFF, .power = machine_power_line(machine)};
    struct acpi_pm *acpi_pm;
    int result = acpi_pm_create(&config, &acpi_pm, error);
    return result ? result
                  : machine_add_ports(machine, acpi_pm, destroy_acpi_pm, acpi_pm_region(acpi_pm), error);
}

static int add_acpi_ged(struct vmm *machine, struct vmm_error *error)
{
    const struct acpi_ged_config config = {.base = ACPI_GED_PORT,
                                           .irq = machine_irq_line(machine, ACPI_GED_GSI)};
    struct acpi_ged *acpi_ged;
    int result = acpi_ged_create(&config, &acpi_ged, error);
    if (!result)
        result = machine_add_ports(machine, acpi_ged, destroy_acpi_ged, acpi_ged_region(acpi_ged), error);
    if (!result)
        machine->acpi_ged = acpi_ged;
    return result;
}

/* Its four ports are PCI's too. */
int machine_add_portcf9(struct vmm *machine, struct vmm_error *error)
{
    if (machine->portcf9)
        return 0;
    const struct portcf9_config config = {.power = machine_power_line(machine)};
    struct portcf9 *portcf9;
    int result = portcf9_create(&config, &portcf9, error);
    if (!result)
        result = machine_add_ports(machine, portcf9, destroy_portcf9, portcf9_region(portcf9), error);
    if (!result)
        machine->portcf9 = portcf9;
    return result;
}

static int add_pvpanic(struct vmm *machine, struct vmm_error *error)
{
    const struct pvpanic_config config = {.power = machine_power_line(machine)};
    struct pvpanic *pvpanic;
    int result = pvpanic_create(&config, &pvpanic, error);
    return result ? result
                  : machine_add_ports(machine, pvpanic, destroy_pvpanic, pvpanic_region(pvpanic), error);
}

int vmm_add_acpi(struct vmm *machine, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    int result = machine_check_unloaded(machine, "ACPI", error);
    if (!result)
        result = add_acpi_pm(machine, error);
    if (!result)
        result = add_acpi_ged(machine, error);
    if (!result)
        result = machine_add_portcf9(machine, error);
    if (!result)
        result = add_pvpanic(machine, error);
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

void vmm_press_power_button(struct vmm *machine)
{
    if (machine->acpi_ged)
        acpi_ged_raise(machine->acpi_ged, ACPI_GED_BUTTON);
    else
        log_line(&machine->log, VMM_LOG_WARNING, "power button: the machine has none, as it has no ACPI");
}

void machine_repeat_events(struct vmm *machine)
{
    if (machine->acpi_ged)
        acpi_ged_raise(machine->acpi_ged, 0);
}

/* The caller frees *out, also on failure. */
static int build_tables(const struct vmm *machine, struct acpi_tables **out, struct vmm_error *error)
{
    struct acpi_pci pci;
    const struct acpi_config config = {.cpu_count = machine->config.cpu_count,
                                       .has_pic = machine->config.irqchip != VMM_IRQCHIP_SPLIT,
                                       .has_reset = true,
                                       .has_rtc = bus_find(machine->ports, 0x70) != NULL,
                                       .has_pvpanic = true,
                                       .has_fwcfg = machine->fwcfg != NULL,
                                       .serial_count = machine->serial_count,
                                       .virtio_mmio = machine->virtio_mmios,
                                       .virtio_mmio_count = machine->virtio_mmio_count,
                                       .pci = machine_acpi_pci(machine, &pci)};
    struct acpi_tables *tables = malloc(sizeof(*tables));
    *out = NULL;
    if (!tables)
        return error_set(error, -ENOMEM, "ACPI: out of memory");
    int result = acpi_build(&config, tables, error);
    *out = tables;
    return result;
}

/* A machine without interrupt controllers has nothing that ACPI could describe, and a flat image nothing that
 * could tell it. */
bool machine_wants_acpi(const struct vmm *machine, const struct vmm_image *image)
{
    return machine->acpi_ged && image->flat == VMM_FLAT_NONE && machine->config.irqchip != VMM_IRQCHIP_NONE &&
           guest_mem_is_ram(machine->memory, ACPI_GPA, ACPI_BYTES);
}

int machine_put_acpi(struct vmm *machine, struct memory_map_entry *reserved, struct vmm_error *error)
{
    struct acpi_tables *tables;
    int result = build_tables(machine, &tables, error);
    if (!result)
        result = guest_mem_load(machine->memory, ACPI_GPA, tables->bytes, tables->len);
    if (!result)
        *reserved = (struct memory_map_entry){
            .gpa = ACPI_GPA, .len = align_up(tables->len, PAGE_BYTES), .kind = MEMORY_KIND_RESERVED};
    machine->has_acpi_tables = !result;
    free(tables);
    return result;
}

void machine_remove_acpi(struct vmm *machine, const struct memory_map_entry *reserved)
{
    guest_mem_fill(machine->memory, reserved->gpa, 0, reserved->len);
    machine->has_acpi_tables = false;
}

static int dump_table(const struct acpi_tables *tables, const struct acpi_table *table, const char *directory,
                      struct vmm_error *error)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.aml", directory, table->name);
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set_errno(error, -errno, "%s: cannot open", path);
    size_t written = fwrite(tables->bytes + table->offset, 1, table->len, file);
    if (fclose(file) || written != table->len)
        return error_set_errno(error, errno ? -errno : -EIO, "%s: cannot write", path);
    return 0;
}

int vmm_dump_acpi(const struct vmm *machine, const char *directory, struct vmm_error *error)
{
    struct acpi_tables *tables;
    if (!machine->acpi_ged)
        return error_set(error, -ENOENT, "ACPI: the machine has none");
    if (machine->loaded && !machine->has_acpi_tables)
        return error_set(
            error, -ENOENT,
            "ACPI: this guest is given no tables: its image is flat, or it has no interrupt controllers "
            "or less than 1 MiB of RAM");
    if (mkdir(directory, 0777) && errno != EEXIST)
        return error_set_errno(error, -errno, "%s: cannot be made, a directory for ACPI tables", directory);
    int result = build_tables(machine, &tables, error);
    for (unsigned i = 0; !result && i < tables->count; i++)
        result = dump_table(tables, &tables->tables[i], directory, error);
    free(tables);
    return result;
}
