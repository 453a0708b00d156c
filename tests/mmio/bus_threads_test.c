/* SPDX-License-Identifier: MIT
 *
 * One bus, several threads: whatever the others make it remember, each access reaches its own device, alone.
 */
#include <pthread.h>

#include "mmio/bus_exit.h"
#include "tests/harness.h"

#define THREADS 4
#define ROUNDS  4000
#define REGIONS 3

struct counter {
    struct bus_region region;
    struct lock lock;
    unsigned inside;
    uint64_t sum; /* of the values written */
};

static struct bus *bus;
static struct counter counters[REGIONS];

static uint64_t counter_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset, (void)size;
    return ((struct counter *)device)->region.base;
}

static void counter_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct counter *counter = device;
    (void)offset, (void)size;
    ck_assert_uint_eq(counter->inside++, 0);
    counter->sum += value;
    counter->inside--;
}

static const struct bus_ops counter_ops = {.read = counter_read, .write = counter_write};

/* The first and the second in pages that the bus remembers in one place, the third in the page of the first.
 */
static void add_counter(unsigned i)
{
    static const uint64_t bases[REGIONS] = {0x100000, 0x100000 + (1ull << 32), 0x100800};
    struct counter *counter = &counters[i];
    counter->region = (struct bus_region){.name = "counter",
                                          .base = bases[i],
                                          .len = 64,
                                          .ops = &counter_ops,
                                          .device = counter,
                                          .lock = &counter->lock};
    ck_assert_int_eq(bus_add(bus, &counter->region, NULL), 0);
}

static void *access_all(void *context)
{
    (void)context;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < REGIONS; i++) {
            uint64_t gpa = counters[i].region.base;
            bus_write_memory(bus, gpa + 8, 4, i + 1);
            ck_assert_uint_eq(bus_read_memory(bus, gpa, 8), gpa);
            ck_assert_uint_eq(bus_read(bus, gpa + 16, 8), gpa);
        }
    }
    return NULL;
}

START_TEST(each_access_reaches_its_device_alone)
{
    pthread_t threads[THREADS];
    ck_assert_int_eq(bus_create(BUS_MEMORY, &bus, NULL), 0);
    for (unsigned i = 0; i < REGIONS; i++)
        add_counter(i);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, access_all, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < REGIONS; i++) {
        ck_assert_uint_eq(counters[i].sum, (uint64_t)(i + 1) * THREADS * ROUNDS);
        ck_assert_uint_eq(counters[i].region.write_counts[4], THREADS * ROUNDS);
        ck_assert_uint_eq(counters[i].region.read_counts[8], 2 * THREADS * ROUNDS);
    }
    ck_assert_uint_eq(bus_miss_count(bus), 0);
    bus_destroy(bus);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, each_access_reaches_its_device_alone);
}
