/* SPDX-License-Identifier: MIT
 *
 * The bus and configuration space as a guest sees them: both ways in, every width, BARs that are sized, moved
 * and put on top of each other, doorbells that follow, INTx lines.
 */
#include "base/bytes.h"
#include "devices/pci/internal.h"
#include "tests/devices/pci_fixture.h"

static struct fake_pci fake;

/* A device whose BARs say who they are. */
struct thing {
    struct pci_function *function;
    uint64_t last_offset, last_value;
    unsigned last_size, writes;
    uint8_t tag;
};

static uint64_t thing_read(void *device, uint64_t offset, unsigned size)
{
    const struct thing *thing = device;
    (void)size;
    return (uint64_t)thing->tag << 56 | offset << 8 | thing->tag;
}

static void thing_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct thing *thing = device;
    thing->last_offset = offset;
    thing->last_size = size;
    thing->last_value = value;
    thing->writes++;
}

static const struct bus_ops thing_ops = {.read = thing_read, .write = thing_write};

static struct pci_function_config thing_config(struct thing *thing, uint64_t len)
{
    return (struct pci_function_config){
        .name = "thing",
        .vendor_id = 0x1234,
        .device_id = 0x5678,
        .subsystem_vendor_id = 0x9abc,
        .subsystem_id = 0xdef0,
        .class_code = 0x020100,
        .revision = 7,
        .has_intx = true,
        .bars[0] = {.len = len, .ops = &thing_ops, .device = thing},
    };
}

static void thing_add(struct thing *thing, uint64_t len, uint8_t tag)
{
    struct pci_function_config config = thing_config(thing, len);
    *thing = (struct thing){.tag = tag};
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &thing->function, NULL), 0);
}

static uint32_t address_get(void)
{
    return (uint32_t)pci_address_ops.read(fake.pci, 0, 4);
}

static void address_set(uint32_t value)
{
    pci_address_ops.write(fake.pci, 0, 4, value);
}

START_TEST(the_bridge_is_a_host_bridge)
{
    fake_pci_init(&fake);
    ck_assert_uint_eq(config_read(&fake, 0, R_CLASS + 1, 4) & 0xffffff, 0x060000);
    ck_assert_uint_eq(config_read(&fake, 0, 0x0e, 1), 0);
    ck_assert_uint_ne(config_read(&fake, 0, 0, 4), UINT32_MAX);
    for (unsigned bar = 0; bar < 6; bar++) {
        config_write(&fake, 0, R_BAR0 + 4 * bar, 4, UINT32_MAX);
        ck_assert_uint_eq(config_read(&fake, 0, R_BAR0 + 4 * bar, 4), 0);
    }
    config_write(&fake, 0, R_COMMAND, 2, 0xffff);
    ck_assert_uint_eq(config_read(&fake, 0, R_COMMAND, 2), 0);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(absent_functions_read_all_ones)
{
    struct thing thing;
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 1);
    for (unsigned slot = 0; slot < 32; slot++)
        for (unsigned function = 0; function < 8; function++) {
            uint64_t at = ecam_at(slot, function << 12);
            bool exists = slot < 2 && !function;
            bus_write(fake.memory, at + R_LINE, 4, 0);
            ck_assert_int_eq(bus_read(fake.memory, at, 4) != UINT32_MAX, exists);
            address_set(0x80000000u | slot << 11 | function << 8);
            ck_assert_int_eq(bus_read(fake.ports, 0xcfc, 4) != UINT32_MAX, exists);
            ck_assert_int_eq(bus_read(fake.ports, 0xcff, 1) != 0xff, exists);
            address_set(0x80010000u | slot << 11); /* bus 1 */
            ck_assert_uint_eq(bus_read(fake.ports, 0xcfc, 4), UINT32_MAX);
        }
    address_set(1 << 11); /* not enabled */
    ck_assert_uint_eq(bus_read(fake.ports, 0xcfc, 4), UINT32_MAX);
    pci_function_destroy(thing.function);
    ck_assert_uint_eq(config_read(&fake, 1, 0, 4), UINT32_MAX);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(the_address_register_keeps_its_bits)
{
    fake_pci_init(&fake);
    ck_assert_uint_eq(address_get(), 0);
    address_set(UINT32_MAX);
    ck_assert_uint_eq(address_get(), 0x80fffffc);
    address_set(0x7f000003);
    ck_assert_uint_eq(address_get(), 0);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(both_ways_read_the_same_in_every_width)
{
    static const unsigned sizes[] = {1, 2, 4};
    struct thing thing;
    uint8_t bytes[256];
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 1);
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)config_read(&fake, 1, i, 1);
    ck_assert_uint_eq(load_le32(bytes), 0x56781234);
    ck_assert_uint_eq(load_le32(bytes + 8), 0x02010007);
    ck_assert_uint_eq(load_le32(bytes + 0x2c), 0xdef09abc);
    ck_assert_uint_eq(bytes[0x3c], 11); /* slot 1, INTA: INTB's line */
    ck_assert_uint_eq(bytes[0x3d], 1);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned at = 0; at + sizes[i] <= 256; at++)
            ck_assert_uint_eq(config_read(&fake, 1, at, sizes[i]), load_le(bytes + at, sizes[i]));
    for (unsigned at = 0; at < 256; at++)
        for (unsigned i = 0; i < 3; i++) {
            if (at % 4 + sizes[i] > 4)
                continue;
            address_set(0x80000800u | at);
            ck_assert_uint_eq(bus_read(fake.ports, 0xcfc + at % 4, sizes[i]), load_le(bytes + at, sizes[i]));
        }
    ck_assert_uint_eq(config_read(&fake, 1, 0x100, 4), 0); /* no extended capabilities */
    ck_assert_uint_eq(config_read(&fake, 1, 0xffc, 4), 0);
    ck_assert_uint_eq(bus_read(fake.memory, ecam_at(1, 0xffe), 4), 0);
    ck_assert_uint_eq(bus_read(fake.memory, ecam_at(1, 0), 8), 0x56781234);
    pci_function_destroy(thing.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(only_writable_bits_change)
{
    struct thing thing;
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 1);
    for (unsigned at = 0; at < 0x1000; at++)
        config_write(&fake, 1, at, 1, 0xff);
    ck_assert_uint_eq(config_read(&fake, 1, 0, 4), 0x56781234);
    ck_assert_uint_eq(config_read(&fake, 1, R_COMMAND, 2), C_MEMORY | C_MASTER | C_INTX_OFF);
    ck_assert_uint_eq(config_read(&fake, 1, R_STATUS, 2), 0);
    ck_assert_uint_eq(config_read(&fake, 1, R_CLASS, 4), 0x02010007);
    ck_assert_uint_eq(config_read(&fake, 1, 0x0c, 4), 0x000000ff);
    ck_assert_uint_eq(bar_get(&fake, 1, 0), 0xfffffffffffff004);
    ck_assert_uint_eq(bar_get(&fake, 1, 2), 0);
    ck_assert_uint_eq(bar_get(&fake, 1, 4), 0);
    ck_assert_uint_eq(config_read(&fake, 1, 0x30, 4), 0); /* no ROM */
    ck_assert_uint_eq(config_read(&fake, 1, R_LINE, 4), 0x000001ff);
    for (unsigned at = 0x40; at < 0x1000; at++)
        ck_assert_uint_eq(config_read(&fake, 1, at, 1), 0);
    pci_function_destroy(thing.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(bars_say_their_size)
{
    struct thing things[3];
    static const uint64_t lens[] = {0x1000, 0x100000, 0x200000000};
    fake_pci_init(&fake);
    for (unsigned i = 0; i < 3; i++) {
        thing_add(&things[i], lens[i], (uint8_t)(i + 1));
        bar_set(&fake, i + 1, 0, UINT64_MAX);
        ck_assert_uint_eq(bar_get(&fake, i + 1, 0), ~(lens[i] - 1) | 4);
        /* a byte at a time, too */
        for (unsigned at = 0; at < 8; at++)
            config_write(&fake, i + 1, R_BAR0 + at, 1, 0);
        ck_assert_uint_eq(bar_get(&fake, i + 1, 0), 4);
        config_write(&fake, i + 1, R_BAR0 + 3, 1, 0xaa);
        ck_assert_uint_eq(bar_get(&fake, i + 1, 0), lens[i] > UINT32_MAX ? 4 : 0xaa000004);
    }
    for (unsigned i = 0; i < 3; i++)
        pci_function_destroy(things[i].function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(bars_are_assigned_apart_and_aligned)
{
    static const uint64_t lens[] = {0x1000, 0x8000000, 0x2000, 0x200000000, 0x1000};
    struct thing things[5];
    fake_pci_init(&fake);
    for (unsigned i = 0; i < 5; i++)
        thing_add(&things[i], lens[i], (uint8_t)(i + 1));
    ck_assert_int_eq(pci_assign(fake.pci, NULL), 0);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t base = bar_get(&fake, i + 1, 0) & ~0xfull;
        ck_assert_uint_eq(base % lens[i], 0);
        ck_assert(lens[i] > UINT32_MAX ? range_inside(base, lens[i], HIGH, HIGH_LEN)
                                       : range_inside(base, lens[i], LOW, LOW_LEN));
        ck_assert_uint_eq(bus_read(fake.memory, base, 1), i + 1);
        ck_assert_uint_eq(bus_read(fake.memory, base + lens[i] - 1, 1), i + 1);
        ck_assert_uint_eq(config_read(&fake, i + 1, R_COMMAND, 2), C_MEMORY | C_MASTER);
    }
    for (unsigned i = 0; i < 5; i++)
        pci_function_destroy(things[i].function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(a_bar_that_fits_nowhere_is_refused)
{
    struct thing thing;
    struct vmm_error error;
    fake_pci_init(&fake);
    thing_add(&thing, 2 * HIGH_LEN, 1);
    ck_assert_int_eq(pci_assign(fake.pci, &error), -ENOSPC);
    ck_assert_ptr_nonnull(strstr(error.message, "thing: its 0x8000000000 bytes"));
    pci_function_destroy(thing.function);
    fake_pci_fini(&fake);
}
END_TEST

/* Decoded only where the command register and the windows let it; everywhere else there is nothing. */
START_TEST(a_bar_decodes_where_it_was_moved)
{
    static const struct {
        uint64_t base;
        bool decodes;
    } places[] = {
        {LOW, true},
        {LOW + LOW_LEN - 0x1000, true},
        {HIGH, true},
        {LOW - 0x1000, false},
        {HIGH + HIGH_LEN - 0x1000, true},
        {HIGH + HIGH_LEN, false},
        {0, false},
        {LOW + LOW_LEN, false},
        {~0xfffull, false},
    };
    struct thing thing;
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 0x5a);
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        bar_set(&fake, 1, 0, places[i].base);
        config_write(&fake, 1, R_COMMAND, 2, C_MEMORY);
        ck_assert_int_eq(bus_read(fake.memory, places[i].base + 4, 1) == 0x5a, places[i].decodes);
        ck_assert_uint_eq(bus_read(fake.memory, LOW + 0x5000, 4), UINT32_MAX);
        config_write(&fake, 1, R_COMMAND, 2, 0);
        ck_assert_int_ne((int)bus_read(fake.memory, places[i].base + 4, 1), 0x5a);
    }
    pci_function_destroy(thing.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(accesses_keep_their_width_and_offset)
{
    static const unsigned sizes[] = {1, 2, 4, 8};
    struct thing thing;
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 0x11);
    ck_assert_int_eq(pci_assign(fake.pci, NULL), 0);
    uint64_t base = bar_get(&fake, 1, 0) & ~0xfull;
    for (unsigned i = 0; i < 4; i++) {
        bus_write(fake.memory, base + 0x123, sizes[i], UINT64_MAX);
        ck_assert_uint_eq(thing.last_offset, 0x123);
        ck_assert_uint_eq(thing.last_size, sizes[i]);
        ck_assert_uint_eq(thing.last_value, size_mask(sizes[i]));
    }
    ck_assert_uint_eq(bus_read(fake.memory, base + 0x12, 8), 0x1100000000001211);
    thing.writes = 0;
    bus_write(fake.memory, base + 0xffe, 4, 0x44332211); /* half of it leaves the BAR */
    ck_assert_uint_eq(thing.writes, 2);
    ck_assert_uint_eq(thing.last_offset, 0xfff);
    ck_assert_uint_eq(thing.last_value, 0x22);
    ck_assert_uint_eq(bus_read(fake.memory, base + 0xffe, 4), 0xffff1111);
    pci_function_destroy(thing.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(the_lower_slot_wins_an_overlap)
{
    struct thing first, second;
    fake_pci_init(&fake);
    thing_add(&first, 0x1000, 1);
    thing_add(&second, 0x4000, 2);
    for (unsigned slot = 1; slot < 3; slot++) {
        bar_set(&fake, slot, 0, LOW);
        config_write(&fake, slot, R_COMMAND, 2, C_MEMORY);
    }
    ck_assert_uint_eq(bus_read(fake.memory, LOW, 1), 1);
    ck_assert_uint_eq(bus_read(fake.memory, LOW + 0x1000, 1), 2);
    ck_assert_uint_eq(bus_read(fake.memory, LOW + 0xffc, 8), 0x0202020201010101); /* across the border */
    bar_set(&fake, 1, 0, LOW + 0x100000);
    ck_assert_uint_eq(bus_read(fake.memory, LOW, 1), 2);
    pci_function_destroy(second.function);
    pci_function_destroy(first.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(doorbells_follow_their_bar)
{
    struct thing thing;
    struct pci_doorbell bells[2] = {{.bar = 0, .offset = 0x100, .event_fd = 7},
                                    {.bar = 0, .offset = 0x104, .event_fd = 8}};
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 1);
    pci_function_add_doorbell(thing.function, &bells[0]);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    bar_set(&fake, 1, 0, LOW);
    config_write(&fake, 1, R_COMMAND, 2, C_MEMORY);
    ck_assert_int_ge(fake_doorbell_find(&fake, LOW + 0x100), 0);
    pci_function_add_doorbell(thing.function, &bells[1]);
    ck_assert_uint_eq(fake.doorbell_count, 2);
    bar_set(&fake, 1, 0, HIGH + 0x3000);
    ck_assert_uint_eq(fake.doorbell_count, 2);
    ck_assert_int_ge(fake_doorbell_find(&fake, HIGH + 0x3100), 0);
    ck_assert_int_ge(fake_doorbell_find(&fake, HIGH + 0x3104), 0);
    config_write(&fake, 1, R_COMMAND, 2, 0);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    config_write(&fake, 1, R_COMMAND, 2, C_MEMORY);
    pci_function_remove_doorbell(thing.function, &bells[0]);
    pci_function_remove_doorbell(thing.function, &bells[0]);
    ck_assert_uint_eq(fake.doorbell_count, 1);
    fake.refuses_doorbells = true; /* then writes go to the BAR */
    bar_set(&fake, 1, 0, LOW);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    bus_write(fake.memory, LOW + 0x104, 2, 3);
    ck_assert_uint_eq(thing.last_offset, 0x104);
    fake.refuses_doorbells = false;
    bar_set(&fake, 1, 0, LOW + 0x1000);
    ck_assert_uint_eq(fake.doorbell_count, 1);
    pci_function_destroy(thing.function);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(two_doorbells_of_one_place_share_it_in_turn)
{
    struct thing first, second;
    struct pci_doorbell bells[2] = {{.offset = 0x10, .event_fd = 7}, {.offset = 0x10, .event_fd = 8}};
    fake_pci_init(&fake);
    thing_add(&first, 0x1000, 1);
    thing_add(&second, 0x1000, 2);
    pci_function_add_doorbell(first.function, &bells[0]);
    pci_function_add_doorbell(second.function, &bells[1]);
    for (unsigned slot = 1; slot < 3; slot++) {
        bar_set(&fake, slot, 0, LOW);
        config_write(&fake, slot, R_COMMAND, 2, C_MEMORY);
    }
    ck_assert_uint_eq(fake.doorbell_count, 1);
    bar_set(&fake, 2, 0, LOW + 0x1000);
    ck_assert_uint_eq(fake.doorbell_count, 2);
    pci_function_destroy(second.function);
    pci_function_destroy(first.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(lines_are_the_or_of_their_pins)
{
    struct thing things[4];
    fake_pci_init(&fake);
    for (unsigned i = 0; i < 4; i++)
        thing_add(&things[i], 0x1000, 1);
    /* slots 1 and 3 share a line, and 2 and 4 the other */
    pci_function_set_intx(things[0].function, true);
    ck_assert(fake.irqs[1].level && !fake.irqs[0].level);
    pci_function_set_intx(things[0].function, true);
    pci_function_set_intx(things[2].function, true);
    pci_function_set_intx(things[0].function, false);
    ck_assert(fake.irqs[1].level);
    pci_function_set_intx(things[2].function, false);
    ck_assert(!fake.irqs[1].level);
    ck_assert_int_eq(fake.irqs[1].calls, 2);
    pci_function_set_intx(things[1].function, true);
    ck_assert(fake.irqs[0].level);
    ck_assert_uint_eq(config_read(&fake, 2, R_STATUS, 2), S_INTERRUPT);
    ck_assert_uint_eq(config_read(&fake, 1, R_STATUS, 2), 0);
    config_write(&fake, 2, R_COMMAND, 2, C_INTX_OFF);
    ck_assert(!fake.irqs[0].level);
    ck_assert_uint_eq(config_read(&fake, 2, R_STATUS, 2), S_INTERRUPT);
    config_write(&fake, 2, R_COMMAND, 2, 0);
    ck_assert(fake.irqs[0].level);
    for (unsigned i = 0; i < 4; i++)
        pci_function_destroy(things[i].function);
    ck_assert(!fake.irqs[0].level);
    fake_pci_fini(&fake);
}
END_TEST

static uint32_t served_read(void *device, unsigned offset, unsigned size)
{
    (void)device;
    return offset << 8 | size;
}

static void served_write(void *device, unsigned offset, unsigned size, uint32_t value)
{
    uint32_t *sum = device;
    *sum += offset * 0x10000 + size * 0x100 + value;
}

START_TEST(capabilities_are_listed_and_served)
{
    static const struct pci_register_ops ops = {served_read, served_write};
    struct thing thing;
    uint32_t sum = 0;
    fake_pci_init(&fake);
    thing_add(&thing, 0x1000, 1);
    ck_assert_uint_eq(config_read(&fake, 1, R_CAPABILITIES, 1), 0);
    int first = pci_function_add_capability(thing.function, PCI_CAP_VENDOR, "\x03z", "\x00\xf0", 2);
    int second = pci_function_add_capability(thing.function, PCI_CAP_VENDOR, "abcdefgh", NULL, 8);
    ck_assert_int_eq(pci_function_add_capability(thing.function, PCI_CAP_VENDOR, "", NULL, 200), -ENOSPC);
    ck_assert_uint_eq(capability_find(&fake, 1, PCI_CAP_VENDOR, 0), first);
    ck_assert_uint_eq(capability_find(&fake, 1, PCI_CAP_VENDOR, (unsigned)first), second);
    ck_assert_uint_eq(capability_find(&fake, 1, PCI_CAP_VENDOR, (unsigned)second), 0);
    ck_assert_uint_eq(config_read(&fake, 1, R_STATUS, 2), 0x10);
    config_write(&fake, 1, (unsigned)first, 4, 0);
    ck_assert_uint_eq(config_read(&fake, 1, (unsigned)first, 4), 0x0a030009 | (unsigned)second << 8);
    pci_function_serve(thing.function, (unsigned)second + 4, 4, &ops, &sum);
    ck_assert_uint_eq(config_read(&fake, 1, (unsigned)second + 4, 4), 0x004);
    ck_assert_uint_eq(config_read(&fake, 1, (unsigned)second + 6, 1), 0x01); /* offset 2 is cut off */
    ck_assert_uint_eq(config_read(&fake, 1, (unsigned)second + 2, 4), 0x01016261);
    config_write(&fake, 1, (unsigned)second + 4, 4, 7);
    ck_assert_uint_eq(sum, 0x407);
    pci_function_destroy(thing.function);
    fake_pci_fini(&fake);
}
END_TEST

START_TEST(slots_are_given_and_refused)
{
    struct thing things[31];
    struct vmm_error error;
    struct pci_function *function;
    fake_pci_init(&fake);
    struct pci_function_config config = thing_config(&things[0], 0x1000);
    config.slot = 3;
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &things[30].function, &error), 0);
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, &error), -EBUSY);
    ck_assert_str_eq(error.message, "thing: PCI slot 3 is taken by thing");
    config.slot = 32;
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, &error), -EINVAL);
    for (unsigned i = 0; i < 30; i++) {
        thing_add(&things[i], 0x1000, 1);
        ck_assert_uint_eq(things[i].function->slot, i < 2 ? i + 1 : i + 2);
    }
    config.slot = PCI_SLOT_ANY;
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, &error), -ENOSPC);
    config.bars[0].len = 0x1800;
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, &error), -EINVAL);
    for (unsigned i = 0; i < 31; i++)
        pci_function_destroy(things[i].function);
    fake_pci_fini(&fake);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_bridge_is_a_host_bridge);
    test_add(suite, absent_functions_read_all_ones);
    test_add(suite, the_address_register_keeps_its_bits);
    test_add(suite, both_ways_read_the_same_in_every_width);
    test_add(suite, only_writable_bits_change);
    test_add(suite, bars_say_their_size);
    test_add(suite, bars_are_assigned_apart_and_aligned);
    test_add(suite, a_bar_that_fits_nowhere_is_refused);
    test_add(suite, a_bar_decodes_where_it_was_moved);
    test_add(suite, accesses_keep_their_width_and_offset);
    test_add(suite, the_lower_slot_wins_an_overlap);
    test_add(suite, doorbells_follow_their_bar);
    test_add(suite, two_doorbells_of_one_place_share_it_in_turn);
    test_add(suite, lines_are_the_or_of_their_pins);
    test_add(suite, capabilities_are_listed_and_served);
    test_add(suite, slots_are_given_and_refused);
}
