/* SPDX-License-Identifier: MIT
 *
 * A bus from inside: what bus.c keeps and accesses look up.
 *
 * Threads: `recent` is read and written by all, its entries one by one and relaxed: whatever it says was on
 * the bus when the vCPUs started, and is there until they are out.
 */
#ifndef MMIO_BUS_INTERNAL_H
#define MMIO_BUS_INTERNAL_H

#include "mmio/bus.h"

#define PORT_COUNT   0x10000u
#define REGION_LIMIT 254 /* an index of the port table is a byte, and 0 means none */
#define RECENT_COUNT 64  /* a power of two */

struct bus {
    enum bus_kind kind;
    size_t count, capacity;
    struct bus_region **regions; /* sorted by base */
    uint8_t *port_index;         /* PORT_COUNT entries: 1 + index in regions, or 0 */
    uint64_t miss_count;
    struct bus_region nobody;                        /* where there is no region: no access fits into it */
    struct bus_region *port_slots[REGION_LIMIT + 1]; /* by an entry of port_index; 0 is nobody */
    struct bus_region *recent[RECENT_COUNT]; /* of memory, by page: where an access has been; or nobody */
};

/* The index of the first region that ends above `address`. */
static inline size_t bus_lower_bound(const struct bus *bus, uint64_t address)
{
    size_t low = 0, high = bus->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct bus_region *region = bus->regions[middle];
        if (region->base + (region->len - 1) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline struct bus_region *bus_look_up(const struct bus *bus, uint64_t address)
{
    if (bus->kind == BUS_PORTS) {
        uint8_t index = address < PORT_COUNT ? bus->port_index[address] : 0;
        return index ? bus->port_slots[index] : NULL;
    }
    size_t at = bus_lower_bound(bus, address);
    return at < bus->count && bus->regions[at]->base <= address ? bus->regions[at] : NULL;
}

static inline struct bus_region **bus_recent(struct bus *bus, uint64_t gpa)
{
    return &bus->recent[gpa / PAGE_BYTES % RECENT_COUNT];
}

static inline unsigned region_size_max(const struct bus_region *region)
{
    return region->size_max ? region->size_max : 8;
}

#endif
