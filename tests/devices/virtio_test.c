/* SPDX-License-Identifier: MIT
 *
 * The device core: status, features, configuration, queues that start and stop while they are used. The
 * device under test echoes: what it reads is what it writes back.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/virtio/virtio_internal.h"
#include "tests/devices/fake.h"
#include "tests/devices/virtio_driver.h"

#define RAM_BYTES  (8 * MIB)
#define RING_GPA   0x10000u
#define DATA_GPA   0x400000u
#define CONFIG_LEN 12u
#define OWN        (1ull << 3) /* a feature of the device type */

struct world {
    struct guest_memory *memory;
    struct event_loop *loop;
    struct virtio *virtio;
    struct virtio_driver driver;
    uint8_t config[CONFIG_LEN];
    unsigned starts, drains, resets;
    struct iovec segments[16];
};

static void read_config(void *device, uint32_t offset, void *to, unsigned len)
{
    struct world *world = device;
    ck_assert_uint_le(offset + len, CONFIG_LEN);
    memcpy(to, world->config + offset, len);
}

static void write_config(void *device, uint32_t offset, const void *from, unsigned len)
{
    struct world *world = device;
    ck_assert_uint_le(offset + len, CONFIG_LEN);
    memcpy(world->config + offset, from, len);
}

static void start(void *device)
{
    struct world *world = device;
    world->starts++;
    ck_assert(virtio_features(world->virtio) & VIRTIO_F_VERSION_1);
}

static uint64_t echo(const struct queue_chain *chain)
{
    uint64_t len = chain->out_bytes < chain->in_bytes ? chain->out_bytes : chain->in_bytes;
    if (chain->out_count == 1 && chain->in_count == 1)
        memcpy(chain->segments[1].iov_base, chain->segments[0].iov_base, len);
    return len;
}

static void notify(void *device, unsigned queue)
{
    struct world *world = device;
    struct queue_chain chain = {.segments = world->segments, .capacity = 16};
    do {
        virtio_queue_kicks_off(world->virtio, queue);
        while (virtio_queue_pop(world->virtio, queue, &chain) == QUEUE_CHAIN)
            virtio_queue_push(world->virtio, queue, &chain, echo(&chain));
        virtio_queue_flush(world->virtio, queue);
    } while (!virtio_queue_kicks_on(world->virtio, queue));
}

static void drain(void *device, unsigned queue)
{
    struct world *world = device;
    ck_assert(world->virtio->queues[queue].is_running);
    world->drains++;
}

static void reset(void *device)
{
    struct world *world = device;
    world->resets++;
}

static const struct virtio_ops echo_ops = {.config_read = read_config,
                                           .config_write = write_config,
                                           .start = start,
                                           .notify = notify,
                                           .drain = drain,
                                           .reset = reset};

static void setup(struct world *world, bool has_loop)
{
    *world = (struct world){0};
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &world->memory, NULL), 0);
    if (has_loop) {
        ck_assert_int_eq(event_loop_create(&world->loop, NULL), 0);
        ck_assert_int_eq(event_loop_start(world->loop, NULL), 0);
    }
    const struct virtio_config config = {.name = "echo",
                                         .type = 42,
                                         .features = OWN,
                                         .queue_count = 4,
                                         .queue_size = 64,
                                         .config_len = CONFIG_LEN,
                                         .memory = world->memory,
                                         .loop = world->loop,
                                         .ops = &echo_ops,
                                         .device = world};
    ck_assert_int_eq(virtio_create(&config, &world->virtio, NULL), 0);
    virtio_driver_init(&world->driver, world->virtio, RING_GPA);
}

static void teardown(struct world *world)
{
    virtio_destroy(world->virtio);
    event_loop_destroy(world->loop);
    guest_memory_destroy(world->memory);
}

static uint16_t send(struct world *world, unsigned queue, const char *text)
{
    const uint32_t len = (uint32_t)strlen(text) + 1;
    const struct driver_buffer buffers[] = {{.gpa = DATA_GPA, .len = len},
                                            {.gpa = DATA_GPA + 4096, .len = 64, .device_writes = true}};
    ck_assert_int_eq(guest_mem_write(world->memory, DATA_GPA, text, len), 0);
    return virtio_driver_send(&world->driver, queue, buffers, 2);
}

static void must_echo(struct world *world, unsigned queue, const char *text)
{
    char back[64] = "";
    uint16_t id, sent = send(world, queue, text);
    ck_assert_uint_eq(virtio_driver_wait(&world->driver, queue, &id), strlen(text) + 1);
    ck_assert_uint_eq(id, sent);
    ck_assert_int_eq(guest_mem_read(world->memory, DATA_GPA + 4096, back, strlen(text) + 1), 0);
    ck_assert_str_eq(back, text);
}

static void must_stay_silent(struct world *world, unsigned queue)
{
    uint16_t id;
    uint32_t written;
    ck_assert(!driver_queue_take(&world->driver.queues[queue], &id, &written));
}

/* ---- Features ---- */

static bool accepts(struct world *world, uint64_t features, uint32_t third_word)
{
    const uint8_t before = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
    virtio_driver_set_status(&world->driver, 0);
    virtio_driver_set_status(&world->driver, before);
    virtio_accept_features(world->virtio, 0, (uint32_t)features);
    virtio_accept_features(world->virtio, 1, (uint32_t)(features >> 32));
    virtio_accept_features(world->virtio, 2, third_word);
    virtio_driver_set_status(&world->driver, before | VIRTIO_FEATURES_OK);
    return virtio_status(world->virtio) & VIRTIO_FEATURES_OK;
}

START_TEST(features_are_what_was_offered)
{
    struct world world;
    const uint64_t offered = VIRTIO_FEATURES_CORE | OWN;
    setup(&world, false);
    ck_assert_uint_eq(virtio_features_offered(world.virtio, 0), (uint32_t)offered);
    ck_assert_uint_eq(virtio_features_offered(world.virtio, 1), (uint32_t)(offered >> 32));
    ck_assert_uint_eq(virtio_features_offered(world.virtio, 2), 0);
    ck_assert_uint_eq(virtio_features_offered(world.virtio, UINT32_MAX), 0);
    ck_assert(accepts(&world, offered, 0));
    ck_assert(accepts(&world, VIRTIO_F_VERSION_1, 0));
    ck_assert_uint_eq(virtio_features(world.virtio), VIRTIO_F_VERSION_1);
    ck_assert(!accepts(&world, OWN, 0)); /* 6.1: not without VERSION_1 */
    ck_assert(!accepts(&world, VIRTIO_F_VERSION_1 | 1, 0));
    ck_assert(!accepts(&world, VIRTIO_F_VERSION_1 | VIRTIO_F_IN_ORDER, 0));
    ck_assert(!accepts(&world, VIRTIO_F_VERSION_1 | 1ull << 63, 0));
    ck_assert(!accepts(&world, VIRTIO_F_VERSION_1, 1));
    ck_assert_uint_eq(virtio_features(world.virtio), 0);
    teardown(&world);
}
END_TEST

START_TEST(features_are_final)
{
    struct world world;
    setup(&world, false);
    virtio_driver_negotiate(&world.driver, OWN);
    virtio_accept_features(world.virtio, 0, 0);
    ck_assert_uint_eq(virtio_features(world.virtio), VIRTIO_F_VERSION_1 | OWN);
    ck_assert_uint_eq(virtio_features_accepted(world.virtio, 0), OWN);
    virtio_driver_set_status(&world.driver, 0);
    ck_assert_uint_eq(virtio_features_accepted(world.virtio, 0), 0);
    teardown(&world);
}
END_TEST

/* ---- Status ---- */

START_TEST(no_step_without_the_one_before)
{
    struct world world;
    setup(&world, false);
    virtio_driver_set_status(&world.driver, VIRTIO_DRIVER_OK);
    ck_assert_uint_eq(virtio_status(world.virtio), 0);
    virtio_driver_set_status(&world.driver, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK);
    ck_assert_uint_eq(virtio_status(world.virtio), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    ck_assert_uint_eq(world.starts, 0);
    virtio_driver_set_status(&world.driver, VIRTIO_FAILED | VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(virtio_status(world.virtio), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FAILED);
    teardown(&world);
}
END_TEST

START_TEST(features_wait_for_the_driver)
{
    static const uint8_t too_early[] = {0, VIRTIO_ACKNOWLEDGE, VIRTIO_DRIVER};
    struct world world;
    setup(&world, false);
    for (unsigned i = 0; i < ARRAY_COUNT(too_early); i++) {
        virtio_driver_set_status(&world.driver, 0);
        virtio_accept_features(world.virtio, 1, (uint32_t)(VIRTIO_F_VERSION_1 >> 32));
        virtio_driver_set_status(&world.driver, too_early[i] | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
        ck_assert_uint_eq(virtio_status(world.virtio), too_early[i]);
    }
    ck_assert_uint_eq(world.starts, 0);
    teardown(&world);
}
END_TEST

START_TEST(nothing_is_looked_at_before_driver_ok)
{
    struct world world;
    setup(&world, false);
    virtio_driver_negotiate(&world.driver, 0);
    virtio_driver_enable(&world.driver, 0, 8);
    send(&world, 0, "early");
    must_stay_silent(&world, 0);
    virtio_driver_ready(&world.driver);
    ck_assert_uint_eq(world.starts, 1);
    uint16_t id;
    ck_assert_uint_eq(virtio_driver_wait(&world.driver, 0, &id), 6); /* it looks by itself */
    virtio_driver_ready(&world.driver);
    ck_assert_uint_eq(world.starts, 1);
    teardown(&world);
}
END_TEST

START_TEST(a_reset_forgets_everything)
{
    struct world world;
    setup(&world, false);
    virtio_driver_start(&world.driver, VIRTIO_FEATURES_CORE, 2, 8);
    must_echo(&world, 1, "before");
    virtio_driver_set_status(&world.driver, 0);
    ck_assert_uint_eq(virtio_status(world.virtio), 0);
    ck_assert_uint_eq(world.drains, 2);
    ck_assert(world.resets && world.driver.resets);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert(!virtio_queue_is_enabled(world.virtio, i));
        ck_assert_uint_eq(virtio_queue_size(world.virtio, i), 64);
        ck_assert_uint_eq(virtio_queue_address(world.virtio, i, VIRTIO_QUEUE_DRIVER), 0);
    }
    send(&world, 1, "nobody");
    must_stay_silent(&world, 1);
    virtio_driver_start(&world.driver, 0, 2, 8);
    must_echo(&world, 1, "after");
    teardown(&world);
}
END_TEST

/* ---- Queues ---- */

START_TEST(registers_of_an_enabled_queue_stay)
{
    struct world world;
    setup(&world, false);
    virtio_enable_queue(world.virtio, 0); /* too early: no features yet */
    ck_assert(!virtio_queue_is_enabled(world.virtio, 0));
    virtio_driver_negotiate(&world.driver, 0);
    virtio_set_queue_size(world.virtio, 0, 65);
    virtio_set_queue_size(world.virtio, 0, 0);
    ck_assert_uint_eq(virtio_queue_size(world.virtio, 0), 64);
    virtio_driver_enable(&world.driver, 0, 16);
    virtio_set_queue_size(world.virtio, 0, 32);
    virtio_set_queue_address(world.virtio, 0, VIRTIO_QUEUE_DRIVER, 0, 0x5000);
    ck_assert_uint_eq(virtio_queue_size(world.virtio, 0), 16);
    ck_assert_uint_eq(virtio_queue_address(world.virtio, 0, VIRTIO_QUEUE_DRIVER),
                      world.driver.queues[0].driver);
    virtio_set_queue_address(world.virtio, 1, VIRTIO_QUEUE_DEVICE, 1, 0x12345678);
    ck_assert_uint_eq(virtio_queue_address(world.virtio, 1, VIRTIO_QUEUE_DEVICE), 0x12345678ull << 32);
    teardown(&world);
}
END_TEST

START_TEST(a_queue_that_is_none)
{
    struct world world;
    setup(&world, false);
    virtio_driver_start(&world.driver, VIRTIO_F_RING_RESET, 1, 8);
    const unsigned none[] = {4, 64, 0xffff, UINT32_MAX};
    for (unsigned i = 0; i < ARRAY_COUNT(none); i++) {
        ck_assert_uint_eq(virtio_queue_size_max(world.virtio, none[i]), 0);
        ck_assert_uint_eq(virtio_queue_size(world.virtio, none[i]), 0);
        virtio_set_queue_size(world.virtio, none[i], 8);
        virtio_set_queue_address(world.virtio, none[i], VIRTIO_QUEUE_DEVICE, 0, 8);
        virtio_enable_queue(world.virtio, none[i]);
        virtio_notify(world.virtio, none[i]);
        virtio_reset_queue(world.virtio, none[i]);
        virtio_disable_queue(world.virtio, none[i]);
        ck_assert(!virtio_queue_is_enabled(world.virtio, none[i]));
        ck_assert_int_eq(virtio_queue_event_fd(world.virtio, none[i]), -1);
    }
    virtio_notify(world.virtio, 1); /* one that the driver did not enable */
    must_echo(&world, 0, "still here");
    teardown(&world);
}
END_TEST

START_TEST(one_queue_is_reset_and_comes_back)
{
    struct world world;
    setup(&world, true);
    virtio_driver_start(&world.driver, VIRTIO_FEATURES_CORE, 2, 8);
    must_echo(&world, 0, "zero");
    must_echo(&world, 1, "one");
    lock_acquire(virtio_lock(world.virtio));
    virtio_reset_queue(world.virtio, 1);
    lock_release(virtio_lock(world.virtio));
    ck_assert(!virtio_queue_is_enabled(world.virtio, 1));
    ck_assert_uint_eq(world.drains, 1);
    must_echo(&world, 0, "zero again");
    virtio_driver_enable(&world.driver, 1, 4);
    must_echo(&world, 1, "one again");
    teardown(&world);
}
END_TEST

START_TEST(no_queue_is_reset_unless_that_was_negotiated)
{
    struct world world;
    setup(&world, false);
    virtio_driver_start(&world.driver, 0, 1, 8);
    virtio_reset_queue(world.virtio, 0);
    ck_assert(virtio_queue_is_enabled(world.virtio, 0));
    must_echo(&world, 0, "running");
    teardown(&world);
}
END_TEST

/* ---- Broken drivers ---- */

static void must_need_reset(struct world *world)
{
    ck_assert(virtio_status(world->virtio) & VIRTIO_NEEDS_RESET);
    ck_assert_uint_eq(virtio_driver_config_interrupts(&world->driver), 1);
    virtio_driver_set_status(&world->driver, 0);
    ck_assert_uint_eq(virtio_status(world->virtio), 0);
    virtio_driver_start(&world->driver, 0, 2, 8);
    must_echo(world, 0, "as new");
}

START_TEST(a_broken_ring_needs_a_reset)
{
    struct world world;
    const struct driver_buffer bad = {.gpa = RAM_BYTES, .len = 1}, good = {.gpa = DATA_GPA, .len = 1};
    setup(&world, false);
    virtio_driver_start(&world.driver, 0, 2, 8);
    virtio_driver_send(&world.driver, 0, &bad, 1);
    ck_assert_uint_eq(virtio_driver_interrupts(&world.driver, 0), 1); /* it got its buffer back */
    virtio_driver_send(&world.driver, 1, &good, 1);
    must_stay_silent(&world, 1); /* 2.1.2: no queue gives chains any more */
    must_need_reset(&world);
    teardown(&world);
}
END_TEST

START_TEST(a_ring_outside_ram_needs_a_reset)
{
    struct world world;
    setup(&world, false);
    virtio_driver_negotiate(&world.driver, 0);
    virtio_set_queue_address(world.virtio, 0, VIRTIO_QUEUE_DESCRIPTOR, 1, 1);
    virtio_enable_queue(world.virtio, 0);
    virtio_driver_ready(&world.driver);
    ck_assert(!world.virtio->queues[0].is_running);
    virtio_notify(world.virtio, 0);
    must_need_reset(&world);
    teardown(&world);
}
END_TEST

/* ---- Configuration space ---- */

START_TEST(configuration_ends_where_it_ends)
{
    struct world world;
    setup(&world, false);
    for (unsigned i = 0; i < CONFIG_LEN; i++)
        world.config[i] = (uint8_t)(0x10 + i);
    ck_assert_uint_eq(virtio_config_read(world.virtio, 0, 8), 0x1716151413121110);
    ck_assert_uint_eq(virtio_config_read(world.virtio, 11, 1), 0x1b);
    ck_assert_uint_eq(virtio_config_read(world.virtio, 10, 4), 0);
    ck_assert_uint_eq(virtio_config_read(world.virtio, 12, 1), 0);
    ck_assert_uint_eq(virtio_config_read(world.virtio, UINT32_MAX, 8), 0);
    virtio_config_write(world.virtio, 10, 2, 0xabcd);
    virtio_config_write(world.virtio, 10, 4, 0);
    virtio_config_write(world.virtio, UINT32_MAX, 8, 0);
    ck_assert_uint_eq(virtio_config_read(world.virtio, 10, 2), 0xabcd);
    teardown(&world);
}
END_TEST

START_TEST(a_change_has_a_generation_and_an_interrupt)
{
    struct world world;
    setup(&world, false);
    uint32_t before = virtio_config_generation(world.virtio);
    virtio_config_changed(world.virtio);
    ck_assert_uint_ne(virtio_config_generation(world.virtio), before);
    ck_assert_uint_eq(virtio_driver_config_interrupts(&world.driver), 0); /* nobody is ready for it */
    virtio_driver_start(&world.driver, 0, 0, 0);
    virtio_config_changed(world.virtio);
    ck_assert_uint_eq(virtio_driver_config_interrupts(&world.driver), 1);
    teardown(&world);
}
END_TEST

/* ---- Notifications ---- */

START_TEST(both_ways_of_a_notification_are_counted)
{
    struct world world;
    struct virtio_counts counts;
    uint64_t one = 1;
    uint16_t id;
    setup(&world, true);
    virtio_driver_start(&world.driver, 0, 1, 8);
    must_echo(&world, 0, "by a register");
    const struct driver_buffer buffer = {.gpa = DATA_GPA, .len = 1};
    driver_queue_add(&world.driver.queues[0], &buffer, 1, false);
    int fd = virtio_queue_event_fd(world.virtio, 0);
    ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one)); /* as KVM does */
    virtio_driver_wait(&world.driver, 0, &id);
    struct pollfd unread = {.fd = fd, .events = POLLIN}; /* an earlier ring may have brought the chain */
    for (unsigned ms = 0; ms < 5000 && poll(&unread, 1, 0); ms++)
        usleep(1000);
    virtio_driver_set_status(&world.driver, 0);
    virtio_get_counts(world.virtio, &counts);
    ck_assert_uint_eq(counts.notifies, 1);
    ck_assert_uint_eq(counts.doorbells, 1);
    ck_assert_uint_eq(counts.chains, 2);
    ck_assert_uint_eq(counts.interrupts + counts.suppressed, 2);
    teardown(&world);
}
END_TEST

/* ---- Registers in every order, while the device's thread works on what they say ---- */

struct storm {
    struct world world;
    uint64_t random;
};

static uint32_t any(struct storm *storm)
{
    static const uint32_t values[] = {0,      1,      2,          8,          64,        0x1000, 0x2000,
                                      0x3000, 0xffff, 0x10000000, UINT32_MAX, RAM_BYTES, 0x80,   0xf};
    uint64_t random = fake_random(&storm->random);
    return random & 3 ? values[(random >> 8) % ARRAY_COUNT(values)] : (uint32_t)(random >> 20);
}

static void any_register(struct storm *storm)
{
    struct virtio *virtio = storm->world.virtio;
    unsigned queue = any(storm) % 6;
    switch (fake_random(&storm->random) % 12) {
    case 0:
        virtio_set_status(virtio, (uint8_t)any(storm));
        return;
    case 1:
        virtio_set_status(virtio, 0xf);
        return;
    case 2:
        virtio_accept_features(virtio, any(storm) % 3, any(storm));
        return;
    case 3:
        virtio_accept_features(virtio, 1, any(storm) & 4 ? 1 : 5); /* VERSION_1, RING_PACKED */
        return;
    case 4:
        virtio_set_queue_size(virtio, queue, (uint16_t)any(storm));
        return;
    case 5:
    case 6:
        virtio_set_queue_address(virtio, queue, any(storm) % 3, any(storm) % 8 == 0, any(storm));
        return;
    case 7:
        virtio_enable_queue(virtio, queue);
        return;
    case 8:
        virtio_disable_queue(virtio, queue);
        return;
    case 9:
        virtio_reset_queue(virtio, queue);
        return;
    case 10:
        virtio_config_changed(virtio);
        return;
    default:
        virtio_notify(virtio, queue);
    }
}

/* Rings that mostly have something available, or look like that. */
static void scribble(struct storm *storm)
{
    uint8_t *ram = guest_mem_ptr(storm->world.memory, 0, RAM_BYTES);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t random = fake_random(&storm->random);
        uint16_t *word = (uint16_t *)(void *)(ram + (random % 0x4000 & ~1ull));
        __atomic_store_n(word, (uint16_t)(random >> 32 & random >> 48), __ATOMIC_RELAXED);
    }
}

START_TEST(registers_in_every_order)
{
    static struct storm storm;
    unsigned long long seed = test_seed();
    for (unsigned has_loop = 0; has_loop < 2; has_loop++) {
        storm.random = seed * 2 + 1;
        setup(&storm.world, has_loop);
        for (unsigned long i = test_cases(20000); i; i--) {
            scribble(&storm);
            lock_acquire(virtio_lock(storm.world.virtio));
            any_register(&storm);
            lock_release(virtio_lock(storm.world.virtio));
        }
        virtio_driver_start(&storm.world.driver, VIRTIO_FEATURES_CORE, 2, 8);
        must_echo(&storm.world, 0, "whatever was before");
        teardown(&storm.world);
    }
}
END_TEST

/* ---- Threads: a driver that resets a queue while another thread keeps it busy ---- */

static void *notify_always(void *argument)
{
    struct world *world = argument;
    for (unsigned i = 0; i < 2000; i++) {
        lock_acquire(virtio_lock(world->virtio));
        virtio_notify(world->virtio, 0);
        lock_release(virtio_lock(world->virtio));
    }
    return NULL;
}

START_TEST(queues_stop_while_they_are_used)
{
    for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
        struct world world;
        pthread_t thread;
        setup(&world, true);
        virtio_driver_start(&world.driver,
                            VIRTIO_F_RING_RESET | VIRTIO_F_EVENT_IDX | (is_packed ? VIRTIO_F_RING_PACKED : 0),
                            1, 8);
        ck_assert_int_eq(pthread_create(&thread, NULL, notify_always, &world), 0);
        for (unsigned i = 0; i < 200; i++) {
            must_echo(&world, 0, "used");
            send(&world, 0, "in flight, perhaps");
            lock_acquire(virtio_lock(world.virtio));
            if (i & 1)
                virtio_reset_queue(world.virtio, 0);
            else
                virtio_disable_queue(world.virtio, 0);
            lock_release(virtio_lock(world.virtio));
            virtio_driver_enable(&world.driver, 0, 8);
        }
        pthread_join(thread, NULL);
        ck_assert_uint_eq(world.drains, 200);
        teardown(&world);
    }
}
END_TEST

START_TEST(odd_configurations_are_refused)
{
    struct vmm_error error;
    struct virtio *virtio;
    struct virtio_config config = {.name = "odd", .queue_count = 0, .queue_size = 8, .ops = &echo_ops};
    ck_assert_int_eq(virtio_create(&config, &virtio, &error), -EINVAL);
    config.queue_count = VIRTIO_QUEUES_MAX + 1;
    ck_assert_int_eq(virtio_create(&config, &virtio, &error), -EINVAL);
    config.queue_count = 1;
    config.queue_size = 12;
    ck_assert_int_eq(virtio_create(&config, &virtio, &error), -EINVAL);
    ck_assert(strstr(error.message, "12"));
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, features_are_what_was_offered);
    test_add(suite, features_are_final);
    test_add(suite, no_step_without_the_one_before);
    test_add(suite, features_wait_for_the_driver);
    test_add(suite, nothing_is_looked_at_before_driver_ok);
    test_add(suite, a_reset_forgets_everything);
    test_add(suite, registers_of_an_enabled_queue_stay);
    test_add(suite, a_queue_that_is_none);
    test_add(suite, one_queue_is_reset_and_comes_back);
    test_add(suite, no_queue_is_reset_unless_that_was_negotiated);
    test_add(suite, a_broken_ring_needs_a_reset);
    test_add(suite, a_ring_outside_ram_needs_a_reset);
    test_add(suite, configuration_ends_where_it_ends);
    test_add(suite, a_change_has_a_generation_and_an_interrupt);
    test_add(suite, both_ways_of_a_notification_are_counted);
    test_add_slow(suite, registers_in_every_order, 120);
    test_add_slow(suite, queues_stop_while_they_are_used, 120);
    test_add(suite, odd_configurations_are_refused);
}
