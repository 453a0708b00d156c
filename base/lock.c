/* SPDX-License-Identifier: MIT
 *
 * The slow side of a lock: asleep until it is free. Whoever has slept takes it as LOCK_WANTED, since others
 * may sleep on: at worst its release wakes nobody.
 */
#include "base/lock.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void lock_wait(struct lock *lock)
{
    while (__atomic_exchange_n(&lock->state, LOCK_WANTED, __ATOMIC_ACQUIRE) != LOCK_FREE)
        syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, LOCK_WANTED, NULL, NULL, 0);
}

void lock_wake(struct lock *lock)
{
    __atomic_store_n(&lock->state, LOCK_FREE, __ATOMIC_RELEASE);
    syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
