/* SPDX-License-Identifier: MIT
 *
 * The short way of an access to its device: most of what we do about an exit, so that every instruction
 * counts. It is for accesses that the device sees as one, of regions with a lock that is free, untraced or
 * traced by the caller; whatever it does not take goes by bus_read_long and bus_write_long.
 */
#ifndef MMIO_BUS_SHORT_H
#define MMIO_BUS_SHORT_H

#include "mmio/bus_internal.h"

/* The low bytes of an access: a look-up is shorter than shifts. */
static const uint64_t region_masks[BUS_SIZE_MAX + 1] = {
    [1] = 0xff, [2] = 0xffff, [4] = 0xffffffff, [8] = UINT64_MAX};

/* The rest: by a search, for what is split, misses or has to wait, and in the trace. */
uint64_t bus_read_long(struct bus *bus, uint64_t address, unsigned size);
void bus_write_long(struct bus *bus, uint64_t address, unsigned size, uint64_t value);
/* The same without the trace. */
uint64_t bus_read_untraced(struct bus *bus, uint64_t address, unsigned size);
void bus_write_untraced(struct bus *bus, uint64_t address, unsigned size, uint64_t value);

/* The only region that may hold the address, or one that does not: then the offset is beyond whole_before. */
static inline struct bus_region *bus_guess_port(const struct bus *bus, uint64_t port)
{
    return bus->port_slots[bus->port_index[(uint16_t)port]];
}

static inline struct bus_region *bus_guess_memory(struct bus *bus, uint64_t gpa)
{
    return __atomic_load_n(bus_recent(bus, gpa), __ATOMIC_RELAXED);
}

static inline struct bus_region *bus_guess(struct bus *bus, uint64_t address)
{
    return bus->kind == BUS_PORTS ? bus_guess_port(bus, address) : bus_guess_memory(bus, address);
}

/* Whether the device sees the access as one and nobody else is at it: it is locked then. */
static inline bool region_take(const struct bus_region *region, uint64_t offset, unsigned size)
{
    return __builtin_expect(offset < region->whole_before[size], 1) && lock_try(region->lock);
}

/* Above `size` bytes the value is anything. */
static inline uint64_t region_read_taken(struct bus_region *region, uint64_t offset, unsigned size)
{
    region->read_counts[size]++;
    uint64_t value = region->ops->read(region->device, offset, size);
    lock_release(region->lock);
    return value;
}

static inline void region_write_taken(struct bus_region *region, uint64_t offset, unsigned size,
                                      uint64_t value)
{
    region->write_counts[size]++;
    region->ops->write(region->device, offset, size, value & region_masks[size]);
    lock_release(region->lock);
}

#endif
