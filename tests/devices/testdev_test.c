/* SPDX-License-Identifier: MIT
 *
 * The test device's ports and memory.
 */
#include "devices/testdev/testdev.h"
#include "tests/devices/fake.h"

#define RAM (1u << 20)

static struct testdev *testdev;
static struct bus *ports, *memory_bus;
static struct guest_memory *memory;
static struct fake_irq irqs[TESTDEV_IRQ_COUNT];

static void set_up(void)
{
    struct testdev_config config = {.engine = BUS_ENGINE_TRAP};
    ck_assert_int_eq(guest_memory_create(RAM, MEMORY_ANONYMOUS, &memory, NULL), 0);
    config.memory = memory;
    for (unsigned i = 0; i < TESTDEV_IRQ_COUNT; i++)
        config.irqs[i] = fake_irq_line(&irqs[i], i);
    ck_assert_int_eq(testdev_create(&config, &testdev, NULL), 0);
    ports = fake_bus(BUS_PORTS, testdev_region(testdev, 0));
    for (unsigned i = 1; i + 1 < TESTDEV_REGION_COUNT; i++)
        ck_assert_int_eq(bus_add(ports, testdev_region(testdev, i), NULL), 0);
    memory_bus = fake_bus(BUS_MEMORY, testdev_region(testdev, TESTDEV_REGION_COUNT - 1));
}

static void tear_down(void)
{
    bus_destroy(memory_bus);
    bus_destroy(ports);
    testdev_destroy(testdev);
    testdev_destroy(NULL);
    guest_memory_destroy(memory);
}

START_TEST(the_latch_has_every_width)
{
    set_up();
    bus_write(ports, 0xe0, 4, 0x87654321);
    ck_assert_uint_eq(bus_read(ports, 0xe0, 4), 0x87654321);
    ck_assert_uint_eq(bus_read(ports, 0xe0, 1), 0x21);
    ck_assert_uint_eq(bus_read(ports, 0xe2, 2), 0x8765);
    bus_write(ports, 0xe1, 1, 0xaa);
    bus_write(ports, 0xe2, 2, 0xbbcc);
    ck_assert_uint_eq(bus_read(ports, 0xe0, 4), 0xbbccaa21);
    bus_write(ports, 0xe8, 1, 0x11); /* the same latch, and wider accesses byte by byte */
    bus_write(ports, 0xea, 2, 0x2233);
    ck_assert_uint_eq(bus_read(ports, 0xe0, 4), 0x2233aa11);
    ck_assert_uint_eq(bus_read(ports, 0xe8, 4), 0x2233aa11);
    bus_write(ports, 0xe3, 4, 0xffffff44); /* into the next device */
    ck_assert_uint_eq(bus_read(ports, 0xe0, 4), 0x4433aa11);
    tear_down();
}
END_TEST

START_TEST(a_flushed_page_keeps_its_content)
{
    uint32_t value = 0x12345678, read = 0;
    set_up();
    ck_assert_int_eq(guest_mem_write(memory, 0x5004, &value, 4), 0);
    static const uint32_t addresses[] = {0x5000, 0x5fff, 0, RAM - 1, RAM, 0xffffffff, 0xff000000};
    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++)
        bus_write(ports, 0xe4, 4, addresses[i]);
    bus_write(ports, 0xe4, 1, 0);
    ck_assert_uint_eq(bus_read(ports, 0xe4, 4), 0);
    ck_assert_int_eq(guest_mem_read(memory, 0x5004, &read, 4), 0);
    ck_assert_uint_eq(read, value);
    tear_down();
}
END_TEST

START_TEST(every_line_rises_and_falls)
{
    set_up();
    for (unsigned i = 0; i < TESTDEV_IRQ_COUNT; i++) {
        ck_assert(!fake_irq_is_up(&irqs[i]));
        bus_write(ports, 0x2000 + i, 1, 2);
        ck_assert(fake_irq_is_up(&irqs[i]));
        ck_assert_uint_eq(bus_read(ports, 0x2000 + i, 1), 0);
        bus_write(ports, 0x2000 + i, 1, 0);
        ck_assert(!fake_irq_is_up(&irqs[i]));
        ck_assert_int_eq(irqs[i].rises, 1);
    }
    tear_down();
}
END_TEST

START_TEST(memory_remembers)
{
    set_up();
    uint64_t state = 0x1234567, values[64];
    for (unsigned i = 0; i < 64; i++)
        bus_write(memory_bus, TESTDEV_MEMORY_GPA + i * 1024, 8, values[i] = fake_random(&state));
    for (unsigned i = 0; i < 64; i++)
        ck_assert_uint_eq(bus_read(memory_bus, TESTDEV_MEMORY_GPA + i * 1024, 8), values[i]);
    bus_write(memory_bus, TESTDEV_MEMORY_GPA + 2, 1, 0x77);
    ck_assert_uint_eq(bus_read(memory_bus, TESTDEV_MEMORY_GPA, 8), (values[0] & ~0xff0000ull) | 0x770000);
    bus_write(memory_bus, TESTDEV_MEMORY_GPA + TESTDEV_MEMORY_BYTES - 8, 8, values[1]);
    ck_assert_uint_eq(bus_read(memory_bus, TESTDEV_MEMORY_GPA + TESTDEV_MEMORY_BYTES - 8, 8), values[1]);
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_latch_has_every_width);
    test_add(suite, a_flushed_page_keeps_its_content);
    test_add(suite, every_line_rises_and_falls);
    test_add(suite, memory_remembers);
}
