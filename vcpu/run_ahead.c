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

bool run_ahead_begin(struct run_ahead *ahead, uint64_t rip, const uint8_t *stop)
{
    ahead->place = find_place(ahead, rip);
    if (ahead->place->sleep) {
        ahead->place->sleep--;
        return false;
    }
    ahead->budget = (struct step_budget){
        .left = RUN_AHEAD_LIMIT, .window_left = RUN_AHEAD_WINDOW, .window = RUN_AHEAD_WINDOW, .stop = stop};
    return true;
}

void run_ahead_end(struct run_ahead *ahead)
{
    if (!ahead->budget.accesses)
        ahead->place->sleep = RUN_AHEAD_SLEEP;
}
