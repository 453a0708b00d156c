/* SPDX-License-Identifier: MIT
 *
 * The devices of the DSDT, all below \_SB, each with what a kernel finds its driver by and where its
 * registers and interrupts are.
 */
#include "boot/acpi_dsdt.h"

#include <stdio.h>

static void put_serial(struct aml *aml, unsigned index)
{
    static const uint16_t ports[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    static const uint8_t irqs[] = {4, 3, 4, 3};
    char name[5];
    snprintf(name, sizeof(name), "COM%u", (index & 3) + 1);
    size_t device = aml_device_begin(aml, name);
    aml_name_eisa(aml, "_HID", "PNP0501");
    aml_name_number(aml, "_UID", index + 1);
    struct aml_resources resources = aml_resources_begin(aml);
    aml_ports(aml, ports[index & 3], 8);
    aml_isa_irq(aml, irqs[index & 3]);
    aml_resources_end(aml, resources);
    aml_end(aml, device);
}

/* A device that has an identifier, some ports, and perhaps an interrupt (0 for none). */
static void put_ports_device(struct aml *aml, const char *name, const char *eisa_id, uint16_t base,
                             uint8_t count, unsigned irq)
{
    size_t device = aml_device_begin(aml, name);
    aml_name_eisa(aml, "_HID", eisa_id);
    struct aml_resources resources = aml_resources_begin(aml);
    aml_ports(aml, base, count);
    if (irq)
        aml_isa_irq(aml, irq);
    aml_resources_end(aml, resources);
    aml_end(aml, device);
}

/* What QEMU has invented: its identifiers are strings. */
static void put_qemu_device(struct aml *aml, const char *name, const char *id, uint16_t base, uint8_t count)
{
    size_t device = aml_device_begin(aml, name);
    aml_name_string(aml, "_HID", id);
    aml_name_number(aml, "_STA", 0xf);
    struct aml_resources resources = aml_resources_begin(aml);
    aml_ports(aml, base, count);
    aml_resources_end(aml, resources);
    aml_end(aml, device);
}

/* The power button is a device of its own, and the Generic Event Device (ACPI 6.5 5.6.9) tells of it: its
 * interrupt's method clears the events that the register shows and notifies whom they mean. */
static void put_power_button(struct aml *aml)
{
    size_t device = aml_device_begin(aml, "PWRB");
    aml_name_eisa(aml, "_HID", "PNP0C0C");
    aml_end(aml, device);
    device = aml_device_begin(aml, "GED");
    aml_name_string(aml, "_HID", "ACPI0013");
    struct aml_resources resources = aml_resources_begin(aml);
    aml_gsi(aml, ACPI_GED_GSI);
    aml_resources_end(aml, resources);
    aml_port_byte(aml, "EREG", "EVTS", ACPI_GED_PORT);
    size_t method = aml_method_begin(aml, "_EVT", 1);
    aml_load_local(aml, "EVTS");
    aml_store_local(aml, "EVTS"); /* a 1 clears: what has come since stays */
    size_t event = aml_if_local_begin(aml, ACPI_GED_BUTTON);
    aml_notify(aml, "PWRB", 0x80); /* pressed (ACPI 6.5 4.8.3.1.2) */
    aml_end(aml, event);
    aml_end(aml, method);
    aml_end(aml, device);
}

static void put_virtio_mmio(struct aml *aml, const struct acpi_virtio_mmio *virtio, unsigned index)
{
    char name[5];
    snprintf(name, sizeof(name), "V%03X", index & 0xfff);
    size_t device = aml_device_begin(aml, name);
    aml_name_string(aml, "_HID", "LNRO0005");
    aml_name_number(aml, "_UID", index);
    struct aml_resources resources = aml_resources_begin(aml);
    aml_memory(aml, virtio->base, virtio->len);
    aml_gsi(aml, virtio->gsi);
    aml_resources_end(aml, resources);
    aml_end(aml, device);
}

/* Every pin of every slot by its GSI (ACPI 6.5 6.2.13). */
static void put_routing(struct aml *aml, const struct acpi_pci *pci)
{
    size_t routing = aml_package_begin(aml, "_PRT", 32 * 4);
    for (unsigned i = 0; i < 32 * 4; i++) {
        size_t entry = aml_package_begin(aml, NULL, 4);
        aml_number(aml, (i / 4) << 16 | 0xffff); /* all functions of the slot */
        aml_number(aml, i % 4);
        aml_number(aml, 0); /* no link device: the next is a GSI */
        aml_number(aml, pci->gsi(i / 4, i % 4));
        aml_end(aml, entry);
    }
    aml_end(aml, routing);
}

/* The root, and the place of configuration space, which PCI Firmware 3.3 4.1.2 wants as a motherboard's. */
static void put_pci(struct aml *aml, const struct acpi_pci *pci)
{
    size_t device = aml_device_begin(aml, "PCI0");
    aml_name_eisa(aml, "_HID", "PNP0A08");
    aml_name_eisa(aml, "_CID", "PNP0A03");
    aml_name_number(aml, "_SEG", 0);
    aml_name_number(aml, "_BBN", 0);
    aml_name_number(aml, "_UID", 0);
    struct aml_resources resources = aml_resources_begin(aml);
    aml_bus_window(aml, 0, 0);
    aml_ports(aml, 0xcf8, 8);
    aml_memory_window(aml, pci->low_base, pci->low_len);
    if (pci->high_len)
        aml_memory_window64(aml, pci->high_base, pci->high_len);
    aml_resources_end(aml, resources);
    put_routing(aml, pci);
    aml_end(aml, device);
    device = aml_device_begin(aml, "ECAM");
    aml_name_eisa(aml, "_HID", "PNP0C02");
    aml_name_number(aml, "_UID", 1);
    resources = aml_resources_begin(aml);
    aml_memory(aml, pci->ecam_base, pci->ecam_len);
    aml_resources_end(aml, resources);
    aml_end(aml, device);
}

static void put_cpu(struct aml *aml, unsigned index)
{
    char name[5];
    snprintf(name, sizeof(name), "C%03X", index & 0xfff);
    size_t device = aml_device_begin(aml, name);
    aml_name_string(aml, "_HID", "ACPI0007");
    aml_name_number(aml, "_UID", index);
    aml_end(aml, device);
}

void acpi_put_devices(struct aml *aml, const struct acpi_config *config)
{
    static const uint8_t sleep_off[] = {ACPI_SLEEP_OFF, ACPI_SLEEP_OFF, 0, 0};
    aml_name_package(aml, "_S5_", sleep_off, ARRAY_COUNT(sleep_off));
    size_t scope = aml_scope_begin(aml, "\\_SB");
    for (unsigned i = 0; i < config->cpu_count; i++)
        put_cpu(aml, i);
    put_ports_device(aml, "PMIO", "PNP0C02", ACPI_PM_PORT, ACPI_GED_PORT + 1 - ACPI_PM_PORT, 0);
    put_power_button(aml);
    if (config->has_rtc)
        put_ports_device(aml, "RTC", "PNP0B00", 0x70, 2, 8);
    for (unsigned i = 0; i < config->serial_count; i++)
        put_serial(aml, i);
    if (config->has_pvpanic)
        put_qemu_device(aml, "PEVT", "QEMU0001", ACPI_PVPANIC_PORT, 1);
    if (config->has_fwcfg)
        put_qemu_device(aml, "FWCF", "QEMU0002", ACPI_FWCFG_PORT, ACPI_FWCFG_PORTS);
    for (unsigned i = 0; i < config->virtio_mmio_count; i++)
        put_virtio_mmio(aml, &config->virtio_mmio[i], i);
    if (config->pci)
        put_pci(aml, config->pci);
    aml_end(aml, scope);
}
