/* SPDX-License-Identifier: MIT
 *
 * The memory map that a guest is told: what of its physical addresses is RAM for it to use. One map, whatever
 * the protocol calls it (e820, multiboot's mmap, PVH's memmap), made from the ranges of guest memory, what a
 * PC has always kept for its firmware below 1 MiB, and what the machine reserves besides.
 */
#ifndef BOOT_MEMORY_MAP_H
#define BOOT_MEMORY_MAP_H

#include "base/error.h"
#include "ept/memory.h"

/*
 *   0          0x9fc00   0xa0000        1 MiB          3 GiB        4 GiB
 *   |   RAM    |  EBDA   | VGA, option  |     RAM      |   hole     |   RAM ...
 *   |          |         | ROMs, BIOS   |              |            |
 *              `----- reserved ---------'
 */
#define EBDA_GPA       0x9fc00
#define LOW_MEMORY_END 0xa0000
#define HIGH_MEMORY    0x100000

/* The numbers are those of e820, multiboot and PVH. */
enum memory_kind {
    MEMORY_KIND_RAM = 1,
    MEMORY_KIND_RESERVED = 2,
    MEMORY_KIND_ACPI = 3, /* tables, free once the guest has read them */
};

struct memory_map_entry {
    gpa_t gpa;
    uint64_t len; /* never 0 */
    enum memory_kind kind;
};

#define MEMORY_MAP_LIMIT 64

/* Sorted, without overlaps; neighbours of one kind are one entry. */
struct memory_map {
    size_t count;
    struct memory_map_entry entries[MEMORY_MAP_LIMIT];
};

/* Read-only ranges of guest memory are reserved. Where `reserved` entries overlap RAM they win, the later
 * over the earlier. -ENOSPC where the map has no room. */
int memory_map_build(const struct guest_memory *memory, const struct memory_map_entry *reserved,
                     size_t reserved_count, struct memory_map *map, struct vmm_error *error);

/* The same without the firmware's place below 1 MiB: where an image may be loaded. There is memory, and a
 * kernel that is linked to 1 MiB often has its ELF headers in the page before. */
int memory_map_build_backed(const struct guest_memory *memory, const struct memory_map_entry *reserved,
                            size_t reserved_count, struct memory_map *map, struct vmm_error *error);

/* How far RAM goes from `gpa` on, in bytes; 0 where that is no RAM. */
uint64_t memory_map_ram_from(const struct memory_map *map, gpa_t gpa);

/* Whether all of [gpa, gpa + len), len not 0, is RAM for the guest to use. */
bool memory_map_is_ram(const struct memory_map *map, gpa_t gpa, uint64_t len);

#endif
