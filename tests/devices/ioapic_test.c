/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC: which lines become which messages, and when.
 */
#include "devices/ioapic/ioapic.h"

#include "tests/devices/fake.h"

#define MASKED 0x10000u
#define LEVEL  0x8000u
#define IRR    0x4000u

static struct ioapic *device;
static struct bus *bus;
static struct {
    int count;
    uint64_t address;
    uint32_t data;
} sent;
static struct {
    int count;
    unsigned pin;
    uint64_t address;
    uint32_t data;
    bool gone;
} route;

static void msi_send(void *owner, uint64_t address, uint32_t data)
{
    (void)owner;
    sent.count++;
    sent.address = address;
    sent.data = data;
}

static void route_changed(void *owner, unsigned pin, uint64_t address, uint32_t data, bool gone)
{
    (void)owner;
    route.count++;
    route.pin = pin;
    route.address = address;
    route.data = data;
    route.gone = gone;
}

static void set_up(void)
{
    memset(&sent, 0, sizeof(sent));
    memset(&route, 0, sizeof(route));
    struct ioapic_config config = {
        .base = IOAPIC_BASE, .id = 5, .output = {.msi_send = msi_send, .route_changed = route_changed}};
    ck_assert_int_eq(ioapic_create(&config, &device, NULL), 0);
    bus = fake_bus(BUS_MEMORY, ioapic_region(device));
}

static void tear_down(void)
{
    bus_destroy(bus);
    ioapic_destroy(device);
}

static uint32_t get(unsigned index)
{
    bus_write(bus, IOAPIC_BASE, 4, index);
    return (uint32_t)bus_read(bus, IOAPIC_BASE + 0x10, 4);
}

static void put(unsigned index, uint32_t value)
{
    bus_write(bus, IOAPIC_BASE, 4, index);
    bus_write(bus, IOAPIC_BASE + 0x10, 4, value);
}

static void put_entry(unsigned pin, uint32_t low, uint8_t destination)
{
    put(0x11 + 2 * pin, (uint32_t)destination << 24);
    put(0x10 + 2 * pin, low);
}

START_TEST(the_state_after_power_on)
{
    set_up();
    ck_assert_uint_eq(get(0), 0x05000000);
    ck_assert_uint_eq(get(1), 0x00170020);
    ck_assert_uint_eq(get(2), 0x05000000);
    for (unsigned pin = 0; pin < IOAPIC_PIN_COUNT; pin++) {
        ck_assert_uint_eq(get(0x10 + 2 * pin), MASKED);
        ck_assert_uint_eq(get(0x11 + 2 * pin), 0);
        ioapic_set(device, pin, true);
    }
    ck_assert_int_eq(sent.count, 0);
    ck_assert_int_eq(route.count, 0);
    tear_down();
    ioapic_destroy(NULL);
}
END_TEST

START_TEST(registers_keep_their_writable_bits)
{
    set_up();
    put(0, 0xffffffff);
    ck_assert_uint_eq(get(0), 0x0f000000);
    put(1, 0xffffffff);
    ck_assert_uint_eq(get(1), 0x00170020);
    put(0x10, 0xffffffff);
    put(0x11, 0xffffffff);
    ck_assert_uint_eq(get(0x10), 0x0001afff);
    ck_assert_uint_eq(get(0x11), 0xff000000);
    static const unsigned unknown[] = {3, 0x0f, 0x40, 0x41, 0xff};
    for (int i = 0; i < 5; i++) {
        put(unknown[i], 0x12345678);
        ck_assert_uint_eq(get(unknown[i]), 0);
    }
    tear_down();
}
END_TEST

START_TEST(an_edge_sends_once)
{
    set_up();
    put_entry(4, 0x31, 2);
    ioapic_set(device, 4, true);
    ck_assert_int_eq(sent.count, 1);
    ck_assert_uint_eq(sent.address, 0xfee02000);
    ck_assert_uint_eq(sent.data, 0x31);
    ioapic_set(device, 4, true);
    ck_assert_int_eq(sent.count, 1);
    ioapic_set(device, 4, false);
    ioapic_set(device, 4, true);
    ck_assert_int_eq(sent.count, 2);
    ck_assert_uint_eq(get(0x18), 0x31);
    tear_down();
}
END_TEST

START_TEST(an_edge_at_a_masked_pin_is_lost)
{
    set_up();
    put_entry(4, MASKED | 0x31, 0);
    ioapic_set(device, 4, true);
    put_entry(4, 0x31, 0);
    ck_assert_int_eq(sent.count, 0);
    ioapic_set(device, 4, false);
    ioapic_set(device, 4, true);
    ck_assert_int_eq(sent.count, 1);
    tear_down();
}
END_TEST

START_TEST(a_level_sends_until_it_falls)
{
    set_up();
    put_entry(10, LEVEL | 0x900 | 0x55, 0x81); /* lowest priority, logical */
    ioapic_set(device, 10, true);
    ck_assert_int_eq(sent.count, 1);
    ck_assert_uint_eq(sent.address, 0xfee81004);
    ck_assert_uint_eq(sent.data, 0xc155);
    ck_assert_uint_eq(get(0x10 + 20), LEVEL | IRR | 0x900 | 0x55);
    ioapic_set(device, 10, true);
    ioapic_end_of_interrupt(device, 0x54);
    ck_assert_int_eq(sent.count, 1);
    ioapic_end_of_interrupt(device, 0x55);
    ck_assert_int_eq(sent.count, 2);
    ioapic_set(device, 10, false);
    ck_assert_uint_eq(get(0x10 + 20) & IRR, IRR);
    ioapic_end_of_interrupt(device, 0x55);
    ck_assert_uint_eq(get(0x10 + 20) & IRR, 0);
    ck_assert_int_eq(sent.count, 2);
    tear_down();
}
END_TEST

START_TEST(a_level_waits_for_its_unmasking)
{
    set_up();
    put_entry(10, LEVEL | MASKED | 0x55, 0);
    ioapic_set(device, 10, true);
    ck_assert_int_eq(sent.count, 0);
    put(0x10 + 20, LEVEL | 0x55);
    ck_assert_int_eq(sent.count, 1);
    /* ended while masked: it sends when it is unmasked again */
    put(0x10 + 20, LEVEL | MASKED | 0x55);
    ck_assert_uint_eq(get(0x10 + 20) & IRR, IRR);
    ioapic_end_of_interrupt(device, 0x55);
    ck_assert_int_eq(sent.count, 1);
    put(0x10 + 20, LEVEL | 0x55);
    ck_assert_int_eq(sent.count, 2);
    tear_down();
}
END_TEST

START_TEST(the_end_can_be_written_to_the_register)
{
    set_up();
    put_entry(10, LEVEL | 0x55, 0);
    ioapic_set(device, 10, true);
    ioapic_set(device, 10, false);
    bus_write(bus, IOAPIC_BASE + 0x40, 4, 0x55);
    ck_assert_uint_eq(get(0x10 + 20) & IRR, 0);
    tear_down();
}
END_TEST

START_TEST(becoming_an_edge_forgets_remote_irr)
{
    set_up();
    put_entry(10, LEVEL | 0x55, 0);
    ioapic_set(device, 10, true);
    put(0x10 + 20, 0x55 | MASKED);
    put(0x10 + 20, LEVEL | 0x55 | MASKED);
    ck_assert_uint_eq(get(0x10 + 20) & IRR, 0);
    put(0x10 + 20, LEVEL | 0x55);
    ck_assert_int_eq(sent.count, 2);
    tear_down();
}
END_TEST

START_TEST(routes_are_told_when_they_change)
{
    set_up();
    put(0x10 + 46, MASKED | LEVEL | 0x77);
    ck_assert_int_eq(route.count, 0);
    put(0x10 + 46, LEVEL | 0x77);
    ck_assert_int_eq(route.count, 1);
    ck_assert_uint_eq(route.pin, 23);
    ck_assert(!route.gone);
    ck_assert_uint_eq(route.data, 0xc077);
    put(0x11 + 46, 0x03000000);
    ck_assert_int_eq(route.count, 2);
    ck_assert_uint_eq(route.address, 0xfee03000);
    /* again the same, or the polarity only: not a change */
    put(0x11 + 46, 0x03000000);
    put(0x10 + 46, LEVEL | 0x77);
    put(0x10 + 46, LEVEL | 0x2077);
    ck_assert_int_eq(route.count, 2);
    tear_down();
}
END_TEST

/* Linux masks a level-triggered interrupt, ends it, and has a thread handle it before it unmasks it. */
START_TEST(a_masked_pin_keeps_its_route_until_it_is_changed)
{
    set_up();
    put_entry(5, LEVEL | 0x55, 0);
    ioapic_set(device, 5, true);
    put(0x1a, MASKED | LEVEL | 0x55);
    ck_assert_int_eq(route.count, 1);
    ioapic_end_of_interrupt(device, 0x55);
    ioapic_set(device, 5, false);
    put(0x1a, LEVEL | 0x55);
    ck_assert_int_eq(route.count, 1);
    ioapic_set(device, 5, true);
    ck_assert_int_eq(sent.count, 2);
    put(0x1a, MASKED | LEVEL | 0x55);
    put(0x1a, MASKED);
    ck_assert_int_eq(route.count, 2);
    ck_assert(route.gone);
    tear_down();
}
END_TEST

START_TEST(misuse_has_no_effect)
{
    set_up();
    put_entry(4, 0x31, 0);
    int count = route.count;
    ioapic_set(device, 24, true);
    ioapic_set(device, ~0u, true);
    bus_write(bus, IOAPIC_BASE, 4, 0x18);
    bus_write(bus, IOAPIC_BASE + 0x10, 1, 0);
    bus_write(bus, IOAPIC_BASE + 0x12, 2, 0);
    ck_assert_uint_eq(bus_read(bus, IOAPIC_BASE + 0x10, 1), 0);
    for (uint64_t offset = 0x44; offset < 0x1000; offset += 4) {
        bus_write(bus, IOAPIC_BASE + offset, 4, 0xffffffff);
        ck_assert_uint_eq(bus_read(bus, IOAPIC_BASE + offset, 4), 0);
    }
    ck_assert_uint_eq(get(0x18), 0x31);
    ck_assert_int_eq(route.count, count);
    ck_assert_int_eq(sent.count, 0);
    /* no callback for routes */
    tear_down();
    struct ioapic_config config = {.base = IOAPIC_BASE, .output = {.msi_send = msi_send}};
    ck_assert_int_eq(ioapic_create(&config, &device, NULL), 0);
    bus = fake_bus(BUS_MEMORY, ioapic_region(device));
    put_entry(4, 0x31, 0);
    ck_assert_uint_eq(get(0x18), 0x31);
    tear_down();
}
END_TEST

/* What always holds, after any sequence: a level-triggered pin that is up, unmasked and told so has remote
 * IRR. */
START_TEST(random_access)
{
    uint64_t seed = test_seed() | 1;
    uint32_t up = 0;
    set_up();
    for (unsigned long i = 0; i < test_cases(50000); i++) {
        uint64_t random = fake_random(&seed);
        unsigned pin = random >> 8 & 31;
        switch (random & 3) {
        case 0:
            ioapic_set(device, pin, random & 0x80);
            up = (up & ~(1u << pin)) | (random & 0x80 ? 1u : 0) << pin;
            break;
        case 1:
            put(0x10 + (random >> 16 & 0x3f), (uint32_t)(random >> 32) & 0xff01ffff);
            break;
        case 2:
            ioapic_end_of_interrupt(device, (uint8_t)(random >> 24));
            break;
        case 3:
            if (pin < IOAPIC_PIN_COUNT) {
                uint32_t low = get(0x10 + 2 * pin);
                ck_assert(!(low & IRR) || low & LEVEL);
                ck_assert(low & IRR || !(low & LEVEL) || low & MASKED || !(up >> pin & 1));
            }
            break;
        }
    }
    ck_assert_int_gt(sent.count, 0);
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_state_after_power_on);
    test_add(suite, registers_keep_their_writable_bits);
    test_add(suite, an_edge_sends_once);
    test_add(suite, an_edge_at_a_masked_pin_is_lost);
    test_add(suite, a_level_sends_until_it_falls);
    test_add(suite, a_level_waits_for_its_unmasking);
    test_add(suite, the_end_can_be_written_to_the_register);
    test_add(suite, becoming_an_edge_forgets_remote_irr);
    test_add(suite, routes_are_told_when_they_change);
    test_add(suite, a_masked_pin_keeps_its_route_until_it_is_changed);
    test_add(suite, misuse_has_no_effect);
    test_add(suite, random_access);
}
