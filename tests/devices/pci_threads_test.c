/* SPDX-License-Identifier: MIT
 *
 * Several vCPUs and a device at once: one moves the BAR and switches everything, one reads and writes through
 * it, one raises interrupts. Nothing may be lost or torn; ThreadSanitizer watches where it is built in.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/devices/pci_fixture.h"

static struct fake_pci fake;
static struct pci_function *function;
static struct pci_doorbell bell = {.bar = 0, .offset = 0x20, .event_fd = 7};
static struct lock lock;
static uint64_t stored;
static atomic_bool is_over;

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)size;
    return stored + offset;
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    stored = value;
    pci_function_set_intx(function, value & 1); /* with the device's lock held */
    pci_function_send_msix(function, value & 1);
}

static const struct bus_ops ops = {.read = device_read, .write = device_write};

static void *mover(void *argument)
{
    uint64_t random = 0x1234567, table = LOW + 0x800000;
    unsigned capability = capability_find(&fake, 1, 0x11, 0);
    (void)argument;
    for (unsigned long i = 0; i < test_cases(20000); i++) {
        uint64_t value = fake_random(&random);
        bar_set(&fake, 1, 0, LOW + (value & 7) * 0x1000);
        bar_set(&fake, 1, 2, table);
        config_write(&fake, 1, R_COMMAND, 2, value >> 8 & 0x406);
        config_write(&fake, 1, capability + 2, 2, value >> 16 & 0xc000);
        bus_write(fake.memory, table + 12, 4, value >> 32 & 1);
    }
    is_over = true;
    return NULL;
}

static void *user(void *argument)
{
    (void)argument;
    for (uint64_t at = 0; !is_over; at = (at + 1) & 7) {
        bus_write(fake.memory, LOW + at * 0x1000, 4, at & 1);
        uint64_t value = bus_read(fake.memory, LOW + at * 0x1000, 4);
        ck_assert(value <= 1 || value == UINT32_MAX);
    }
    return NULL;
}

static void *raiser(void *argument)
{
    (void)argument;
    for (unsigned i = 0; !is_over; i++) {
        pci_function_send_msix(function, i & 3);
        lock_acquire(&lock);
        pci_function_add_doorbell(function, &bell);
        pci_function_remove_doorbell(function, &bell);
        lock_release(&lock);
    }
    return NULL;
}

START_TEST(everything_at_once)
{
    static void *(*const bodies[])(void *) = {mover, user, user, raiser};
    const struct pci_function_config config = {.name = "thing",
                                               .has_intx = true,
                                               .msix_count = 4,
                                               .msix_bar = 2,
                                               .bars[0] = {.len = 0x1000, .ops = &ops, .lock = &lock}};
    pthread_t threads[ARRAY_COUNT(bodies)];
    fake_pci_init(&fake);
    ck_assert_int_eq(pci_function_create(fake.pci, &config, &function, NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, bodies[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    /* with nothing in between any more, the line is what the pin says */
    config_write(&fake, 1, R_COMMAND, 2, C_MEMORY | C_MASTER);
    config_write(&fake, 1, capability_find(&fake, 1, 0x11, 0) + 2, 2, 0);
    pci_function_set_intx(function, false);
    ck_assert(!fake_irq_is_up(&fake.irqs[1]));
    pci_function_set_intx(function, true);
    ck_assert(fake_irq_is_up(&fake.irqs[1]));
    pci_function_destroy(function);
    fake_pci_fini(&fake);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, everything_at_once, 120);
}
