/* SPDX-License-Identifier: MIT
 *
 * An event whose delivery has ended in a violation, since a stack, a descriptor table or a TSS lies in a
 * trapped region. KVM keeps it to try again at the next entry, and so without end: it is delivered in
 * software.
 */
#ifndef VCPU_EVENT_H
#define VCPU_EVENT_H

#include <linux/kvm.h>

#include "mmio/step.h"

/* Whether there is one: handed to the processor, which has not finished it. */
static inline bool event_is_in_hand(const struct kvm_vcpu_events *events)
{
    return events->exception.injected | events->interrupt.injected | events->nmi.injected;
}

/* Whether there is one that only KVM can deliver. */
static inline bool event_is_pending(const struct kvm_vcpu_events *events)
{
    return events->exception.pending | events->nmi.pending | events->smi.pending;
}

/* Takes the event that KVM was delivering out of `events`, which is then to be stored. False: there was none,
 * or it was that of a software interrupt, whose instruction is still the next. CR2 and DR6 are in the CPU
 * already. */
bool event_take(struct kvm_vcpu_events *events, const struct cpu_state *cpu, struct step_event *event);

#endif
