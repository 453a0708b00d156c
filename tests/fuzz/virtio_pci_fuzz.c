/* SPDX-License-Identifier: MIT
 *
 * A driver that writes registers of the virtio PCI transport in any order and width, through BARs and through
 * configuration space, over guest memory of its choice. The device answers what it pops. What must hold: a
 * vector reads back as one that exists or none, the pin follows the ISR status, and a reset brings everything
 * back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/virtio/virtio_pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ECAM      0xf0000000ull
#define LOW       0xe0000000ull
#define QUEUES    3
#define RAM_BYTES (64 * KIB)

enum { STATUS = 0x14, SELECT = 0x16, VECTOR = 0x1a, CONFIG_VECTOR = 0x10, ENABLE = 0x1c };

static struct guest_memory *memory;

struct world {
    struct pci *pci;
    struct bus *bus;
    struct virtio *virtio;
    struct virtio_pci *transport;
    bool line;
    uint8_t space[16];
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void line_set(void *owner, unsigned number, bool level)
{
    struct world *world = owner;
    (void)number;
    check(world->line != level);
    world->line = level;
}

static void msi_send(void *owner, uint64_t address, uint32_t data)
{
    (void)owner;
    (void)data;
    check(address % 4 == 0);
}

static void space_read(void *device, uint32_t offset, void *to, unsigned size)
{
    struct world *world = device;
    check(range_inside(offset, size, 0, sizeof(world->space)));
    memcpy(to, world->space + offset, size);
}

static void space_write(void *device, uint32_t offset, const void *from, unsigned size)
{
    struct world *world = device;
    check(range_inside(offset, size, 0, sizeof(world->space)));
    memcpy(world->space + offset, from, size);
}

static void notify(void *device, unsigned queue)
{
    struct world *world = device;
    struct iovec segments[8];
    struct queue_chain chain = {.segments = segments, .capacity = 8};
    check(queue < QUEUES);
    for (unsigned i = 0; i < 256 && virtio_queue_pop(world->virtio, queue, &chain) == QUEUE_CHAIN; i++) {
        for (unsigned k = chain.out_count; k < chain.out_count + chain.in_count; k++)
            memset(segments[k].iov_base, (int)i, segments[k].iov_len);
        virtio_queue_push(world->virtio, queue, &chain, chain.in_bytes);
    }
    virtio_queue_flush(world->virtio, queue);
}

static const struct virtio_ops ops = {
    .config_read = space_read, .config_write = space_write, .notify = notify};

static void world_create(struct world *world)
{
    struct pci_config pci = {.ecam_base = ECAM, .low = {LOW, 0x100000}, .msi = {msi_send, world}};
    const struct virtio_config virtio = {.name = "fuzzed",
                                         .type = VIRTIO_ID_CONSOLE,
                                         .queue_count = QUEUES,
                                         .queue_size = 64,
                                         .config_len = sizeof(world->space),
                                         .memory = memory,
                                         .ops = &ops,
                                         .device = world};
    for (unsigned line = 0; line < PCI_INTX_COUNT; line++)
        pci.intx[line] = (struct irq_line){.set = line_set, .owner = world, .number = 10};
    check(!pci_create(&pci, &world->pci, NULL) && !bus_create(BUS_MEMORY, &world->bus, NULL) &&
          !bus_add(world->bus, pci_ecam_region(world->pci), NULL) &&
          !bus_add(world->bus, pci_low_region(world->pci), NULL));
    check(!virtio_create(&virtio, &world->virtio, NULL));
    const struct virtio_pci_config config = {.pci = world->pci, .virtio = world->virtio};
    check(!virtio_pci_create(&config, &world->transport, NULL) && !pci_assign(world->pci, NULL));
}

static void world_destroy(struct world *world)
{
    virtio_pci_destroy(world->transport);
    virtio_destroy(world->virtio);
    check(!world->line);
    bus_destroy(world->bus);
    pci_destroy(world->pci);
}

/* Eight bytes: what, where, how wide, which value. */
static void step(struct world *world, const uint8_t *from)
{
    unsigned size = 1u << (from[0] >> 4 & 3), at = load_le16(from + 2);
    uint64_t value = load_le32(from + 4);
    switch (from[0] & 7) {
    case 0:
    case 1:
    case 2: /* the common configuration */
        bus_write(world->bus, LOW + at % 0x40, size, from[1] & 1 ? value : value * 0x100000001ull);
        break;
    case 3: /* any place of BAR 0 and of the MSI-X table */
        bus_write(world->bus, LOW + at % 0x6000, size, value);
        break;
    case 4:
        bus_read(world->bus, LOW + at % 0x6000, size);
        break;
    case 5:
        bus_write(world->bus, LOW + 0x3000 + at % 32, size, value);
        break;
    case 6:
        bus_write(world->bus, ECAM + (1 << 15) + 0x40 + at % 0xc0, size, value);
        bus_read(world->bus, ECAM + (1 << 15) + 0x40 + at % 0xc0, size);
        break;
    case 7:
        if (from[1] & 1)
            virtio_config_changed(world->virtio);
        guest_mem_write(memory, at & 0x7ff8, from, 8);
        break;
    }
}

static void check_vectors(struct world *world)
{
    unsigned config_vector = (unsigned)bus_read(world->bus, LOW + CONFIG_VECTOR, 2);
    unsigned vector = (unsigned)bus_read(world->bus, LOW + VECTOR, 2);
    check(vector <= QUEUES || vector == 0xffff);
    check(config_vector <= QUEUES || config_vector == 0xffff);
}

static void check_reset(struct world *world)
{
    bus_write(world->bus, LOW + STATUS, 1, 0);
    check(bus_read(world->bus, LOW + STATUS, 1) == 0 && !world->line);
    check(bus_read(world->bus, LOW + SELECT, 2) == 0 &&
          bus_read(world->bus, LOW + CONFIG_VECTOR, 2) == 0xffff);
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        bus_write(world->bus, LOW + SELECT, 2, queue);
        check(bus_read(world->bus, LOW + ENABLE, 2) == 0 && bus_read(world->bus, LOW + VECTOR, 2) == 0xffff);
    }
}

/* So that a few steps reach a running queue: what a driver does, but with the input as its rings. */
static void negotiate(struct world *world, unsigned queue)
{
    static const uint8_t steps[] = {1, 3, 0xb, 0xf};
    for (unsigned i = 0; i < sizeof(steps); i++) {
        if (i == 2) {
            bus_write(world->bus, LOW + 0x08, 4, 1);
            bus_write(world->bus, LOW + 0x0c, 4, queue & 4 ? 5 : 1); /* VERSION_1, perhaps RING_PACKED */
        }
        if (i == 3) {
            bus_write(world->bus, LOW + SELECT, 2, queue % QUEUES);
            bus_write(world->bus, LOW + 0x18, 2, 8);
            bus_write(world->bus, LOW + 0x28, 4, 0x1000);
            bus_write(world->bus, LOW + 0x30, 4, 0x2000);
            bus_write(world->bus, LOW + ENABLE, 2, 1);
        }
        bus_write(world->bus, LOW + STATUS, 1, steps[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct world world = {0};
    if (!memory && guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &memory, NULL))
        abort();
    world_create(&world);
    memset(guest_mem_ptr(memory, 0, 0x4000), 0, 0x4000);
    if (len) {
        if (data[0] & 0x80)
            negotiate(&world, data[0] & 7);
        guest_mem_write(memory, data[0] & 0x40 ? 0x1000 : 0, data, len < 0x1000 ? len : 0x1000);
        data++;
        len--;
    }
    for (; len >= 8; data += 8, len -= 8) {
        step(&world, data);
        check_vectors(&world);
    }
    check_reset(&world);
    world_destroy(&world);
    return 0;
}
