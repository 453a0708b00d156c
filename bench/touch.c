/* SPDX-License-Identifier: MIT
 *
 * See touch.h.
 */
#include "bench/touch.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "vmm/machine.h"

#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/enabled"
#define SLOTS_MAX  4

static bool has_huge_pages(void)
{
    char line[80] = "";
    FILE *file = fopen(HUGE_PAGES, "re");
    bool is_read = file && fgets(line, sizeof(line), file);
    if (file)
        fclose(file);
    return is_read && !strstr(line, "[never]");
}

/* Without huge pages in the kernel, asking for small ones is an error, and nothing else is to be had. */
static bool free_ram(struct vmm *machine, bool is_huge, const char **reason)
{
    void *ram = guest_mem_ptr(machine->memory, BENCH_RAM_GPA, BENCH_RAM_BYTES);
    *reason = "this kernel has no transparent huge pages, or they are switched off: " HUGE_PAGES;
    if (is_huge && (!has_huge_pages() || madvise(ram, BENCH_RAM_BYTES, MADV_HUGEPAGE)))
        return false;
    if (!is_huge)
        madvise(ram, BENCH_RAM_BYTES, MADV_NOHUGEPAGE);
    *reason = "this kernel does not take pages back";
    return !madvise(ram, BENCH_RAM_BYTES, MADV_DONTNEED);
}

/* The device's slot is one of the first; those without a log refuse. */
static bool take_dirty(struct vmm *machine, const char **reason)
{
    static uint64_t bitmap[BENCH_RAM_BYTES / PAGE_BYTES / 64];
    bool is_taken = false;
    for (int slot = 0; slot < SLOTS_MAX; slot++)
        is_taken |= !slots_take_dirty(machine->slots, slot, bitmap, NULL);
    *reason = "this host's KVM has no dirty log";
    return is_taken;
}

bool touch_prepare(struct vmm *machine, const struct bench_guest_config *config, uint64_t target_gpa,
                   unsigned *count, const char **reason)
{
    bool is_device = target_gpa == BENCH_DEVICE_GPA;
    uint64_t pages = (is_device ? config->device_bytes : BENCH_RAM_BYTES) / PAGE_BYTES;
    if (*count > pages)
        *count = (unsigned)pages;
    return is_device ? take_dirty(machine, reason) : free_ram(machine, config->huge_pages, reason);
}
