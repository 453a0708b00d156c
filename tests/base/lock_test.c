/* SPDX-License-Identifier: MIT
 *
 * The lock of devices: one at a time, nobody sleeps for ever, and a release publishes what was written.
 */
#include "base/lock.h"

#include <pthread.h>
#include <sched.h>

#include "base/types.h"
#include "tests/harness.h"

#define THREADS 4
#define ROUNDS  20000

struct shared {
    struct lock lock;
    unsigned inside, count; /* under the lock, and only there */
    unsigned woken;
};

START_TEST(zeroes_are_a_free_lock_and_a_held_one_is_refused)
{
    struct lock lock = {0};
    ck_assert(lock_try(&lock));
    ck_assert(!lock_try(&lock));
    lock_release(&lock);
    ck_assert(lock_try(&lock));
    lock_release(&lock);
    lock_acquire(&lock);
    ck_assert(!lock_try(&lock));
    lock_release(&lock);
    ck_assert_uint_eq(lock.state, LOCK_FREE);
}
END_TEST

static void *count(void *context)
{
    struct shared *shared = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        lock_acquire(&shared->lock);
        ck_assert_uint_eq(shared->inside++, 0);
        shared->count++;
        if (i % 64 == 0)
            sched_yield(); /* so that others find it held */
        shared->inside--;
        lock_release(&shared->lock);
    }
    return NULL;
}

START_TEST(one_thread_at_a_time)
{
    struct shared shared = {.count = 0};
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count, &shared), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(shared.count, THREADS * ROUNDS);
    ck_assert_uint_eq(shared.lock.state, LOCK_FREE);
}
END_TEST

static void *pass(void *context)
{
    struct shared *shared = context;
    lock_acquire(&shared->lock);
    shared->woken++;
    lock_release(&shared->lock);
    return NULL;
}

/* Each of them wakes the next, though only the first release is ours. */
START_TEST(every_sleeper_is_woken)
{
    struct shared shared = {.count = 0};
    pthread_t threads[THREADS];
    lock_acquire(&shared.lock);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, pass, &shared), 0);
    while (__atomic_load_n(&shared.lock.state, __ATOMIC_RELAXED) != LOCK_WANTED)
        sched_yield();
    ck_assert_uint_eq(shared.woken, 0);
    lock_release(&shared.lock);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(shared.woken, THREADS);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, zeroes_are_a_free_lock_and_a_held_one_is_refused);
    test_add(suite, one_thread_at_a_time);
    test_add(suite, every_sleeper_is_woken);
}
