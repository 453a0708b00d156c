/* SPDX-License-Identifier: MIT
 *
 * The keyboard controller without a keyboard: commands, replies, the interrupt, reset by every way there is.
 */
#include "devices/i8042/i8042.h"

#include "tests/devices/fake.h"

#define OUTPUT_FULL 0x01u
#define SYSTEM      0x04u
#define COMMAND     0x08u
#define TIMEOUT     0x40u
#define NO_REPLY    0x100u

static struct i8042 *device;
static struct bus *bus;
static struct fake_irq irq;
static struct fake_power power;

static void set_up(void)
{
    memset(&irq, 0, sizeof(irq));
    memset(&power, 0, sizeof(power));
    struct i8042_config config = {.irq = fake_irq_line(&irq, I8042_IRQ), .power = fake_power_line(&power)};
    ck_assert_int_eq(i8042_create(&config, &device, NULL), 0);
    bus = fake_bus(BUS_PORTS, i8042_data_region(device));
    ck_assert_int_eq(bus_add(bus, i8042_command_region(device), NULL), 0);
}

static void tear_down(void)
{
    bus_destroy(bus);
    i8042_destroy(device);
}

static unsigned status(void)
{
    return (unsigned)bus_read(bus, I8042_COMMAND_PORT, 1);
}

static unsigned reply(void)
{
    return status() & OUTPUT_FULL ? (unsigned)bus_read(bus, I8042_DATA_PORT, 1) : NO_REPLY;
}

static void command(unsigned value)
{
    bus_write(bus, I8042_COMMAND_PORT, 1, value);
}

static void data(unsigned value)
{
    bus_write(bus, I8042_DATA_PORT, 1, value);
}

START_TEST(the_state_after_power_on)
{
    set_up();
    ck_assert_uint_eq(status(), 0x14);
    ck_assert_uint_eq(reply(), NO_REPLY);
    ck_assert_int_eq(irq.calls, 0);
    tear_down();
    i8042_destroy(NULL);
}
END_TEST

START_TEST(commands_with_a_reply)
{
    static const struct {
        unsigned command, reply;
    } rows[] = {
        {0x20, 0x64},     {0xaa, 0x55},     {0xab, 0x00},     {0xa9, 0x01}, {0xa4, 0xf1},
        {0xc0, 0x80},     {0xd0, 0x03},     {0xe0, 0x00},     {0x21, 0x00}, {0x3f, 0x00},
        {0x00, NO_REPLY}, {0xae, NO_REPLY}, {0xff, NO_REPLY},
    };
    set_up();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        command(rows[i].command);
        ck_assert_uint_eq(status() & COMMAND, COMMAND);
        ck_assert_msg(reply() == rows[i].reply, "command %#x", rows[i].command);
        ck_assert_uint_eq(status() & OUTPUT_FULL, 0);
    }
    tear_down();
}
END_TEST

START_TEST(memory_is_written_and_read)
{
    set_up();
    for (unsigned i = 1; i < 32; i++) {
        command(0x60 + i);
        ck_assert_uint_eq(status() & OUTPUT_FULL, 0);
        data(0x80 + i);
        ck_assert_uint_eq(status() & COMMAND, 0);
    }
    for (unsigned i = 1; i < 32; i++) {
        command(0x20 + i);
        ck_assert_uint_eq(reply(), 0x80 + i);
    }
    tear_down();
}
END_TEST

START_TEST(the_command_byte_follows_its_commands)
{
    set_up();
    static const struct {
        unsigned command, expected;
    } rows[] = {{0xad, 0x74}, {0xae, 0x64}, {0xa8, 0x44}, {0xa7, 0x64}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        command(rows[i].command);
        command(0x20);
        ck_assert_uint_eq(reply(), rows[i].expected);
    }
    /* the system flag of the status is the one of the command byte */
    command(0x60);
    data(0x00);
    ck_assert_uint_eq(status() & SYSTEM, 0);
    command(0xaa);
    ck_assert_uint_eq(reply(), 0x55);
    ck_assert_uint_eq(status() & SYSTEM, SYSTEM);
    tear_down();
}
END_TEST

START_TEST(a_full_output_buffer_interrupts_where_enabled)
{
    set_up();
    command(0xaa);
    ck_assert(!fake_irq_is_up(&irq));
    command(0x60);
    data(0x01);
    ck_assert(fake_irq_is_up(&irq)); /* the self test's reply is still there */
    ck_assert_uint_eq(reply(), 0x55);
    ck_assert(!fake_irq_is_up(&irq));
    command(0xd2);
    data(0x1c);
    ck_assert_int_eq(fake_irq_rises(&irq), 2);
    ck_assert_uint_eq(reply(), 0x1c);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_int_eq(irq.calls, 4);
    tear_down();
}
END_TEST

START_TEST(nothing_is_plugged_in)
{
    set_up();
    data(0xff); /* to the keyboard: reset */
    ck_assert_uint_eq(status() & (TIMEOUT | OUTPUT_FULL), TIMEOUT | OUTPUT_FULL);
    ck_assert_uint_eq(reply(), 0xfe);
    ck_assert_uint_eq(status() & (TIMEOUT | OUTPUT_FULL), 0);
    command(0xd4); /* to the mouse: identify */
    data(0xf2);
    ck_assert_uint_eq(status() & TIMEOUT, TIMEOUT);
    ck_assert_uint_eq(reply(), 0xfe);
    command(0xd3); /* loops back, but not as the mouse's, of which drivers see that there is none */
    data(0x5a);
    ck_assert_uint_eq(status() & (0x20 | OUTPUT_FULL), OUTPUT_FULL);
    ck_assert_uint_eq(reply(), 0x5a);
    tear_down();
}
END_TEST

START_TEST(a20_is_kept)
{
    set_up();
    command(0xdd);
    command(0xd0);
    ck_assert_uint_eq(reply(), 0x01);
    command(0xdf);
    command(0xd0);
    ck_assert_uint_eq(reply(), 0x03);
    command(0xd1);
    data(0x01);
    command(0xd0);
    ck_assert_uint_eq(reply(), 0x01);
    ck_assert_int_eq(power.count, 0);
    tear_down();
}
END_TEST

START_TEST(reset_by_pulse_and_by_output_port)
{
    set_up();
    int resets = 0;
    for (unsigned value = 0xf0; value <= 0xff; value++) {
        command(value);
        resets += !(value & 1);
        ck_assert_int_eq(power.count, resets);
    }
    ck_assert_int_eq(power.what, POWER_RESET);
    command(0xd1);
    data(0x02);
    ck_assert_int_eq(power.count, resets + 1);
    command(0xd0);
    ck_assert_uint_eq(reply(), 0x03);
    tear_down();
}
END_TEST

START_TEST(a_command_takes_the_place_of_one_that_waits)
{
    set_up();
    command(0xd1);
    command(0xae);
    data(0x00); /* not to the output port, which it would reset through */
    ck_assert_int_eq(power.count, 0);
    ck_assert_uint_eq(reply(), 0xfe);
    tear_down();
}
END_TEST

/* Whatever is written in whatever order: the interrupt line is what the registers say. */
START_TEST(random_access)
{
    uint64_t seed = test_seed() | 1;
    set_up();
    for (unsigned long i = 0; i < test_cases(100000); i++) {
        uint64_t random = fake_random(&seed);
        uint64_t port = random & 1 ? I8042_DATA_PORT : I8042_COMMAND_PORT;
        if (random & 2)
            bus_write(bus, port, 1, random >> 8 & 0xff);
        else
            bus_read(bus, port, 1);
        if (random & 0x3c)
            continue;
        bool full = status() & OUTPUT_FULL, up = fake_irq_is_up(&irq);
        unsigned kept = full ? (unsigned)bus_read(bus, I8042_DATA_PORT, 1) : 0;
        command(0x20);
        ck_assert_int_eq(up, full && reply() & 1);
        if (full) {
            command(0xd2);
            data(kept);
        }
    }
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_state_after_power_on);
    test_add(suite, commands_with_a_reply);
    test_add(suite, memory_is_written_and_read);
    test_add(suite, the_command_byte_follows_its_commands);
    test_add(suite, a_full_output_buffer_interrupts_where_enabled);
    test_add(suite, nothing_is_plugged_in);
    test_add(suite, a20_is_kept);
    test_add(suite, reset_by_pulse_and_by_output_port);
    test_add(suite, a_command_takes_the_place_of_one_that_waits);
    test_add(suite, random_access);
}
