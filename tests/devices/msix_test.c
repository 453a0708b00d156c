/* SPDX-License-Identifier: MIT
 *
 * MSI-X as a guest drives it: the table by words of 4 and 8 bytes, masks of one vector and of all, pending
 * bits, and what is sent when.
 */
#include "tests/devices/pci_fixture.h"

#define VECTORS 70

static struct fake_pci fake;
static struct pci_function *function;
static uint64_t table, pba;
static unsigned capability;

static void set_control(uint16_t value)
{
    config_write(&fake, 1, capability + 2, 2, value);
}

static void set_up(void)
{
    const struct pci_function_config config = {
        .name = "thing", .has_intx = true, .msix_count = VECTORS, .msix_bar = 2};
    fake_pci_init(&fake);
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, NULL), 0);
    ck_assert_int_eq(pci_assign(fake.pci, NULL), 0);
    capability = capability_find(&fake, 1, 0x11, 0);
    ck_assert_uint_ne(capability, 0);
    uint64_t base = bar_get(&fake, 1, 2) & ~0xfull;
    ck_assert_uint_eq(config_read(&fake, 1, capability + 2, 2), VECTORS - 1);
    ck_assert_uint_eq(config_read(&fake, 1, capability + 4, 4) & 7, 2);
    ck_assert_uint_eq(config_read(&fake, 1, capability + 8, 4) & 7, 2);
    table = base + (config_read(&fake, 1, capability + 4, 4) & ~7u);
    pba = base + (config_read(&fake, 1, capability + 8, 4) & ~7u);
    ck_assert_uint_ge(pba, table + VECTORS * 16);
}

static void tear_down(void)
{
    pci_function_destroy(function);
    fake_pci_fini(&fake);
}

static void vector_set(unsigned vector, uint64_t address, uint32_t data, uint32_t control)
{
    bus_write(fake.memory, table + 16 * vector, 8, address);
    bus_write(fake.memory, table + 16 * vector + 8, 4, data);
    bus_write(fake.memory, table + 16 * vector + 12, 4, control);
}

static bool is_pending(unsigned vector)
{
    return bus_read(fake.memory, pba + vector / 8, 1) >> vector % 8 & 1;
}

START_TEST(the_table_keeps_its_bits)
{
    set_up();
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector + 12, 4), 1);
        vector_set(vector, UINT64_MAX, UINT32_MAX, UINT32_MAX);
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector, 8), 0xfffffffffffffffc);
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector + 8, 8), 0x1ffffffff);
        bus_write(fake.memory, table + 16 * vector, 2, 0);
        bus_write(fake.memory, table + 16 * vector + 1, 4, 0);
        bus_write(fake.memory, table + 16 * vector + 4, 8, 0);
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector, 8), 0xfffffffffffffffc);
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector, 1), 0xfc);
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector + 2, 4), 0xffffffff);
        bus_write(fake.memory, table + 16 * vector + 8, 8, 0x0000000011223344);
        ck_assert_uint_eq(bus_read(fake.memory, table + 16 * vector + 8, 8), 0x11223344);
    }
    ck_assert_uint_eq(bus_read(fake.memory, table + 16 * VECTORS, 4), 0);
    bus_write(fake.memory, pba, 8, UINT64_MAX);
    bus_write(fake.memory, pba + 8, 8, UINT64_MAX);
    ck_assert_uint_eq(bus_read(fake.memory, pba, 8), 0);
    ck_assert_uint_eq(bus_read(fake.memory, pba + 8, 8), 0);
    config_write(&fake, 1, capability, 4, UINT32_MAX);
    config_write(&fake, 1, capability + 4, 4, UINT32_MAX);
    ck_assert_uint_eq(config_read(&fake, 1, capability + 2, 2), 0xc000 | (VECTORS - 1));
    ck_assert_uint_eq(config_read(&fake, 1, capability + 4, 4), 2);
    tear_down();
}
END_TEST

START_TEST(an_unmasked_vector_is_sent_at_once)
{
    set_up();
    vector_set(3, 0xfee01000, 0x4041, 0);
    pci_function_send_msix(function, 3);
    ck_assert_uint_eq(fake.msi_count, 0); /* not enabled */
    ck_assert(!pci_function_msix_enabled(function));
    set_control(0x8000);
    ck_assert(pci_function_msix_enabled(function));
    ck_assert_uint_eq(fake.msi_count, 0);
    pci_function_send_msix(function, 3);
    ck_assert_uint_eq(fake.msi_count, 1);
    ck_assert_uint_eq(fake.msi_address, 0xfee01000);
    ck_assert_uint_eq(fake.msi_data, 0x4041);
    ck_assert(!is_pending(3));
    pci_function_send_msix(function, VECTORS);
    pci_function_send_msix(function, UINT32_MAX);
    ck_assert_uint_eq(fake.msi_count, 1);
    bus_write(fake.memory, table + 16 * 3 + 4, 4, 0x12);
    pci_function_send_msix(function, 3);
    ck_assert_uint_eq(fake.msi_address, 0x12fee01000);
    tear_down();
}
END_TEST

START_TEST(a_masked_vector_waits)
{
    set_up();
    vector_set(69, 0xfee00000, 0x30, 1);
    set_control(0x8000);
    for (unsigned i = 0; i < 3; i++)
        pci_function_send_msix(function, 69);
    ck_assert_uint_eq(fake.msi_count, 0);
    ck_assert(is_pending(69));
    ck_assert_uint_eq(bus_read(fake.memory, pba + 8, 8), 1ull << 5);
    ck_assert_uint_eq(bus_read(fake.memory, pba + 8, 4), 1u << 5);
    bus_write(fake.memory, table + 16 * 69 + 12, 4, 0);
    ck_assert_uint_eq(fake.msi_count, 1); /* once, however often it was asked for */
    ck_assert(!is_pending(69));
    bus_write(fake.memory, table + 16 * 69 + 12, 4, 1);
    bus_write(fake.memory, table + 16 * 69 + 12, 4, 0);
    ck_assert_uint_eq(fake.msi_count, 1);
    tear_down();
}
END_TEST

/* What holds back all vectors at once: the capability's bit, and the command register's. */
static void check_held(uint16_t control, uint16_t command)
{
    unsigned before = fake.msi_count;
    set_control(control);
    config_write(&fake, 1, R_COMMAND, 2, command);
    pci_function_send_msix(function, 0);
    pci_function_send_msix(function, 65);
    pci_function_send_msix(function, 1);
    ck_assert_uint_eq(fake.msi_count, before);
    ck_assert(is_pending(0) && is_pending(1) && is_pending(65));
    set_control(0x8000);
    config_write(&fake, 1, R_COMMAND, 2, C_MEMORY | C_MASTER);
    ck_assert_uint_eq(fake.msi_count, before + 2);
    ck_assert(!is_pending(0) && is_pending(1) && !is_pending(65));
    bus_write(fake.memory, table + 16 + 12, 4, 0);
    ck_assert_uint_eq(fake.msi_count, before + 3);
    bus_write(fake.memory, table + 16 + 12, 4, 1);
}

START_TEST(all_vectors_can_be_held_back)
{
    set_up();
    vector_set(0, 0xfee00000, 0x30, 0);
    vector_set(1, 0xfee00000, 0x31, 1);
    vector_set(65, 0xfee00000, 0x32, 0);
    check_held(0xc000, C_MEMORY | C_MASTER);
    check_held(0x8000, C_MEMORY);
    check_held(0xc000, C_MEMORY);
    tear_down();
}
END_TEST

START_TEST(switching_off_forgets_what_is_pending)
{
    set_up();
    vector_set(0, 0xfee00000, 0x30, 1);
    set_control(0x8000);
    pci_function_send_msix(function, 0);
    set_control(0);
    ck_assert(!is_pending(0));
    vector_set(0, 0xfee00000, 0x30, 0);
    set_control(0x8000);
    ck_assert_uint_eq(fake.msi_count, 0);
    tear_down();
}
END_TEST

START_TEST(the_pin_is_dead_meanwhile)
{
    set_up();
    pci_function_set_intx(function, true);
    ck_assert(fake.irqs[1].level);
    set_control(0x8000);
    ck_assert(!fake.irqs[1].level);
    set_control(0);
    ck_assert(fake.irqs[1].level);
    tear_down();
}
END_TEST

START_TEST(the_largest_table_has_its_bar)
{
    const struct pci_function_config config = {.name = "thing", .msix_count = 2048, .msix_bar = 4};
    fake_pci_init(&fake);
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, NULL), 0);
    bar_set(&fake, 1, 4, UINT64_MAX);
    ck_assert_uint_eq(bar_get(&fake, 1, 4), 0xffffffffffff0004);
    ck_assert_int_eq(pci_assign(fake.pci, NULL), 0);
    uint64_t base = bar_get(&fake, 1, 4) & ~0xfull;
    capability = capability_find(&fake, 1, 0x11, 0);
    ck_assert_uint_eq(config_read(&fake, 1, capability + 8, 4), 0x8004);
    set_control(0x8000);
    pci_function_send_msix(function, 2047);
    ck_assert_uint_eq(bus_read(fake.memory, base + 0x80ff, 1), 0x80);
    ck_assert_uint_eq(bus_read(fake.memory, base + 0x8100, 8), 0);
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_table_keeps_its_bits);
    test_add(suite, an_unmasked_vector_is_sent_at_once);
    test_add(suite, a_masked_vector_waits);
    test_add(suite, all_vectors_can_be_held_back);
    test_add(suite, switching_off_forgets_what_is_pending);
    test_add(suite, the_pin_is_dead_meanwhile);
    test_add(suite, the_largest_table_has_its_bar);
}
