/* SPDX-License-Identifier: MIT
 *
 * What a run cost. While the machine does not run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/machine.h"

const char *vmm_phase_name(enum vmm_phase phase)
{
    static const char *const names[] = {
        [VMM_PHASE_HOST] = "host",       [VMM_PHASE_VM] = "vm",     [VMM_PHASE_MEMORY] = "memory",
        [VMM_PHASE_DEVICES] = "devices", [VMM_PHASE_LOAD] = "load", [VMM_PHASE_IRQCHIP] = "irqchip",
        [VMM_PHASE_VCPU] = "vcpu",
    };
    return (unsigned)phase < ARRAY_COUNT(names) ? names[phase] : "unknown";
}

/* Whether the line of /proc/self/smaps opens a mapping, and then whether that one is guest RAM. */
static bool parse_mapping(const char *line, const struct vmm *machine, bool *is_guest)
{
    uint64_t start, end;
    size_t count;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) != 2)
        return false;
    const struct memory_range *ranges = guest_memory_ranges(machine->memory, &count);
    *is_guest = false;
    for (size_t i = 0; i < count; i++)
        *is_guest |= ranges_overlap(start, end - start, (uintptr_t)ranges[i].hva, ranges[i].len);
    return true;
}

/* Pages that only this process has, apart from guest RAM: those that no file stands behind. (Private_Dirty
 * would count program text that lies on a ramfs.) */
static uint64_t private_bytes(const struct vmm *machine)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    uint64_t sum_kib = 0, kib;
    bool is_guest = false;
    if (!smaps)
        return 0;
    while (fgets(line, sizeof(line), smaps))
        if (!parse_mapping(line, machine, &is_guest) && !is_guest &&
            sscanf(line, "Anonymous: %" SCNu64 " kB", &kib) == 1)
            sum_kib += kib;
    fclose(smaps);
    return sum_kib * KIB;
}

/* The high-water mark of this program: getrusage's would be that of the program before it as well. */
static uint64_t peak_bytes(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[128];
    uint64_t kib = 0;
    if (!status)
        return 0;
    while (fgets(line, sizeof(line), status) && sscanf(line, "VmHWM: %" SCNu64 " kB", &kib) != 1)
        continue;
    fclose(status);
    return kib * KIB;
}

void vmm_stats_get(struct vmm *machine, struct vmm_stats *stats)
{
    *stats = (struct vmm_stats){.private_bytes = private_bytes(machine),
                                .peak_bytes = peak_bytes(),
                                .coalesced_count = machine->coalesced.count,
                                .miss_count = bus_miss_count(machine->ports) +
                                              bus_miss_count(machine->memory_bus)};
    memcpy(stats->phase_ns, machine->phase_ns, sizeof(stats->phase_ns));
    for (unsigned i = 0; machine->cpus && i < machine->config.cpu_count; i++) {
        const struct vcpu *vcpu = machine->cpus[i].vcpu;
        if (!vcpu)
            continue;
        stats->exit_count += vcpu->exit_count;
        stats->emulated_count += vcpu->emulated_count;
        stats->guest_ns += vcpu->guest_ns;
        stats->host_ns += vcpu->host_ns;
    }
}

/* The other vCPUs run on meanwhile, so their counts are as they are seen. */
void machine_count_exits(const struct vmm *machine, uint64_t counts[VCPU_REASON_LIMIT])
{
    memset(counts, 0, VCPU_REASON_LIMIT * sizeof(*counts));
    for (unsigned i = 0; machine->cpus && i < machine->config.cpu_count; i++) {
        const struct vcpu *vcpu = machine->cpus[i].vcpu;
        for (unsigned reason = 0; vcpu && reason < VCPU_REASON_LIMIT; reason++)
            counts[reason] += __atomic_load_n(&vcpu->reason_counts[reason], __ATOMIC_RELAXED);
    }
}

size_t machine_list_exits(const uint64_t counts[VCPU_REASON_LIMIT], struct vmm_exit_stat *list,
                          size_t capacity)
{
    size_t found = 0;
    for (uint32_t reason = 0; reason < VCPU_REASON_LIMIT; reason++) {
        if (!counts[reason])
            continue;
        if (found < capacity)
            list[found] = (struct vmm_exit_stat){.name = vcpu_reason_name(reason), .count = counts[reason]};
        found++;
    }
    return found;
}

size_t vmm_stats_exits(struct vmm *machine, struct vmm_exit_stat *list, size_t capacity)
{
    uint64_t counts[VCPU_REASON_LIMIT];
    machine_count_exits(machine, counts);
    return machine_list_exits(counts, list, capacity);
}

static struct vmm_region_stat region_stat(const struct vmm *machine, const struct bus_region *region,
                                          enum vmm_space space)
{
    struct vmm_region_stat stat = {.name = region->name,
                                   .space = space,
                                   .base = region->base,
                                   .len = region->len,
                                   .dirty_bytes = region->dirty_bytes};
    for (unsigned i = 0; i < ARRAY_COUNT(stat.read_counts); i++) {
        stat.read_counts[i] = region->read_counts[1u << i];
        stat.write_counts[i] = region->write_counts[1u << i];
    }
    if (space == VMM_SPACE_MEMORY)
        stat.engine = machine_engine_name(machine, region);
    return stat;
}

static size_t add_regions(const struct vmm *machine, const struct bus *bus, enum vmm_space space,
                          struct vmm_region_stat *list, size_t capacity, size_t found)
{
    size_t count;
    struct bus_region *const *regions = bus_regions(bus, &count);
    for (size_t i = 0; i < count; i++, found++)
        if (found < capacity)
            list[found] = region_stat(machine, regions[i], space);
    return found;
}

size_t vmm_stats_regions(struct vmm *machine, struct vmm_region_stat *list, size_t capacity)
{
    size_t found = add_regions(machine, machine->ports, VMM_SPACE_PORTS, list, capacity, 0);
    return add_regions(machine, machine->memory_bus, VMM_SPACE_MEMORY, list, capacity, found);
}
