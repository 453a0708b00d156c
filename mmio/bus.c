/* SPDX-License-Identifier: MIT
 *
 * From an address to a device. Regions are kept sorted; ports also have a table of a byte for each port, of
 * which only the touched pages cost memory, so that a port is found without a search. Memory is searched for
 * the first access to a page, and again where another page has taken its place.
 */
#include "mmio/bus_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Not by calloc(), which clears what is this small, and so touches every page of it. */
static uint8_t *port_index_create(void)
{
    void *index = mmap(NULL, PORT_COUNT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return index == MAP_FAILED ? NULL : index;
}

static void bus_forget(struct bus *bus)
{
    for (size_t i = 0; i < RECENT_COUNT; i++)
        bus->recent[i] = &bus->nobody;
}

int bus_create(enum bus_kind kind, struct bus **out, struct vmm_error *error)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    if (bus && kind == BUS_PORTS)
        bus->port_index = port_index_create();
    if (!bus || (kind == BUS_PORTS && !bus->port_index)) {
        free(bus);
        return error_set(error, -ENOMEM, "bus: out of memory");
    }
    bus->kind = kind;
    bus->port_slots[0] = &bus->nobody;
    bus_forget(bus);
    *out = bus;
    return 0;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    if (bus->port_index)
        munmap(bus->port_index, PORT_COUNT);
    free(bus->regions);
    free(bus);
}

/* Regions behind a changed one have moved, so every region's entries are written again: only at set-up. */
static void bus_index_ports(struct bus *bus)
{
    if (bus->kind != BUS_PORTS)
        return;
    for (size_t i = 0; i < bus->count; i++) {
        memset(bus->port_index + bus->regions[i]->base, (int)i + 1, bus->regions[i]->len);
        bus->port_slots[i + 1] = bus->regions[i];
    }
}

static int bus_grow(struct bus *bus, struct vmm_error *error)
{
    if (bus->count < bus->capacity)
        return 0;
    size_t capacity = bus->capacity ? 2 * bus->capacity : 16;
    struct bus_region **regions = realloc(bus->regions, capacity * sizeof(*regions));
    if (!regions)
        return error_set(error, -ENOMEM, "bus: out of memory");
    bus->regions = regions;
    bus->capacity = capacity;
    return 0;
}

/* For each width where an access that its device sees as one has to begin: before this offset. */
static void region_set_whole(struct bus_region *region)
{
    memset(region->whole_before, 0, sizeof(region->whole_before));
    for (unsigned size = 1; region->lock && size <= region_size_max(region); size *= 2)
        if (size >= region->size_min && size <= region->len)
            region->whole_before[size] = region->len - size + 1;
}

int bus_add(struct bus *bus, struct bus_region *region, struct vmm_error *error)
{
    uint64_t limit = bus->kind == BUS_PORTS ? PORT_COUNT - 1 : UINT64_MAX;
    if (!region->len || region->base > limit || region->len - 1 > limit - region->base)
        return error_set(error, -EINVAL, "%s: %#llx bytes at %#llx leave the address space", region->name,
                         (unsigned long long)region->len, (unsigned long long)region->base);
    size_t at = bus_lower_bound(bus, region->base);
    if (at < bus->count && bus->regions[at]->base <= region->base + (region->len - 1))
        return error_set(error, -EEXIST, "%s: %#llx bytes at %#llx overlap %s at %#llx", region->name,
                         (unsigned long long)region->len, (unsigned long long)region->base,
                         bus->regions[at]->name, (unsigned long long)bus->regions[at]->base);
    if (bus->kind == BUS_PORTS && bus->count == REGION_LIMIT)
        return error_set(error, -ENOSPC, "%s: a machine has at most %d port regions", region->name,
                         REGION_LIMIT);
    int result = bus_grow(bus, error);
    if (result)
        return result;
    memmove(bus->regions + at + 1, bus->regions + at, (bus->count - at) * sizeof(*bus->regions));
    region_set_whole(region);
    bus->regions[at] = region;
    bus->count++;
    bus_index_ports(bus);
    return 0;
}

void bus_remove(struct bus *bus, struct bus_region *region)
{
    size_t at = 0;
    while (at < bus->count && bus->regions[at] != region)
        at++;
    if (at == bus->count)
        return;
    if (bus->kind == BUS_PORTS)
        memset(bus->port_index + region->base, 0, region->len);
    bus->count--;
    bus_forget(bus);
    memmove(bus->regions + at, bus->regions + at + 1, (bus->count - at) * sizeof(*bus->regions));
    bus_index_ports(bus);
}

struct bus_region *bus_find(const struct bus *bus, uint64_t address)
{
    return bus_look_up(bus, address);
}

struct bus_region *const *bus_regions(const struct bus *bus, size_t *count)
{
    *count = bus->count;
    return bus->regions;
}

uint64_t bus_miss_count(const struct bus *bus)
{
    return __atomic_load_n(&bus->miss_count, __ATOMIC_RELAXED);
}
