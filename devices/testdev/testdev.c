/* SPDX-License-Identifier: MIT
 *
 * Facts: what QEMU's hw/misc/pc-testdev.c answers. Unlike there, a memory write of more than a byte changes
 * exactly the bytes it covers.
 */
#include "devices/testdev/testdev.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/bytes.h"

struct testdev {
    struct bus_region regions[TESTDEV_REGION_COUNT];
    struct lock lock;
    struct testdev_config config;
    uint8_t latch[8]; /* four, and room for a wide access at the last */
    uint8_t memory[TESTDEV_MEMORY_BYTES];
};

static uint64_t latch_read(void *device, uint64_t offset, unsigned size)
{
    const struct testdev *testdev = device;
    return load_le(testdev->latch + offset, size);
}

static void latch_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct testdev *testdev = device;
    store_le(testdev->latch + offset, value, size);
}

static uint64_t zero_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0;
}

/* A change of its protection makes the kernel drop the page from the guest's second-level tables. It stays
 * accessible throughout, since other vCPUs go on. */
static void flush_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct testdev *testdev = device;
    (void)offset, (void)size;
    void *page = guest_mem_ptr(testdev->config.memory, align_down(value, PAGE_BYTES), PAGE_BYTES);
    if (page && mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
        mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE);
}

static void irq_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct testdev *testdev = device;
    (void)size;
    irq_line_set(&testdev->config.irqs[offset], value != 0);
}

static uint64_t memory_read(void *device, uint64_t offset, unsigned size)
{
    const struct testdev *testdev = device;
    return load_le(testdev->memory + offset, size);
}

static void memory_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct testdev *testdev = device;
    store_le(testdev->memory + offset, value, size);
}

static const struct bus_ops latch_ops = {.read = latch_read, .write = latch_write};
static const struct bus_ops flush_ops = {.read = zero_read, .write = flush_write};
static const struct bus_ops irq_ops = {.read = zero_read, .write = irq_write};
static const struct bus_ops memory_ops = {.read = memory_read, .write = memory_write};

static const struct bus_region templates[TESTDEV_REGION_COUNT] = {
    {.name = "testdev latch", .base = TESTDEV_LATCH_PORT, .len = 4, .size_max = 4, .ops = &latch_ops},
    {.name = "testdev flush",
     .base = TESTDEV_FLUSH_PORT,
     .len = 4,
     .size_min = 4,
     .size_max = 4,
     .ops = &flush_ops},
    {.name = "testdev bytes", .base = TESTDEV_BYTES_PORT, .len = 4, .size_max = 1, .ops = &latch_ops},
    {.name = "testdev irqs",
     .base = TESTDEV_IRQ_PORT,
     .len = TESTDEV_IRQ_COUNT,
     .size_max = 1,
     .ops = &irq_ops},
    {.name = "testdev memory",
     .base = TESTDEV_MEMORY_GPA,
     .len = TESTDEV_MEMORY_BYTES,
     .size_max = 8,
     .ops = &memory_ops},
};

int testdev_create(const struct testdev_config *config, struct testdev **out, struct vmm_error *error)
{
    struct testdev *testdev = calloc(1, sizeof(*testdev));
    if (!testdev)
        return error_set(error, -ENOMEM, "testdev: out of memory");
    testdev->config = *config;
    for (unsigned i = 0; i < TESTDEV_REGION_COUNT; i++) {
        testdev->regions[i] = templates[i];
        testdev->regions[i].size_min = templates[i].size_min ? templates[i].size_min : 1;
        testdev->regions[i].device = testdev;
        testdev->regions[i].lock = &testdev->lock;
    }
    testdev->regions[TESTDEV_REGION_COUNT - 1].engine = config->engine;
    *out = testdev;
    return 0;
}

void testdev_destroy(struct testdev *testdev)
{
    if (!testdev)
        return;
    free(testdev);
}

struct bus_region *testdev_region(struct testdev *testdev, unsigned index)
{
    return &testdev->regions[index];
}
