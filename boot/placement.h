/* SPDX-License-Identifier: MIT
 *
 * Who has which guest memory while a guest is loaded: the image's parts where they want to be, then the
 * modules and the loader's own tables where room is left. Nothing here is written to guest memory.
 */
#ifndef BOOT_PLACEMENT_H
#define BOOT_PLACEMENT_H

#include "boot/memory_map.h"

/*
 *  0      0x1000          0x10000    0x80000        0x9fc00        1 MiB     image end                4 GiB
 *  | page 0 | <- trampolines | tables ->  |  trampolines ->  |  firmware | image ... | modules -> ...   |
 *
 * Tables go from 64 KiB on: out of page 0, of the low pages in which kernels start their other processors,
 * of where images are usually loaded, and of the end of low memory, where Xen and memtest86+ have their
 * trampolines and heaps. Where that is full, as high as possible below the EBDA, else behind the image.
 */
#define TABLES_GPA     0x10000
#define TABLES_END_GPA 0x80000

#define PLACEMENT_LIMIT 160

struct placement_taken {
    gpa_t gpa;
    uint64_t len;
    char what[24]; /* "segment 3", "module 1": for messages */
};

struct placement {
    const struct memory_map *map;    /* the guest's: what is placed where there is room */
    const struct memory_map *backed; /* what the image may have; both are borrowed */
    size_t taken_count;
    struct placement_taken taken[PLACEMENT_LIMIT];
};

/* What a place is taken for. */
struct placement_part {
    const char *owner; /* begins each message: the name of the image or the module */
    const char *what;  /* as of struct placement_taken */
    uint64_t len;      /* not 0 */
};

void placement_init(struct placement *placement, const struct memory_map *map,
                    const struct memory_map *backed);

/* Takes the place at `gpa` for a part of the image. -ENOSPC where that is not RAM, -ENOEXEC where something
 * has some of it already. */
int placement_take(struct placement *placement, const struct placement_part *part, gpa_t gpa,
                   struct vmm_error *error);

/* Whether all of [gpa, gpa + len) is taken by one owner. */
bool placement_has(const struct placement *placement, gpa_t gpa, uint64_t len);

/* Whether nothing of the range is taken. */
bool placement_is_free(const struct placement *placement, gpa_t gpa, uint64_t len);

/* Takes `len` bytes, not 0, for the loader's tables, page-aligned and below 4 GiB. -ENOSPC. */
int placement_take_tables(struct placement *placement, const char *owner, uint64_t len, gpa_t *gpa,
                          struct vmm_error *error);

/* Takes a place for a module: page-aligned, below 4 GiB, behind everything taken so far and above 1 MiB if
 * possible. -ENOSPC. */
int placement_take_module(struct placement *placement, const struct placement_part *part, gpa_t *gpa,
                          struct vmm_error *error);

/* The lowest free place from *gpa on that is a multiple of `align` and ends at `high` at most. It is not
 * taken yet. False where there is none; *gpa is anything then. */
bool placement_find_up(const struct placement *placement, uint64_t len, uint64_t align, gpa_t high,
                       gpa_t *gpa);

/* Takes a place, page-aligned and above 1 MiB, as high as possible below `high`. -ENOSPC. */
int placement_take_high(struct placement *placement, const struct placement_part *part, gpa_t high,
                        gpa_t *gpa, struct vmm_error *error);

#endif
