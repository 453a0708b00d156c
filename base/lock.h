/* SPDX-License-Identifier: MIT
 *
 * The lock around a device's operations: one word, taken and given back by one atomic instruction each while
 * nobody else wants it. pthread_mutex_lock and its unlock are 55 instructions then, as many as all the rest
 * of a port's way through the bus. Whoever finds it held sleeps in the kernel (futex(2)). Not recursive.
 *
 * Threads: any. One that is all zeroes is free; there is nothing to destroy.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct lock {
    uint32_t state; /* enum lock_state */
};

enum lock_state {
    LOCK_FREE,
    LOCK_HELD,
    LOCK_WANTED, /* held, and somebody may be asleep */
};

/* Behind the two below: not to be called but by those. The second finds LOCK_WANTED less one. */
void lock_wait(struct lock *lock);
void lock_wake(struct lock *lock);

/* True: it was free and is the caller's now. */
static inline bool lock_try(struct lock *lock)
{
    uint32_t state = LOCK_FREE;
    return __builtin_expect(__atomic_compare_exchange_n(&lock->state, &state, LOCK_HELD, false,
                                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
                            1);
}

static inline void lock_acquire(struct lock *lock)
{
    if (!lock_try(lock))
        lock_wait(lock);
}

static inline void lock_release(struct lock *lock)
{
    /* Partner: the acquire of whoever takes it next. */
    if (__builtin_expect(__atomic_sub_fetch(&lock->state, 1, __ATOMIC_RELEASE) != LOCK_FREE, 0))
        lock_wake(lock);
}

#endif
