/* SPDX-License-Identifier: MIT
 *
 * The PCI transport as a driver meets it: capabilities, registers in every width, vectors, the ISR status and
 * the pin, the window in configuration space, doorbells of queues. The device answers each buffer at once.
 */
#include "devices/virtio/virtio_pci.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "tests/devices/pci_fixture.h"

#define RAM_BYTES (256 * KIB)
#define QUEUES    3
#define TABLE     0x1000
#define AVAIL     0x2000
#define USED      0x3000

/* Offsets of the common configuration, spelled out. */
enum {
    FEATURE_SELECT = 0x00,
    FEATURE = 0x04,
    DRIVER_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    SELECT = 0x16,
    SIZE = 0x18,
    VECTOR = 0x1a,
    ENABLE = 0x1c,
    NOTIFY_OFF = 0x1e,
    DESC = 0x20,
    RESET = 0x3a,
};

static struct fake_pci fake;
static struct guest_memory *memory;
static struct virtio *virtio;
static struct virtio_pci *transport;
static struct event_loop *loop;
static uint8_t space[24];
static unsigned notify_counts[QUEUES];
static uint64_t common, isr, device, notify;
static uint32_t notify_multiplier;
static unsigned window;

static void space_read(void *context, uint32_t offset, void *to, unsigned len)
{
    (void)context;
    memcpy(to, space + offset, len);
}

static void space_write(void *context, uint32_t offset, const void *from, unsigned len)
{
    (void)context;
    memcpy(space + offset, from, len);
}

static void on_notify(void *context, unsigned queue)
{
    struct iovec segments[4];
    struct queue_chain chain = {.segments = segments, .capacity = 4};
    (void)context;
    notify_counts[queue]++;
    while (virtio_queue_pop(virtio, queue, &chain) == QUEUE_CHAIN) {
        virtio_queue_push(virtio, queue, &chain, chain.in_bytes);
        virtio_queue_flush(virtio, queue);
    }
}

static const struct virtio_ops ops = {
    .config_read = space_read, .config_write = space_write, .notify = on_notify};

/* The structure of this kind: where it is, by its capability (4.1.4). */
static uint64_t find_structure(unsigned kind, uint32_t *len, unsigned *at)
{
    for (*at = capability_find(&fake, 1, 0x09, 0); *at; *at = capability_find(&fake, 1, 0x09, *at)) {
        if (config_read(&fake, 1, *at + 3, 1) != kind)
            continue;
        uint64_t base = bar_get(&fake, 1, config_read(&fake, 1, *at + 4, 1)) & ~0xfull;
        *len = config_read(&fake, 1, *at + 12, 4);
        return base + config_read(&fake, 1, *at + 8, 4);
    }
    ck_abort_msg("there is no capability of kind %u", kind);
}

static void find_structures(void)
{
    uint32_t len;
    unsigned at;
    common = find_structure(1, &len, &at);
    ck_assert_uint_eq(len, 0x3c);
    isr = find_structure(3, &len, &at);
    ck_assert_uint_ge(len, 1);
    device = find_structure(4, &len, &at);
    ck_assert_uint_ge(len, sizeof(space));
    notify = find_structure(2, &len, &at);
    notify_multiplier = config_read(&fake, 1, at + 16, 4);
    ck_assert_uint_ge(len, (QUEUES - 1) * notify_multiplier + 2);
    ck_assert_uint_eq(config_read(&fake, 1, at + 2, 1), 20);
    find_structure(5, &len, &window);
    ck_assert_uint_eq(config_read(&fake, 1, window + 2, 1), 20);
}

static void set_up_with(struct event_loop *with_loop, bool has_msi)
{
    const struct virtio_config config = {.name = "thing",
                                         .type = VIRTIO_ID_BLOCK,
                                         .features = 1 << 5,
                                         .queue_count = QUEUES,
                                         .queue_size = 128,
                                         .config_len = sizeof(space),
                                         .loop = with_loop,
                                         .ops = &ops};
    fake_pci_init_with(&fake, has_msi);
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL), 0);
    struct virtio_config with_memory = config;
    with_memory.memory = memory;
    ck_assert_int_eq(virtio_create(&with_memory, &virtio, NULL), 0);
    const struct virtio_pci_config pci_config = {.pci = fake.pci, .virtio = virtio};
    ck_assert_int_eq(virtio_pci_create(&pci_config, &transport, NULL), 0);
    ck_assert_int_eq(pci_assign(fake.pci, NULL), 0);
    find_structures();
}

static void set_up(void)
{
    set_up_with(NULL, true);
}

static void tear_down(void)
{
    virtio_pci_destroy(transport);
    virtio_destroy(virtio);
    guest_memory_destroy(memory);
    fake_pci_fini(&fake);
    ck_assert_uint_eq(fake.doorbell_count, 0);
}

static uint64_t get(uint64_t base, unsigned offset, unsigned size)
{
    return bus_read(fake.memory, base + offset, size);
}

static void put(uint64_t base, unsigned offset, unsigned size, uint64_t value)
{
    bus_write(fake.memory, base + offset, size, value);
}

static void accept_features(uint64_t features)
{
    put(common, STATUS, 1, 0);
    put(common, STATUS, 1, 1);
    put(common, STATUS, 1, 3);
    for (unsigned word = 0; word < 2; word++) {
        put(common, DRIVER_SELECT, 4, word);
        put(common, DRIVER_FEATURE, 4, features >> (32 * word) & UINT32_MAX);
    }
    put(common, STATUS, 1, 0xb);
    ck_assert_uint_eq(get(common, STATUS, 1), 0xb);
}

static void set_queue(unsigned queue, uint16_t vector)
{
    put(common, SELECT, 2, queue);
    put(common, SIZE, 2, 8);
    put(common, DESC, 8, TABLE);
    put(common, DESC + 8, 4, AVAIL);
    put(common, DESC + 16, 4, USED);
    put(common, VECTOR, 2, vector);
    put(common, ENABLE, 2, 1);
}

/* Negotiates, and starts with queue 1 alone. */
static void start(uint16_t vector, uint16_t config_vector)
{
    accept_features(VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET);
    put(common, CONFIG_VECTOR, 2, config_vector);
    set_queue(1, vector);
    put(common, STATUS, 1, 0xf);
    ck_assert_uint_eq(get(common, STATUS, 1), 0xf);
}

/* Makes one buffer available in queue 1, and notifies. */
static void submit(void)
{
    uint8_t descriptor[16] = {0}, bytes[2];
    static uint16_t index;
    store_le64(descriptor, 0x8000);
    store_le32(descriptor + 8, 16);
    store_le16(descriptor + 12, 2); /* the device writes */
    ck_assert_int_eq(guest_mem_write(memory, TABLE, descriptor, sizeof(descriptor)), 0);
    guest_mem_read(memory, USED + 2, bytes, 2);
    index = (uint16_t)(load_le16(bytes) + 1);
    store_le16(bytes, index);
    ck_assert_int_eq(guest_mem_write(memory, AVAIL + 2, bytes, 2), 0);
    put(notify, notify_multiplier, 2, 1);
    guest_mem_read(memory, USED + 2, bytes, 2);
    ck_assert_uint_eq(load_le16(bytes), index);
}

static void enable_msix(void)
{
    unsigned at = capability_find(&fake, 1, 0x11, 0);
    uint64_t table = bar_get(&fake, 1, 2) & ~0xfull;
    for (unsigned vector = 0; vector <= QUEUES; vector++) {
        put(table, 16 * vector, 8, 0xfee00000);
        put(table, 16 * vector + 8, 8, 0x40 + vector); /* unmasked */
    }
    config_write(&fake, 1, at + 2, 2, 0x8000);
}

START_TEST(it_is_a_modern_device)
{
    set_up();
    ck_assert_uint_eq(config_read(&fake, 1, 0, 4), 0x10421af4);
    ck_assert_uint_eq(config_read(&fake, 1, R_CLASS, 4), 0x01800001);
    ck_assert_uint_eq(config_read(&fake, 1, 0x2c, 4), 0x00421af4);
    ck_assert_uint_eq(config_read(&fake, 1, 0x3d, 1), 1);
    unsigned at = capability_find(&fake, 1, 0x11, 0);
    ck_assert_uint_eq(config_read(&fake, 1, at + 2, 2), QUEUES); /* one more, less one */
    tear_down();
}
END_TEST

START_TEST(reset_values)
{
    set_up();
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(get(common, FEATURE_SELECT, 4), 0);
        ck_assert_uint_eq(get(common, FEATURE, 4), 1u << 28 | 1u << 29 | 1u << 5);
        ck_assert_uint_eq(get(common, DRIVER_FEATURE, 4), 0);
        ck_assert_uint_eq(get(common, CONFIG_VECTOR, 2), 0xffff);
        ck_assert_uint_eq(get(common, NUM_QUEUES, 2), QUEUES);
        ck_assert_uint_eq(get(common, STATUS, 1), 0);
        for (unsigned queue = 0; queue < QUEUES; queue++) {
            put(common, SELECT, 2, queue);
            ck_assert_uint_eq(get(common, SIZE, 2), 128);
            ck_assert_uint_eq(get(common, VECTOR, 2), 0xffff);
            ck_assert_uint_eq(get(common, ENABLE, 2), 0);
            ck_assert_uint_eq(get(common, NOTIFY_OFF, 2), queue);
            ck_assert_uint_eq(get(common, DESC, 8), 0);
            ck_assert_uint_eq(get(common, DESC + 8, 8), 0);
            ck_assert_uint_eq(get(common, DESC + 16, 8), 0);
            ck_assert_uint_eq(get(common, RESET, 2), 0);
        }
        start(2, 1);
        put(common, FEATURE_SELECT, 4, 1);
        put(common, STATUS, 1, 0);
        ck_assert_uint_eq(get(common, SELECT, 2), 0);
    }
    put(common, SELECT, 2, QUEUES); /* no such queue */
    ck_assert_uint_eq(get(common, SIZE, 2), 0);
    put(common, VECTOR, 2, 1);
    ck_assert_uint_eq(get(common, VECTOR, 2), 0xffff);
    put(common, ENABLE, 2, 1);
    ck_assert_uint_eq(get(common, ENABLE, 2), 0);
    tear_down();
}
END_TEST

START_TEST(features_have_two_words)
{
    set_up();
    put(common, FEATURE_SELECT, 4, 1);
    ck_assert_uint_eq(get(common, FEATURE, 4) & 1, 1); /* VERSION_1 */
    put(common, FEATURE_SELECT, 4, 2);
    ck_assert_uint_eq(get(common, FEATURE, 4), 0);
    put(common, FEATURE_SELECT, 4, UINT32_MAX);
    ck_assert_uint_eq(get(common, FEATURE, 4), 0);
    accept_features(VIRTIO_F_VERSION_1 | 1 << 5);
    ck_assert_uint_eq(virtio_features(virtio), VIRTIO_F_VERSION_1 | 1 << 5);
    put(common, DRIVER_SELECT, 4, 0);
    ck_assert_uint_eq(get(common, DRIVER_FEATURE, 4), 1 << 5);
    tear_down();
}
END_TEST

/* Any read gets its part of the whole; a write has its field's width, or does nothing. */
START_TEST(widths)
{
    static const unsigned sizes[] = {1, 2, 4, 8};
    uint8_t bytes[0x3c];
    set_up();
    start(2, 1);
    put(common, SELECT, 2, 1);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)get(common, i, 1);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned at = 0; at + sizes[i] <= sizeof(bytes); at++)
            ck_assert_uint_eq(get(common, at, sizes[i]), load_le(bytes + at, sizes[i]));
    ck_assert_uint_eq(get(common, 0x3a, 4), 0);
    ck_assert_uint_eq(get(common, 0xfff, 8), 0);
    put(common, SELECT, 1, 2);
    put(common, SELECT, 4, 2);
    put(common, STATUS, 2, 0);
    put(common, STATUS, 4, 0);
    put(common, FEATURE_SELECT, 2, 1);
    put(common, FEATURE_SELECT, 8, 1);
    put(common, DRIVER_SELECT - 1, 4, 0x100);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        ck_assert_uint_eq(get(common, i, 1), bytes[i]);
    put(common, SELECT, 2, 0);
    put(common, DESC + 4, 4, 0x12);
    put(common, DESC, 4, 0x3000);
    ck_assert_uint_eq(get(common, DESC, 8), 0x1200003000);
    put(common, DESC + 8, 8, 0x3400004000);
    ck_assert_uint_eq(get(common, DESC + 8, 4), 0x4000);
    ck_assert_uint_eq(get(common, DESC + 12, 4), 0x34);
    put(common, DESC + 12, 8, UINT64_MAX);
    ck_assert_uint_eq(get(common, DESC + 8, 8), 0x3400004000);
    tear_down();
}
END_TEST

START_TEST(the_space_of_the_device)
{
    set_up();
    for (unsigned i = 0; i < sizeof(space); i++)
        space[i] = (uint8_t)(i + 1);
    ck_assert_uint_eq(get(device, 0, 8), 0x0807060504030201);
    ck_assert_uint_eq(get(device, 3, 2), 0x0504);
    put(device, 16, 4, 0xaabbccdd);
    ck_assert_uint_eq(load_le32(space + 16), 0xaabbccdd);
    ck_assert_uint_eq(get(device, sizeof(space), 4), 0);
    put(device, sizeof(space), 4, 1);
    uint8_t before = (uint8_t)get(common, GENERATION, 1);
    virtio_config_changed(virtio);
    ck_assert_uint_ne(get(common, GENERATION, 1), before);
    tear_down();
}
END_TEST

START_TEST(vectors_are_kept_or_refused)
{
    set_up();
    for (unsigned vector = 0; vector < 0x10000; vector += vector < 8 ? 1 : 0xff7) {
        put(common, CONFIG_VECTOR, 2, vector);
        ck_assert_uint_eq(get(common, CONFIG_VECTOR, 2), vector <= QUEUES ? vector : 0xffff);
        put(common, SELECT, 2, 2);
        put(common, VECTOR, 2, vector);
        ck_assert_uint_eq(get(common, VECTOR, 2), vector <= QUEUES ? vector : 0xffff);
    }
    tear_down();
}
END_TEST

START_TEST(messages_go_to_their_vectors)
{
    set_up();
    enable_msix();
    start(2, 1);
    fake.msi_count = 0;
    submit();
    ck_assert_uint_eq(fake.msi_count, 1);
    ck_assert_uint_eq(fake.msi_data, 0x42);
    ck_assert(!fake.irqs[1].level);
    ck_assert_uint_eq(get(isr, 0, 1), 0);
    virtio_config_changed(virtio);
    ck_assert_uint_eq(fake.msi_count, 2);
    ck_assert_uint_eq(fake.msi_data, 0x41);
    ck_assert_uint_eq(get(isr, 0, 1), 2);
    put(common, SELECT, 2, 1);
    put(common, VECTOR, 2, 0xffff); /* nobody is told any more */
    submit();
    ck_assert_uint_eq(fake.msi_count, 2);
    tear_down();
}
END_TEST

static void check_pin(void)
{
    start(0xffff, 0xffff);
    submit();
    ck_assert(fake.irqs[1].level);
    ck_assert_uint_eq(config_read(&fake, 1, R_STATUS, 2) & S_INTERRUPT, S_INTERRUPT);
    virtio_config_changed(virtio);
    put(isr, 0, 1, 0);
    ck_assert(fake.irqs[1].level);
    ck_assert_uint_eq(get(isr, 1, 1), 0);
    ck_assert_uint_eq(get(isr, 0, 1), 3);
    ck_assert(!fake.irqs[1].level);
    ck_assert_uint_eq(get(isr, 0, 1), 0);
    submit();
    ck_assert_uint_eq(get(isr, 0, 4), 1);
    submit();
    ck_assert(fake.irqs[1].level);
    put(common, STATUS, 1, 0);
    ck_assert(!fake.irqs[1].level);
    ck_assert_uint_eq(fake.msi_count, 0);
}

START_TEST(the_pin_follows_the_isr_status)
{
    set_up();
    check_pin();
    tear_down();
}
END_TEST

START_TEST(a_machine_without_messages_has_the_pin)
{
    set_up_with(NULL, false);
    ck_assert_uint_eq(capability_find(&fake, 1, 0x11, 0), 0);
    put(common, CONFIG_VECTOR, 2, 0);
    ck_assert_uint_eq(get(common, CONFIG_VECTOR, 2), 0xffff);
    check_pin();
    tear_down();
}
END_TEST

START_TEST(notifications_go_by_place)
{
    set_up();
    start(0xffff, 0xffff);
    memset(notify_counts, 0, sizeof(notify_counts));
    put(notify, notify_multiplier, 2, 0);
    put(notify, notify_multiplier, 4, 77);
    put(notify, notify_multiplier, 1, 1);
    ck_assert_uint_eq(notify_counts[1], 3);
    put(notify, notify_multiplier + 1, 1, 1);
    put(notify, 0, 2, 1);
    put(notify, QUEUES * notify_multiplier, 2, 1);
    put(notify, 0xffc, 4, 1);
    ck_assert_uint_eq(notify_counts[0] + notify_counts[1] + notify_counts[2], 3);
    ck_assert_uint_eq(get(notify, notify_multiplier, 2), 0);
    tear_down();
}
END_TEST

START_TEST(a_queue_is_reset_alone)
{
    set_up();
    start(2, 1);
    submit();
    put(common, SELECT, 2, 1);
    put(common, RESET, 2, 1);
    ck_assert_uint_eq(get(common, RESET, 2), 0);
    ck_assert_uint_eq(get(common, ENABLE, 2), 0);
    ck_assert_uint_eq(get(common, VECTOR, 2), 0xffff);
    ck_assert_uint_eq(get(common, CONFIG_VECTOR, 2), 1);
    ck_assert_uint_eq(get(common, DESC, 8), 0);
    guest_mem_write(memory, AVAIL, (const uint8_t[8]){0}, 8);
    guest_mem_write(memory, USED, (const uint8_t[8]){0}, 8);
    enable_msix();
    set_queue(1, 3);
    ck_assert_uint_eq(get(common, ENABLE, 2), 1);
    submit();
    ck_assert_uint_eq(fake.msi_data, 0x43);
    tear_down();
}
END_TEST

static uint32_t window_get(unsigned bar, uint64_t offset, uint32_t len)
{
    config_write(&fake, 1, window + 4, 1, bar);
    config_write(&fake, 1, window + 8, 4, (uint32_t)offset);
    config_write(&fake, 1, window + 12, 4, len);
    return config_read(&fake, 1, window + 16, 4);
}

START_TEST(configuration_space_has_a_window)
{
    set_up();
    uint64_t base = bar_get(&fake, 1, 0) & ~0xfull;
    config_write(&fake, 1, R_COMMAND, 2, 0); /* works without memory decoding */
    ck_assert_uint_eq(window_get(0, common - base + NUM_QUEUES, 2), QUEUES);
    ck_assert_uint_eq(window_get(0, common - base + FEATURE, 4), 1u << 28 | 1u << 29 | 1u << 5);
    window_get(0, common - base + SELECT, 2);
    config_write(&fake, 1, window + 16, 2, 2);
    ck_assert_uint_eq(config_read(&fake, 1, window + 16, 2), 2);
    config_write(&fake, 1, window + 16, 1, 1); /* too narrow */
    config_write(&fake, 1, window + 18, 2, 1);
    ck_assert_uint_eq(config_read(&fake, 1, window + 16, 4), 2);
    ck_assert_uint_eq(window_get(0, common - base + NUM_QUEUES, 3), 0);
    ck_assert_uint_eq(window_get(0, common - base + NUM_QUEUES, 0), 0);
    ck_assert_uint_eq(window_get(0, common - base + NUM_QUEUES, UINT32_MAX), 0);
    ck_assert_uint_eq(window_get(0, 0x3ffe, 4), UINT32_MAX);
    ck_assert_uint_eq(window_get(0, UINT32_MAX, 1), 0xff);
    ck_assert_uint_eq(window_get(1, 0, 4), UINT32_MAX);
    ck_assert_uint_eq(window_get(0xff, 0, 4), UINT32_MAX);
    ck_assert_uint_eq(window_get(2, 12, 4), 1); /* a masked vector */
    config_write(&fake, 1, window, 4, UINT32_MAX);
    ck_assert_uint_eq(config_read(&fake, 1, window + 2, 2), 0x0514);
    tear_down();
}
END_TEST

START_TEST(queues_in_use_have_doorbells)
{
    ck_assert_int_eq(event_loop_create(&loop, NULL), 0);
    set_up_with(loop, true);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    start(0xffff, 0xffff);
    ck_assert_uint_eq(fake.doorbell_count, 1);
    ck_assert_int_ge(fake_doorbell_find(&fake, notify + notify_multiplier), 0);
    ck_assert_int_eq(fake.doorbells[0].event_fd, virtio_queue_event_fd(virtio, 1));
    put(common, SELECT, 2, 1);
    put(common, RESET, 2, 1);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    set_queue(1, 0xffff);
    set_queue(1, 0xffff);
    ck_assert_uint_eq(fake.doorbell_count, 1);
    put(common, STATUS, 1, 0);
    ck_assert_uint_eq(fake.doorbell_count, 0);
    start(0xffff, 0xffff);
    ck_assert_uint_eq(fake.doorbell_count, 1);
    tear_down();
    event_loop_destroy(loop);
}
END_TEST

/* Registers in no order at all, in every width: nothing breaks, and afterwards the device still works. */
START_TEST(any_order)
{
    uint64_t random = test_seed() | 1;
    set_up();
    for (unsigned long i = 0; i < test_cases(200000); i++) {
        uint64_t value = fake_random(&random);
        unsigned offset = (value >> 8) % 0x44, size = 1u << (value >> 4 & 3);
        if (value & 1)
            put(common, offset, size, fake_random(&random) & (value >> 32 & 1 ? 7 : UINT64_MAX));
        else
            get(value & 2 ? common : isr, offset, size);
        if ((value & 0xf00000) == 0)
            put(notify, offset, size, value);
    }
    put(common, STATUS, 1, 0);
    guest_mem_write(memory, AVAIL, (const uint8_t[8]){0}, 8);
    guest_mem_write(memory, USED, (const uint8_t[8]){0}, 8);
    enable_msix();
    start(2, 1);
    submit();
    ck_assert_uint_eq(fake.msi_data, 0x42);
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, it_is_a_modern_device);
    test_add(suite, reset_values);
    test_add(suite, features_have_two_words);
    test_add(suite, widths);
    test_add(suite, the_space_of_the_device);
    test_add(suite, vectors_are_kept_or_refused);
    test_add(suite, messages_go_to_their_vectors);
    test_add(suite, the_pin_follows_the_isr_status);
    test_add(suite, a_machine_without_messages_has_the_pin);
    test_add(suite, notifications_go_by_place);
    test_add(suite, a_queue_is_reset_alone);
    test_add(suite, configuration_space_has_a_window);
    test_add(suite, queues_in_use_have_doorbells);
    test_add(suite, any_order);
}
