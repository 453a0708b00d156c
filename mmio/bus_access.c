/* SPDX-License-Identifier: MIT
 *
 * Accesses on a bus: to the region's device as one, where that is possible by the shortest way, or split, or
 * byte by byte; and in the trace.
 */
#include "base/bytes.h"
#include "base/trace.h"
#include "mmio/bus_short.h"

static inline void region_lock(const struct bus_region *region)
{
    if (region->lock)
        lock_acquire(region->lock);
}

static inline void region_unlock(const struct bus_region *region)
{
    if (region->lock)
        lock_release(region->lock);
}

/* A region without a lock is accessed by several threads at once. */
static inline void region_count(const struct bus_region *region, uint64_t *of_size, size_t count)
{
    if (region->lock)
        *of_size += count;
    else
        __atomic_fetch_add(of_size, count, __ATOMIC_RELAXED);
}

/* An access inside one region, with the region's lock held; wider ones are split, low part first. */
static uint64_t region_read(const struct bus_region *region, uint64_t offset, unsigned size)
{
    if (size < region->size_min)
        return size_mask(size);
    unsigned step = region_size_max(region);
    if (size <= step)
        return region->ops->read(region->device, offset, size) & size_mask(size);
    uint64_t value = 0;
    for (unsigned at = 0; at < size; at += step)
        value |= (region->ops->read(region->device, offset + at, step) & size_mask(step)) << (8 * at);
    return value;
}

static void region_write(const struct bus_region *region, uint64_t offset, unsigned size, uint64_t value)
{
    if (size < region->size_min)
        return;
    unsigned step = region_size_max(region);
    if (size <= step) {
        region->ops->write(region->device, offset, size, value & size_mask(size));
        return;
    }
    for (unsigned at = 0; at < size; at += step)
        region->ops->write(region->device, offset + at, step, value >> (8 * at) & size_mask(step));
}

/* A power of two is what a device may see: 3, 5, 6 and 7 bytes only come from split accesses. */
static bool access_is_whole(const struct bus_region *region, uint64_t address, unsigned size)
{
    return (size & (size - 1)) == 0 && range_inside(address, size, region->base, region->len);
}

/* Whether no byte of the access is claimed. */
static bool access_misses(const struct bus *bus, uint64_t address, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        if (bus_look_up(bus, address + i))
            return false;
    return true;
}

static void bus_count_miss(struct bus *bus)
{
    __atomic_fetch_add(&bus->miss_count, 1, __ATOMIC_RELAXED);
}

/* The region at the address. The next access to the page tries the short way to it, if it has one. */
static struct bus_region *look_up(struct bus *bus, uint64_t address)
{
    struct bus_region *region = bus_look_up(bus, address);
    if (bus->kind == BUS_MEMORY && region && region->lock)
        __atomic_store_n(bus_recent(bus, address), region, __ATOMIC_RELAXED);
    return region;
}

/* An access that lies in its region; false where it does not. */
__attribute__((noinline)) static bool read_whole(struct bus *bus, uint64_t address, unsigned size,
                                                 uint64_t *value)
{
    struct bus_region *region = look_up(bus, address);
    if (!region || !access_is_whole(region, address, size))
        return false;
    region_lock(region);
    region_count(region, &region->read_counts[size], 1);
    *value = region_read(region, address - region->base, size);
    region_unlock(region);
    return true;
}

__attribute__((noinline)) static bool write_whole(struct bus *bus, uint64_t address, unsigned size,
                                                  uint64_t value)
{
    struct bus_region *region = look_up(bus, address);
    if (!region || !access_is_whole(region, address, size))
        return false;
    region_lock(region);
    region_count(region, &region->write_counts[size], 1);
    region_write(region, address - region->base, size, value);
    region_unlock(region);
    return true;
}

/* One that no region holds as a whole: byte by byte, each from its own. */
__attribute__((noinline)) static uint64_t read_bytes(struct bus *bus, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    if (access_misses(bus, address, size)) {
        bus_count_miss(bus);
        return size_mask(size);
    }
    for (unsigned i = 0; i < size; i++) {
        uint64_t byte = 0xff;
        if (!read_whole(bus, address + i, 1, &byte))
            bus_count_miss(bus);
        value |= byte << (8 * i);
    }
    return value;
}

__attribute__((noinline)) static void write_bytes(struct bus *bus, uint64_t address, unsigned size,
                                                  uint64_t value)
{
    if (access_misses(bus, address, size)) {
        bus_count_miss(bus);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        if (!write_whole(bus, address + i, 1, value >> (8 * i) & 0xff))
            bus_count_miss(bus);
}

uint64_t bus_read_untraced(struct bus *bus, uint64_t address, unsigned size)
{
    uint64_t value;
    return read_whole(bus, address, size, &value) ? value : read_bytes(bus, address, size);
}

void bus_write_untraced(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    if (!write_whole(bus, address, size, value))
        write_bytes(bus, address, size, value);
}

/* What the access was, when it has been done: the length and what a read has given are known then. */
static void trace_access(const struct bus *bus, struct trace_record *record)
{
    const struct bus_region *region = bus_look_up(bus, record->address);
    uint64_t ticks = trace_now() - record->time;
    record->event = bus->kind == BUS_PORTS ? TRACE_PIO : TRACE_MMIO;
    record->device = region ? region->name : NULL;
    record->flags |= region ? 0 : TRACE_MISS;
    record->duration = ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
    trace_record(record);
}

__attribute__((noinline)) static uint64_t read_traced(struct bus *bus, uint64_t address, unsigned size)
{
    struct trace_record record = {.time = trace_now(), .address = address, .size = (uint8_t)size, .count = 1};
    record.value = bus_read_untraced(bus, address, size);
    trace_access(bus, &record);
    return record.value;
}

__attribute__((noinline)) static void write_traced(struct bus *bus, uint64_t address, unsigned size,
                                                   uint64_t value)
{
    struct trace_record record = {.time = trace_now(),
                                  .address = address,
                                  .size = (uint8_t)size,
                                  .count = 1,
                                  .value = value,
                                  .flags = TRACE_WRITE};
    bus_write_untraced(bus, address, size, value);
    trace_access(bus, &record);
}

/* ---- Where the short way, of bus_short.h, is none ---- */

uint64_t bus_read_long(struct bus *bus, uint64_t address, unsigned size)
{
    return trace_is_on() ? read_traced(bus, address, size) : bus_read_untraced(bus, address, size);
}

void bus_write_long(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    if (trace_is_on())
        write_traced(bus, address, size, value);
    else
        bus_write_untraced(bus, address, size, value);
}

uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size)
{
    TRACE_PROBE3(bus_read, bus->kind, address, size);
    struct bus_region *region = bus_guess(bus, address);
    uint64_t offset = address - region->base;
    if (trace_is_on() || !region_take(region, offset, size))
        return bus_read_long(bus, address, size);
    return region_read_taken(region, offset, size) & region_masks[size];
}

void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    TRACE_PROBE4(bus_write, bus->kind, address, size, value);
    struct bus_region *region = bus_guess(bus, address);
    uint64_t offset = address - region->base;
    if (trace_is_on() || !region_take(region, offset, size))
        bus_write_long(bus, address, size, value);
    else
        region_write_taken(region, offset, size, value);
}

/* The region that the whole block is in, if the device knows the width. */
static struct bus_region *block_region(const struct bus *bus, uint64_t address, unsigned size, size_t count)
{
    struct bus_region *region = bus_look_up(bus, address);
    bool is_whole = region && range_inside(address, (uint64_t)size * count, region->base, region->len) &&
                    size >= region->size_min && size <= region_size_max(region);
    return is_whole ? region : NULL;
}

static void read_block(struct bus *bus, uint64_t address, unsigned size, size_t count, void *to)
{
    struct bus_region *region = block_region(bus, address, size, count);
    if (!region) {
        for (size_t i = 0; i < count; i++)
            store_le((uint8_t *)to + i * size, bus_read_untraced(bus, address + i * size, size), size);
        return;
    }
    uint64_t offset = address - region->base;
    region_lock(region);
    region_count(region, &region->read_counts[size], count);
    if (region->ops->read_block)
        region->ops->read_block(region->device, offset, size, count, to);
    else
        for (size_t i = 0; i < count; i++)
            store_le((uint8_t *)to + i * size, region->ops->read(region->device, offset + i * size, size),
                     size);
    region_unlock(region);
}

static void write_block(struct bus *bus, uint64_t address, unsigned size, size_t count, const void *from)
{
    struct bus_region *region = block_region(bus, address, size, count);
    if (!region) {
        for (size_t i = 0; i < count; i++)
            bus_write_untraced(bus, address + i * size, size,
                               load_le((const uint8_t *)from + i * size, size));
        return;
    }
    uint64_t offset = address - region->base;
    region_lock(region);
    region_count(region, &region->write_counts[size], count);
    if (region->ops->write_block)
        region->ops->write_block(region->device, offset, size, count, from);
    else
        for (size_t i = 0; i < count; i++)
            region->ops->write(region->device, offset + i * size, size,
                               load_le((const uint8_t *)from + i * size, size));
    region_unlock(region);
}

void bus_read_block(struct bus *bus, uint64_t address, unsigned size, size_t count, void *to)
{
    TRACE_PROBE4(bus_read_block, bus->kind, address, size, count);
    if (!trace_is_on() || !count) {
        read_block(bus, address, size, count, to);
        return;
    }
    struct trace_record record = {
        .time = trace_now(), .address = address, .size = (uint8_t)size, .count = (uint32_t)count};
    read_block(bus, address, size, count, to);
    record.value = load_le(to, size);
    trace_access(bus, &record);
}

void bus_write_block(struct bus *bus, uint64_t address, unsigned size, size_t count, const void *from)
{
    TRACE_PROBE4(bus_write_block, bus->kind, address, size, count);
    if (!trace_is_on() || !count) {
        write_block(bus, address, size, count, from);
        return;
    }
    struct trace_record record = {.time = trace_now(),
                                  .address = address,
                                  .size = (uint8_t)size,
                                  .count = (uint32_t)count,
                                  .value = load_le(from, size),
                                  .flags = TRACE_WRITE};
    write_block(bus, address, size, count, from);
    trace_access(bus, &record);
}
