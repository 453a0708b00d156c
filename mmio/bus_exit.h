/* SPDX-License-Identifier: MIT
 *
 * The bus for the exits of a vCPU: bus_read and bus_write for who knows which kind of bus it is and records
 * the access in the trace, if anybody. Above `size` bytes, what is read is anything.
 *
 * Threads: any, as bus_read and bus_write.
 */
#ifndef MMIO_BUS_EXIT_H
#define MMIO_BUS_EXIT_H

#include "mmio/bus.h"

uint64_t bus_read_port(struct bus *ports, uint64_t port, unsigned size);
void bus_write_port(struct bus *ports, uint64_t port, unsigned size, uint64_t value);
uint64_t bus_read_memory(struct bus *memory, uint64_t gpa, unsigned size);
void bus_write_memory(struct bus *memory, uint64_t gpa, unsigned size, uint64_t value);

/* What there is to record of an access. */
struct bus_seen {
    const char *device; /* that its first byte belongs to; NULL: to none */
    uint64_t ended;     /* trace_now() */
};

uint64_t bus_read_port_seen(struct bus *ports, uint64_t port, unsigned size, struct bus_seen *seen);
void bus_write_port_seen(struct bus *ports, uint64_t port, unsigned size, uint64_t value,
                         struct bus_seen *seen);
uint64_t bus_read_memory_seen(struct bus *memory, uint64_t gpa, unsigned size, struct bus_seen *seen);
void bus_write_memory_seen(struct bus *memory, uint64_t gpa, unsigned size, uint64_t value,
                           struct bus_seen *seen);

#endif
