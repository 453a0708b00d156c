/* SPDX-License-Identifier: MIT
 *
 * A bus: from an address to the device that owns it. A machine has two, ports and memory. The bus alone
 * decides what a miss or a wrong width does; a device sees offset, size and value and cannot fail.
 *
 * Threads: bus_read and bus_write from any thread; the device's lock is taken around its operation. Regions
 * are added and removed only while every vCPU is out.
 */
#ifndef MMIO_BUS_H
#define MMIO_BUS_H

#include "base/error.h"
#include "base/lock.h"
#include "base/types.h"

/* What a device does with an access: `size` is one that its region allows, `offset` + `size` is inside the
 * region. A value read is cut to `size` by the bus. */
struct bus_ops {
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
    /* May be NULL: `count` accesses of `size` bytes at rising offsets in one call, with the same effect as so
     * many calls of read or write. `to` and `from` may be the guest's memory: each byte is read once. */
    void (*read_block)(void *device, uint64_t offset, unsigned size, size_t count, void *to);
    void (*write_block)(void *device, uint64_t offset, unsigned size, size_t count, const void *from);
    /* Of a direct region, may be NULL: the guest has written to some of the bytes [offset, offset + len)
     * since the last call, without an access that came here. */
    void (*dirty)(void *device, uint64_t offset, uint64_t len);
};

/* Who finds out what an access to guest-physical memory is. */
enum bus_engine {
    BUS_ENGINE_AUTO, /* the machine's choice */
    BUS_ENGINE_KVM,  /* no slot: KVM decodes the instruction */
    BUS_ENGINE_TRAP, /* a slot without access: we decode it */
};

#define BUS_SIZE_MAX 8 /* bytes of an access, and the last index of what there is for each size */

/* Owned by the device; the bus borrows it from bus_add to bus_remove. */
struct bus_region {
    const char *name; /* for messages and statistics */
    uint64_t base;
    uint64_t len;
    /* The widths that the device knows, a power of two each. 0 means 1 and 8. A wider access is split, low
     * part first; a narrower one reads all ones and writes nothing. */
    unsigned size_min, size_max;
    const struct bus_ops *ops;
    void *device;
    struct lock *lock; /* NULL: the device needs none */
    /* What the device asks of the machine, for BUS_MEMORY (coalesce: for ports too). */
    enum bus_engine engine;
    bool coalesce;   /* writes may reach it late, but before anything else does */
    bool is_trapped; /* the machine's answer: its pages have a slot without access */
    void *direct;    /* `len` bytes that stand for the region, which has no side effects; or NULL */
    bool is_rom;     /* of a direct region: the guest only reads there; its writes come here */
    uint64_t
        dirty_bytes; /* of a direct region: what the guest has written, in whole pages, as far as asked */
    /* The bus's, by the size of an access: of 1, 2, 4 and 8 bytes. */
    uint64_t read_counts[BUS_SIZE_MAX + 1], write_counts[BUS_SIZE_MAX + 1];
    /* One of n bytes that begins before whole_before[n] is one to the device; 0 where that never is, or
     * without a lock. */
    uint64_t whole_before[BUS_SIZE_MAX + 1];
};

struct bus;

enum bus_kind {
    BUS_PORTS,  /* addresses 0 to 0xffff, found in constant time */
    BUS_MEMORY, /* guest-physical addresses */
};

int bus_create(enum bus_kind kind, struct bus **bus, struct vmm_error *error);
void bus_destroy(struct bus *bus);

/* -EEXIST where the region overlaps another, -EINVAL where it is empty or leaves the address space. */
int bus_add(struct bus *bus, struct bus_region *region, struct vmm_error *error);
void bus_remove(struct bus *bus, struct bus_region *region);

/* The region that holds `address`, or NULL. */
struct bus_region *bus_find(const struct bus *bus, uint64_t address);

/* An access of 1 to 8 bytes. Bytes that no region claims read all ones, and writes to them vanish. An access
 * that leaves its region is done byte by byte. */
uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size);
void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value);

/* `count` accesses of `size` bytes (1, 2, 4, 8) at rising addresses, as of a REP instruction: the same as so
 * many bus_reads or bus_writes, but the region is found and locked once where the block lies inside it. */
void bus_read_block(struct bus *bus, uint64_t address, unsigned size, size_t count, void *to);
void bus_write_block(struct bus *bus, uint64_t address, unsigned size, size_t count, const void *from);

/* The regions in order of address; a borrow until the next bus_add or bus_remove. */
struct bus_region *const *bus_regions(const struct bus *bus, size_t *count);

/* Accesses of which no byte was claimed, since the bus was created. */
uint64_t bus_miss_count(const struct bus *bus);

#endif
