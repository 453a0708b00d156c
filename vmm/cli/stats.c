/* SPDX-License-Identifier: MIT
 *
 * What a run cost: exits by reason and by device, time, start-up phases, memory.
 */
#include "vmm/cli/stats.h"

#include <inttypes.h>
#include <jansson.h>

#define EXITS_MAX   64
#define REGIONS_MAX 256

/* All of it, read once. */
struct stats {
    struct vmm_stats totals;
    struct vmm_exit_stat exits[EXITS_MAX];
    struct vmm_region_stat regions[REGIONS_MAX];
    size_t exit_count, region_count;
};

static void read_stats(struct stats *stats, struct vmm *machine)
{
    vmm_stats_get(machine, &stats->totals);
    stats->exit_count = vmm_stats_exits(machine, stats->exits, EXITS_MAX);
    stats->region_count = vmm_stats_regions(machine, stats->regions, REGIONS_MAX);
    if (stats->region_count > REGIONS_MAX)
        stats->region_count = REGIONS_MAX;
}

static uint64_t sum(const uint64_t counts[4])
{
    return counts[0] + counts[1] + counts[2] + counts[3];
}

static void print_regions(FILE *file, const struct stats *stats)
{
    fprintf(file, "accesses by device                     reads      writes   of 1, 2, 4, 8 bytes\n");
    for (size_t i = 0; i < stats->region_count; i++) {
        const struct vmm_region_stat *region = &stats->regions[i];
        const uint64_t *reads = region->read_counts, *writes = region->write_counts;
        if (region->dirty_bytes)
            fprintf(file, "  %-12s %#-12" PRIx64 "%-10s%9" PRIu64 " KiB of pages written\n", region->name,
                    region->base, region->engine, region->dirty_bytes >> 10);
        if (!sum(reads) && !sum(writes))
            continue;
        fprintf(file, "  %-12s %#-12" PRIx64 "%-10s%9" PRIu64 "   %9" PRIu64 "   ", region->name,
                region->base, region->space == VMM_SPACE_PORTS ? "port" : region->engine, sum(reads),
                sum(writes));
        fprintf(file,
                "%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64 ", %" PRIu64 "/%" PRIu64 "/%" PRIu64
                "/%" PRIu64 "\n",
                reads[0], reads[1], reads[2], reads[3], writes[0], writes[1], writes[2], writes[3]);
    }
    if (stats->totals.miss_count)
        fprintf(file, "  %-35s%9" PRIu64 "   (read as all ones, or ignored)\n", "claimed by no device",
                stats->totals.miss_count);
}

static void print_phases(FILE *file, const struct vmm_stats *totals)
{
    uint64_t sum_ns = 0;
    fprintf(file, "start-up, before the guest's first instruction\n");
    for (enum vmm_phase phase = 0; phase < VMM_PHASE_COUNT; phase++) {
        sum_ns += totals->phase_ns[phase];
        fprintf(file, "  %-10s %9.1f us\n", vmm_phase_name(phase), (double)totals->phase_ns[phase] / 1e3);
    }
    fprintf(file, "  %-10s %9.1f us\n", "all", (double)sum_ns / 1e3);
}

void stats_print_text(FILE *file, struct vmm *machine, const struct vmm_end *end)
{
    struct stats stats;
    read_stats(&stats, machine);
    fprintf(file, "end: %s on vCPU %u\n", vmm_end_name(end->reason), end->cpu);
    fprintf(file, "exits %" PRIu64 "\n", stats.totals.exit_count);
    for (size_t i = 0; i < stats.exit_count; i++)
        fprintf(file, "  %-20s %9" PRIu64 "\n", stats.exits[i].name, stats.exits[i].count);
    if (stats.totals.emulated_count)
        fprintf(file, "  instructions executed in software %9" PRIu64 "\n", stats.totals.emulated_count);
    if (stats.totals.coalesced_count)
        fprintf(file, "  writes collected without an exit  %9" PRIu64 "\n", stats.totals.coalesced_count);
    print_regions(file, &stats);
    fprintf(file, "time inside KVM_RUN %.3f ms, outside %.3f ms\n", (double)stats.totals.guest_ns / 1e6,
            (double)stats.totals.host_ns / 1e6);
    print_phases(file, &stats.totals);
    fprintf(file, "private memory without guest RAM: %" PRIu64 " KiB\n", stats.totals.private_bytes >> 10);
    fprintf(file, "peak memory with the guest RAM in use: %" PRIu64 " KiB\n", stats.totals.peak_bytes >> 10);
}

/* By width: 1, 2, 4, 8 bytes. */
static json_t *counts_json(const uint64_t counts[4])
{
    return json_pack("[I, I, I, I]", (json_int_t)counts[0], (json_int_t)counts[1], (json_int_t)counts[2],
                     (json_int_t)counts[3]);
}

static json_t *regions_json(const struct stats *stats)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats->region_count; i++) {
        const struct vmm_region_stat *region = &stats->regions[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:o, s:o}", "name", region->name, "space",
                            region->space == VMM_SPACE_PORTS ? "port" : "memory", "engine", region->engine,
                            "base", (json_int_t)region->base, "len", (json_int_t)region->len, "dirty",
                            (json_int_t)region->dirty_bytes, "reads", counts_json(region->read_counts),
                            "writes", counts_json(region->write_counts)));
    }
    return list;
}

void stats_print_json(FILE *file, struct vmm *machine, const struct vmm_end *end)
{
    struct stats stats;
    read_stats(&stats, machine);
    json_t *exits = json_object(), *phases = json_object();
    for (size_t i = 0; i < stats.exit_count; i++)
        json_object_set_new(exits, stats.exits[i].name, json_integer((json_int_t)stats.exits[i].count));
    for (enum vmm_phase phase = 0; phase < VMM_PHASE_COUNT; phase++)
        json_object_set_new(phases, vmm_phase_name(phase),
                            json_integer((json_int_t)stats.totals.phase_ns[phase]));
    json_t *root = json_pack("{s:s, s:I, s:i, s:I, s:o, s:I, s:I, s:o, s:I, s:I, s:I, s:o, s:I, s:I}", "end",
                             vmm_end_name(end->reason), "value", (json_int_t)end->value, "cpu", (int)end->cpu,
                             "exit_count", (json_int_t)stats.totals.exit_count, "exits", exits, "emulated",
                             (json_int_t)stats.totals.emulated_count, "coalesced",
                             (json_int_t)stats.totals.coalesced_count, "devices", regions_json(&stats),
                             "unclaimed", (json_int_t)stats.totals.miss_count, "guest_ns",
                             (json_int_t)stats.totals.guest_ns, "host_ns", (json_int_t)stats.totals.host_ns,
                             "phase_ns", phases, "private_bytes", (json_int_t)stats.totals.private_bytes,
                             "peak_bytes", (json_int_t)stats.totals.peak_bytes);
    json_dumpf(root, file, JSON_COMPACT);
    fputc('\n', file);
    json_decref(root);
}
