/* SPDX-License-Identifier: MIT
 *
 * QEMU's pc-testdev, for test kernels that were written for it: latches at ports, a port that makes the host
 * drop its mapping of a page, interrupt lines that the guest raises itself, and 64 KiB of device memory that
 * remembers what was written. docs/devices.md has the table.
 */
#ifndef DEVICES_TESTDEV_TESTDEV_H
#define DEVICES_TESTDEV_TESTDEV_H

#include "base/lines.h"
#include "ept/memory.h"
#include "mmio/bus.h"

#define TESTDEV_LATCH_PORT   0xe0u /* 4 ports, any width */
#define TESTDEV_FLUSH_PORT   0xe4u /* a 32-bit write of a page's address */
#define TESTDEV_BYTES_PORT   0xe8u /* the same latch, byte by byte */
#define TESTDEV_IRQ_PORT     0x2000u
#define TESTDEV_IRQ_COUNT    24
#define TESTDEV_MEMORY_GPA   0xff000000u
#define TESTDEV_MEMORY_BYTES 0x10000u
#define TESTDEV_REGION_COUNT 5

struct testdev_config {
    struct irq_line irqs[TESTDEV_IRQ_COUNT]; /* by GSI */
    const struct guest_memory *memory;       /* a borrow */
    enum bus_engine engine;                  /* of its memory */
};

struct testdev;

int testdev_create(const struct testdev_config *config, struct testdev **testdev, struct vmm_error *error);
void testdev_destroy(struct testdev *testdev);

/* By index: those at ports first, the last is its memory. */
struct bus_region *testdev_region(struct testdev *testdev, unsigned index);

#endif
