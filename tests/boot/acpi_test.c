/* SPDX-License-Identifier: MIT
 *
 * The tables as a kernel reads them: found, checked and followed from the RSDP on; and each decompiled and
 * compiled again by acpica-tools' iasl, with the same bytes as a result.
 */
#include "boot/acpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/harness.h"

static struct acpi_tables tables;

static const struct acpi_virtio_mmio virtio_mmio[] = {{0xd0000000, 0x200, 5}, {0xd0000200, 0x200, 23}};

static unsigned gsi(unsigned slot, unsigned pin)
{
    return 10 + (slot + pin) % 2;
}

static const struct acpi_pci pci = {.ecam_base = 0xf0000000,
                                    .ecam_len = 0x100000,
                                    .low_base = 0xe0000000,
                                    .low_len = 0x10000000,
                                    .high_base = 0x8000000000,
                                    .high_len = 0x4000000000,
                                    .gsi = gsi};

static const struct acpi_config full = {.cpu_count = 8,
                                        .has_pic = true,
                                        .has_reset = true,
                                        .has_rtc = true,
                                        .has_pvpanic = true,
                                        .has_fwcfg = true,
                                        .serial_count = 4,
                                        .virtio_mmio = virtio_mmio,
                                        .virtio_mmio_count = 2,
                                        .pci = &pci};
static const struct acpi_config bare = {.cpu_count = 1};

static const uint8_t *bytes_at(uint64_t gpa, size_t len)
{
    ck_assert_uint_ge(gpa, ACPI_GPA);
    ck_assert_uint_le(gpa + len, ACPI_GPA + tables.len);
    return tables.bytes + (gpa - ACPI_GPA);
}

static uint8_t sum(const uint8_t *bytes, size_t len)
{
    uint8_t total = 0;
    while (len--)
        total += *bytes++;
    return total;
}

/* A table with this signature, whole and sound. */
static const uint8_t *table_at(uint64_t gpa, const char *signature)
{
    const uint8_t *table = bytes_at(gpa, 36);
    ck_assert_mem_eq(table, signature, 4);
    ck_assert_uint_eq(sum(bytes_at(gpa, load_le32(table + 4)), load_le32(table + 4)), 0);
    return table;
}

static const uint8_t *find_table(const char *signature)
{
    const uint8_t *rsdp = bytes_at(ACPI_GPA, 36);
    ck_assert_mem_eq(rsdp, "RSD PTR ", 8);
    ck_assert_uint_eq(sum(rsdp, 20), 0);
    ck_assert_uint_eq(sum(rsdp, 36), 0);
    const uint8_t *xsdt = table_at(load_le64(rsdp + 24), "XSDT");
    for (uint32_t at = 36; at < load_le32(xsdt + 4); at += 8) {
        const uint8_t *table = bytes_at(load_le64(xsdt + at), 36);
        if (!memcmp(table, signature, 4))
            return table_at(load_le64(xsdt + at), signature);
    }
    ck_abort_msg("the XSDT has no %s", signature);
}

static void build(const struct acpi_config *config)
{
    struct vmm_error error;
    memset(&tables, 0xcc, sizeof(tables));
    ck_assert_msg(acpi_build(config, &tables, &error) == 0, "%s", error.message);
}

START_TEST(the_fadt_says_where_the_registers_are)
{
    build(&full);
    const uint8_t *fadt = find_table("FACP");
    ck_assert_uint_eq(load_le32(fadt + 4), 276);
    ck_assert_uint_eq(fadt[8], 6);
    table_at(load_le64(fadt + 140), "DSDT");
    table_at(load_le32(fadt + 40), "DSDT");
    ck_assert_mem_eq(bytes_at(load_le32(fadt + 36), 64), "FACS\x40\0\0\0", 8);
    ck_assert_uint_eq(load_le32(fadt + 36) % 64, 0);
    ck_assert_uint_eq(load_le16(fadt + 46), 9);
    ck_assert_uint_eq(load_le32(fadt + 48), 0); /* no SMI command port: ACPI is always on */
    ck_assert_uint_eq(load_le32(fadt + 56), 0x600);
    ck_assert_uint_eq(load_le32(fadt + 64), 0x604);
    ck_assert_uint_eq(load_le32(fadt + 76), 0x608);
    ck_assert_uint_eq(load_le16(fadt + 109), 0x05); /* legacy devices; no 8042, no VGA */
    ck_assert_uint_eq(load_le32(fadt + 112), 0x1575);
    ck_assert_mem_eq(fadt + 116, "\x01\x08\x00\x01\xf9\x0c\0\0\0\0\0", 12);
    ck_assert_uint_eq(fadt[128], 6);
    build(&bare);
    fadt = find_table("FACP");
    ck_assert_uint_eq(load_le32(fadt + 112) & 1 << 10, 0);
    ck_assert_uint_eq(load_le16(fadt + 109), 0x25);
    ck_assert_uint_eq(fadt[108], 0);
}
END_TEST

/* Counts the MADT's entries by type, and checks each. */
static void walk_madt(const struct acpi_config *config, unsigned counts[16])
{
    build(config);
    const uint8_t *madt = find_table("APIC"), *end = madt + load_le32(madt + 4);
    unsigned cpus = 0;
    ck_assert_uint_eq(load_le32(madt + 36), 0xfee00000);
    ck_assert_uint_eq(load_le32(madt + 40), config->has_pic);
    for (const uint8_t *at = madt + 44; at < end; at += at[1]) {
        static const uint8_t lengths[16] = {8, 12, 10, 0, 6, [9] = 16};
        ck_assert_uint_lt(at[0], 16);
        ck_assert_uint_eq(at[1], lengths[at[0]]);
        ck_assert(at + at[1] <= end);
        counts[at[0]]++;
        if (at[0] == 0)
            ck_assert(at[2] == cpus && at[3] == cpus && load_le32(at + 4) == 1);
        else if (at[0] == 9)
            ck_assert(load_le32(at + 4) == cpus && load_le32(at + 8) == 1 && load_le32(at + 12) == cpus);
        else if (at[0] == 1)
            ck_assert(load_le32(at + 4) == 0xfec00000 && load_le32(at + 8) == 0);
        else if (at[0] == 2)
            ck_assert(at[3] == load_le32(at + 4) && load_le16(at + 8) == (at[3] < 10 ? 0xd : 0xf));
        cpus += at[0] == 0 || at[0] == 9;
    }
    ck_assert_uint_eq(cpus, config->cpu_count);
}

START_TEST(the_madt_has_every_cpu)
{
    static const unsigned cpu_counts[] = {1, 8, 255, 256, 1000};
    for (size_t i = 0; i < ARRAY_COUNT(cpu_counts); i++) {
        struct acpi_config config = full;
        unsigned counts[16] = {0};
        config.cpu_count = cpu_counts[i];
        config.has_pic = i & 1;
        walk_madt(&config, counts);
        ck_assert_uint_eq(counts[9], cpu_counts[i] > 255 ? cpu_counts[i] - 255 : 0);
        ck_assert(counts[1] == 1 && counts[2] == 4 && counts[4] == 1);
    }
}
END_TEST

START_TEST(the_mcfg_says_where_configuration_space_is)
{
    build(&full);
    const uint8_t *mcfg = find_table("MCFG");
    ck_assert_uint_eq(load_le32(mcfg + 4), 60);
    ck_assert_uint_eq(load_le64(mcfg + 44), 0xf0000000);
    ck_assert_uint_eq(load_le64(mcfg + 52), 0); /* segment 0, buses 0 to 0 */
}
END_TEST

/* Whether the DSDT has a device with this identifier. */
static bool has_device(const char *id)
{
    const uint8_t *dsdt = table_at(load_le64(find_table("FACP") + 140), "DSDT");
    return memmem(dsdt, load_le32(dsdt + 4), id, strlen(id) + 1) != NULL;
}

START_TEST(the_dsdt_has_the_devices_that_are_there)
{
    static const char *const always[] = {"ACPI0007", "ACPI0013"};
    static const char *const sometimes[] = {"QEMU0001", "QEMU0002", "LNRO0005"};
    for (int i = 0; i < 2; i++) {
        build(i ? &bare : &full);
        for (size_t d = 0; d < ARRAY_COUNT(always); d++)
            ck_assert_msg(has_device(always[d]), "%s", always[d]);
        for (size_t d = 0; d < ARRAY_COUNT(sometimes); d++)
            ck_assert_msg(has_device(sometimes[d]) == !i, "%s", sometimes[d]);
    }
}
END_TEST

START_TEST(the_list_of_tables_covers_what_was_built)
{
    static const char *const names[] = {"RSDP", "DSDT", "FACS", "FACP", "APIC", "MCFG", "XSDT"};
    build(&bare);
    ck_assert_uint_eq(tables.count, ARRAY_COUNT(names) - 1);
    build(&full);
    ck_assert_uint_eq(tables.count, ARRAY_COUNT(names));
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        ck_assert_str_eq(tables.tables[i].name, names[i]);
        ck_assert(range_inside(tables.tables[i].offset, tables.tables[i].len, 0, tables.len));
    }
    ck_assert_uint_eq(tables.tables[6].offset + tables.tables[6].len, tables.len);
}
END_TEST

START_TEST(too_many_cpus_are_refused)
{
    struct acpi_config config = full;
    struct vmm_error error;
    config.cpu_count = 4096;
    ck_assert_int_eq(acpi_build(&config, &tables, &error), -ENOSPC);
    ck_assert_ptr_nonnull(strstr(error.message, "4096 CPUs"));
}
END_TEST

static void write_table(const char *path, const struct acpi_table *table)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(tables.bytes + table->offset, 1, table->len, file), table->len);
    ck_assert_int_eq(fclose(file), 0);
}

/* iasl writes X.dsl for X.aml, and compiles that to Y.aml. Its own version stands in the header of what it
 * compiles, so the comparison begins behind that. */
static void check_by_iasl(const char *directory, const struct acpi_table *table)
{
    char command[512], path[256];
    static uint8_t again[ACPI_BYTES];
    snprintf(path, sizeof(path), "%s/table.aml", directory);
    write_table(path, table);
    snprintf(command, sizeof(command),
             "cd %s && rm -f table.dsl again.aml && iasl -d table.aml >log 2>&1 && "
             "iasl -p again table.dsl >>log 2>&1",
             directory);
    ck_assert_msg(system(command) == 0, "iasl refuses the %s: see %s/log", table->name, directory);
    snprintf(path, sizeof(path), "%s/log", directory);
    FILE *file = fopen(path, "r");
    char line[512];
    while (fgets(line, sizeof(line), file)) {
        ck_assert_msg(!strstr(line, "Invalid") && !strstr(line, "Warning  "), "%s: %s", table->name, line);
        ck_assert_msg(!strstr(line, "Error  "), "%s: %s", table->name, line);
    }
    fclose(file);
    snprintf(path, sizeof(path), "%s/again.aml", directory);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "iasl compiles nothing of the %s", table->name);
    size_t len = fread(again, 1, sizeof(again), file);
    fclose(file);
    if (strcmp(table->name, "DSDT")) { /* whose package lengths iasl writes shorter */
        ck_assert_uint_eq(len, table->len);
        ck_assert_mem_eq(again + 36, tables.bytes + table->offset + 36, len - 36);
    }
}

START_TEST(iasl_reads_and_compiles_every_table)
{
    char directory[] = "/tmp/acpi-test.XXXXXX", command[64];
    if (system("command -v iasl >/dev/null"))
        test_skip("there is no iasl: scripts/install-packages test");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    for (int i = 0; i < 2; i++) {
        build(i ? &bare : &full);
        for (size_t t = 1; t < tables.count; t++)
            check_by_iasl(directory, &tables.tables[t]);
    }
    snprintf(command, sizeof(command), "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_fadt_says_where_the_registers_are);
    test_add(suite, the_madt_has_every_cpu);
    test_add(suite, the_mcfg_says_where_configuration_space_is);
    test_add(suite, the_dsdt_has_the_devices_that_are_there);
    test_add(suite, the_list_of_tables_covers_what_was_built);
    test_add(suite, too_many_cpus_are_refused);
    test_add(suite, iasl_reads_and_compiles_every_table);
}
