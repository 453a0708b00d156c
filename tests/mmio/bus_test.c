/* SPDX-License-Identifier: MIT
 *
 * The bus with a device that remembers what it was asked: misses, splits, widths, neighbours.
 */
#include "mmio/bus_exit.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness.h"

static char seen[500];

static uint64_t probe_read(void *device, uint64_t offset, unsigned size)
{
    size_t len = strlen(seen);
    snprintf(seen + len, sizeof(seen) - len, "%s:r%u@%llu ", (const char *)device, size,
             (unsigned long long)offset);
    return 0x8877665544332211ull >> (8 * offset);
}

static void probe_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    size_t len = strlen(seen);
    snprintf(seen + len, sizeof(seen) - len, "%s:w%u@%llu=%llx ", (const char *)device, size,
             (unsigned long long)offset, (unsigned long long)value);
}

static const struct bus_ops probe_ops = {.read = probe_read, .write = probe_write};

static struct bus_region region(char *name, uint64_t base, uint64_t len, unsigned size_min, unsigned size_max)
{
    return (struct bus_region){.name = name,
                               .base = base,
                               .len = len,
                               .size_min = size_min,
                               .size_max = size_max,
                               .ops = &probe_ops,
                               .device = name};
}

static struct bus *bus;
static enum bus_kind bus_kind;
static struct bus_region a, b;

/* Both kinds of bus, and devices without a lock and with one, which have a shorter way. */
#define WAYS   4u
#define LOCKED 2u

static struct lock lock;

static void set_up(unsigned way)
{
    bus_kind = way & 1 ? BUS_MEMORY : BUS_PORTS;
    seen[0] = 0;
    ck_assert_int_eq(bus_create(bus_kind, &bus, NULL), 0);
    a = region("a", 0x100, 8, 0, 0);
    b = region("b", 0x108, 4, 2, 2);
    a.lock = b.lock = way & LOCKED ? &lock : NULL;
    ck_assert_int_eq(bus_add(bus, &b, NULL), 0);
    ck_assert_int_eq(bus_add(bus, &a, NULL), 0);
}

START_TEST(an_access_reaches_its_device)
{
    for (unsigned way = 0; way < WAYS; way++) {
        set_up(way);
        ck_assert_uint_eq(bus_read(bus, 0x102, 2), 0x4433);
        bus_write(bus, 0x104, 4, 0xffffffff12345678);
        ck_assert_str_eq(seen, "a:r2@2 a:w4@4=12345678 ");
        ck_assert_uint_eq(a.read_counts[2], 1);
        ck_assert_uint_eq(a.write_counts[4], 1);
        bus_destroy(bus);
    }
}
END_TEST

START_TEST(misses_read_all_ones)
{
    for (unsigned way = 0; way < WAYS; way++) {
        set_up(way);
        ck_assert_uint_eq(bus_read(bus, 0xfe, 1), 0xff);
        ck_assert_uint_eq(bus_read(bus, 0x10c, 4), 0xffffffff);
        ck_assert_uint_eq(bus_read(bus, 0x200, 8), UINT64_MAX);
        ck_assert_uint_eq(bus_read(bus, UINT64_MAX, 8) & 0xff, 0xff);
        bus_write(bus, 0x200, 8, 1);
        ck_assert_str_eq(seen, "");
        ck_assert_uint_eq(bus_miss_count(bus), 5);
        bus_destroy(bus);
    }
}
END_TEST

START_TEST(an_access_across_an_edge_is_done_by_bytes)
{
    set_up(BUS_MEMORY | LOCKED);
    ck_assert_uint_eq(bus_read(bus, 0xff, 2), 0x11ff);
    ck_assert_str_eq(seen, "a:r1@0 ");
    seen[0] = 0;
    /* b knows no bytes: its part reads all ones */
    ck_assert_uint_eq(bus_read(bus, 0x106, 4), 0xffff8877);
    ck_assert_str_eq(seen, "a:r1@6 a:r1@7 ");
    bus_destroy(bus);
}
END_TEST

START_TEST(wrong_widths_are_split_or_dropped)
{
    set_up(BUS_MEMORY | LOCKED);
    ck_assert_uint_eq(bus_read(bus, 0x108, 4), 0x44332211);
    ck_assert_uint_eq(bus_read(bus, 0x108, 1), 0xff);
    bus_write(bus, 0x108, 4, 0xaaaabbbb);
    bus_write(bus, 0x109, 1, 5);
    ck_assert_str_eq(seen, "b:r2@0 b:r2@2 b:w2@0=bbbb b:w2@2=aaaa ");
    bus_destroy(bus);
}
END_TEST

START_TEST(a_block_is_as_many_accesses)
{
    uint8_t bytes[8];
    set_up(BUS_MEMORY | LOCKED);
    bus_write_block(bus, 0x100, 2, 3, "\1\0\2\0\3\0");
    bus_read_block(bus, 0x102, 1, 2, bytes);
    ck_assert_str_eq(seen, "a:w2@0=1 a:w2@2=2 a:w2@4=3 a:r1@2 a:r1@3 ");
    ck_assert_uint_eq(bytes[1], 0x44);
    ck_assert_uint_eq(a.write_counts[2], 3);
    ck_assert_uint_eq(a.read_counts[1], 2);
    /* out of a region, and into one that does not know the width: all ones */
    seen[0] = 0;
    bus_read_block(bus, 0x107, 1, 2, bytes);
    ck_assert_uint_eq(bytes[1], 0xff);
    ck_assert_str_eq(seen, "a:r1@7 ");
    bus_destroy(bus);
}
END_TEST

START_TEST(bad_regions_are_refused_with_a_reason)
{
    set_up(BUS_PORTS | LOCKED);
    struct vmm_error error;
    struct bus_region c = region("c", 0x107, 2, 0, 0);
    ck_assert_int_eq(bus_add(bus, &c, &error), -EEXIST);
    ck_assert_str_eq(error.message, "c: 0x2 bytes at 0x107 overlap a at 0x100");
    c = region("c", 0xffff, 2, 0, 0);
    ck_assert_int_eq(bus_add(bus, &c, &error), -EINVAL);
    c = region("c", 0x300, 0, 0, 0);
    ck_assert_int_eq(bus_add(bus, &c, &error), -EINVAL);
    c = region("c", 0xffff, 1, 0, 0);
    ck_assert_int_eq(bus_add(bus, &c, &error), 0);
    bus_destroy(bus);
}
END_TEST

START_TEST(a_removed_region_is_gone)
{
    for (unsigned way = 0; way < WAYS; way++) {
        set_up(way);
        bus_remove(bus, &a);
        ck_assert_ptr_null(bus_find(bus, 0x100));
        ck_assert_ptr_null(bus_find(bus, 0x107));
        ck_assert_ptr_eq(bus_find(bus, 0x108), &b);
        ck_assert_int_eq(bus_add(bus, &a, NULL), 0);
        ck_assert_ptr_eq(bus_find(bus, 0x107), &a);
        bus_destroy(bus);
    }
}
END_TEST

/* What exits call, of the bus's kind, with the bits of a read that it promises. */
static uint64_t exit_read(uint64_t address, unsigned size, struct bus_seen *access)
{
    bool is_port = bus_kind == BUS_PORTS;
    uint64_t value = access    ? is_port ? bus_read_port_seen(bus, address, size, access)
                                         : bus_read_memory_seen(bus, address, size, access)
                        : is_port ? bus_read_port(bus, address, size)
                               : bus_read_memory(bus, address, size);
    return value & size_mask(size);
}

static void exit_write(uint64_t address, unsigned size, uint64_t value, struct bus_seen *access)
{
    if (access && bus_kind == BUS_PORTS)
        bus_write_port_seen(bus, address, size, value, access);
    else if (access)
        bus_write_memory_seen(bus, address, size, value, access);
    else if (bus_kind == BUS_PORTS)
        bus_write_port(bus, address, size, value);
    else
        bus_write_memory(bus, address, size, value);
}

START_TEST(exits_reach_the_same)
{
    for (unsigned way = 0; way < WAYS; way++) {
        set_up(way);
        for (unsigned round = 1; round <= 2; round++) {
            seen[0] = 0;
            ck_assert_uint_eq(exit_read(0x102, 2, NULL), 0x4433);
            exit_write(0x108, 2, 0x12345, NULL);
            exit_write(0x106, 4, 0x04030201, NULL);
            ck_assert_uint_eq(exit_read(0x200, 4, NULL), 0xffffffff);
            ck_assert_str_eq(seen, "a:r2@2 b:w2@0=2345 a:w1@6=1 a:w1@7=2 ");
            ck_assert_uint_eq(a.read_counts[2], round);
            ck_assert_uint_eq(b.write_counts[2], round);
        }
        ck_assert_uint_eq(lock.state, LOCK_FREE);
        bus_destroy(bus);
    }
}
END_TEST

START_TEST(who_records_an_access_hears_whose_it_was)
{
    for (unsigned way = 0; way < WAYS; way++) {
        struct bus_seen access = {0};
        set_up(way);
        ck_assert_uint_eq(exit_read(0x102, 2, &access), 0x4433);
        ck_assert_str_eq(access.device, "a");
        ck_assert_uint_ne(access.ended, 0);
        exit_write(0x108, 2, 0x12345, &access);
        ck_assert_str_eq(access.device, "b");
        exit_write(0x106, 4, 0x04030201, &access);
        ck_assert_str_eq(access.device, "a");
        ck_assert_uint_eq(exit_read(0x200, 4, &access), 0xffffffff);
        ck_assert_ptr_null(access.device);
        ck_assert_uint_eq(bus_miss_count(bus), 1);
        ck_assert_str_eq(seen, "a:r2@2 b:w2@0=2345 a:w1@6=1 a:w1@7=2 ");
        ck_assert_uint_eq(a.read_counts[2], 1);
        bus_destroy(bus);
    }
}
END_TEST

/* Pages that the bus remembers in one place, and two devices in a page: none is taken for the other. */
START_TEST(what_was_remembered_is_nobody_elses)
{
    struct bus_region far = region("c", 0x100 + (1ull << 32), 8, 0, 0);
    set_up(BUS_MEMORY | LOCKED);
    far.lock = &lock;
    ck_assert_int_eq(bus_add(bus, &far, NULL), 0);
    for (unsigned round = 0; round < 2; round++) {
        seen[0] = 0;
        exit_write(0x100, 1, 1, NULL);
        exit_write(far.base, 1, 2, NULL);
        exit_write(0x100, 1, 3, NULL);
        exit_write(0x108, 2, 4, NULL);
        exit_write(far.base + 8, 1, 5, NULL);
        exit_write(far.base - 1, 1, 6, NULL);
        bus_write(bus, far.base, 1, 7);
        ck_assert_str_eq(seen, "a:w1@0=1 c:w1@0=2 a:w1@0=3 b:w2@0=4 c:w1@0=7 ");
    }
    ck_assert_uint_eq(bus_miss_count(bus), 4);
    bus_destroy(bus);
}
END_TEST

START_TEST(what_was_remembered_goes_with_its_region)
{
    set_up(BUS_MEMORY | LOCKED);
    exit_write(0x100, 1, 1, NULL);
    bus_remove(bus, &a);
    exit_write(0x100, 1, 2, NULL);
    ck_assert_uint_eq(exit_read(0x104, 4, NULL), 0xffffffff);
    ck_assert_uint_eq(bus_read(bus, 0x104, 4), 0xffffffff);
    ck_assert_int_eq(bus_add(bus, &a, NULL), 0);
    exit_write(0x100, 1, 3, NULL);
    ck_assert_str_eq(seen, "a:w1@0=1 a:w1@0=3 ");
    bus_destroy(bus);
}
END_TEST

/* The last of a device's offsets at which an access still fits, and the one behind it. */
START_TEST(an_access_fits_up_to_the_edge)
{
    set_up(BUS_PORTS | LOCKED);
    bus_write(bus, 0x104, 4, 0x11223344);
    bus_write(bus, 0x105, 4, 0x11223344);
    ck_assert_str_eq(seen, "a:w4@4=11223344 a:w1@5=44 a:w1@6=33 a:w1@7=22 ");
    ck_assert_uint_eq(lock.state, LOCK_FREE);
    bus_destroy(bus);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, an_access_reaches_its_device);
    test_add(suite, misses_read_all_ones);
    test_add(suite, an_access_across_an_edge_is_done_by_bytes);
    test_add(suite, wrong_widths_are_split_or_dropped);
    test_add(suite, a_block_is_as_many_accesses);
    test_add(suite, bad_regions_are_refused_with_a_reason);
    test_add(suite, a_removed_region_is_gone);
    test_add(suite, exits_reach_the_same);
    test_add(suite, what_was_remembered_is_nobody_elses);
    test_add(suite, what_was_remembered_goes_with_its_region);
    test_add(suite, who_records_an_access_hears_whose_it_was);
    test_add(suite, an_access_fits_up_to_the_edge);
}
