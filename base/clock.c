/* SPDX-License-Identifier: MIT
 *
 * See clock.h.
 */
#include "base/clock.h"

#include <sys/syscall.h>
#include <unistd.h>

int64_t clock_read_ns(clockid_t clock)
{
    struct timespec now = {0};
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
