/* SPDX-License-Identifier: MIT
 *
 * The memory map: PC holes, reservations, small machines; and a random comparison with a map of every page.
 */
#include "boot/memory_map.h"

#include <stdlib.h>

#include "tests/harness.h"

static void check(uint64_t ram_bytes, const struct memory_map_entry *reserved, size_t reserved_count,
                  const struct memory_map_entry *want, size_t count)
{
    struct guest_memory *memory;
    struct memory_map map;
    ck_assert_int_eq(guest_memory_create(ram_bytes, MEMORY_ANONYMOUS, &memory, NULL), 0);
    ck_assert_int_eq(memory_map_build(memory, reserved, reserved_count, &map, NULL), 0);
    ck_assert_uint_eq(map.count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(map.entries[i].gpa, want[i].gpa);
        ck_assert_uint_eq(map.entries[i].len, want[i].len);
        ck_assert_int_eq(map.entries[i].kind, want[i].kind);
    }
    guest_memory_destroy(memory);
}

#define RAM      MEMORY_KIND_RAM
#define RESERVED MEMORY_KIND_RESERVED

START_TEST(small_machines_are_all_ram)
{
    check(64 * KIB, NULL, 0, (struct memory_map_entry[]){{0, 64 * KIB, RAM}}, 1);
    check(0x9f000, NULL, 0, (struct memory_map_entry[]){{0, 0x9f000, RAM}}, 1);
    check(0xa0000, NULL, 0, (struct memory_map_entry[]){{0, 0x9fc00, RAM}, {0x9fc00, 0x60400, RESERVED}}, 2);
    check(MIB, NULL, 0, (struct memory_map_entry[]){{0, 0x9fc00, RAM}, {0x9fc00, 0x60400, RESERVED}}, 2);
}
END_TEST

START_TEST(the_hole_below_4_gib_is_absent)
{
    check(6 * GIB, NULL, 0,
          (struct memory_map_entry[]){{0, 0x9fc00, RAM},
                                      {0x9fc00, 0x60400, RESERVED},
                                      {MIB, 3 * GIB - MIB, RAM},
                                      {4 * GIB, 3 * GIB, RAM}},
          4);
}
END_TEST

START_TEST(the_later_reservation_wins)
{
    static const struct memory_map_entry reserved[] = {
        {2 * MIB, MIB, RESERVED}, {2 * MIB + 0x1000, 0x1000, MEMORY_KIND_ACPI}, {3 * MIB, MIB, RESERVED}};
    check(8 * MIB, reserved, 3,
          (struct memory_map_entry[]){{0, 0x9fc00, RAM},
                                      {0x9fc00, 0x60400, RESERVED},
                                      {MIB, MIB, RAM},
                                      {2 * MIB, 0x1000, RESERVED},
                                      {2 * MIB + 0x1000, 0x1000, MEMORY_KIND_ACPI},
                                      {2 * MIB + 0x2000, 2 * MIB - 0x2000, RESERVED},
                                      {4 * MIB, 4 * MIB, RAM}},
          7);
}
END_TEST

START_TEST(read_only_ranges_are_reserved)
{
    static uint8_t rom[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    struct guest_memory *memory;
    struct memory_map map;
    ck_assert_int_eq(guest_memory_create(64 * KIB, MEMORY_ANONYMOUS, &memory, NULL), 0);
    ck_assert_int_eq(guest_memory_add(memory, 0xfffff000, rom, sizeof(rom), true, NULL), 0);
    ck_assert_int_eq(memory_map_build(memory, NULL, 0, &map, NULL), 0);
    ck_assert_uint_eq(map.count, 2);
    ck_assert_int_eq(map.entries[1].kind, RESERVED);
    ck_assert_uint_eq(memory_map_ram_from(&map, 0x1000), 0xf000);
    ck_assert_uint_eq(memory_map_ram_from(&map, 64 * KIB), 0);
    ck_assert_uint_eq(memory_map_ram_from(&map, 0xfffff000), 0);
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(bad_reservations_are_refused)
{
    struct memory_map_entry many[MEMORY_MAP_LIMIT];
    struct guest_memory *memory;
    struct memory_map map;
    struct vmm_error error;
    ck_assert_int_eq(guest_memory_create(2 * MIB, MEMORY_ANONYMOUS, &memory, NULL), 0);
    struct memory_map_entry wraps = {UINT64_MAX - 1, 2, RESERVED}, empty = {MIB, 0, RESERVED};
    ck_assert_int_eq(memory_map_build(memory, &wraps, 1, &map, &error), -EINVAL);
    ck_assert_int_eq(memory_map_build(memory, &empty, 1, &map, &error), -EINVAL);
    for (size_t i = 0; i < ARRAY_COUNT(many); i++)
        many[i] = (struct memory_map_entry){MIB + i * 0x2000, 0x1000, RESERVED};
    ck_assert_int_eq(memory_map_build(memory, many, ARRAY_COUNT(many), &map, &error), -ENOSPC);
    guest_memory_destroy(memory);
}
END_TEST

/* Pages painted one by one must agree with the map at every page. */
START_TEST(random_reservations_agree_with_a_map_of_pages)
{
    enum { PAGES = 100 };
    struct guest_memory *memory;
    struct memory_map map;
    unsigned seed = test_seed();
    ck_assert_int_eq(guest_memory_create(PAGES * PAGE_BYTES, MEMORY_ANONYMOUS, &memory, NULL), 0);
    for (unsigned long round = test_cases(2000); round; round--) {
        uint8_t kinds[2 * PAGES] = {0};
        struct memory_map_entry reserved[8];
        for (int i = 0; i < PAGES; i++)
            kinds[i] = RAM;
        for (size_t i = 0; i < ARRAY_COUNT(reserved); i++) {
            unsigned first = rand_r(&seed) % (2 * PAGES - 20), count = 1 + rand_r(&seed) % 20;
            reserved[i] = (struct memory_map_entry){first * (gpa_t)PAGE_BYTES, count * (uint64_t)PAGE_BYTES,
                                                    1 + rand_r(&seed) % 4};
            for (unsigned page = first; page < first + count; page++)
                kinds[page] = reserved[i].kind;
        }
        ck_assert_int_eq(memory_map_build(memory, reserved, ARRAY_COUNT(reserved), &map, NULL), 0);
        size_t at = 0;
        for (unsigned page = 0; page < 2 * PAGES; page++) {
            gpa_t gpa = page * (gpa_t)PAGE_BYTES;
            while (at < map.count && map.entries[at].gpa + map.entries[at].len <= gpa)
                at++;
            ck_assert_int_eq(at < map.count && map.entries[at].gpa <= gpa ? map.entries[at].kind : 0,
                             kinds[page]);
        }
        for (size_t i = 1; i < map.count; i++)
            ck_assert(map.entries[i - 1].gpa + map.entries[i - 1].len < map.entries[i].gpa ||
                      map.entries[i - 1].kind != map.entries[i].kind);
    }
    guest_memory_destroy(memory);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, small_machines_are_all_ram);
    test_add(suite, the_hole_below_4_gib_is_absent);
    test_add(suite, the_later_reservation_wins);
    test_add(suite, read_only_ranges_are_reserved);
    test_add(suite, bad_reservations_are_refused);
    test_add(suite, random_reservations_agree_with_a_map_of_pages);
}
