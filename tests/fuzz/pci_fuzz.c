/* SPDX-License-Identifier: MIT
 *
 * A guest that writes anything anywhere into PCI: configuration space both ways, BARs, the MSI-X table, while
 * three devices raise interrupts and have doorbells. What must hold: identities stay, a BAR answers only
 * where its registers say, no doorbell rings outside of its BAR, and lines are the OR of the pins.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/pci/function.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ECAM      0xf0000000ull
#define LOW       0xe0000000ull
#define LOW_LEN   0x10000000ull
#define HIGH      0x8000000000ull
#define HIGH_LEN  0x4000000000ull
#define FUNCTIONS 3
#define BELLS     (2 * FUNCTIONS)

struct world {
    struct pci *pci;
    struct bus *ports, *memory;
    struct pci_function *functions[FUNCTIONS];
    struct pci_doorbell bells[BELLS];
    bool lines[2], pins[FUNCTIONS];
    unsigned attached;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static uint64_t bar_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    check(offset < 0x4000 && size <= 8 && offset + size <= 0x4000);
    return 0x5a5a5a5a5a5a5a5a;
}

static void bar_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    check(offset + size <= 0x4000 && (value & ~size_mask(size)) == 0);
}

static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write};

static void line_set(void *owner, unsigned number, bool level)
{
    struct world *world = owner;
    check(world->lines[number - 10] != level);
    world->lines[number - 10] = level;
}

static void msi_send(void *owner, uint64_t address, uint32_t data)
{
    (void)owner;
    (void)data;
    check(address % 4 == 0);
}

static int attach(void *owner, const struct doorbell *doorbell)
{
    struct world *world = owner;
    check((doorbell->address - LOW < LOW_LEN || doorbell->address - HIGH < HIGH_LEN) && !doorbell->size);
    if (doorbell->address & 0x10000) /* the host refuses some */
        return -ENOSPC;
    world->attached++;
    return 0;
}

static void detach(void *owner, const struct doorbell *doorbell)
{
    struct world *world = owner;
    check(!(doorbell->address & 0x10000) && world->attached);
    world->attached--;
}

static struct pci_config pci_config(struct world *world)
{
    struct pci_config config = {.ecam_base = ECAM,
                                .low = {LOW, LOW_LEN},
                                .high = {HIGH, HIGH_LEN},
                                .msi = {msi_send, world},
                                .doorbell = {attach, detach, world}};
    for (unsigned line = 0; line < PCI_INTX_COUNT; line++)
        config.intx[line] = (struct irq_line){.set = line_set, .owner = world, .number = 10 + line % 2};
    return config;
}

static void world_create(struct world *world)
{
    const struct pci_config config = pci_config(world);
    check(!pci_create(&config, &world->pci, NULL) && !bus_create(BUS_PORTS, &world->ports, NULL) &&
          !bus_create(BUS_MEMORY, &world->memory, NULL));
    check(!bus_add(world->ports, pci_data_region(world->pci), NULL) &&
          !bus_add(world->memory, pci_ecam_region(world->pci), NULL) &&
          !bus_add(world->memory, pci_low_region(world->pci), NULL) &&
          !bus_add(world->memory, pci_high_region(world->pci), NULL));
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        const struct pci_function_config function = {.name = "fuzzed",
                                                     .vendor_id = 0x1234,
                                                     .device_id = (uint16_t)i,
                                                     .has_intx = true,
                                                     .msix_count = 40 * i,
                                                     .msix_bar = 4,
                                                     .bars[0] = {.len = 0x4000, .ops = &bar_ops}};
        check(!pci_function_create(world->pci, &function, &world->functions[i], NULL));
        for (unsigned bell = 0; bell < 2; bell++) {
            world->bells[2 * i + bell] = (struct pci_doorbell){.bar = 0, .offset = 0x3000 + 4 * bell};
            pci_function_add_doorbell(world->functions[i], &world->bells[2 * i + bell]);
        }
    }
    check(!pci_assign(world->pci, NULL));
}

static void world_destroy(struct world *world)
{
    for (unsigned i = 0; i < FUNCTIONS; i++)
        pci_function_destroy(world->functions[i]);
    check(!world->attached && !world->lines[0] && !world->lines[1]);
    bus_destroy(world->memory);
    bus_destroy(world->ports);
    pci_destroy(world->pci);
}

static void check_function(struct world *world, unsigned i)
{
    struct pci_function *function = world->functions[i];
    check(pci_function_read_config(function, 0, 4) == (i << 16 | 0x1234));
    uint32_t low = pci_function_read_config(function, 0x10, 4), status;
    uint64_t base = low | (uint64_t)pci_function_read_config(function, 0x14, 4) << 32;
    check((low & 0x3fff) == 4);
    status = pci_function_read_config(function, 6, 2);
    check((status >> 3 & 1) == world->pins[i]);
    base &= ~0xfull;
    bool is_inside = base - LOW < LOW_LEN || base - HIGH < HIGH_LEN;
    bool decodes = is_inside && pci_function_read_config(function, 4, 2) & 2;
    for (unsigned bell = 2 * i; bell < 2 * i + 2; bell++)
        check(!world->bells[bell].is_attached ||
              (decodes && world->bells[bell].address == base + world->bells[bell].offset));
    if (decodes && !(base & 0x10000))
        check(world->bells[2 * i].is_attached);
}

static void check_lines(struct world *world)
{
    bool lines[2] = {false, false};
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        bool is_off = pci_function_read_config(world->functions[i], 4, 2) & 0x400 ||
                      pci_function_msix_enabled(world->functions[i]);
        lines[(i + 1) % 2] |= world->pins[i] && !is_off;
        check_function(world, i);
    }
    check(lines[0] == world->lines[0] && lines[1] == world->lines[1]);
}

/* Eight bytes say where, how wide and what. */
static void step(struct world *world, const uint8_t *from)
{
    unsigned kind = from[0] & 7, size = 1u << (from[0] >> 3 & 3), slot = from[0] >> 5 & 3;
    uint64_t value = load_le32(from + 4) * 0x100000001ull;
    uint64_t at = load_le16(from + 1), base = from[3] & 1 ? LOW : HIGH;
    switch (kind) {
    case 0:
    case 1:
        bus_write(world->memory, ECAM + (slot << 15) + at % 0x120, size, value);
        break;
    case 2:
        bus_read(world->memory, ECAM + (slot << 15) + at % 0x8000, size);
        break;
    case 3:
        pci_address_ops.write(world->pci, 0, 4, load_le32(from + 4));
        bus_write(world->ports, PCI_DATA_PORT + from[3] % 4, size, at);
        bus_read(world->ports, PCI_DATA_PORT + from[3] % 4, size);
        break;
    case 4:
        bus_write(world->memory, base + (uint64_t)(from[3] >> 4) * 0x8000 + at, size, value);
        break;
    case 5:
        bus_read(world->memory, base + (uint64_t)(from[3] >> 4) * 0x8000 + at, size);
        break;
    case 6:
        pci_function_send_msix(world->functions[slot % FUNCTIONS], from[1] % 96);
        break;
    case 7:
        world->pins[slot % FUNCTIONS] = from[1] & 1;
        pci_function_set_intx(world->functions[slot % FUNCTIONS], from[1] & 1);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct world world = {0};
    world_create(&world);
    for (; len >= 8; data += 8, len -= 8) {
        step(&world, data);
        check_lines(&world);
    }
    world_destroy(&world);
    return 0;
}
