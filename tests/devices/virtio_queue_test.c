/* SPDX-License-Identifier: MIT
 *
 * The walker over both kinds of ring, against the driver of virtio_driver.h: chains of every shape, finished
 * in any order, and who is told when. What a hostile driver does is in virtio_malformed_test.c.
 */
#include "devices/virtio/queue.h"
#include "tests/devices/fake.h"
#include "tests/devices/virtio_driver.h"

#define RAM_BYTES  (4 * MIB)
#define RING_GPA   0x10000u
#define DATA_GPA   0x200000u
#define CHAIN_SIZE 9 /* the most buffers of a random chain */

struct fixture {
    struct guest_memory *memory;
    struct queue queue;
    struct driver_queue driver;
};

static void setup(struct fixture *fixture, uint16_t size, bool is_packed, bool has_event_idx)
{
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &fixture->memory, NULL), 0);
    fixture->driver.has_event_idx = has_event_idx;
    driver_queue_init(&fixture->driver, fixture->memory, RING_GPA, size, is_packed);
    const struct queue_config config = {.memory = fixture->memory,
                                        .size = size,
                                        .is_packed = is_packed,
                                        .has_event_idx = has_event_idx,
                                        .has_indirect = true,
                                        .descriptor = fixture->driver.descriptor,
                                        .driver = fixture->driver.driver,
                                        .device = fixture->driver.device};
    ck_assert_int_eq(queue_start(&fixture->queue, &config), 0);
}

static void teardown(struct fixture *fixture)
{
    queue_stop(&fixture->queue);
    guest_memory_destroy(fixture->memory);
}

/* ---- Random chains: the device holds some back and pushes them in any order ---- */

struct random_run {
    struct fixture fixture;
    uint64_t random;
    struct driver_buffer sent[DRIVER_QUEUE_SIZE_MAX][CHAIN_SIZE]; /* by id */
    unsigned counts[DRIVER_QUEUE_SIZE_MAX];
    uint16_t order[DRIVER_QUEUE_SIZE_MAX]; /* ids in the order in which they were added */
    unsigned added, popped;
    uint32_t written[DRIVER_QUEUE_SIZE_MAX];
    struct queue_chain held[DRIVER_QUEUE_SIZE_MAX];
    unsigned held_count;
    bool device_sleeps, driver_sleeps;
};

static unsigned below(struct random_run *run, unsigned limit)
{
    return (unsigned)(fake_random(&run->random) % limit);
}

static void add_random(struct random_run *run)
{
    struct driver_queue *driver = &run->fixture.driver;
    struct driver_buffer buffers[CHAIN_SIZE];
    unsigned count = 1 + below(run, CHAIN_SIZE), readable = below(run, count + 1);
    bool is_indirect = below(run, 2);
    if (count > driver->size && !is_indirect)
        count = driver->size;
    for (unsigned i = 0; i < count; i++)
        buffers[i] = (struct driver_buffer){.gpa = DATA_GPA + below(run, 1u << 20),
                                            .len = below(run, 4) ? 1 + below(run, 5000) : 0,
                                            .device_writes = i >= readable};
    if (!driver_queue_has_room(driver, count, is_indirect))
        return;
    uint16_t id = driver_queue_add(driver, buffers, count, is_indirect);
    memcpy(run->sent[id], buffers, sizeof(buffers));
    run->counts[id] = count;
    run->order[run->added++ % DRIVER_QUEUE_SIZE_MAX] = id;
    bool wants = driver_queue_wants_kick(driver);
    ck_assert_msg(wants || !run->device_sleeps, "the device sleeps and would not hear of chain %u", id);
    run->device_sleeps = run->device_sleeps && !wants;
}

/* Segments are the buffers that are not empty, in their order. */
static void check_chain(struct random_run *run, const struct queue_chain *chain)
{
    const struct driver_buffer *sent = run->sent[chain->id];
    unsigned at = 0, out = 0;
    uint64_t out_bytes = 0, in_bytes = 0;
    ck_assert_uint_eq(chain->id, run->order[run->popped++ % DRIVER_QUEUE_SIZE_MAX]);
    for (unsigned i = 0; i < run->counts[chain->id]; i++) {
        if (!sent[i].len)
            continue;
        void *hva = guest_mem_ptr(run->fixture.memory, sent[i].gpa, sent[i].len);
        ck_assert_ptr_eq(chain->segments[at].iov_base, hva);
        ck_assert_uint_eq(chain->segments[at++].iov_len, sent[i].len);
        out += !sent[i].device_writes;
        *(sent[i].device_writes ? &in_bytes : &out_bytes) += sent[i].len;
    }
    ck_assert_uint_eq(chain->out_count, out);
    ck_assert_uint_eq(chain->out_count + chain->in_count, at);
    ck_assert_uint_eq(chain->out_bytes, out_bytes);
    ck_assert_uint_eq(chain->in_bytes, in_bytes);
}

static void pop_random(struct random_run *run)
{
    static struct iovec segments[CHAIN_SIZE];
    struct queue_chain chain = {.segments = segments, .capacity = CHAIN_SIZE};
    enum queue_answer answer = queue_pop(&run->fixture.queue, &chain);
    ck_assert_int_ne(answer, QUEUE_BROKEN);
    if (answer == QUEUE_CHAIN) {
        check_chain(run, &chain);
        run->held[run->held_count++] = chain;
    } else {
        ck_assert_uint_eq(run->added, run->popped);
        run->device_sleeps = queue_kicks_on(&run->fixture.queue);
    }
}

static void push_random(struct random_run *run)
{
    for (unsigned batch = 1 + below(run, 4); batch && run->held_count; batch--) {
        struct queue_chain *chain = &run->held[below(run, run->held_count)];
        run->written[chain->id] = chain->in_bytes ? below(run, (unsigned)chain->in_bytes + 1) : 0;
        queue_push(&run->fixture.queue, chain, run->written[chain->id]);
        *chain = run->held[--run->held_count];
    }
    if (queue_wants_interrupt(&run->fixture.queue))
        run->driver_sleeps = false;
}

static void take_random(struct random_run *run)
{
    struct driver_queue *driver = &run->fixture.driver;
    uint16_t id;
    uint32_t written;
    while (driver_queue_take(driver, &id, &written)) {
        ck_assert_msg(!run->driver_sleeps, "the driver sleeps and was not told of chain %u", id);
        ck_assert_uint_eq(written, run->written[id]);
    }
    run->driver_sleeps = below(run, 2);
    driver_queue_ask_interrupts(driver, run->driver_sleeps);
}

static void run_random(bool is_packed)
{
    static struct random_run run;
    static void (*const steps[])(struct random_run *) = {add_random, add_random,  pop_random,
                                                         pop_random, push_random, take_random};
    static const uint16_t split_sizes[] = {1, 2, 8, 256}, packed_sizes[] = {1, 3, 7, 256};
    unsigned long long seed = test_seed();
    for (unsigned i = 0; i < 8; i++) {
        run = (struct random_run){.random = seed * 2 + 1};
        setup(&run.fixture, (is_packed ? packed_sizes : split_sizes)[i / 2], is_packed, i & 1);
        for (unsigned long n = test_cases(20000); n; n--)
            steps[below(&run, ARRAY_COUNT(steps))](&run);
        ck_assert_uint_gt(run.popped, test_cases(20000) / 40);
        teardown(&run.fixture);
    }
}

START_TEST(split_chains_of_every_shape)
{
    run_random(false);
}
END_TEST

START_TEST(packed_chains_of_every_shape)
{
    run_random(true);
}
END_TEST

/* ---- Who is told ---- */

static void send_one(struct fixture *fixture)
{
    const struct driver_buffer buffer = {.gpa = DATA_GPA, .len = 1};
    driver_queue_add(&fixture->driver, &buffer, 1, false);
}

static void serve_one(struct fixture *fixture)
{
    struct iovec segment;
    struct queue_chain chain = {.segments = &segment, .capacity = 1};
    ck_assert_int_eq(queue_pop(&fixture->queue, &chain), QUEUE_CHAIN);
    queue_push(&fixture->queue, &chain, 0);
}

static void check_kicks(bool is_packed, bool has_event_idx)
{
    struct fixture fixture;
    setup(&fixture, 4, is_packed, has_event_idx);
    queue_kicks_off(&fixture.queue);
    send_one(&fixture);
    bool first = driver_queue_wants_kick(&fixture.driver);
    ck_assert(!first || has_event_idx); /* a split ring begins with event 0, and has no other way to say no */
    ck_assert(!queue_kicks_on(&fixture.queue));
    serve_one(&fixture);
    ck_assert(queue_kicks_on(&fixture.queue));
    send_one(&fixture);
    ck_assert(driver_queue_wants_kick(&fixture.driver));
    teardown(&fixture);
}

START_TEST(kicks_come_when_asked_for)
{
    for (unsigned i = 0; i < 4; i++)
        check_kicks(i & 1, i & 2);
}
END_TEST

static void check_interrupts(bool is_packed, bool has_event_idx)
{
    struct fixture fixture;
    uint16_t id;
    uint32_t written;
    setup(&fixture, 4, is_packed, has_event_idx);
    ck_assert(!queue_wants_interrupt(&fixture.queue));
    driver_queue_ask_interrupts(&fixture.driver, true);
    send_one(&fixture);
    serve_one(&fixture);
    ck_assert(queue_wants_interrupt(&fixture.queue));
    ck_assert(!queue_wants_interrupt(&fixture.queue));
    ck_assert(driver_queue_take(&fixture.driver, &id, &written));
    driver_queue_ask_interrupts(&fixture.driver, false);
    send_one(&fixture);
    serve_one(&fixture);
    ck_assert(!queue_wants_interrupt(&fixture.queue));
    teardown(&fixture);
}

START_TEST(interrupts_come_when_asked_for)
{
    for (unsigned i = 0; i < 4; i++)
        check_interrupts(i & 1, i & 2);
}
END_TEST

START_TEST(what_is_written_is_no_more_than_there_is)
{
    for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
        struct fixture fixture;
        struct iovec segments[2];
        struct queue_chain chain = {.segments = segments, .capacity = 2};
        const struct driver_buffer buffers[] = {{.gpa = DATA_GPA, .len = 10},
                                                {.gpa = DATA_GPA + 64, .len = 20, .device_writes = true}};
        uint16_t id;
        uint32_t written;
        setup(&fixture, 4, is_packed, false);
        driver_queue_add(&fixture.driver, buffers, 2, false);
        ck_assert_int_eq(queue_pop(&fixture.queue, &chain), QUEUE_CHAIN);
        queue_push(&fixture.queue, &chain, UINT64_MAX);
        ck_assert(driver_queue_take(&fixture.driver, &id, &written));
        ck_assert_uint_eq(written, 20);
        teardown(&fixture);
    }
}
END_TEST

/* ---- Where a ring may be ---- */

struct place {
    uint16_t size;
    gpa_t descriptor, driver, device;
    int split, packed;
};

START_TEST(rings_are_aligned_ram)
{
    static const struct place places[] = {
        {8, 0x1000, 0x2000, 0x3000, 0, 0},
        {0, 0x1000, 0x2000, 0x3000, -EINVAL, -EINVAL},
        {6, 0x1000, 0x2000, 0x3000, -EINVAL, 0},
        {1024, 0x1000, 0x8000, 0x9000, 0, 0},
        {2048, 0x10000, 0x20000, 0x30000, -EINVAL, -EINVAL},
        {UINT16_MAX, 0x10000, 0x20000, 0x30000, -EINVAL, -EINVAL},
        {8, 0x1008, 0x2000, 0x3000, -EINVAL, -EINVAL},
        {8, 0x1000, 0x2001, 0x3000, -EINVAL, -EINVAL},
        {8, 0x1000, 0x2002, 0x3000, 0, -EINVAL},
        {8, 0x1000, 0x2000, 0x3002, -EINVAL, -EINVAL},
        {8, RAM_BYTES - 16, 0x2000, 0x3000, -EFAULT, -EFAULT},
        {8, RAM_BYTES - 128, 0x2000, 0x3000, 0, 0},
        {8, 0x1000, RAM_BYTES - 4, 0x3000, -EFAULT, 0},
        {8, 0x1000, 0x2000, RAM_BYTES - 4, -EFAULT, 0},
        {8, 0x1000, 0x2000, UINT64_MAX - 3, -EFAULT, -EFAULT},
        {8, UINT64_MAX - 15, 0x2000, 0x3000, -EFAULT, -EFAULT},
        {8, 0x1000, 0x1000, 0x1000, 0, 0}, /* areas on top of each other are the driver's loss */
    };
    struct guest_memory *memory;
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL), 0);
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(places); i++) {
        const struct place *place = &places[i / 2];
        struct queue queue = {0};
        const struct queue_config config = {.memory = memory,
                                            .size = place->size,
                                            .is_packed = i & 1,
                                            .descriptor = place->descriptor,
                                            .driver = place->driver,
                                            .device = place->device};
        int wanted = i & 1 ? place->packed : place->split;
        ck_assert_msg(queue_start(&queue, &config) == wanted, "place %u", i);
        ck_assert_int_eq(queue_is_started(&queue), !wanted);
        queue_stop(&queue);
        ck_assert(!queue_is_started(&queue));
    }
    guest_memory_destroy(memory);
}
END_TEST

START_TEST(a_stopped_queue_is_empty)
{
    struct queue queue = {0};
    struct iovec segment;
    struct queue_chain chain = {.segments = &segment, .capacity = 1};
    ck_assert_int_eq(queue_pop(&queue, &chain), QUEUE_EMPTY);
    queue_push(&queue, &chain, 0);
    ck_assert(!queue_wants_interrupt(&queue));
    queue_kicks_off(&queue);
    ck_assert(queue_kicks_on(&queue));
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, split_chains_of_every_shape, 120);
    test_add_slow(suite, packed_chains_of_every_shape, 120);
    test_add(suite, kicks_come_when_asked_for);
    test_add(suite, interrupts_come_when_asked_for);
    test_add(suite, what_is_written_is_no_more_than_there_is);
    test_add(suite, rings_are_aligned_ram);
    test_add(suite, a_stopped_queue_is_empty);
}
