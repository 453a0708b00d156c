/* SPDX-License-Identifier: MIT
 *
 * The entropy device, with the driver of virtio_driver.h.
 */
#include "devices/virtio-rng/virtio_rng.h"

#include "tests/devices/fake.h"
#include "tests/devices/virtio_driver.h"

#define RAM_BYTES (8 * MIB)
#define RING_GPA  0x10000u
#define DATA_GPA  0x200000u

struct world {
    struct guest_memory *memory;
    struct event_loop *loop;
    struct virtio_rng *rng;
    struct virtio_driver driver;
};

static void create(struct world *world, uint64_t features)
{
    *world = (struct world){0};
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &world->memory, NULL), 0);
    ck_assert_int_eq(event_loop_create(&world->loop, NULL), 0);
    ck_assert_int_eq(event_loop_start(world->loop, NULL), 0);
    const struct virtio_rng_config config = {.memory = world->memory, .loop = world->loop};
    ck_assert_int_eq(virtio_rng_create(&config, &world->rng, NULL), 0);
    virtio_driver_init(&world->driver, virtio_rng_virtio(world->rng), RING_GPA);
    virtio_driver_start(&world->driver, features, 1, 64);
}

static void destroy(struct world *world)
{
    virtio_rng_destroy(world->rng);
    event_loop_destroy(world->loop);
    guest_memory_destroy(world->memory);
}

static uint32_t ask(struct world *world, const struct driver_buffer *buffers, unsigned count)
{
    uint16_t id;
    virtio_driver_send(&world->driver, 0, buffers, count);
    return virtio_driver_wait(&world->driver, 0, &id);
}

START_TEST(buffers_are_filled_and_nothing_else)
{
    static const uint64_t features[] = {0, VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX};
    static const uint8_t zeroes[64];
    for (unsigned i = 0; i < ARRAY_COUNT(features); i++) {
        struct world world;
        uint8_t first[64], second[64];
        create(&world, features[i]);
        const struct driver_buffer buffers[] = {{.gpa = DATA_GPA, .len = 64, .device_writes = true},
                                                {.gpa = DATA_GPA + 128, .len = 64, .device_writes = true}};
        ck_assert_uint_eq(ask(&world, buffers, 2), 128);
        guest_mem_read(world.memory, DATA_GPA, first, 64);
        guest_mem_read(world.memory, DATA_GPA + 128, second, 64);
        ck_assert(memcmp(first, second, 64) && memcmp(first, zeroes, 64) && memcmp(second, zeroes, 64));
        guest_mem_read(world.memory, DATA_GPA + 64, first, 64);
        ck_assert_int_eq(memcmp(first, zeroes, 64), 0);
        struct virtio_counts counts;
        event_loop_stop(world.loop);
        virtio_get_counts(virtio_rng_virtio(world.rng), &counts);
        ck_assert_uint_eq(counts.chains, 1);
        ck_assert_uint_eq(counts.in_bytes, 128);
        ck_assert_uint_eq(counts.out_bytes, 0);
        destroy(&world);
    }
}
END_TEST

START_TEST(a_request_of_megabytes_gets_some)
{
    struct world world;
    create(&world, 0);
    const struct driver_buffer big = {.gpa = DATA_GPA, .len = 4u << 20, .device_writes = true};
    uint32_t got = ask(&world, &big, 1);
    ck_assert(got > 0 && got < big.len);
    destroy(&world);
}
END_TEST

START_TEST(buffers_that_cannot_be_filled_come_back)
{
    struct world world;
    create(&world, 0);
    const struct driver_buffer readable = {.gpa = DATA_GPA, .len = 16};
    ck_assert_uint_eq(ask(&world, &readable, 1), 0);
    const struct driver_buffer empty = {.gpa = DATA_GPA, .device_writes = true};
    ck_assert_uint_eq(ask(&world, &empty, 1), 0);
    destroy(&world);
}
END_TEST

/* More than one turn of the device: none of them is forgotten. */
START_TEST(many_requests_are_all_served)
{
    struct world world;
    uint16_t id;
    create(&world, 0);
    for (unsigned round = 0; round < 20; round++) {
        const struct driver_buffer buffer = {.gpa = DATA_GPA, .len = 0x4000, .device_writes = true};
        for (unsigned i = 0; i < 64; i++)
            virtio_driver_send(&world.driver, 0, &buffer, 1);
        for (unsigned i = 0; i < 64; i++)
            ck_assert_uint_eq(virtio_driver_wait(&world.driver, 0, &id), 0x4000);
    }
    destroy(&world);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, buffers_are_filled_and_nothing_else);
    test_add(suite, a_request_of_megabytes_gets_some);
    test_add(suite, buffers_that_cannot_be_filled_come_back);
    test_add(suite, many_requests_are_all_served);
}
