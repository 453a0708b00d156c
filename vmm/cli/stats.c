/* SPDX-License-Identifier: MIT
 *
 * What a run cost: exits by reason and by device, time, start-up phases, memory.
 */
#include "vmm/cli/stats.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/types.h"

static void add_exits(struct run_stats *stats, const struct vmm_exit_stat *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < stats->exit_count && strcmp(stats->exits[at].name, list[i].name))
            at++;
        if (at == STATS_EXITS_MAX)
            continue;
        stats->exits[at].name = list[i].name; /* a constant of the library */
        stats->exits[at].count += list[i].count;
        stats->exit_count += at == stats->exit_count;
    }
}

static void add_region(struct run_stats *stats, const struct vmm_region_stat *region)
{
    size_t at = 0;
    while (at < stats->region_count &&
           (strcmp(stats->names[at], region->name) || stats->regions[at].base != region->base ||
            stats->regions[at].space != region->space))
        at++;
    if (at == STATS_REGIONS_MAX)
        return;
    struct vmm_region_stat *sum = &stats->regions[at];
    if (at == stats->region_count) {
        *sum = *region;
        snprintf(stats->names[at], sizeof(stats->names[at]), "%s", region->name);
        stats->region_count++;
        return;
    }
    sum->dirty_bytes += region->dirty_bytes;
    for (unsigned i = 0; i < 4; i++) {
        sum->read_counts[i] += region->read_counts[i];
        sum->write_counts[i] += region->write_counts[i];
    }
}

static void read_marks(struct run_stats *stats, struct vmm *machine)
{
    for (enum vmm_mark mark = 0; mark < VMM_MARK_COUNT; mark++) {
        struct stats_mark *to = &stats->marks[mark];
        size_t count = vmm_stats_mark_exits(machine, mark, to->exits, STATS_EXITS_MAX);
        to->ns = vmm_stats_mark(machine, mark);
        to->exit_count = count < STATS_EXITS_MAX ? count : STATS_EXITS_MAX;
    }
}

/* Counts are sums, the rest is the last start's. */
static void add_totals(struct run_stats *stats, struct vmm *machine)
{
    struct vmm_stats now, *sum = &stats->totals;
    vmm_stats_get(machine, &now);
    now.exit_count += sum->exit_count;
    now.emulated_count += sum->emulated_count;
    now.coalesced_count += sum->coalesced_count;
    now.guest_ns += sum->guest_ns;
    now.host_ns += sum->host_ns;
    now.miss_count += sum->miss_count;
    *sum = now;
}

/* Those of the last start. */
static void read_disks(struct run_stats *stats, struct vmm *machine)
{
    size_t count = vmm_stats_disks(machine, stats->disks, STATS_DISKS_MAX);
    stats->disk_count = count < STATS_DISKS_MAX ? count : STATS_DISKS_MAX;
    for (size_t i = 0; i < stats->disk_count; i++) {
        snprintf(stats->disk_names[i], sizeof(stats->disk_names[i]), "%s", stats->disks[i].name);
        stats->disks[i].name = stats->disk_names[i];
    }
}

static void read_virtios(struct run_stats *stats, struct vmm *machine)
{
    size_t count = vmm_stats_virtio(machine, stats->virtios, STATS_VIRTIO_MAX);
    stats->virtio_count = count < STATS_VIRTIO_MAX ? count : STATS_VIRTIO_MAX;
    for (size_t i = 0; i < stats->virtio_count; i++) {
        snprintf(stats->virtio_names[i], sizeof(stats->virtio_names[i]), "%s", stats->virtios[i].name);
        stats->virtios[i].name = stats->virtio_names[i];
    }
}

void stats_add(struct run_stats *stats, struct vmm *machine)
{
    struct vmm_region_stat regions[STATS_REGIONS_MAX];
    struct vmm_exit_stat exits[STATS_EXITS_MAX];
    size_t count = vmm_stats_exits(machine, exits, STATS_EXITS_MAX);
    add_exits(stats, exits, count < STATS_EXITS_MAX ? count : STATS_EXITS_MAX);
    count = vmm_stats_regions(machine, regions, STATS_REGIONS_MAX);
    for (size_t i = 0; i < count && i < STATS_REGIONS_MAX; i++)
        add_region(stats, &regions[i]);
    add_totals(stats, machine);
    read_disks(stats, machine);
    read_virtios(stats, machine);
    read_marks(stats, machine);
    stats->start_count++;
}

static uint64_t sum(const uint64_t counts[4])
{
    return counts[0] + counts[1] + counts[2] + counts[3];
}

static void print_regions(FILE *file, const struct run_stats *stats)
{
    fprintf(file, "accesses by device                     reads      writes   of 1, 2, 4, 8 bytes\n");
    for (size_t i = 0; i < stats->region_count; i++) {
        const struct vmm_region_stat *region = &stats->regions[i];
        const uint64_t *reads = region->read_counts, *writes = region->write_counts;
        if (region->dirty_bytes)
            fprintf(file, "  %-12s %#-12" PRIx64 " %-9s%9" PRIu64 " KiB of pages written\n", stats->names[i],
                    region->base, region->engine, region->dirty_bytes >> 10);
        if (!sum(reads) && !sum(writes))
            continue;
        fprintf(file, "  %-12s %#-12" PRIx64 " %-9s%9" PRIu64 "   %9" PRIu64 "   ", stats->names[i],
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

/* How the driver and the device have told each other. */
static void print_signals(FILE *file, uint64_t doorbells, uint64_t notifies, uint64_t interrupts,
                          uint64_t suppressed)
{
    fprintf(file,
            "  notified %" PRIu64 " times by ioeventfd, %" PRIu64 " by the bus; interrupts %" PRIu64
            ", not wanted %" PRIu64 "\n",
            doorbells, notifies, interrupts, suppressed);
}

static void print_virtios(FILE *file, const struct run_stats *stats)
{
    for (size_t i = 0; i < stats->virtio_count; i++) {
        const struct vmm_virtio_stat *virtio = &stats->virtios[i];
        fprintf(file,
                "%s\n  requests %" PRIu64 ", bytes from the guest %" PRIu64 ", to the guest %" PRIu64 "\n",
                virtio->name, virtio->request_count, virtio->guest_out_bytes, virtio->guest_in_bytes);
        print_signals(file, virtio->doorbell_count, virtio->notify_count, virtio->interrupt_count,
                      virtio->suppressed_count);
    }
}

static void print_disks(FILE *file, const struct run_stats *stats)
{
    for (size_t i = 0; i < stats->disk_count; i++) {
        const struct vmm_disk_stat *disk = &stats->disks[i];
        fprintf(file, "%s, %" PRIu64 " MiB by %s\n", disk->name, disk->bytes >> 20, disk->aio);
        fprintf(file,
                "  reads %" PRIu64 " of %" PRIu64 " KiB, writes %" PRIu64 " of %" PRIu64
                " KiB, flushes %" PRIu64,
                disk->read_count, disk->read_bytes >> 10, disk->write_count, disk->write_bytes >> 10,
                disk->flush_count);
        if (disk->discard_count || disk->zeroes_count)
            fprintf(file, ", discards %" PRIu64 ", zeroes %" PRIu64, disk->discard_count, disk->zeroes_count);
        fputc('\n', file);
        print_signals(file, disk->doorbell_count, disk->notify_count, disk->interrupt_count,
                      disk->suppressed_count);
        if (disk->error_count || disk->refused_count || disk->throttled_count)
            fprintf(file,
                    "  failed by the host %" PRIu64 ", refused %" PRIu64 ", waits for a limit %" PRIu64 "\n",
                    disk->error_count, disk->refused_count, disk->throttled_count);
    }
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

/* How often each exit came between two marks. Other CPUs go on while one notes its counts, so that the
 * earlier mark may have one more. */
static uint64_t exits_between(const struct stats_mark *before, const struct vmm_exit_stat *exit)
{
    for (size_t i = 0; before && i < before->exit_count; i++)
        if (strcmp(before->exits[i].name, exit->name) == 0)
            return before->exits[i].count < exit->count ? exit->count - before->exits[i].count : 0;
    return exit->count;
}

/* The marks that were reached, in the order in which they were: a quiet kernel is in user space before its
 * first byte. Returns how many. */
static unsigned sort_marks(const struct run_stats *stats, enum vmm_mark order[VMM_MARK_COUNT])
{
    unsigned count = 0;
    for (enum vmm_mark mark = 0; mark < VMM_MARK_COUNT; mark++) {
        if (!stats->marks[mark].ns)
            continue;
        unsigned at = count++;
        for (; at && stats->marks[order[at - 1]].ns > stats->marks[mark].ns; at--)
            order[at] = order[at - 1];
        order[at] = mark;
    }
    return count;
}

/* A line for each mark: when, and the exits since the one before it. */
static void print_marks(FILE *file, const struct run_stats *stats)
{
    enum vmm_mark order[VMM_MARK_COUNT];
    unsigned count = sort_marks(stats, order);
    const struct stats_mark *before = NULL;
    fprintf(file, "progress                         at      since the line before\n");
    for (unsigned number = 0; number < count; number++) {
        const struct stats_mark *now = &stats->marks[order[number]];
        fprintf(file, "  %-18s %12.3f ms  %12.3f ms", vmm_mark_name(order[number]), (double)now->ns / 1e6,
                (double)(now->ns - (before ? before->ns : 0)) / 1e6);
        for (size_t i = 0; i < now->exit_count; i++)
            if (exits_between(before, &now->exits[i]))
                fprintf(file, "  %s %" PRIu64, now->exits[i].name, exits_between(before, &now->exits[i]));
        fputc('\n', file);
        before = now;
    }
}

void stats_print_text(FILE *file, const struct run_stats *stats, const struct vmm_end *end)
{
    fprintf(file, "end: %s on vCPU %u\n", vmm_end_name(end->reason), end->cpu);
    if (stats->start_count > 1)
        fprintf(file, "starts %u: counts are of all of them, times and memory of the last\n",
                stats->start_count);
    fprintf(file, "exits %" PRIu64 "\n", stats->totals.exit_count);
    for (size_t i = 0; i < stats->exit_count; i++)
        fprintf(file, "  %-20s %9" PRIu64 "\n", stats->exits[i].name, stats->exits[i].count);
    if (stats->totals.emulated_count)
        fprintf(file, "  instructions executed in software %9" PRIu64 "\n", stats->totals.emulated_count);
    if (stats->totals.coalesced_count)
        fprintf(file, "  writes collected without an exit  %9" PRIu64 "\n", stats->totals.coalesced_count);
    print_regions(file, stats);
    print_disks(file, stats);
    print_virtios(file, stats);
    fprintf(file, "time inside KVM_RUN %.3f ms, outside %.3f ms\n", (double)stats->totals.guest_ns / 1e6,
            (double)stats->totals.host_ns / 1e6);
    print_phases(file, &stats->totals);
    print_marks(file, stats);
    fprintf(file, "private memory without guest RAM: %" PRIu64 " KiB\n", stats->totals.private_bytes >> 10);
    fprintf(file, "peak memory with the guest RAM in use: %" PRIu64 " KiB\n", stats->totals.peak_bytes >> 10);
}

/* By width: 1, 2, 4, 8 bytes. */
static json_t *counts_json(const uint64_t counts[4])
{
    return json_pack("[I, I, I, I]", (json_int_t)counts[0], (json_int_t)counts[1], (json_int_t)counts[2],
                     (json_int_t)counts[3]);
}

static json_t *regions_json(const struct run_stats *stats)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats->region_count; i++) {
        const struct vmm_region_stat *region = &stats->regions[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:o, s:o}", "name", stats->names[i], "space",
                            region->space == VMM_SPACE_PORTS ? "port" : "memory", "engine", region->engine,
                            "base", (json_int_t)region->base, "len", (json_int_t)region->len, "dirty",
                            (json_int_t)region->dirty_bytes, "reads", counts_json(region->read_counts),
                            "writes", counts_json(region->write_counts)));
    }
    return list;
}

static json_t *marks_json(const struct run_stats *stats)
{
    static const char *const keys[] = {[VMM_MARK_ENTRY] = "entry",
                                       [VMM_MARK_SERIAL] = "serial",
                                       [VMM_MARK_USER_SPACE] = "user_space",
                                       [VMM_MARK_END] = "end"};
    json_t *marks = json_object();
    for (enum vmm_mark mark = 0; mark < VMM_MARK_COUNT; mark++) {
        const struct stats_mark *now = &stats->marks[mark];
        json_t *exits = json_object();
        for (size_t i = 0; i < now->exit_count; i++)
            json_object_set_new(exits, now->exits[i].name, json_integer((json_int_t)now->exits[i].count));
        json_object_set_new(marks, keys[mark],
                            json_pack("{s:I, s:o}", "ns", (json_int_t)now->ns, "exits", exits));
    }
    return marks;
}

static json_t *disks_json(const struct run_stats *stats)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats->disk_count; i++) {
        const struct vmm_disk_stat *disk = &stats->disks[i];
        const struct {
            const char *key;
            uint64_t value;
        } counts[] = {{"bytes", disk->bytes},
                      {"reads", disk->read_count},
                      {"read_bytes", disk->read_bytes},
                      {"writes", disk->write_count},
                      {"write_bytes", disk->write_bytes},
                      {"flushes", disk->flush_count},
                      {"discards", disk->discard_count},
                      {"zeroes", disk->zeroes_count},
                      {"errors", disk->error_count},
                      {"refused", disk->refused_count},
                      {"throttled", disk->throttled_count},
                      {"doorbells", disk->doorbell_count},
                      {"notifies", disk->notify_count},
                      {"interrupts", disk->interrupt_count},
                      {"suppressed", disk->suppressed_count}};
        json_t *object = json_pack("{s:s, s:s}", "name", disk->name, "aio", disk->aio);
        for (size_t j = 0; j < ARRAY_COUNT(counts); j++)
            json_object_set_new(object, counts[j].key, json_integer((json_int_t)counts[j].value));
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *virtios_json(const struct run_stats *stats)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats->virtio_count; i++) {
        const struct vmm_virtio_stat *virtio = &stats->virtios[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                                              virtio->name, "requests", (json_int_t)virtio->request_count,
                                              "out_bytes", (json_int_t)virtio->guest_out_bytes, "in_bytes",
                                              (json_int_t)virtio->guest_in_bytes, "doorbells",
                                              (json_int_t)virtio->doorbell_count, "notifies",
                                              (json_int_t)virtio->notify_count, "interrupts",
                                              (json_int_t)virtio->interrupt_count, "suppressed",
                                              (json_int_t)virtio->suppressed_count));
    }
    return list;
}

void stats_print_json(FILE *file, const struct run_stats *stats, const struct vmm_end *end)
{
    json_t *exits = json_object(), *phases = json_object();
    for (size_t i = 0; i < stats->exit_count; i++)
        json_object_set_new(exits, stats->exits[i].name, json_integer((json_int_t)stats->exits[i].count));
    for (enum vmm_phase phase = 0; phase < VMM_PHASE_COUNT; phase++)
        json_object_set_new(phases, vmm_phase_name(phase),
                            json_integer((json_int_t)stats->totals.phase_ns[phase]));
    json_t *root = json_pack(
        "{s:s, s:I, s:i, s:I, s:o, s:I, s:I, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:i}", "end",
        vmm_end_name(end->reason), "value", (json_int_t)end->value, "cpu", (int)end->cpu, "exit_count",
        (json_int_t)stats->totals.exit_count, "exits", exits, "emulated",
        (json_int_t)stats->totals.emulated_count, "coalesced", (json_int_t)stats->totals.coalesced_count,
        "devices", regions_json(stats), "unclaimed", (json_int_t)stats->totals.miss_count, "guest_ns",
        (json_int_t)stats->totals.guest_ns, "host_ns", (json_int_t)stats->totals.host_ns, "phase_ns", phases,
        "private_bytes", (json_int_t)stats->totals.private_bytes, "peak_bytes",
        (json_int_t)stats->totals.peak_bytes, "marks", marks_json(stats), "starts", (int)stats->start_count);
    json_object_set_new(root, "disks", disks_json(stats));
    json_object_set_new(root, "virtio", virtios_json(stats));
    json_dumpf(root, file, JSON_COMPACT);
    fputc('\n', file);
    json_decref(root);
}
