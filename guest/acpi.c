/* SPDX-License-Identifier: MIT
 *
 * ACPI 6.4: 5.2.5 (where the RSDP is), 5.2.7, 5.2.8 and 5.2.12; PCI Firmware 3.3, 4.1.2. Lengths are believed
 * only within limits.
 */
#include "guest/acpi.h"

#include "guest/boot_info.h"
#include "guest/page.h"

#define BIOS_START  0xe0000ull
#define BIOS_END    0x100000ull
#define TABLE_LIMIT 0x10000u

#define MADT_LAPIC    0
#define MADT_X2APIC   9
#define MADT_ENABLED  1u
#define MADT_ENTRIES  44
#define MCFG_ENTRIES  44
#define RSDP_REVISION 15
#define RSDP_RSDT     16
#define RSDP_XSDT     24
#define HEADER_BYTES  36u

#define MCFG_ENTRY_BYTES 16u

static bool has_signature(const uint8_t *table, const char *signature, size_t len)
{
    return memcmp(table, signature, len) == 0;
}

static uint32_t u32_at(const uint8_t *table, size_t offset)
{
    uint32_t value;
    memcpy(&value, table + offset, sizeof(value));
    return value;
}

/* Tables may lie where the memory map has no RAM. */
static const uint8_t *table_at(uint64_t pa)
{
    page_map_identity(pa, TABLE_LIMIT, PTE_PRESENT | PTE_WRITE);
    return (const uint8_t *)pa;
}

static const uint8_t *rsdp_find(void)
{
    if (boot_info.rsdp)
        return table_at(boot_info.rsdp);
    for (uint64_t at = BIOS_START; at < BIOS_END; at += 16)
        if (MEM(uint32_t, at) == 0x20445352 && has_signature((const uint8_t *)at, "RSD PTR ", 8))
            return (const uint8_t *)at;
    return NULL;
}

/* A processor that is enabled counts once, whichever of the two kinds of entry names it. */
static uint32_t madt_count(const uint8_t *madt, uint32_t len)
{
    uint32_t count = 0;
    for (uint32_t at = MADT_ENTRIES; at + 2 <= len && madt[at + 1] >= 2; at += madt[at + 1]) {
        if (madt[at] == MADT_LAPIC && u32_at(madt, at + 4) & MADT_ENABLED)
            count++;
        else if (madt[at] == MADT_X2APIC && u32_at(madt, at + 8) & MADT_ENABLED)
            count++;
    }
    return count;
}

/* The table with this signature, and its length; NULL where there is none. */
static const uint8_t *table_find(const char *signature, uint32_t *len)
{
    const uint8_t *rsdp = rsdp_find();
    if (!rsdp)
        return NULL;
    bool is_xsdt = rsdp[RSDP_REVISION] >= 2 && u32_at(rsdp, RSDP_XSDT);
    const uint8_t *root = table_at(u32_at(rsdp, is_xsdt ? RSDP_XSDT : RSDP_RSDT));
    uint32_t root_len = u32_at(root, 4);
    for (uint32_t at = HEADER_BYTES; at + 4 <= root_len && root_len <= TABLE_LIMIT; at += is_xsdt ? 8 : 4) {
        const uint8_t *table = table_at(u32_at(root, at));
        *len = u32_at(table, 4);
        if (has_signature(table, signature, 4) && *len <= TABLE_LIMIT)
            return table;
    }
    return NULL;
}

uint32_t acpi_cpus(void)
{
    uint32_t len;
    const uint8_t *madt = table_find("APIC", &len);
    return madt ? madt_count(madt, len) : 0;
}

uint64_t acpi_ecam(void)
{
    uint32_t len;
    const uint8_t *mcfg = table_find("MCFG", &len);
    for (uint32_t at = MCFG_ENTRIES; mcfg && at + MCFG_ENTRY_BYTES <= len; at += MCFG_ENTRY_BYTES)
        if (!(u32_at(mcfg, at + 8) & 0x00ffffff)) /* segment 0, from bus 0 on */
            return u32_at(mcfg, at) | (uint64_t)u32_at(mcfg, at + 4) << 32;
    return 0;
}
