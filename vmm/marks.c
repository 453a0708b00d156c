/* SPDX-License-Identifier: MIT
 *
 * How far a boot has come: the first instruction, the first byte on a serial line, the guest's own word that
 * its user space runs. Each is a time and the exits until then.
 *
 * Threads: machine_mark from any, the first call for a mark counts; the rest while nothing runs.
 */
#include "base/clock.h"
#include "devices/progress/progress.h"
#include "vmm/machine.h"

uint64_t machine_now_ns(void)
{
    return (uint64_t)clock_read_ns(CLOCK_MONOTONIC);
}

const char *vmm_mark_name(enum vmm_mark mark)
{
    static const char *const names[] = {
        [VMM_MARK_ENTRY] = "first instruction",
        [VMM_MARK_SERIAL] = "first serial byte",
        [VMM_MARK_USER_SPACE] = "user space",
        [VMM_MARK_END] = "end",
    };
    return (unsigned)mark < ARRAY_COUNT(names) ? names[mark] : "unknown";
}

void machine_mark(struct vmm *machine, enum vmm_mark which)
{
    struct machine_mark *mark = &machine->marks[which];
    uint64_t none = 0, ns = machine_now_ns() - machine->created_ns;
    if (__atomic_load_n(&mark->ns, __ATOMIC_RELAXED))
        return;
    if (__atomic_compare_exchange_n(&mark->ns, &none, ns ? ns : 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        machine_count_exits(machine, mark->reason_counts);
}

void machine_mark_serial(void *machine)
{
    machine_mark(machine, VMM_MARK_SERIAL);
}

static void mark_user_space(void *machine)
{
    machine_mark(machine, VMM_MARK_USER_SPACE);
}

MACHINE_DESTROYER(progress)

int vmm_add_progress(struct vmm *machine, struct vmm_error *error)
{
    struct progress *progress;
    const struct progress_config config = {.user_space = mark_user_space, .owner = machine};
    int result = progress_create(&config, &progress, error);
    return result ? result
                  : machine_add_ports(machine, progress, destroy_progress, progress_region(progress), error);
}

uint64_t vmm_stats_mark(struct vmm *machine, enum vmm_mark mark)
{
    return (unsigned)mark < VMM_MARK_COUNT ? machine->marks[mark].ns : 0;
}

size_t vmm_stats_mark_exits(struct vmm *machine, enum vmm_mark mark, struct vmm_exit_stat *list,
                            size_t capacity)
{
    if ((unsigned)mark >= VMM_MARK_COUNT)
        return 0;
    return machine_list_exits(machine->marks[mark].reason_counts, list, capacity);
}
