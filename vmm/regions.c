/* SPDX-License-Identifier: MIT
 *
 * Which engine serves which region of device memory, and the slots and zones that follow from it. Once, when
 * the run begins: changing a slot later costs milliseconds on some hosts.
 *
 * The rule: a region that is direct is mapped. Else its own engine counts, else the machine's
 * (mmio_engine), else KVM decodes: for single reads and writes, which most registers see, its way is as
 * short as ours, and it needs no slot. Regions that want bulk transfers ask for the trap engine themselves.
 * docs/mmio.md has the measurements.
 *
 * KVM maps whole pages, so a page is trapped as soon as one region on it is; a page that holds RAM never is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm/machine.h"

struct direct_slot {
    struct direct_slot *next;
    struct bus_region *region;
    int slot;
    uint64_t words; /* of each of the two bitmaps of a bit for each page */
    uint64_t *written;
    uint64_t
        bitmap[]; /* what KVM says; behind it `written`: by instructions executed in software, any thread */
};

static bool wants_trap(const struct vmm *machine, const struct bus_region *region)
{
    if (region->direct)
        return false;
    if (region->engine != BUS_ENGINE_AUTO)
        return region->engine == BUS_ENGINE_TRAP;
    return machine->config.mmio_engine == VMM_MMIO_TRAP;
}

static bool touches_ram(const struct vmm *machine, gpa_t gpa, uint64_t len)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(machine->memory, &count);
    for (size_t i = 0; i < count; i++)
        if (ranges_overlap(gpa, len, ranges[i].gpa, ranges[i].len))
            return true;
    return false;
}

static int place_direct(struct vmm *machine, struct bus_region *region, struct vmm_error *error)
{
    if (region->base % PAGE_BYTES || region->len % PAGE_BYTES)
        return error_set(error, -EINVAL, "%s: only whole pages can be direct, not %#llx bytes at %#llx",
                         region->name, (unsigned long long)region->len, (unsigned long long)region->base);
    uint64_t words = (region->len / PAGE_BYTES + 63) / 64;
    struct direct_slot *direct = calloc(1, sizeof(*direct) + 2 * words * sizeof(direct->bitmap[0]));
    if (!direct)
        return error_set(error, -ENOMEM, "%s: out of memory", region->name);
    *direct = (struct direct_slot){.next = machine->direct_slots, .region = region, .words = words};
    direct->written = direct->bitmap + words;
    machine->direct_slots = direct;
    direct->slot = slots_add_direct(machine->slots, region->base, region->direct, region->len, region->is_rom,
                                    error);
    return direct->slot < 0 ? direct->slot
                            : guest_memory_add(machine->memory, region->base, region->direct, region->len,
                                               region->is_rom, error);
}

/* Pages that are trapped together, as one slot. */
struct span {
    gpa_t start, end;
};

static int place_span(struct vmm *machine, struct span *span, struct vmm_error *error)
{
    int result = 0;
    if (span->end > span->start)
        result = slots_add_trapped(machine->slots, span->start, span->end - span->start, error);
    *span = (struct span){0};
    return result;
}

static int place_trapped(struct vmm *machine, struct bus_region *region, struct span *span,
                         struct vmm_error *error)
{
    gpa_t start = align_down(region->base, PAGE_BYTES);
    gpa_t end = align_up(region->base + region->len, PAGE_BYTES);
    int result = 0;
    if (touches_ram(machine, start, end - start)) {
        log_line(&machine->log, VMM_LOG_WARNING, "%s: shares a page with RAM, so KVM decodes its accesses",
                 region->name);
        return 0;
    }
    region->is_trapped = true;
    if (start > span->end)
        result = place_span(machine, span, error);
    if (span->end == span->start)
        span->start = start;
    span->end = end;
    return result;
}

/* A device can do without; its writes are exits then. */
static void place_coalesced(struct vmm *machine, const struct bus_region *region, bool is_port)
{
    struct vmm_error error;
    if (region->len > UINT32_MAX ||
        slots_add_coalesced(machine->slots, is_port, region->base, (uint32_t)region->len, &error))
        log_line(&machine->log, VMM_LOG_WARNING, "%s: writes are not collected: %s", region->name,
                 region->len > UINT32_MAX ? "the region is too large" : error.message);
    else
        machine->coalesced.wanted = true;
}

/* KVM's own controllers would answer, or on some hosts not be found any more. */
static int check_not_kernel(struct vmm *machine, const struct bus_region *region, struct vmm_error *error)
{
    if (!machine_is_kernel_device(machine, region->base, region->len))
        return 0;
    return error_set(
        error, -EEXIST,
        "%s: %#llx bytes at %#llx overlap KVM's interrupt controllers, at 0xfee00000 and, but for "
        "a split irqchip, 0xfec00000",
        region->name, (unsigned long long)region->len, (unsigned long long)region->base);
}

static int place_memory(struct vmm *machine, struct vmm_error *error)
{
    size_t count;
    struct bus_region *const *regions = bus_regions(machine->memory_bus, &count);
    struct span span = {0};
    int result = 0;
    for (size_t i = 0; !result && i < count; i++) {
        result = check_not_kernel(machine, regions[i], error);
        if (result)
            return result;
        if (regions[i]->direct)
            result = place_direct(machine, regions[i], error);
        else if (wants_trap(machine, regions[i]))
            result = place_trapped(machine, regions[i], &span, error);
        else if (regions[i]->coalesce)
            place_coalesced(machine, regions[i], false);
    }
    return result ? result : place_span(machine, &span, error);
}

int machine_place_regions(struct vmm *machine, struct vmm_error *error)
{
    size_t count;
    struct bus_region *const *ports = bus_regions(machine->ports, &count);
    for (size_t i = 0; i < count; i++)
        if (ports[i]->coalesce)
            place_coalesced(machine, ports[i], true);
    return place_memory(machine, error);
}

/* One call for each run of written pages. */
static void report_slot(const struct direct_slot *direct)
{
    struct bus_region *region = direct->region;
    uint64_t pages = region->len / PAGE_BYTES, start = 0;
    for (uint64_t page = 0; page <= pages; page++) {
        if (page < pages && (direct->bitmap[page / 64] >> page % 64 & 1))
            continue;
        if (page > start) {
            region->dirty_bytes += (page - start) * PAGE_BYTES;
            if (region->ops->dirty)
                region->ops->dirty(region->device, start * PAGE_BYTES, (page - start) * PAGE_BYTES);
        }
        start = page + 1;
    }
}

void machine_report_dirty(struct vmm *machine)
{
    for (struct direct_slot *direct = machine->direct_slots; direct; direct = direct->next) {
        if (direct->region->is_rom || slots_take_dirty(machine->slots, direct->slot, direct->bitmap, NULL))
            continue;
        for (uint64_t i = 0; i < direct->words; i++)
            direct->bitmap[i] |= __atomic_exchange_n(&direct->written[i], 0, __ATOMIC_RELAXED);
        report_slot(direct);
    }
}

void machine_ram_written(void *owner, gpa_t gpa, uint64_t len)
{
    const struct vmm *machine = owner;
    for (struct direct_slot *direct = machine->direct_slots; direct; direct = direct->next) {
        const struct bus_region *region = direct->region;
        if (!ranges_overlap(gpa, len, region->base, region->len))
            continue;
        gpa_t last = gpa + len - 1 < region->base + region->len - 1 ? gpa + len - 1
                                                                    : region->base + region->len - 1;
        uint64_t page = gpa > region->base ? (gpa - region->base) / PAGE_BYTES : 0;
        for (; page <= (last - region->base) / PAGE_BYTES; page++)
            __atomic_fetch_or(&direct->written[page / 64], 1ull << page % 64, __ATOMIC_RELAXED);
    }
}

void machine_destroy_regions(struct vmm *machine)
{
    while (machine->direct_slots) {
        struct direct_slot *direct = machine->direct_slots;
        machine->direct_slots = direct->next;
        free(direct);
    }
}

const char *machine_engine_name(const struct vmm *machine, const struct bus_region *region)
{
    if (region->direct)
        return region->is_rom ? "rom" : "direct";
    if (region->is_trapped || (!machine->has_run && wants_trap(machine, region)))
        return "trap";
    return region->coalesce ? "kvm+coalesced" : "kvm";
}

/* The local APICs' page, and with all controllers in KVM the IOAPIC's. */
bool machine_is_kernel_device(void *owner, gpa_t gpa, uint64_t len)
{
    const struct vmm *machine = owner;
    if (machine->irqchip == VMM_IRQCHIP_NONE)
        return false;
    return ranges_overlap(gpa, len, 0xfee00000, PAGE_BYTES) ||
           (machine->irqchip == VMM_IRQCHIP_KERNEL && ranges_overlap(gpa, len, IOAPIC_BASE, PAGE_BYTES));
}

/* PIC, PIT, port B and the PIC's edge/level registers. */
bool machine_is_kernel_port(void *owner, unsigned port, unsigned size)
{
    static const struct {
        uint16_t base, len;
    } ports[] = {{0x20, 2}, {0x40, 4}, {0x61, 1}, {0xa0, 2}, {0x4d0, 2}};
    const struct vmm *machine = owner;
    for (size_t i = 0; machine->irqchip == VMM_IRQCHIP_KERNEL && i < ARRAY_COUNT(ports); i++)
        if (ranges_overlap(port, size, ports[i].base, ports[i].len))
            return true;
    return false;
}
