/* SPDX-License-Identifier: MIT
 *
 * The memory map is painted: RAM first, then what is reserved over it, the last coat wins. A coat over the
 * middle of an entry leaves two, so each coat needs room for two more.
 */
#include "boot/memory_map.h"

#include <string.h>

static void insert_entry(struct memory_map *map, size_t at, struct memory_map_entry entry)
{
    memmove(map->entries + at + 1, map->entries + at, (map->count - at) * sizeof(map->entries[0]));
    map->entries[at] = entry;
    map->count++;
}

static void remove_entry(struct memory_map *map, size_t at)
{
    map->count--;
    memmove(map->entries + at, map->entries + at + 1, (map->count - at) * sizeof(map->entries[0]));
}

/* Takes [gpa, gpa + len) out of every entry. Returns the index at which it would be inserted. */
static size_t cut_out(struct memory_map *map, gpa_t gpa, uint64_t len)
{
    size_t at = 0;
    while (at < map->count) {
        struct memory_map_entry *entry = &map->entries[at];
        gpa_t end = gpa + len, entry_end = entry->gpa + entry->len;
        if (entry_end <= gpa) {
            at++;
        } else if (entry->gpa >= end) {
            break;
        } else if (entry->gpa < gpa) {
            struct memory_map_entry behind = {.gpa = end, .len = entry_end - end, .kind = entry->kind};
            entry->len = gpa - entry->gpa;
            at++;
            if (entry_end > end)
                insert_entry(map, at, behind);
        } else if (entry_end > end) {
            entry->gpa = end;
            entry->len = entry_end - end;
        } else {
            remove_entry(map, at);
        }
    }
    return at;
}

static int paint(struct memory_map *map, struct memory_map_entry coat, struct vmm_error *error)
{
    uint64_t end;
    if (!coat.len || !checked_add(coat.gpa, coat.len, &end))
        return error_set(error, -EINVAL, "memory map: %#llx bytes at %#llx cannot be reserved",
                         (unsigned long long)coat.len, (unsigned long long)coat.gpa);
    if (map->count + 2 > MEMORY_MAP_LIMIT)
        return error_set(error, -ENOSPC, "memory map: more than %d entries", MEMORY_MAP_LIMIT);
    insert_entry(map, cut_out(map, coat.gpa, coat.len), coat);
    return 0;
}

static void merge_neighbours(struct memory_map *map)
{
    for (size_t i = 1; i < map->count;) {
        struct memory_map_entry *before = &map->entries[i - 1], *entry = &map->entries[i];
        if (before->gpa + before->len == entry->gpa && before->kind == entry->kind) {
            before->len += entry->len;
            remove_entry(map, i);
        } else {
            i++;
        }
    }
}

static int paint_all(struct memory_map *map, const struct memory_map_entry *coats, size_t count,
                     struct vmm_error *error)
{
    int result = 0;
    for (size_t i = 0; i < count && !result; i++)
        result = paint(map, coats[i], error);
    return result;
}

static int paint_ranges(struct memory_map *map, const struct guest_memory *memory, struct vmm_error *error)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(memory, &count);
    int result = 0;
    map->count = 0;
    for (size_t i = 0; i < count && !result; i++) {
        enum memory_kind kind = ranges[i].read_only ? MEMORY_KIND_RESERVED : MEMORY_KIND_RAM;
        result = paint(map, (struct memory_map_entry){ranges[i].gpa, ranges[i].len, kind}, error);
    }
    return result;
}

int memory_map_build(const struct guest_memory *memory, const struct memory_map_entry *reserved,
                     size_t reserved_count, struct memory_map *map, struct vmm_error *error)
{
    static const struct memory_map_entry firmware = {EBDA_GPA, HIGH_MEMORY - EBDA_GPA, MEMORY_KIND_RESERVED};
    int result = paint_ranges(map, memory, error);
    if (!result && memory_map_ram_from(map, EBDA_GPA))
        result = paint(map, firmware, error);
    if (!result)
        result = paint_all(map, reserved, reserved_count, error);
    merge_neighbours(map);
    return result;
}

int memory_map_build_backed(const struct guest_memory *memory, const struct memory_map_entry *reserved,
                            size_t reserved_count, struct memory_map *map, struct vmm_error *error)
{
    int result = paint_ranges(map, memory, error);
    if (!result)
        result = paint_all(map, reserved, reserved_count, error);
    merge_neighbours(map);
    return result;
}

uint64_t memory_map_ram_from(const struct memory_map *map, gpa_t gpa)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct memory_map_entry *entry = &map->entries[i];
        if (entry->kind == MEMORY_KIND_RAM && gpa >= entry->gpa && gpa - entry->gpa < entry->len)
            return entry->gpa + entry->len - gpa;
    }
    return 0;
}

bool memory_map_is_ram(const struct memory_map *map, gpa_t gpa, uint64_t len)
{
    return memory_map_ram_from(map, gpa) >= len;
}
