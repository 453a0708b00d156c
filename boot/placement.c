/* SPDX-License-Identifier: MIT
 *
 * First fit over the memory map and a list of what is taken. Both are short, so every search is a walk.
 */
#include "boot/placement.h"

#include <stdio.h>
#include <string.h>

void placement_init(struct placement *placement, const struct memory_map *map,
                    const struct memory_map *backed)
{
    placement->map = map;
    placement->backed = backed;
    placement->taken_count = 0;
}

/* What has a byte of the range; NULL where nothing has. */
static const struct placement_taken *find_taken(const struct placement *placement, gpa_t gpa, uint64_t len)
{
    for (size_t i = 0; i < placement->taken_count; i++)
        if (ranges_overlap(gpa, len, placement->taken[i].gpa, placement->taken[i].len))
            return &placement->taken[i];
    return NULL;
}

bool placement_has(const struct placement *placement, gpa_t gpa, uint64_t len)
{
    for (size_t i = 0; i < placement->taken_count; i++)
        if (range_inside(gpa, len, placement->taken[i].gpa, placement->taken[i].len))
            return true;
    return false;
}

bool placement_is_free(const struct placement *placement, gpa_t gpa, uint64_t len)
{
    return !find_taken(placement, gpa, len);
}

static int add_taken(struct placement *placement, const struct placement_part *part, gpa_t gpa,
                     struct vmm_error *error)
{
    if (placement->taken_count == PLACEMENT_LIMIT)
        return error_set(error, -ENOSPC, "%s: the image and its modules have more than %d parts", part->owner,
                         PLACEMENT_LIMIT);
    struct placement_taken *taken = &placement->taken[placement->taken_count++];
    taken->gpa = gpa;
    taken->len = part->len;
    size_t what_len = strnlen(part->what, sizeof(taken->what) - 1);
    memcpy(taken->what, part->what, what_len);
    taken->what[what_len] = '\0';
    return 0;
}

/* Why the place is not the image's to have. */
static int refuse_place(const struct placement *placement, const struct placement_part *part, gpa_t gpa,
                        struct vmm_error *error)
{
    unsigned long long first = gpa, last = gpa + part->len - 1;
    const struct memory_map_entry *entries = placement->backed->entries;
    for (size_t i = 0; i < placement->backed->count; i++)
        if (entries[i].kind != MEMORY_KIND_RAM &&
            ranges_overlap(gpa, part->len, entries[i].gpa, entries[i].len))
            return error_set(error, -ENOSPC, "%s: %s (%#llx-%#llx) lies in the reserved %#llx-%#llx",
                             part->owner, part->what, first, last, (unsigned long long)entries[i].gpa,
                             (unsigned long long)(entries[i].gpa + entries[i].len - 1));
    /* No size of memory reaches into the hole. */
    bool is_hole = ranges_overlap(gpa, part->len, PCI_HOLE_GPA, PCI_HOLE_END_GPA - PCI_HOLE_GPA);
    return error_set(error, -ENOSPC, "%s: %s (%#llx-%#llx) lies outside of the guest's RAM; %s", part->owner,
                     part->what, first, last,
                     is_hole ? "RAM is below 3 GiB and from 4 GiB on" : "give the guest more memory");
}

int placement_take(struct placement *placement, const struct placement_part *part, gpa_t gpa,
                   struct vmm_error *error)
{
    if (!memory_map_is_ram(placement->backed, gpa, part->len))
        return refuse_place(placement, part, gpa, error);
    const struct placement_taken *other = find_taken(placement, gpa, part->len);
    if (other)
        return error_set(error, -ENOEXEC, "%s: %s (%#llx-%#llx) overlaps %s (%#llx-%#llx)", part->owner,
                         part->what, (unsigned long long)gpa, (unsigned long long)(gpa + part->len - 1),
                         other->what, (unsigned long long)other->gpa,
                         (unsigned long long)(other->gpa + other->len - 1));
    return add_taken(placement, part, gpa, error);
}

/* The highest free place that lies in [low, high). */
static bool find_down(const struct placement *placement, uint64_t len, gpa_t low, gpa_t high, gpa_t *gpa)
{
    for (size_t i = placement->map->count; i-- > 0;) {
        const struct memory_map_entry *entry = &placement->map->entries[i];
        gpa_t first = entry->gpa > low ? entry->gpa : low;
        gpa_t end = entry->gpa + entry->len < high ? entry->gpa + entry->len : high;
        while (entry->kind == MEMORY_KIND_RAM && end >= first && end - first >= len) {
            gpa_t place = align_down(end - len, PAGE_BYTES);
            if (place < first)
                break;
            const struct placement_taken *taken = find_taken(placement, place, len);
            *gpa = place;
            if (!taken)
                return true;
            end = taken->gpa;
        }
    }
    return false;
}

bool placement_find_up(const struct placement *placement, uint64_t len, uint64_t align, gpa_t high,
                       gpa_t *gpa)
{
    const gpa_t low = *gpa;
    for (size_t i = 0; i < placement->map->count; i++) {
        const struct memory_map_entry *entry = &placement->map->entries[i];
        gpa_t first = entry->gpa > low ? entry->gpa : low;
        gpa_t end = entry->gpa + entry->len < high ? entry->gpa + entry->len : high;
        while (entry->kind == MEMORY_KIND_RAM && first < end) {
            gpa_t place = align_up(first, align);
            if (place < first || place > end || end - place < len)
                break;
            const struct placement_taken *taken = find_taken(placement, place, len);
            *gpa = place;
            if (!taken)
                return true;
            first = taken->gpa + taken->len;
        }
    }
    return false;
}

static bool find_up(const struct placement *placement, uint64_t len, gpa_t low, gpa_t high, gpa_t *gpa)
{
    *gpa = low;
    return placement_find_up(placement, len, PAGE_BYTES, high, gpa);
}

/* Behind everything taken below 4 GiB, but not below `low`. */
static gpa_t taken_end(const struct placement *placement, gpa_t low)
{
    gpa_t end = low;
    for (size_t i = 0; i < placement->taken_count; i++) {
        gpa_t taken = placement->taken[i].gpa + placement->taken[i].len;
        if (taken <= 4 * GIB && taken > end)
            end = taken;
    }
    return end;
}

int placement_take_tables(struct placement *placement, const char *owner, uint64_t len, gpa_t *gpa,
                          struct vmm_error *error)
{
    if (!find_up(placement, len, TABLES_GPA, TABLES_END_GPA, gpa) &&
        !find_down(placement, len, PAGE_BYTES, EBDA_GPA, gpa) &&
        !find_up(placement, len, taken_end(placement, HIGH_MEMORY), 4 * GIB, gpa) &&
        !find_up(placement, len, PAGE_BYTES, 4 * GIB, gpa))
        return error_set(
            error, -ENOSPC,
            "%s: the image leaves no room below 4 GiB for the %llu bytes of boot tables; give the "
            "guest more memory",
            owner, (unsigned long long)len);
    const struct placement_part part = {owner, "the boot tables", len};
    return add_taken(placement, &part, *gpa, error);
}

static int refuse_part(const struct placement_part *part, const char *by, struct vmm_error *error)
{
    return error_set(
        error, -ENOSPC,
        "%s: %s of %llu bytes does not fit into the RAM that the %s leaves; give the guest more memory",
        part->owner, part->what, (unsigned long long)part->len, by);
}

int placement_take_module(struct placement *placement, const struct placement_part *part, gpa_t *gpa,
                          struct vmm_error *error)
{
    if (!find_up(placement, part->len, taken_end(placement, HIGH_MEMORY), 4 * GIB, gpa) &&
        !find_up(placement, part->len, taken_end(placement, PAGE_BYTES), 4 * GIB, gpa) &&
        !find_up(placement, part->len, PAGE_BYTES, 4 * GIB, gpa))
        return refuse_part(part, "image", error);
    return add_taken(placement, part, *gpa, error);
}

int placement_take_high(struct placement *placement, const struct placement_part *part, gpa_t high,
                        gpa_t *gpa, struct vmm_error *error)
{
    if (!find_down(placement, part->len, HIGH_MEMORY, high, gpa))
        return refuse_part(part, "kernel", error);
    return add_taken(placement, part, *gpa, error);
}
