/* SPDX-License-Identifier: MIT
 *
 * The event register and its interrupt: level-triggered, so up exactly while a bit is set.
 */
#include "devices/acpi-ged/acpi_ged.h"

#include "tests/devices/fake.h"

#define PORT 0x60c

static struct fake_irq irq;
static struct acpi_ged *device;
static struct bus *bus;

static void setup(void)
{
    const struct acpi_ged_config config = {.base = PORT, .irq = fake_irq_line(&irq, 5)};
    ck_assert_int_eq(acpi_ged_create(&config, &device, NULL), 0);
    bus = fake_bus(BUS_PORTS, acpi_ged_region(device));
}

static void teardown(void)
{
    bus_destroy(bus);
    acpi_ged_destroy(device);
    acpi_ged_destroy(NULL);
}

START_TEST(an_event_interrupts_until_it_is_cleared)
{
    setup();
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 0);
    ck_assert_int_eq(irq.calls, 0);
    acpi_ged_raise(device, 1);
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 1);
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 1); /* reading clears nothing */
    bus_write(bus, PORT, 1, 0xfe);
    ck_assert(fake_irq_is_up(&irq));
    bus_write(bus, PORT, 1, 1);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 0);
    acpi_ged_raise(device, 1);
    ck_assert_int_eq(fake_irq_rises(&irq), 2);
    teardown();
}
END_TEST

START_TEST(the_line_stays_up_for_the_other_events)
{
    setup();
    acpi_ged_raise(device, 0x81);
    acpi_ged_raise(device, 0x04);
    bus_write(bus, PORT, 1, 0x05);
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 0x80);
    bus_write(bus, PORT, 1, 0xff);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_int_eq(fake_irq_rises(&irq), 1);
    teardown();
}
END_TEST

/* A press between the guest's read and its write is another one. */
START_TEST(an_event_that_is_cleared_without_being_seen_stays)
{
    setup();
    acpi_ged_raise(device, 1);
    uint64_t seen = bus_read(bus, PORT, 1);
    acpi_ged_raise(device, 2);
    bus_write(bus, PORT, 1, seen);
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 2);
    teardown();
}
END_TEST

START_TEST(a_line_that_was_not_listening_is_told_again)
{
    setup();
    acpi_ged_raise(device, 0);
    ck_assert_int_eq(irq.calls, 0);
    acpi_ged_raise(device, 1);
    irq.level = 0; /* there was nobody yet */
    acpi_ged_raise(device, 0);
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(bus_read(bus, PORT, 1), 1);
    teardown();
}
END_TEST

START_TEST(a_guest_that_writes_anything_raises_nothing)
{
    setup();
    for (unsigned value = 0; value < 0x100; value++) {
        bus_write(bus, PORT, 1, value);
        bus_write(bus, PORT - 1, 4, value << 8 | value);
        ck_assert_uint_eq(bus_read(bus, PORT, 1), 0);
    }
    ck_assert_int_eq(irq.calls, 0);
    teardown();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, an_event_interrupts_until_it_is_cleared);
    test_add(suite, the_line_stays_up_for_the_other_events);
    test_add(suite, an_event_that_is_cleared_without_being_seen_stays);
    test_add(suite, a_line_that_was_not_listening_is_told_again);
    test_add(suite, a_guest_that_writes_anything_raises_nothing);
}
