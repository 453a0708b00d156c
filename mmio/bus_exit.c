/* SPDX-License-Identifier: MIT
 *
 * Accesses of exits, by the short way where that is one. See bus_exit.h.
 */
#include "mmio/bus_exit.h"

#include "base/trace.h"
#include "mmio/bus_short.h"

/* The kind is known where these are inlined. Nothing but the region is kept over the device's operation. */
static inline uint64_t read_from(struct bus *bus, struct bus_region *region, uint64_t address, unsigned size)
{
    uint64_t offset = address - region->base;
    if (!region_take(region, offset, size))
        return bus_read_long(bus, address, size);
    return region_read_taken(region, offset, size);
}

static inline void write_to(struct bus *bus, struct bus_region *region, uint64_t address, unsigned size,
                            uint64_t value)
{
    uint64_t offset = address - region->base;
    if (!region_take(region, offset, size))
        bus_write_long(bus, address, size, value);
    else
        region_write_taken(region, offset, size, value);
}

uint64_t bus_read_port(struct bus *ports, uint64_t port, unsigned size)
{
    TRACE_PROBE3(bus_read, BUS_PORTS, port, size);
    return read_from(ports, bus_guess_port(ports, port), port, size);
}

void bus_write_port(struct bus *ports, uint64_t port, unsigned size, uint64_t value)
{
    TRACE_PROBE4(bus_write, BUS_PORTS, port, size, value);
    write_to(ports, bus_guess_port(ports, port), port, size, value);
}

uint64_t bus_read_memory(struct bus *memory, uint64_t gpa, unsigned size)
{
    TRACE_PROBE3(bus_read, BUS_MEMORY, gpa, size);
    return read_from(memory, bus_guess_memory(memory, gpa), gpa, size);
}

void bus_write_memory(struct bus *memory, uint64_t gpa, unsigned size, uint64_t value)
{
    TRACE_PROBE4(bus_write, BUS_MEMORY, gpa, size, value);
    write_to(memory, bus_guess_memory(memory, gpa), gpa, size, value);
}

/* ---- For the trace ---- */

static void see(const struct bus *bus, uint64_t address, struct bus_seen *seen)
{
    const struct bus_region *region = bus_look_up(bus, address);
    seen->device = region ? region->name : NULL;
    seen->ended = trace_now();
}

__attribute__((noinline)) static uint64_t read_long_seen(struct bus *bus, uint64_t address, unsigned size,
                                                         struct bus_seen *seen)
{
    uint64_t value = bus_read_untraced(bus, address, size);
    see(bus, address, seen);
    return value;
}

__attribute__((noinline)) static void write_long_seen(struct bus *bus, uint64_t address, unsigned size,
                                                      uint64_t value, struct bus_seen *seen)
{
    bus_write_untraced(bus, address, size, value);
    see(bus, address, seen);
}

static inline uint64_t read_seen(struct bus *bus, struct bus_region *region, uint64_t address, unsigned size,
                                 struct bus_seen *seen)
{
    uint64_t offset = address - region->base;
    if (!region_take(region, offset, size))
        return read_long_seen(bus, address, size, seen);
    uint64_t value = region_read_taken(region, offset, size);
    seen->device = region->name;
    seen->ended = trace_now();
    return value;
}

static inline void write_seen(struct bus *bus, struct bus_region *region, uint64_t address, unsigned size,
                              uint64_t value, struct bus_seen *seen)
{
    uint64_t offset = address - region->base;
    if (!region_take(region, offset, size)) {
        write_long_seen(bus, address, size, value, seen);
        return;
    }
    region_write_taken(region, offset, size, value);
    seen->device = region->name;
    seen->ended = trace_now();
}

uint64_t bus_read_port_seen(struct bus *ports, uint64_t port, unsigned size, struct bus_seen *seen)
{
    TRACE_PROBE3(bus_read, BUS_PORTS, port, size);
    return read_seen(ports, bus_guess_port(ports, port), port, size, seen);
}

void bus_write_port_seen(struct bus *ports, uint64_t port, unsigned size, uint64_t value,
                         struct bus_seen *seen)
{
    TRACE_PROBE4(bus_write, BUS_PORTS, port, size, value);
    write_seen(ports, bus_guess_port(ports, port), port, size, value, seen);
}

uint64_t bus_read_memory_seen(struct bus *memory, uint64_t gpa, unsigned size, struct bus_seen *seen)
{
    TRACE_PROBE3(bus_read, BUS_MEMORY, gpa, size);
    return read_seen(memory, bus_guess_memory(memory, gpa), gpa, size, seen);
}

void bus_write_memory_seen(struct bus *memory, uint64_t gpa, unsigned size, uint64_t value,
                           struct bus_seen *seen)
{
    TRACE_PROBE4(bus_write, BUS_MEMORY, gpa, size, value);
    write_seen(memory, bus_guess_memory(memory, gpa), gpa, size, value, seen);
}
