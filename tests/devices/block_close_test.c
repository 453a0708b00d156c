/* SPDX-License-Identifier: MIT
 *
 * Closing a backend that has more to do: it waits for what was begun, and for nothing else.
 */
#include <pthread.h>
#include <semaphore.h>

#include "devices/block/internal.h"
#include "tests/devices/disk_fixture.h"

/* A store whose requests each wait for leave to end. */
static struct gate {
    struct store_ops ops;
    sem_t leave;
    unsigned begun, done; /* atomic */
    bool is_closed;       /* atomic */
} gate;

static int gate_run(void *store, const struct block_request *request)
{
    (void)store;
    (void)request;
    __atomic_fetch_add(&gate.begun, 1, __ATOMIC_ACQ_REL);
    while (sem_wait(&gate.leave))
        ;
    return 0;
}

static void gate_done(struct block_request *request, int result)
{
    (void)request;
    (void)result;
    __atomic_fetch_add(&gate.done, 1, __ATOMIC_ACQ_REL);
}

static void *close_block(void *block)
{
    block_close(block);
    __atomic_store_n(&gate.is_closed, true, __ATOMIC_RELEASE);
    return NULL;
}

/* A guest that queued hours of work does not keep its machine from its end. Each leave lets one more begin
 * for as long as the close has not, which has seconds for that. */
START_TEST(a_close_drops_what_was_not_begun)
{
    enum { COUNT = 20000 };
    struct disk disk;
    struct block *block;
    pthread_t closer;
    disk_init(&disk);
    struct block_config config = {.path = disk.path, .aio = BLOCK_AIO_THREADS};
    struct block_request *requests = calloc(COUNT, sizeof(*requests));
    ck_assert_ptr_nonnull(requests);
    ck_assert_int_eq(event_loop_create(&config.loop, &disk.error), 0);
    ck_assert_int_eq(block_open(&config, &block, &disk.error), 0);
    gate = (struct gate){.ops = *block->store->ops};
    gate.ops.run = gate_run;
    sem_init(&gate.leave, 0, 0);
    block->store->ops = &gate.ops;
    for (unsigned i = 0; i < COUNT; i++) {
        requests[i] = (struct block_request){.operation = BLOCK_FLUSH, .done = gate_done};
        block_submit(block, &requests[i]);
    }
    block_kick(block);
    while (!__atomic_load_n(&gate.begun, __ATOMIC_ACQUIRE))
        usleep(100);
    ck_assert_int_eq(pthread_create(&closer, NULL, close_block, block), 0);
    while (!__atomic_load_n(&gate.is_closed, __ATOMIC_ACQUIRE)) {
        sem_post(&gate.leave);
        usleep(1000);
    }
    pthread_join(closer, NULL);
    ck_assert_uint_lt(gate.begun, COUNT);
    ck_assert_uint_eq(gate.done, 0); /* the submitter is going, too */
    event_loop_destroy(config.loop);
    sem_destroy(&gate.leave);
    free(requests);
    disk_fini(&disk);
}
END_TEST

/* Of a ring, what the kernel was not told of: a read would have changed the bytes. */
START_TEST(a_close_begins_nothing)
{
    struct disk disk;
    struct block *block;
    const char *reason;
    uint8_t bytes[512];
    if (!block_has_uring(&reason))
        test_skip("no io_uring: %s", reason);
    disk_init(&disk);
    struct block_config config = {.path = disk.path, .aio = BLOCK_AIO_URING};
    const struct iovec segment = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct block_request requests[300]; /* more than a ring takes */
    memset(bytes, 0xee, sizeof(bytes));
    ck_assert_int_eq(event_loop_create(&config.loop, &disk.error), 0);
    ck_assert_int_eq(block_open(&config, &block, &disk.error), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(requests); i++) {
        requests[i] = (struct block_request){.operation = BLOCK_READ,
                                             .len = sizeof(bytes),
                                             .segments = &segment,
                                             .segment_count = 1,
                                             .done = gate_done};
        block_submit(block, &requests[i]);
    }
    block_close(block);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        ck_assert_uint_eq(bytes[i], 0xee);
    event_loop_destroy(config.loop);
    disk_fini(&disk);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, a_close_drops_what_was_not_begun, 120);
    test_add(suite, a_close_begins_nothing);
}
