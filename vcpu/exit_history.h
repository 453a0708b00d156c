/* SPDX-License-Identifier: MIT
 *
 * The last exits of a vCPU as people want to read them: what repeats is said once. While it is out.
 */
#ifndef VCPU_EXIT_HISTORY_H
#define VCPU_EXIT_HISTORY_H

#include "vcpu/vcpu.h"

/* Exits from the number `first` on, which is the vCPU's count of those before: `period` of them, `times`
 * times one after the other, but for the values. */
struct exit_group {
    uint64_t first;
    unsigned period, times;
};

/* All that are kept, the oldest group first. Returns how many groups. */
unsigned exit_history_group(const struct vcpu *vcpu, struct exit_group groups[VCPU_HISTORY]);

#endif
