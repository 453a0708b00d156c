/* SPDX-License-Identifier: MIT
 *
 * The virtio-mmio registers: reads and writes of the fuzzer's choice, in every order, before a device that
 * echoes what it is sent, with guest memory that the fuzzer writes between them.
 */
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtio_mmio.h"

#define RAM_BYTES 0x10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct echo {
    struct virtio *virtio;
    uint8_t config[16];
};

static void config_read(void *device, uint32_t offset, void *to, unsigned len)
{
    struct echo *echo = device;
    memcpy(to, echo->config + offset, len);
}

static void config_write(void *device, uint32_t offset, const void *from, unsigned len)
{
    struct echo *echo = device;
    memcpy(echo->config + offset, from, len);
    virtio_config_changed(echo->virtio);
}

static void notify(void *device, unsigned queue)
{
    struct echo *echo = device;
    struct iovec segments[16];
    struct queue_chain chain = {.segments = segments, .capacity = 16};
    virtio_queue_kicks_off(echo->virtio, queue);
    do
        while (virtio_queue_pop(echo->virtio, queue, &chain) == QUEUE_CHAIN)
            virtio_queue_push(echo->virtio, queue, &chain, chain.in_bytes);
    while (!virtio_queue_kicks_on(echo->virtio, queue));
    virtio_queue_flush(echo->virtio, queue);
}

static const struct virtio_ops echo_ops = {
    .config_read = config_read, .config_write = config_write, .notify = notify};

static struct guest_memory *memory;
static struct echo echo;
static struct virtio_mmio *mmio;
static struct bus *bus;

static void create(void)
{
    const struct virtio_config config = {.name = "echo",
                                         .type = 42,
                                         .queue_count = 3,
                                         .queue_size = 16,
                                         .config_len = sizeof(echo.config),
                                         .memory = memory,
                                         .ops = &echo_ops,
                                         .device = &echo};
    if (virtio_create(&config, &echo.virtio, NULL))
        abort();
    const struct virtio_mmio_config mmio_config = {.base = 0x1000, .virtio = echo.virtio};
    if (virtio_mmio_create(&mmio_config, &mmio, NULL) || bus_create(BUS_MEMORY, &bus, NULL) ||
        bus_add(bus, virtio_mmio_region(mmio), NULL))
        abort();
}

static void destroy(void)
{
    bus_destroy(bus);
    virtio_mmio_destroy(mmio);
    virtio_destroy(echo.virtio);
}

/* A driver that does everything right up to here: queue 0 with its areas at 0, 0x400, 0x800. */
static void set_up(unsigned features_high)
{
    static const uint16_t writes[][2] = {{0x70, 0}, {0x70, 1},      {0x70, 3},     {0x24, 0}, {0x20, 0},
                                         {0x24, 1}, {0x20, 0xffff}, {0x70, 11},    {0x30, 0}, {0x38, 16},
                                         {0x80, 0}, {0x84, 0},      {0x90, 0x400}, {0x94, 0}, {0xa0, 0x800},
                                         {0xa4, 0}, {0x44, 1},      {0x70, 15},    {0x50, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(writes); i++)
        bus_write(bus, 0x1000 + writes[i][0], 4, writes[i][1] == 0xffff ? features_high : writes[i][1]);
}

/* A command is 8 bytes: what, where, and a value. */
static void command(const uint8_t *bytes)
{
    uint64_t value = (uint64_t)bytes[4] | (uint64_t)bytes[5] << 8 | (uint64_t)bytes[6] << 16 |
                     (uint64_t)bytes[7] << 24;
    unsigned offset = bytes[2] | bytes[3] << 8;
    switch (bytes[0] & 7) {
    case 0:
        bus_read(bus, 0x1000 + (offset & 0x1ff), 1u << (bytes[1] & 3));
        return;
    case 1:
        bus_write(bus, 0x1000 + (offset & 0x1ff), 1u << (bytes[1] & 3), value);
        return;
    case 2:
        set_up(bytes[1] & 1 ? 5 : 1);
        return;
    case 3:
        bus_write(bus, 0x1000 + 0x70, 4, bytes[4] & 15);
        return;
    case 4:
    case 5:
        guest_mem_write(memory, offset, bytes + 4, 4);
        return;
    default: /* an aligned register, as drivers write them */
        bus_write(bus, 0x1000 + (offset & 0xfc), 4, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!memory && guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL))
        abort();
    memset(guest_mem_ptr(memory, 0, RAM_BYTES), 0, RAM_BYTES);
    create();
    for (; len >= 8; len -= 8, data += 8)
        command(data);
    destroy();
    return 0;
}
