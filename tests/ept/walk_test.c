/* SPDX-License-Identifier: MIT
 *
 * Page-table walks over tables built by hand: every mode, every right, reserved bits, A and D bits, and
 * tables that a hostile guest would make.
 */
#include "ept/walk.h"

#include <string.h>

#include "tests/harness.h"

#define CR0_BASE 0x80000001ull
#define WP       (1ull << 16)
#define PSE      (1ull << 4)
#define PAE      (1ull << 5)
#define LA57     (1ull << 12)
#define SMEP     (1ull << 20)
#define SMAP     (1ull << 21)
#define PKE      (1ull << 22)
#define LMA      (1ull << 10)
#define NXE      (1ull << 11)
#define P        1ull
#define W        2ull
#define U        4ull
#define A        0x20ull
#define D        0x40ull
#define PS       0x80ull
#define NX       (1ull << 63)
#define ROOT     0x1000ull
#define RAM      (4 * MIB)

/* The index of each level differs, so that a wrong shift is seen. */
#define GVA_LONG ((3ull << 48) | (5ull << 39) | (6ull << 30) | (7ull << 21) | (8ull << 12) | 0x123)
#define GVA_32   ((2ull << 30) | (7ull << 21) | (8ull << 12) | 0x123)

static struct guest_memory *memory;
static uint32_t pkru;
static unsigned written;

static uint32_t pkru_read(void *owner)
{
    (void)owner;
    return pkru;
}

static void table_written(void *owner, gpa_t gpa, uint64_t len)
{
    (void)owner;
    ck_assert(guest_mem_is_ram(memory, gpa, len));
    written++;
}

static struct walk_context context(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (struct walk_context){.memory = memory,
                                 .cr0 = CR0_BASE | cr0,
                                 .cr3 = ROOT,
                                 .cr4 = cr4,
                                 .efer = efer,
                                 .physical_address_bits = 40,
                                 .pkru_read = pkru_read,
                                 .table_written = table_written};
}

static uint64_t *entry64(uint64_t table, uint64_t index)
{
    return guest_mem_ptr(memory, table + index * 8, 8);
}

static uint32_t *entry32(uint64_t table, uint64_t index)
{
    return guest_mem_ptr(memory, table + index * 4, 4);
}

static void set_up(void)
{
    guest_memory_destroy(memory);
    ck_assert_int_eq(guest_memory_create(RAM, MEMORY_ANONYMOUS, &memory, NULL), 0);
    pkru = 0;
    written = 0;
}

/* Tables from ROOT on, a page each, for GVA_LONG: `flags[i]` of level i + 1, down to `leaf`. */
static void build_long(unsigned levels, unsigned leaf, const uint64_t flags[5], uint64_t leaf_gpa)
{
    uint64_t table = ROOT;
    for (unsigned level = levels; level >= leaf; level--) {
        uint64_t index = GVA_LONG >> (12 + 9 * (level - 1)) & 511;
        uint64_t next = level == leaf ? leaf_gpa : table + 0x1000;
        *entry64(table, index) = next | flags[level - 1];
        table += 0x1000;
    }
}

struct rights_case {
    const char *name;
    uint64_t upper, leaf; /* flags */
    uint64_t cr0, cr4;
    unsigned access;
    bool ac;
    uint32_t pkru;
    int error; /* -1: allowed */
};

#define KEY(k) ((uint64_t)(k) << 59)

static const struct rights_case rights_cases[] = {
    {"supervisor read", P, P, 0, 0, 0, false, 0, -1},
    {"user read of supervisor page", P | U, P, 0, 0, WALK_USER, false, 0, 5},
    {"user read, upper level supervisor", P, P | U, 0, 0, WALK_USER, false, 0, 5},
    {"user read", P | U, P | U, 0, 0, WALK_USER, false, 0, -1},
    {"user write, read-only", P | U | W, P | U, 0, 0, WALK_USER | WALK_WRITE, false, 0, 7},
    {"user write, upper read-only", P | U, P | U | W, 0, 0, WALK_USER | WALK_WRITE, false, 0, 7},
    {"user write", P | U | W, P | U | W, 0, 0, WALK_USER | WALK_WRITE, false, 0, -1},
    {"supervisor write without WP", P, P, 0, 0, WALK_WRITE, false, 0, -1},
    {"supervisor write with WP", P, P, WP, 0, WALK_WRITE, false, 0, 3},
    {"supervisor write with WP, upper", P, P | W, WP, 0, WALK_WRITE, false, 0, 3},
    {"fetch", P, P, 0, 0, WALK_FETCH, false, 0, -1},
    {"fetch of NX", P, P | NX, 0, 0, WALK_FETCH, false, 0, 0x11},
    {"fetch of upper NX", P | NX, P, 0, 0, WALK_FETCH, false, 0, 0x11},
    {"read of NX", P | NX, P | NX, 0, 0, 0, false, 0, -1},
    {"user fetch of supervisor", P, P, 0, 0, WALK_FETCH | WALK_USER, false, 0, 0x15},
    {"supervisor fetch of user", P | U, P | U, 0, 0, WALK_FETCH, false, 0, -1},
    {"supervisor fetch of user, SMEP", P | U, P | U, 0, SMEP, WALK_FETCH, false, 0, 0x11},
    {"supervisor fetch, upper supervisor, SMEP", P, P | U, 0, SMEP, WALK_FETCH, false, 0, -1},
    {"SMAP", P | U, P | U, 0, SMAP, 0, false, 0, 1},
    {"SMAP write", P | U | W, P | U | W, 0, SMAP, WALK_WRITE, false, 0, 3},
    {"SMAP with AC", P | U, P | U, 0, SMAP, 0, true, 0, -1},
    {"SMAP with AC, implicit", P | U, P | U, 0, SMAP, WALK_IMPLICIT, true, 0, 1},
    {"SMAP, user access", P | U, P | U, 0, SMAP, WALK_USER, false, 0, -1},
    {"SMAP, supervisor page", P, P | U, 0, SMAP, 0, false, 0, -1},
    {"key access disabled", P | U, P | U | KEY(3), 0, PKE, WALK_USER, false, 1u << 6, 0x25},
    {"key access disabled, supervisor", P | U, P | U | KEY(3), 0, PKE, 0, false, 1u << 6, 0x21},
    {"key, supervisor page", P, P | U | KEY(3), 0, PKE, 0, false, 1u << 6, -1},
    {"key, fetch", P | U, P | U | KEY(3), 0, PKE, WALK_FETCH | WALK_USER, false, 1u << 6, -1},
    {"key, another", P | U, P | U | KEY(4), 0, PKE, WALK_USER, false, 1u << 6, -1},
    {"key, off", P | U, P | U | KEY(3), 0, 0, WALK_USER, false, 1u << 6, -1},
    {"key write disabled, read", P | U, P | U | KEY(15), 0, PKE, WALK_USER, false, 2u << 30, -1},
    {"key write disabled, user", P | U | W, P | U | W | KEY(15), 0, PKE, WALK_USER | WALK_WRITE, false,
     2u << 30, 0x27},
    {"key write disabled, no WP", P | U | W, P | U | W | KEY(15), 0, PKE, WALK_WRITE, false, 2u << 30, -1},
    {"key write disabled, WP", P | U | W, P | U | W | KEY(15), WP, PKE, WALK_WRITE, false, 2u << 30, 0x23},
    {"leaf absent", P | U, U, 0, 0, WALK_USER, false, 0, 4},
    {"upper absent", W, P, 0, 0, WALK_WRITE, false, 0, 2},
    {"absent, fetch", P, 0, 0, 0, WALK_FETCH, false, 0, 0x10},
    {"reserved address bit", P, P | 1ull << 40, 0, 0, 0, false, 0, 9},
    {"reserved upper address bit", P | 1ull << 51, P, 0, 0, WALK_WRITE | WALK_USER, false, 0, 0xf},
    {"ignored bits", P | 0xeull << 8 | 0x7ffull << 52, P | 0xeull << 8 | 0x7ffull << 52, 0, 0, 0, false, 0,
     -1},
    {"absent wins over reserved", P, 1ull << 40, 0, 0, 0, false, 0, 0},
};

START_TEST(rights_with_4_and_5_levels)
{
    for (size_t i = 0; i < ARRAY_COUNT(rights_cases); i++)
        for (unsigned levels = 4; levels <= 5; levels++)
            for (unsigned leaf = 1; leaf <= 3; leaf++) {
                const struct rights_case *c = &rights_cases[i];
                set_up();
                uint64_t ps = leaf > 1 ? PS : 0;
                uint64_t flags[5] = {c->upper, c->upper, c->upper, c->upper, c->upper};
                flags[leaf - 1] = c->leaf | ps;
                build_long(levels, leaf, flags, 0x40000000);
                struct walk_context walk = context(c->cr0, c->cr4 | PAE | (levels == 5 ? LA57 : 0),
                                                   LMA | NXE);
                walk.flags_ac = c->ac;
                pkru = c->pkru;
                struct walk_result result;
                bool ok = walk_gva(&walk, GVA_LONG, c->access, &result);
                ck_assert_msg(ok == (c->error < 0), "%s, %u levels, leaf %u", c->name, levels, leaf);
                uint64_t mask = (1ull << (12 + 9 * (leaf - 1))) - 1;
                if (ok) {
                    ck_assert_uint_eq(result.gpa, 0x40000000 | (GVA_LONG & mask));
                    ck_assert_uint_eq(result.page_bytes, mask + 1);
                    ck_assert_uint_eq(written, levels - leaf + 1);
                } else {
                    ck_assert_msg(result.error_code == (uint32_t)c->error, "%s: error %x, not %x", c->name,
                                  result.error_code, c->error);
                    ck_assert_uint_eq(written, 0);
                }
            }
}
END_TEST

START_TEST(reserved_bits_of_large_pages)
{
    static const struct {
        unsigned leaf;
        uint64_t flags;
        uint64_t efer;
        bool ok;
    } cases[] = {
        {2, PS, NXE, true},
        {2, PS | 1 << 12, NXE, true}, /* PAT */
        {2, PS | 1 << 13, NXE, false},
        {2, PS | 1 << 20, NXE, false},
        {3, PS | 1 << 12, NXE, true},
        {3, PS | 1 << 13, NXE, false},
        {3, PS | 1 << 29, NXE, false},
        {1, PS, NXE, true}, /* PAT of a 4 KiB page */
        {1, NX, 0, false},
        {2, PS | NX, 0, false},
        {1, NX, NXE, true},
        {4, PS, NXE, false},
        {5, PS, NXE, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set_up();
        uint64_t flags[5] = {P, P, P, P, P};
        flags[cases[i].leaf - 1] |= cases[i].flags;
        build_long(5, cases[i].leaf > 3 ? 1 : cases[i].leaf, flags, 0x40000000);
        struct walk_context walk = context(0, PAE | LA57, LMA | cases[i].efer);
        struct walk_result result;
        bool ok = walk_gva(&walk, GVA_LONG, 0, &result);
        ck_assert_msg(ok == cases[i].ok, "case %zu", i);
        ck_assert(ok || result.error_code == 9);
    }
}
END_TEST

START_TEST(accessed_and_dirty_bits)
{
    set_up();
    uint64_t flags[5] = {P | W, P | W, P | W, P | W};
    build_long(4, 1, flags, 0x5000000);
    struct walk_context walk = context(0, PAE, LMA);
    struct walk_result result;
    uint64_t *leaf = entry64(ROOT + 0x3000, 8);
    ck_assert(walk_gva(&walk, GVA_LONG, WALK_WRITE | WALK_PEEK, &result));
    ck_assert_uint_eq(*leaf, 0x5000000 | P | W);
    ck_assert(walk_gva(&walk, GVA_LONG, 0, &result));
    ck_assert_uint_eq(*leaf, 0x5000000 | P | W | A);
    ck_assert_uint_eq(*entry64(ROOT, 5), (ROOT + 0x1000) | P | W | A);
    ck_assert_uint_eq(written, 4);
    ck_assert(walk_gva(&walk, GVA_LONG, WALK_WRITE, &result));
    ck_assert_uint_eq(*leaf, 0x5000000 | P | W | A | D);
    ck_assert_uint_eq(*entry64(ROOT + 0x2000, 7), (ROOT + 0x3000) | P | W | A);
    ck_assert_uint_eq(written, 5);
    ck_assert(walk_gva(&walk, GVA_LONG, WALK_WRITE, &result));
    ck_assert_uint_eq(written, 5);
}
END_TEST

START_TEST(without_paging_an_address_is_itself)
{
    set_up();
    struct walk_context walk = context(0, 0, 0);
    walk.cr0 = 1;
    struct walk_result result;
    ck_assert(walk_gva(&walk, 0xfedcba98, WALK_WRITE | WALK_USER, &result));
    ck_assert_uint_eq(result.gpa, 0xfedcba98);
}
END_TEST

START_TEST(two_levels_of_32_bits)
{
    static const struct {
        uint64_t upper, leaf, cr4;
        unsigned access, bits;
        int error;
        uint64_t gpa;
    } cases[] = {
        {P | U | W, P | U | W, 0, WALK_USER | WALK_WRITE, 40, -1, 0x7654123},
        {P | U, P | U | W, 0, WALK_USER | WALK_WRITE, 40, 7, 0},
        {P | U, P, 0, WALK_USER | WALK_FETCH, 40, 5, 0}, /* no NX, no SMEP: no I/D bit */
        {P | U, P | U, SMEP, WALK_FETCH, 40, 0x11, 0},
        {P | U, P | U, PSE, 0, 40, -1, 0x7654123},
        {P | PS | 0x1400000, 0, PSE, 0, 40, -1, 0x1608123},
        {P | PS | 0x1400000 | 0xffu << 13, 0, PSE, 0, 40, -1, 0xff01608123},
        {P | PS | 1u << 21, 0, PSE, 0, 40, 9, 0},
        {P | PS | 1u << 17, 0, PSE, 0, 36, 9, 0},
        {P | PS | 1u << 16, 0, PSE, 0, 36, -1, 0x800208123},
        {P | PS, P, 0, 0, 40, -1, 0x7654123}, /* PS without CR4.PSE is nothing */
    };
    /* 32-bit indexes: 10 bits each */
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set_up();
        bool large = (cases[i].upper & PS) && (cases[i].cr4 & PSE);
        *entry32(ROOT, GVA_32 >> 22) = (uint32_t)(cases[i].upper | (large ? 0 : 0x2000));
        *entry32(0x2000, GVA_32 >> 12 & 1023) = (uint32_t)(cases[i].leaf | 0x7654000);
        struct walk_context walk = context(0, cases[i].cr4, 0);
        walk.cr3 = ROOT | 0x18; /* PWT and PCD */
        walk.physical_address_bits = (uint8_t)cases[i].bits;
        struct walk_result result;
        bool ok = walk_gva(&walk, GVA_32, cases[i].access, &result);
        ck_assert_msg(ok == (cases[i].error < 0), "case %zu", i);
        if (ok) {
            uint64_t offset = GVA_32 & 0x3fffff;
            uint64_t want = large ? (cases[i].gpa & ~0x3fffffull) | offset : cases[i].gpa;
            ck_assert_uint_eq(result.gpa, want);
            ck_assert_uint_eq(*entry32(ROOT, GVA_32 >> 22) & A, A);
        } else {
            ck_assert_uint_eq(result.error_code, (uint32_t)cases[i].error);
        }
    }
}
END_TEST

START_TEST(three_levels_of_pae)
{
    static const struct {
        uint64_t pdpte, pde, pte;
        unsigned access;
        int error;
    } cases[] = {
        {P, P | U | W, P | U | W, WALK_USER | WALK_WRITE, -1}, /* a PDPTE has no rights */
        {P, P | U, P | U | W, WALK_USER | WALK_WRITE, 7},
        {0, P, P, 0, 0},
        {P | W, P, P, 0, 9},
        {P | U, P, P, 0, 9},
        {P | A, P, P, 0, 9},
        {P | NX, P, P, 0, 9},
        {P, P | 1ull << 62, P, 0, 9},
        {P, P, P | 1ull << 52, 0, 9},
        {P, P, P | NX, WALK_FETCH, 0x11},
        {P, P | PS, 0, 0, -1},
        {P, P | PS | 1 << 13, 0, 0, 9},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set_up();
        bool large = cases[i].pde & PS;
        *entry64(0x1020, GVA_32 >> 30) = 0x2000 | cases[i].pdpte;
        *entry64(0x2000, GVA_32 >> 21 & 511) = (large ? 0 : 0x3000) | cases[i].pde;
        *entry64(0x3000, GVA_32 >> 12 & 511) = 0x7654000 | cases[i].pte;
        struct walk_context walk = context(0, PAE, NXE);
        walk.cr3 = 0x1020; /* aligned to 32 bytes only */
        struct walk_result result;
        bool ok = walk_gva(&walk, GVA_32, cases[i].access, &result);
        ck_assert_msg(ok == (cases[i].error < 0), "case %zu", i);
        if (ok) {
            ck_assert_uint_eq(result.gpa, large ? GVA_32 & 0x1fffff : 0x7654123);
            ck_assert_uint_eq(*entry64(0x1020, GVA_32 >> 30), 0x2000 | cases[i].pdpte);
        } else {
            ck_assert_uint_eq(result.error_code, (uint32_t)cases[i].error);
        }
    }
}
END_TEST

START_TEST(hostile_tables_end)
{
    struct walk_result result;
    struct walk_context walk;
    /* a root that is its own table, at every level */
    set_up();
    for (unsigned i = 0; i < 512; i++)
        *entry64(ROOT, i) = ROOT | P | W | U;
    walk = context(0, PAE | LA57, LMA);
    ck_assert(walk_gva(&walk, GVA_LONG, WALK_WRITE | WALK_USER, &result));
    ck_assert_uint_eq(result.gpa, ROOT | 0x123);
    /* the walk sets A and D in the very entries that it reads */
    ck_assert_uint_eq(*entry64(ROOT, 8), ROOT | P | W | U | A | D);
    /* a root outside RAM, and a table behind a good root */
    walk = context(0, PAE, LMA);
    walk.cr3 = 0x80000000;
    ck_assert(!walk_gva(&walk, GVA_LONG, 0, &result));
    ck_assert_uint_eq(result.error_code, PF_PRESENT | PF_RESERVED);
    ck_assert(result.table_outside_ram);
    set_up();
    *entry64(ROOT, GVA_LONG >> 39 & 511) = 0xfee00000 | P;
    walk = context(0, PAE, LMA);
    ck_assert(!walk_gva(&walk, GVA_LONG, 0, &result));
    ck_assert_uint_eq(result.table_gpa, 0xfee00000 + 8 * 6);
    /* the last entries before the end of RAM, and one beyond */
    walk.cr3 = RAM - 0x1000;
    *entry64(RAM - 0x1000, 511) = RAM | P;
    ck_assert(!walk_gva(&walk, 0xffffffffffffffff, 0, &result));
    ck_assert(result.table_outside_ram);
    /* 32-bit tables of all ones map the last page */
    walk = context(0, 0, 0);
    walk.cr3 = 0x80000000;
    ck_assert(walk_gva(&walk, 0x1234, WALK_USER | WALK_WRITE, &result));
    ck_assert_uint_eq(result.gpa, 0xfffff234);
}
END_TEST

START_TEST(tables_in_rom_keep_their_bits)
{
    static uint64_t rom[512] __attribute__((aligned(4096)));
    set_up();
    ck_assert_int_eq(guest_memory_add(memory, 0x80000000, rom, sizeof(rom), true, NULL), 0);
    for (unsigned i = 0; i < 512; i++)
        rom[i] = 0x80000000 | P | W;
    struct walk_context walk = context(0, PAE, LMA);
    struct walk_result result;
    walk.cr3 = 0x80000000;
    ck_assert(walk_gva(&walk, GVA_LONG, WALK_WRITE, &result));
    ck_assert_uint_eq(result.gpa, 0x80000123);
    ck_assert_uint_eq(rom[8], 0x80000000 | P | W);
    ck_assert_uint_eq(written, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, rights_with_4_and_5_levels);
    test_add(suite, reserved_bits_of_large_pages);
    test_add(suite, accessed_and_dirty_bits);
    test_add(suite, without_paging_an_address_is_itself);
    test_add(suite, two_levels_of_32_bits);
    test_add(suite, three_levels_of_pae);
    test_add(suite, hostile_tables_end);
    test_add(suite, tables_in_rom_keep_their_bits);
}
