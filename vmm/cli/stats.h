/* SPDX-License-Identifier: MIT
 *
 * What a run cost, for a person and for a program. A run that was restarted is several machines, one after
 * the other: each is added.
 */
#ifndef VMM_CLI_STATS_H
#define VMM_CLI_STATS_H

#include <stdio.h>

#include "include/libvmm.h"

#define STATS_EXITS_MAX   64
#define STATS_DISKS_MAX   16
#define STATS_VIRTIO_MAX  16
#define STATS_REGIONS_MAX 256

/* A point of the boot, and the exits until then. */
struct stats_mark {
    uint64_t ns; /* 0: not reached */
    struct vmm_exit_stat exits[STATS_EXITS_MAX];
    size_t exit_count;
};

/* Begins as zeros. */
struct run_stats {
    struct vmm_disk_stat disks[STATS_DISKS_MAX];
    char disk_names[STATS_DISKS_MAX][16];
    size_t disk_count;
    struct vmm_virtio_stat virtios[STATS_VIRTIO_MAX];
    char virtio_names[STATS_VIRTIO_MAX][16];
    size_t virtio_count;
    struct vmm_stats totals;
    struct vmm_exit_stat exits[STATS_EXITS_MAX];
    struct vmm_region_stat regions[STATS_REGIONS_MAX]; /* without their names, which end with the machine */
    char names[STATS_REGIONS_MAX][32];
    struct stats_mark marks[VMM_MARK_COUNT];
    size_t exit_count, region_count;
    unsigned start_count;
};

/* While the machine does not run. */
void stats_add(struct run_stats *stats, struct vmm *machine);

void stats_print_text(FILE *file, const struct run_stats *stats, const struct vmm_end *end);

/* One JSON object on one line; docs/stats.md describes it. */
void stats_print_json(FILE *file, const struct run_stats *stats, const struct vmm_end *end);

#endif
