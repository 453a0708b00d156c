/* SPDX-License-Identifier: MIT
 *
 * The tables lie one behind the other, in an order in which each only points to earlier ones; the RSDP's
 * place, in front of all, is kept free for the end.
 */
#include "boot/acpi.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/acpi_dsdt.h"
#include "boot/aml.h"

#define HEADER_BYTES 36
#define RSDP_BYTES   36
#define FACS_BYTES   64
#define FADT_BYTES   276

#define LOCAL_APIC_GPA 0xfee00000u
#define IOAPIC_GPA     0xfec00000u

/* FADT: IA-PC boot architecture flags, and feature flags (ACPI 6.5 5.2.9). */
#define BOOT_ARCH_LEGACY     (1u << 0)
#define BOOT_ARCH_NO_VGA     (1u << 2)
#define BOOT_ARCH_NO_RTC     (1u << 5)
#define FADT_WBINVD          (1u << 0)
#define FADT_C1              (1u << 2)
#define FADT_NO_POWER_BUTTON (1u << 4)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_NO_RTC_WAKE     (1u << 6)
#define FADT_TIMER_32        (1u << 8)
#define FADT_RESET           (1u << 10)
#define FADT_HEADLESS        (1u << 12)

struct build {
    const struct acpi_config *config;
    struct acpi_tables *out;
    struct aml at; /* over out->bytes */
};

static uint8_t checksum(const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += bytes[i];
    return (uint8_t)-sum;
}

static void put(struct build *build, uint64_t value, unsigned size)
{
    aml_bytes(&build->at, &value, size);
}

static struct acpi_table *table_begin(struct build *build, const char *name, unsigned align)
{
    static const uint8_t zeros[FACS_BYTES];
    aml_bytes(&build->at, zeros, -build->at.len & (align - 1));
    struct acpi_table *table = &build->out->tables[build->out->count++];
    snprintf(table->name, sizeof(table->name), "%s", name);
    table->offset = (uint32_t)build->at.len;
    return table;
}

/* ACPI 6.5 5.2.6. The length and the checksum come at the end. */
static struct acpi_table *described_begin(struct build *build, const char *signature, uint8_t revision)
{
    struct acpi_table *table = table_begin(build, signature, 16);
    aml_bytes(&build->at, signature, 4);
    put(build, 0, 4);
    put(build, revision, 1);
    put(build, 0, 1);
    aml_bytes(&build->at, "LIBVMMMACHINE ", 14);
    put(build, 1, 4);
    aml_bytes(&build->at, "VMM ", 4);
    put(build, 1, 4);
    return table;
}

static void described_end(struct build *build, struct acpi_table *table)
{
    if (build->at.overflow)
        return;
    uint8_t *bytes = build->out->bytes + table->offset;
    table->len = (uint32_t)build->at.len - table->offset;
    store_le32(bytes + 4, table->len);
    bytes[9] = checksum(bytes, table->len);
}

static uint32_t table_gpa(const struct acpi_table *table)
{
    return ACPI_GPA + table->offset;
}

static struct acpi_table *put_dsdt(struct build *build)
{
    struct acpi_table *table = described_begin(build, "DSDT", 2);
    acpi_put_devices(&build->at, build->config);
    described_end(build, table);
    return table;
}

static struct acpi_table *put_facs(struct build *build)
{
    uint8_t facs[FACS_BYTES] = {'F', 'A', 'C', 'S', FACS_BYTES, [32] = 2 /* its version */};
    struct acpi_table *table = table_begin(build, "FACS", FACS_BYTES);
    aml_bytes(&build->at, facs, sizeof(facs));
    table->len = sizeof(facs);
    return table;
}

/* A generic address structure (ACPI 6.5 5.2.3.2) for `size` bytes at a port. */
static void set_port(uint8_t *fadt, unsigned offset, uint64_t port, unsigned size, unsigned access_size)
{
    fadt[offset] = 1; /* I/O space */
    fadt[offset + 1] = (uint8_t)(8 * size);
    fadt[offset + 3] = (uint8_t)access_size; /* 1: byte, 2: word, 3: dword */
    store_le64(fadt + offset + 4, port);
}

/* Offsets are those of ACPI 6.5 table 5.9; what is not set is 0: absent. The button flags say that there are
 * no fixed ones. */
static void put_fadt(struct build *build, const struct acpi_table *dsdt, const struct acpi_table *facs)
{
    const struct acpi_config *config = build->config;
    struct acpi_table *table = described_begin(build, "FACP", 6);
    uint8_t fadt[FADT_BYTES] = {0};
    store_le32(fadt + 36, table_gpa(facs));
    store_le32(fadt + 40, table_gpa(dsdt));
    store_le16(fadt + 46, ACPI_SCI);
    store_le32(fadt + 56, ACPI_PM_PORT);
    store_le32(fadt + 64, ACPI_PM_PORT + ACPI_PM_CONTROL);
    store_le32(fadt + 76, ACPI_PM_PORT + ACPI_PM_TIMER);
    fadt[88] = 4;
    fadt[89] = 2;
    fadt[91] = 4;
    store_le16(fadt + 96, 0xfff); /* latencies that mean: no C2, no C3 */
    store_le16(fadt + 98, 0xfff);
    fadt[108] = config->has_rtc ? 0x32 : 0; /* the century */
    store_le16(fadt + 109, BOOT_ARCH_LEGACY | BOOT_ARCH_NO_VGA | (config->has_rtc ? 0 : BOOT_ARCH_NO_RTC));
    store_le32(fadt + 112, FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
                               FADT_NO_RTC_WAKE | FADT_TIMER_32 | FADT_HEADLESS |
                               (config->has_reset ? FADT_RESET : 0));
    if (config->has_reset) {
        set_port(fadt, 116, ACPI_RESET_PORT, 1, 1);
        fadt[128] = ACPI_RESET_VALUE;
    }
    fadt[131] = 4; /* the minor version, of 6.4 */
    store_le64(fadt + 140, table_gpa(dsdt));
    set_port(fadt, 148, ACPI_PM_PORT, 4, 2);
    set_port(fadt, 172, ACPI_PM_PORT + ACPI_PM_CONTROL, 2, 2);
    set_port(fadt, 208, ACPI_PM_PORT + ACPI_PM_TIMER, 4, 3);
    aml_bytes(&build->at, fadt + HEADER_BYTES, sizeof(fadt) - HEADER_BYTES);
    described_end(build, table);
}

/* A CPU whose APIC ID does not fit into a byte has an x2APIC entry. */
static void put_local_apic(struct build *build, unsigned index)
{
    bool wide = index > 254;
    put(build, wide ? 0x1009 : 0x0800, 2); /* type and length */
    if (wide) {
        put(build, 0, 2);
        put(build, index, 4);
        put(build, 1, 4); /* enabled */
        put(build, index, 4);
    } else {
        put(build, index, 1);
        put(build, index, 1);
        put(build, 1, 4);
    }
}

/* An interrupt source override: the pin of its number, but level-triggered (0x0c), and active high (1) or low
 * (3). */
static void put_override(struct build *build, unsigned irq, unsigned flags)
{
    put(build, 0x0a02, 2);
    put(build, 0, 1);
    put(build, irq, 1);
    put(build, irq, 4);
    put(build, flags, 2);
}

static bool is_pci_irq(const struct acpi_pci *pci, unsigned irq)
{
    for (unsigned line = 0; line < 4; line++)
        if (pci->gsi(0, line) == irq)
            return true;
    return false;
}

/* ISA interrupts go to the IOAPIC's pin of their number, the PIT's too (KVM's PIT is at pin 0, not at a PC's
 * pin 2); only the SCI, the generic event device's and those that PCI has are unlike other ISA interrupts.
 * (Linux believes this of them, and not the descriptor in _CRS.) */
static void put_madt(struct build *build)
{
    const struct acpi_config *config = build->config;
    struct acpi_table *table = described_begin(build, "APIC", 5);
    put(build, LOCAL_APIC_GPA, 4);
    put(build, config->has_pic, 4);
    for (unsigned i = 0; i < config->cpu_count; i++)
        put_local_apic(build, i);
    put(build, 0x0c01, 2); /* an IOAPIC */
    put(build, 0, 2);      /* with ID 0 */
    put(build, IOAPIC_GPA, 4);
    put(build, 0, 4);
    put_override(build, ACPI_SCI, 0x0d);
    put_override(build, ACPI_GED_GSI, 0x0d);
    for (unsigned irq = 0; config->pci && irq < 16; irq++)
        if (is_pci_irq(config->pci, irq))
            put_override(build, irq, 0x0f);
    put(build, 0x0604, 2); /* the NMI is every local APIC's LINT1 */
    put(build, 0xff, 1);   /* of all processors */
    put(build, 0, 2);
    put(build, 1, 1);
    described_end(build, table);
}

/* PCI Firmware 3.3 4.1.2: where the configuration space of buses 0 to 0 of segment 0 is. */
static void put_mcfg(struct build *build)
{
    struct acpi_table *table = described_begin(build, "MCFG", 1);
    put(build, 0, 8);
    put(build, build->config->pci->ecam_base, 8);
    put(build, 0, 2);
    put(build, 0, 2);
    put(build, 0, 4);
    described_end(build, table);
}

/* The others are found by way of these. */
static bool is_listed(const char *name)
{
    return !strcmp(name, "FACP") || !strcmp(name, "APIC") || !strcmp(name, "MCFG");
}

static struct acpi_table *put_xsdt(struct build *build)
{
    const unsigned count = build->out->count;
    struct acpi_table *table = described_begin(build, "XSDT", 1);
    for (unsigned i = 0; i < count; i++)
        if (is_listed(build->out->tables[i].name))
            put(build, table_gpa(&build->out->tables[i]), 8);
    described_end(build, table);
    return table;
}

/* ACPI 6.5 5.2.5.3: the first 20 bytes have a checksum of their own. */
static void put_rsdp(struct build *build, const struct acpi_table *xsdt)
{
    uint8_t *rsdp = build->out->bytes;
    memset(rsdp, 0, RSDP_BYTES);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "LIBVMM", 6);
    rsdp[15] = 2;
    store_le32(rsdp + 20, RSDP_BYTES);
    store_le64(rsdp + 24, table_gpa(xsdt));
    rsdp[8] = checksum(rsdp, 20);
    rsdp[32] = checksum(rsdp, RSDP_BYTES);
}

int acpi_build(const struct acpi_config *config, struct acpi_tables *tables, struct vmm_error *error)
{
    struct build build = {.config = config,
                          .out = tables,
                          .at = {.bytes = tables->bytes, .len = RSDP_BYTES, .capacity = ACPI_BYTES}};
    tables->count = 1;
    tables->tables[0] = (struct acpi_table){.name = "RSDP", .offset = 0, .len = RSDP_BYTES};
    struct acpi_table *dsdt = put_dsdt(&build);
    struct acpi_table *facs = put_facs(&build);
    put_fadt(&build, dsdt, facs);
    put_madt(&build);
    if (config->pci)
        put_mcfg(&build);
    put_rsdp(&build, put_xsdt(&build));
    tables->len = build.at.len;
    if (build.at.overflow)
        return error_set(
            error, -ENOSPC,
            "ACPI: tables for %u CPUs and %u devices do not fit into %u KiB; give the guest fewer",
            config->cpu_count, config->virtio_mmio_count, ACPI_BYTES / 1024);
    return 0;
}
