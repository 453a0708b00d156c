/* SPDX-License-Identifier: MIT
 *
 * Whether to go on in software. See run_ahead.h.
 */
#include "vcpu/run_ahead.h"

static struct run_ahead_place *find_place(struct run_ahead *ahead, uint64_t rip)
{
    uint64_t hash = rip * 0x9e3779b97f4a7c15ull;
    struct run_ahead_place *place = &ahead->places[hash >> 32 & (RUN_AHEAD_PLACES - 1)];
    if (place->rip != rip)
        *place = (struct run_ahead_place){.rip = rip};
    return place;
}

bool run_ahead_begin(struct run_ahead *ahead, uint64_t rip)
{
    ahead->place = find_place(ahead, rip);
    if (ahead->place->sleep) {
        ahead->place->sleep--;
        return false;
    }
    ahead->done = ahead->since_access = ahead->accesses = 0;
    return true;
}

bool run_ahead_goes_on(const struct run_ahead *ahead, const struct cpu_state *cpu)
{
    /* Single steps and breakpoints are KVM's, and behind STI an interrupt may be waiting. */
    bool is_odd = (cpu->rflags & FLAG_TF) || (cpu->dr7 & DR7_ACTIVE) || cpu->interrupt_shadow || cpu->halted;
    return !is_odd && ahead->done < RUN_AHEAD_LIMIT && ahead->since_access < RUN_AHEAD_WINDOW;
}

void run_ahead_count(struct run_ahead *ahead, unsigned accesses)
{
    ahead->done++;
    ahead->accesses += accesses;
    ahead->since_access = accesses ? 0 : ahead->since_access + 1;
}

void run_ahead_end(struct run_ahead *ahead)
{
    if (!ahead->accesses)
        ahead->place->sleep = RUN_AHEAD_SLEEP;
}
