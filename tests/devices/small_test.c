/* SPDX-License-Identifier: MIT
 *
 * The devices of a register or two: debug-exit, POST, ports 0x92 and 0xcf9, pvpanic.
 */
#include "devices/debug-exit/debug_exit.h"
#include "devices/port92/port92.h"
#include "devices/portcf9/portcf9.h"
#include "devices/post/post.h"
#include "devices/pvpanic/pvpanic.h"
#include "tests/devices/fake.h"

START_TEST(debug_exit_asks_with_the_value)
{
    struct fake_power power = {0};
    struct debug_exit *device;
    struct debug_exit_config config = {.base = DEBUG_EXIT_PORT, .power = fake_power_line(&power)};
    ck_assert_int_eq(debug_exit_create(&config, &device, NULL), 0);
    struct bus *bus = fake_bus(BUS_PORTS, debug_exit_region(device));
    ck_assert_uint_eq(bus_read(bus, DEBUG_EXIT_PORT, 1), 0);
    ck_assert_int_eq(power.count, 0);
    static const uint32_t values[] = {0x10, 0x1234, 0, 0x89abcdef};
    static const unsigned sizes[] = {1, 2, 1, 4};
    for (int i = 0; i < 4; i++) {
        bus_write(bus, DEBUG_EXIT_PORT, sizes[i], values[i]);
        ck_assert_int_eq(power.count, i + 1);
        ck_assert_int_eq(power.what, POWER_DEBUG_EXIT);
        ck_assert_uint_eq(power.value, values[i]);
    }
    bus_destroy(bus);
    debug_exit_destroy(device);
    debug_exit_destroy(NULL);
}
END_TEST

START_TEST(post_remembers_the_last_code)
{
    struct post *device;
    struct post_config config = {.base = POST_PORT};
    ck_assert_int_eq(post_create(&config, &device, NULL), 0);
    struct bus *bus = fake_bus(BUS_PORTS, post_region(device));
    ck_assert_int_eq(post_code(device), -1);
    ck_assert_uint_eq(bus_read(bus, POST_PORT, 1), 0xff);
    for (int code = 0; code < 256; code++) {
        bus_write(bus, POST_PORT, 1, (uint64_t)code);
        ck_assert_int_eq(post_code(device), code);
        ck_assert_uint_eq(bus_read(bus, POST_PORT, 1), code);
    }
    bus_destroy(bus);
    post_destroy(device);
    post_destroy(NULL);
}
END_TEST

START_TEST(port92_resets_on_a_rising_bit)
{
    struct fake_power power = {0};
    struct port92 *device;
    struct port92_config config = {.power = fake_power_line(&power)};
    ck_assert_int_eq(port92_create(&config, &device, NULL), 0);
    struct bus *bus = fake_bus(BUS_PORTS, port92_region(device));
    ck_assert_uint_eq(bus_read(bus, PORT92_PORT, 1), 0x02);
    for (uint64_t value = 0; value < 256; value += 2) {
        bus_write(bus, PORT92_PORT, 1, value);
        ck_assert_uint_eq(bus_read(bus, PORT92_PORT, 1), value);
    }
    ck_assert_int_eq(power.count, 0);
    bus_write(bus, PORT92_PORT, 1, 0x03);
    ck_assert_int_eq(power.count, 1);
    ck_assert_int_eq(power.what, POWER_RESET);
    bus_write(bus, PORT92_PORT, 1, 0x01);
    ck_assert_int_eq(power.count, 1);
    bus_write(bus, PORT92_PORT, 1, 0x00);
    bus_write(bus, PORT92_PORT, 1, 0x01);
    ck_assert_int_eq(power.count, 2);
    bus_destroy(bus);
    port92_destroy(device);
    port92_destroy(NULL);
}
END_TEST

START_TEST(portcf9_resets_on_a_rising_bit)
{
    struct fake_power power = {0};
    struct portcf9 *device;
    struct portcf9_config config = {.power = fake_power_line(&power)};
    ck_assert_int_eq(portcf9_create(&config, &device, NULL), 0);
    struct bus *bus = fake_bus(BUS_PORTS, portcf9_region(device));
    ck_assert_uint_eq(bus_read(bus, PORTCF9_PORT, 1), 0);
    bus_write(bus, PORTCF9_PORT, 1, 0xfb);
    ck_assert_uint_eq(bus_read(bus, PORTCF9_PORT, 1), 0x0a);
    ck_assert_int_eq(power.count, 0);
    bus_write(bus, PORTCF9_PORT, 1, 0x06);
    ck_assert_int_eq(power.count, 1);
    ck_assert_int_eq(power.what, POWER_RESET);
    bus_write(bus, PORTCF9_PORT, 1, 0x0e);
    ck_assert_int_eq(power.count, 1);
    bus_write(bus, PORTCF9_PORT, 1, 0x02);
    bus_write(bus, PORTCF9_PORT, 1, 0x04);
    ck_assert_int_eq(power.count, 2);
    bus_write(bus, PORTCF9_PORT, 1, 0);
    /* Addresses of PCI's configuration space are not its own. */
    bus_write(bus, PORTCF9_PORT - 1, 4, 0x80000400);
    bus_write(bus, PORTCF9_PORT - 1, 2, 0x0400);
    bus_write(bus, PORTCF9_PORT, 2, 0x04);
    bus_write(bus, PORTCF9_PORT + 1, 1, 0x04);
    ck_assert_int_eq(power.count, 2);
    ck_assert_uint_eq(bus_read(bus, PORTCF9_PORT - 1, 4), 0xffffffff);
    ck_assert_uint_eq(bus_read(bus, PORTCF9_PORT, 1), 0);
    bus_destroy(bus);
    portcf9_destroy(device);
    portcf9_destroy(NULL);
}
END_TEST

START_TEST(pvpanic_hears_of_a_panic_only)
{
    struct fake_power power = {0};
    struct pvpanic *device;
    struct pvpanic_config config = {.power = fake_power_line(&power)};
    ck_assert_int_eq(pvpanic_create(&config, &device, NULL), 0);
    struct bus *bus = fake_bus(BUS_PORTS, pvpanic_region(device));
    ck_assert_uint_eq(bus_read(bus, PVPANIC_PORT, 1), 1);
    bus_write(bus, PVPANIC_PORT, 1, 0xfe);
    ck_assert_int_eq(power.count, 0);
    bus_write(bus, PVPANIC_PORT, 1, 0x01);
    ck_assert_int_eq(power.count, 1);
    ck_assert_int_eq(power.what, POWER_PANIC);
    bus_destroy(bus);
    pvpanic_destroy(device);
    pvpanic_destroy(NULL);
}
END_TEST

static uint64_t address_value;

static uint64_t address_read(void *device, uint64_t offset, unsigned size)
{
    ck_assert(device == &address_value && offset == 0 && size == 4);
    return address_value;
}

static void address_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    ck_assert(device == &address_value && offset == 0 && size == 4);
    address_value = value;
}

START_TEST(portcf9_leaves_four_bytes_to_pci)
{
    static const struct bus_ops ops = {.read = address_read, .write = address_write};
    struct fake_power power = {0};
    struct portcf9 *device;
    struct portcf9_config config = {.power = fake_power_line(&power)};
    ck_assert_int_eq(portcf9_create(&config, &device, NULL), 0);
    struct bus *bus = fake_bus(BUS_PORTS, portcf9_region(device));
    portcf9_set_address(device, &ops, &address_value);
    bus_write(bus, 0xcf8, 4, 0x80000600);
    ck_assert_uint_eq(bus_read(bus, 0xcf8, 4), 0x80000600);
    ck_assert_uint_eq(bus_read(bus, 0xcf8, 2), 0xffff);
    ck_assert_uint_eq(bus_read(bus, 0xcf9, 1), 0);
    ck_assert_int_eq(power.count, 0);
    bus_write(bus, 0xcf9, 1, 6);
    ck_assert_int_eq(power.count, 1);
    ck_assert_uint_eq(address_value, 0x80000600);
    bus_destroy(bus);
    portcf9_destroy(device);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, debug_exit_asks_with_the_value);
    test_add(suite, post_remembers_the_last_code);
    test_add(suite, port92_resets_on_a_rising_bit);
    test_add(suite, portcf9_resets_on_a_rising_bit);
    test_add(suite, pvpanic_hears_of_a_panic_only);
    test_add(suite, portcf9_leaves_four_bytes_to_pci);
}
