/* SPDX-License-Identifier: MIT
 *
 * ACPI's registers: switching off, enabling events, the timer, and accesses of every width.
 */
#include "devices/acpi-pm/acpi_pm.h"

#include "tests/devices/fake.h"

#define BASE    0x600
#define STATUS  BASE
#define ENABLE  (BASE + 2)
#define CONTROL (BASE + 4)
#define TIMER   (BASE + 8)

static struct fake_power power;
static struct acpi_pm *device;
static struct bus *bus;
static uint64_t clock_ns;

static uint64_t fake_clock(void *context)
{
    (void)context;
    return clock_ns;
}

static void setup(void)
{
    const struct acpi_pm_config config = {
        .base = BASE, .sleep_off = 5, .power = fake_power_line(&power), .clock_ns = fake_clock};
    ck_assert_int_eq(acpi_pm_create(&config, &device, NULL), 0);
    bus = fake_bus(BUS_PORTS, acpi_pm_region(device));
}

static void teardown(void)
{
    bus_destroy(bus);
    acpi_pm_destroy(device);
    acpi_pm_destroy(NULL);
}

START_TEST(only_s5_with_sleep_enable_switches_off)
{
    setup();
    for (uint64_t value = 0; value < 0x10000; value++) {
        int before = power.count;
        bus_write(bus, CONTROL, 2, value);
        bool is_off = (value & 0x2000) && (value >> 10 & 7) == 5;
        ck_assert_int_eq(power.count - before, is_off);
        ck_assert_uint_eq(bus_read(bus, CONTROL, 2), (value & 0x1c06) | 1);
    }
    ck_assert_int_eq(power.what, POWER_OFF);
    teardown();
}
END_TEST

START_TEST(bytes_of_the_control_register_count_together)
{
    setup();
    bus_write(bus, CONTROL + 1, 1, 5 << 2);
    ck_assert_int_eq(power.count, 0);
    bus_write(bus, CONTROL + 1, 1, 5 << 2 | 0x20);
    ck_assert_int_eq(power.count, 1);
    ck_assert_uint_eq(bus_read(bus, CONTROL + 1, 1), 5 << 2);
    bus_write(bus, CONTROL, 1, 0xff);
    ck_assert_int_eq(power.count, 1);
    ck_assert_uint_eq(bus_read(bus, CONTROL, 2), 5 << 10 | 7);
    teardown();
}
END_TEST

/* Linux reads back what it has enabled, and complains where that is not so. */
START_TEST(events_can_be_enabled)
{
    setup();
    bus_write(bus, ENABLE, 2, 0xffff);
    ck_assert_uint_eq(bus_read(bus, ENABLE, 2), 0x421);
    bus_write(bus, ENABLE + 1, 1, 0);
    ck_assert_uint_eq(bus_read(bus, ENABLE, 2), 0x21);
    teardown();
}
END_TEST

START_TEST(status_and_enable_are_one_dword_too)
{
    setup();
    clock_ns = 600ull * 1000000000; /* the timer has carried */
    ck_assert_uint_eq(bus_read(bus, STATUS, 4), 1);
    bus_write(bus, STATUS, 4, 0x04000000);
    ck_assert_uint_eq(bus_read(bus, STATUS, 4), 0x04000001);
    bus_write(bus, STATUS, 1, 1);
    ck_assert_uint_eq(bus_read(bus, STATUS, 4), 0x04000000);
    teardown();
}
END_TEST

START_TEST(the_timer_counts_and_carries)
{
    setup();
    ck_assert_uint_eq(bus_read(bus, TIMER, 4), 0);
    clock_ns = 1000000000;
    ck_assert_uint_eq(bus_read(bus, TIMER, 4), 3579545);
    ck_assert_uint_eq(bus_read(bus, TIMER + 1, 1), 3579545 >> 8 & 0xff);
    bus_write(bus, TIMER, 4, 0);
    ck_assert_uint_eq(bus_read(bus, TIMER, 4), 3579545);
    ck_assert_uint_eq(bus_read(bus, STATUS, 2), 0);
    clock_ns = 600ull * 1000000000; /* 600 s: 0x80010e98 ticks */
    ck_assert_uint_eq(bus_read(bus, TIMER, 4), 600u * 3579545u);
    ck_assert_uint_eq(bus_read(bus, STATUS, 2), 1);
    bus_write(bus, STATUS, 2, 1);
    ck_assert_uint_eq(bus_read(bus, STATUS, 2), 0);
    clock_ns *= 2; /* it wraps */
    ck_assert_uint_eq(bus_read(bus, TIMER, 4), (uint32_t)(1200ull * 3579545u));
    ck_assert_uint_eq(bus_read(bus, STATUS, 2), 1);
    teardown();
}
END_TEST

START_TEST(every_port_and_width_is_safe)
{
    setup();
    for (uint64_t offset = 0; offset < ACPI_PM_PORT_COUNT; offset++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            bus_write(bus, BASE + offset, size, 0);
            uint64_t value = bus_read(bus, BASE + offset, size);
            ck_assert(!(value & ~size_mask(size)));
        }
    ck_assert_int_eq(power.count, 0);
    teardown();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, only_s5_with_sleep_enable_switches_off);
    test_add(suite, bytes_of_the_control_register_count_together);
    test_add(suite, events_can_be_enabled);
    test_add(suite, status_and_enable_are_one_dword_too);
    test_add(suite, the_timer_counts_and_carries);
    test_add(suite, every_port_and_width_is_safe);
}
