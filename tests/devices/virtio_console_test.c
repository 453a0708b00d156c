/* SPDX-License-Identifier: MIT
 *
 * The console device between a driver in C and character backends on pipes.
 */
#include "devices/virtio-console/virtio_console.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/devices/fake.h"
#include "tests/devices/virtio_driver.h"

#define RAM_BYTES   (16 * MIB)
#define RING_GPA    0x10000u
#define RECEIVE_GPA 0x800000u
#define SEND_GPA    0xa00000u
#define CONTROL_GPA 0xb00000u
#define QUEUE_SIZE  16
#define WAIT_MS     20000

enum { READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, OPEN, NAME };

struct world {
    struct guest_memory *memory;
    struct event_loop *loop;
    struct char_backend *backends[3];
    int input[3], output[3]; /* the far ends */
    int near[3][2];
    struct virtio_console *console;
    struct virtio_driver driver;
};

static void create(struct world *world, unsigned port_count, bool is_console)
{
    static const char *const names[] = {NULL, "org.example.1", NULL};
    struct virtio_console_port ports[3];
    *world = (struct world){0};
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &world->memory, NULL), 0);
    ck_assert_int_eq(event_loop_create(&world->loop, NULL), 0);
    ck_assert_int_eq(event_loop_start(world->loop, NULL), 0);
    for (unsigned i = 0; i < port_count; i++) {
        int in[2], out[2];
        ck_assert(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
        world->input[i] = in[1];
        world->output[i] = out[0];
        world->near[i][0] = in[0];
        world->near[i][1] = out[1];
        const struct char_config config = {
            .kind = CHAR_DESCRIPTORS, .loop = world->loop, .in_fd = in[0], .out_fd = out[1]};
        ck_assert_int_eq(char_backend_create(&config, &world->backends[i], NULL), 0);
        ports[i] = (struct virtio_console_port){
            .backend = world->backends[i], .name = names[i], .is_console = i == 0 && is_console};
    }
    const struct virtio_console_config config = {
        .memory = world->memory, .loop = world->loop, .ports = ports, .port_count = port_count};
    ck_assert_int_eq(virtio_console_create(&config, &world->console, NULL), 0);
    virtio_driver_init(&world->driver, virtio_console_virtio(world->console), RING_GPA);
}

static void destroy(struct world *world)
{
    virtio_console_destroy(world->console);
    for (unsigned i = 0; i < 3; i++) {
        char_backend_destroy(world->backends[i]);
        for (unsigned j = 0; world->backends[i] && j < 2; j++)
            close(world->near[i][j]);
        if (world->backends[i]) {
            close(world->input[i]);
            close(world->output[i]);
        }
    }
    event_loop_destroy(world->loop);
    guest_memory_destroy(world->memory);
}

static void offer(struct world *world, unsigned queue, uint32_t len)
{
    const struct driver_buffer buffer = {
        .gpa = RECEIVE_GPA + queue * 0x10000u, .len = len, .device_writes = true};
    virtio_driver_send(&world->driver, queue, &buffer, 1);
}

static void must_receive(struct world *world, unsigned queue, const char *text)
{
    char got[256] = "";
    uint16_t id;
    uint32_t len = virtio_driver_wait(&world->driver, queue, &id);
    ck_assert_int_eq(guest_mem_read(world->memory, RECEIVE_GPA + queue * 0x10000u, got, len), 0);
    ck_assert_str_eq(got, text);
}

static void type(struct world *world, unsigned port, const char *text)
{
    ck_assert_int_eq(write(world->input[port], text, strlen(text)), (ssize_t)strlen(text));
}

static void say(struct world *world, unsigned queue, const char *text)
{
    const uint32_t len = (uint32_t)strlen(text);
    const struct driver_buffer buffers[] = {{.gpa = SEND_GPA, .len = 1},
                                            {.gpa = SEND_GPA + 1, .len = len - 1}};
    uint16_t id;
    ck_assert_int_eq(guest_mem_write(world->memory, SEND_GPA, text, len), 0);
    virtio_driver_send(&world->driver, queue, buffers, 2);
    ck_assert_uint_eq(virtio_driver_wait(&world->driver, queue, &id), 0);
}

static void must_print(struct world *world, unsigned port, const char *text)
{
    char got[256] = "";
    size_t len = 0;
    while (len < strlen(text)) {
        struct pollfd poll_fd = {.fd = world->output[port], .events = POLLIN};
        ck_assert_msg(poll(&poll_fd, 1, WAIT_MS) == 1, "port %u prints only '%s'", port, got);
        ssize_t part = read(world->output[port], got + len, sizeof(got) - 1 - len);
        ck_assert_int_gt(part, 0);
        len += (size_t)part;
    }
    ck_assert_str_eq(got, text);
}

static void tell(struct world *world, uint32_t id, unsigned event, unsigned value)
{
    uint8_t bytes[8];
    uint16_t chain;
    const struct driver_buffer buffer = {.gpa = CONTROL_GPA, .len = 8};
    store_le32(bytes, id);
    store_le16(bytes + 4, (uint16_t)event);
    store_le16(bytes + 6, (uint16_t)value);
    ck_assert_int_eq(guest_mem_write(world->memory, CONTROL_GPA, bytes, 8), 0);
    virtio_driver_send(&world->driver, 3, &buffer, 1);
    virtio_driver_wait(&world->driver, 3, &chain);
}

/* The next control message, and what is behind its 8 bytes. */
static void must_hear(struct world *world, uint32_t id, unsigned event, unsigned value, const char *rest)
{
    uint8_t bytes[64] = {0};
    uint16_t chain;
    offer(world, 2, 64);
    uint32_t len = virtio_driver_wait(&world->driver, 2, &chain);
    ck_assert_int_eq(guest_mem_read(world->memory, RECEIVE_GPA + 0x20000, bytes, len), 0);
    ck_assert_uint_eq(load_le32(bytes), id);
    ck_assert_uint_eq(load_le16(bytes + 4), event);
    ck_assert_uint_eq(load_le16(bytes + 6), value);
    ck_assert_uint_eq(len, 8 + strlen(rest));
    ck_assert_int_eq(memcmp(bytes + 8, rest, strlen(rest)), 0);
}

static const uint64_t feature_sets[] = {0, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED,
                                        VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX};

START_TEST(one_console_is_a_stream_in_both_directions)
{
    for (unsigned i = 0; i < ARRAY_COUNT(feature_sets); i++) {
        struct world world;
        create(&world, 1, true);
        ck_assert_uint_eq(virtio_queue_size_max(world.driver.virtio, 2), 0);
        virtio_driver_start(&world.driver, feature_sets[i], 2, QUEUE_SIZE);
        for (unsigned n = 0; n < 50; n++) {
            offer(&world, 0, 100);
            type(&world, 0, "typed");
            must_receive(&world, 0, "typed");
            say(&world, 1, "said\n");
            must_print(&world, 0, "said\n");
        }
        destroy(&world);
    }
}
END_TEST

START_TEST(input_waits_for_buffers_and_fills_them)
{
    struct world world;
    create(&world, 1, true);
    virtio_driver_start(&world.driver, 0, 2, QUEUE_SIZE);
    type(&world, 0, "abcdefgh");
    offer(&world, 0, 3);
    must_receive(&world, 0, "abc");
    offer(&world, 0, 3);
    must_receive(&world, 0, "def");
    offer(&world, 0, 3);
    must_receive(&world, 0, "gh");
    destroy(&world);
}
END_TEST

START_TEST(a_buffer_without_room_comes_back)
{
    struct world world;
    const struct driver_buffer buffer = {.gpa = SEND_GPA, .len = 4};
    uint16_t id;
    create(&world, 1, true);
    virtio_driver_start(&world.driver, 0, 2, QUEUE_SIZE);
    virtio_driver_send(&world.driver, 0, &buffer, 1); /* only readable, in the receive queue */
    type(&world, 0, "x");
    ck_assert_uint_eq(virtio_driver_wait(&world.driver, 0, &id), 0);
    offer(&world, 0, 8);
    must_receive(&world, 0, "x");
    destroy(&world);
}
END_TEST

START_TEST(buffers_come_back_with_a_reset_and_input_stays)
{
    struct world world;
    uint16_t id;
    create(&world, 1, true);
    virtio_driver_start(&world.driver, VIRTIO_F_RING_RESET, 2, QUEUE_SIZE);
    offer(&world, 0, 8);
    offer(&world, 0, 8);
    lock_acquire(virtio_lock(world.driver.virtio));
    virtio_reset_queue(world.driver.virtio, 0);
    lock_release(virtio_lock(world.driver.virtio));
    uint32_t written;
    while (driver_queue_take(&world.driver.queues[0], &id, &written))
        ck_assert_uint_eq(written, 0); /* the one that waited for input, if it had been looked at */
    type(&world, 0, "kept");
    virtio_driver_enable(&world.driver, 0, QUEUE_SIZE);
    offer(&world, 0, 8);
    must_receive(&world, 0, "kept");
    virtio_driver_start(&world.driver, 0, 2, QUEUE_SIZE);
    type(&world, 0, "again");
    offer(&world, 0, 8);
    must_receive(&world, 0, "again");
    destroy(&world);
}
END_TEST

START_TEST(the_size_is_in_the_configuration)
{
    struct world world;
    create(&world, 1, true);
    struct virtio *virtio = world.driver.virtio;
    virtio_driver_start(&world.driver, 1, 2, QUEUE_SIZE);
    virtio_console_resize(world.console, 132, 43);
    virtio_console_resize(world.console, 132, 43);
    ck_assert_uint_eq(virtio_driver_config_interrupts(&world.driver), 1);
    ck_assert_uint_eq(virtio_config_read(virtio, 0, 2), 132);
    ck_assert_uint_eq(virtio_config_read(virtio, 2, 2), 43);
    ck_assert_uint_eq(virtio_config_read(virtio, 4, 4), 1);
    virtio_driver_start(&world.driver, 1, 2, QUEUE_SIZE);
    say(&world, 1, "hello\n"); /* a driver that was not told yet is, with its first output */
    say(&world, 1, "hello\n");
    must_print(&world, 0, "hello\nhello\n");
    ck_assert_uint_eq(virtio_driver_config_interrupts(&world.driver), 2);
    destroy(&world);
}
END_TEST

START_TEST(an_emergency_write_needs_no_queue)
{
    struct world world;
    create(&world, 1, true);
    virtio_config_write(world.driver.virtio, 8, 4, '!');
    virtio_config_write(world.driver.virtio, 8, 1, '\n');
    virtio_config_write(world.driver.virtio, 0, 4, 'x');
    must_print(&world, 0, "!\n");
    destroy(&world);
}
END_TEST

START_TEST(ports_are_told_by_control_messages)
{
    for (unsigned i = 0; i < ARRAY_COUNT(feature_sets); i++) {
        struct world world;
        create(&world, 3, true);
        virtio_console_resize(world.console, 0x4142, 0x4344);
        virtio_driver_start(&world.driver, feature_sets[i] | 2, 8, QUEUE_SIZE);
        tell(&world, UINT32_MAX, READY, 1);
        for (unsigned port = 0; port < 3; port++)
            must_hear(&world, port, ADD, 0, "");
        tell(&world, 0, PORT_READY, 1);
        must_hear(&world, 0, CONSOLE, 1, "");
        must_hear(&world, 0, OPEN, 1, "");
        must_hear(&world, 0, RESIZE, 1, "BADC");
        tell(&world, 1, PORT_READY, 1);
        must_hear(&world, 1, NAME, 1, "org.example.1");
        must_hear(&world, 1, OPEN, 1, "");
        virtio_console_resize(world.console, 0x3132, 0x3334);
        must_hear(&world, 0, RESIZE, 1, "2143");
        ck_assert_uint_eq(virtio_driver_config_interrupts(&world.driver), 0);
        destroy(&world);
    }
}
END_TEST

START_TEST(a_port_gets_input_once_it_is_open)
{
    struct world world;
    uint16_t id;
    uint32_t written;
    create(&world, 2, false);
    virtio_driver_start(&world.driver, 2, 6, QUEUE_SIZE);
    type(&world, 1, "early");
    offer(&world, 4, 16);
    tell(&world, 1, OPEN, 0);
    ck_assert(!driver_queue_take(&world.driver.queues[4], &id, &written));
    tell(&world, 1, OPEN, 1);
    must_receive(&world, 4, "early");
    say(&world, 5, "back\n");
    must_print(&world, 1, "back\n");
    destroy(&world);
}
END_TEST

START_TEST(messages_of_no_sense_change_nothing)
{
    static const uint32_t ids[] = {0, 1, 2, 3, 0x80000000, UINT32_MAX};
    struct world world;
    const struct driver_buffer tiny = {.gpa = CONTROL_GPA, .len = 7};
    uint16_t id;
    create(&world, 3, true);
    virtio_driver_start(&world.driver, 2, 8, QUEUE_SIZE);
    for (unsigned event = 0; event < 20; event++)
        for (unsigned i = 0; i < ARRAY_COUNT(ids); i++)
            tell(&world, ids[i], event, event & 1);
    virtio_driver_send(&world.driver, 3, &tiny, 1);
    virtio_driver_wait(&world.driver, 3, &id);
    for (unsigned i = 0; i < 1000; i++) /* and never reads what it asks for */
        tell(&world, 0, READY, 1);
    offer(&world, 2, 4); /* too short for a message: cut off */
    ck_assert_uint_eq(virtio_driver_wait(&world.driver, 2, &id), 4);
    ck_assert(!(virtio_status(world.driver.virtio) & VIRTIO_NEEDS_RESET));
    destroy(&world);
}
END_TEST

START_TEST(much_output_comes_whole)
{
    static char sent[200000], got[200000];
    struct world world;
    size_t len = 0;
    create(&world, 1, true);
    virtio_driver_start(&world.driver, 0, 2, QUEUE_SIZE);
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i % 251);
    ck_assert_int_eq(guest_mem_write(world.memory, SEND_GPA, sent, sizeof(sent)), 0);
    const struct driver_buffer buffer = {.gpa = SEND_GPA, .len = sizeof(sent)};
    virtio_driver_send(&world.driver, 1, &buffer, 1);
    while (len < sizeof(got)) {
        ssize_t part = read(world.output[0], got + len, sizeof(got) - len);
        ck_assert_int_gt(part, 0);
        len += (size_t)part;
    }
    ck_assert_int_eq(memcmp(sent, got, sizeof(sent)), 0);
    destroy(&world);
}
END_TEST

START_TEST(odd_configurations_are_refused)
{
    struct vmm_error error;
    struct virtio_console *console;
    const struct virtio_console_port port = {.name = "a-name-that-is-longer-than-31-chars"};
    struct virtio_console_config config = {.ports = &port};
    ck_assert_int_eq(virtio_console_create(&config, &console, &error), -EINVAL);
    config.port_count = VIRTIO_CONSOLE_PORTS_MAX + 1;
    ck_assert_int_eq(virtio_console_create(&config, &console, &error), -EINVAL);
    config.port_count = 1;
    ck_assert_int_eq(virtio_console_create(&config, &console, &error), -EINVAL);
    ck_assert(strstr(error.message, port.name));
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, one_console_is_a_stream_in_both_directions, 60);
    test_add(suite, input_waits_for_buffers_and_fills_them);
    test_add(suite, a_buffer_without_room_comes_back);
    test_add(suite, buffers_come_back_with_a_reset_and_input_stays);
    test_add(suite, the_size_is_in_the_configuration);
    test_add(suite, an_emergency_write_needs_no_queue);
    test_add_slow(suite, ports_are_told_by_control_messages, 60);
    test_add(suite, a_port_gets_input_once_it_is_open);
    test_add_slow(suite, messages_of_no_sense_change_nothing, 60);
    test_add(suite, much_output_comes_whole);
    test_add(suite, odd_configurations_are_refused);
}
