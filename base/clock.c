/* SPDX-License-Identifier: MIT
 *
 * See clock.h.
 */
#include "base/clock.h"

#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

struct timespec clock_deadline(uint64_t delay_ns)
{
    uint64_t at_ns = clock_now_ns() + delay_ns;
    return (struct timespec){.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
}

int64_t clock_read_ns(clockid_t clock)
{
    struct timespec now = {0};
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
}
