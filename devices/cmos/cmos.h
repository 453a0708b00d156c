/* SPDX-License-Identifier: MIT
 *
 * The real-time clock and its 128 bytes of battery-backed memory: an MC146818 at ports 0x70 and 0x71, with
 * the memory sizes and the number of CPUs where firmware on QEMU looks for them. The guest's time is the
 * host's (UTC) plus what the guest has set it forward or back.
 *
 * Threads: create and destroy while no vCPU runs; the bus takes the lock around accesses.
 */
#ifndef DEVICES_CMOS_CMOS_H
#define DEVICES_CMOS_CMOS_H

#include "base/event_loop.h"
#include "base/lines.h"
#include "mmio/bus.h"

#define CMOS_PORT 0x70u
#define CMOS_IRQ  8u

struct cmos_config {
    struct irq_line irq;
    struct event_loop *loop; /* a borrow, for interrupts; NULL: flags are kept, no interrupt comes */
    uint64_t ram_below_4g_bytes, ram_above_4g_bytes;
    unsigned cpu_count; /* 0 means 1 */

    /* Nanoseconds since 1970, UTC. NULL: the host's CLOCK_REALTIME. */
    int64_t (*wall_clock_ns)(void *context);
    void *context;
};

struct cmos;

int cmos_create(const struct cmos_config *config, struct cmos **cmos, struct vmm_error *error);
void cmos_destroy(struct cmos *cmos);
struct bus_region *cmos_region(struct cmos *cmos);

#endif
