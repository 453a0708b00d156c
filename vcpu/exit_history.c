/* SPDX-License-Identifier: MIT
 *
 * See exit_history.h. A driver that polls and then writes, over and over, is why more than one exit may be
 * what repeats.
 */
#include "vcpu/exit_history.h"

#define PERIOD_MAX 4
#define TIMES_MIN  3 /* what comes twice is no habit yet */

static const struct exit_note *note_at(const struct vcpu *vcpu, uint64_t number)
{
    return &vcpu->history[number % VCPU_HISTORY];
}

static bool is_same(const struct exit_note *a, const struct exit_note *b)
{
    return a->reason == b->reason && a->access.is_write == b->access.is_write &&
           a->access.size == b->access.size && a->access.port == b->access.port &&
           (a->reason == KVM_EXIT_IO || a->address == b->address);
}

/* How often the `period` exits from `first` on come one after the other. */
static unsigned count_times(const struct vcpu *vcpu, uint64_t first, unsigned period)
{
    uint64_t next = first + period;
    while (next < vcpu->exit_count && is_same(note_at(vcpu, next), note_at(vcpu, next - period)))
        next++;
    return (unsigned)((next - first) / period);
}

unsigned exit_history_group(const struct vcpu *vcpu, struct exit_group groups[VCPU_HISTORY])
{
    uint64_t kept = vcpu->exit_count < VCPU_HISTORY ? vcpu->exit_count : VCPU_HISTORY;
    unsigned count = 0;
    for (uint64_t first = vcpu->exit_count - kept; first < vcpu->exit_count; count++) {
        struct exit_group best = {first, 1, 1};
        for (unsigned period = 1; period <= PERIOD_MAX; period++) {
            unsigned times = count_times(vcpu, first, period);
            if (times >= TIMES_MIN && times * period > best.times * best.period)
                best = (struct exit_group){first, period, times};
        }
        groups[count] = best;
        first += best.period * best.times;
    }
    return count;
}
