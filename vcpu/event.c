/* SPDX-License-Identifier: MIT
 *
 * What KVM calls injected: handed to the processor, which has not finished it.
 */
#include "vcpu/event.h"

static bool take_exception(struct kvm_vcpu_events *events, const struct cpu_state *cpu,
                           struct step_event *event)
{
    *event = (struct step_event){.kind = EVENT_EXCEPTION,
                                 .vector = events->exception.nr,
                                 .has_error = events->exception.has_error_code,
                                 .is_trap = events->exception.nr == VECTOR_DB,
                                 .error_code = events->exception.error_code,
                                 .cr2 = cpu->cr2,
                                 .dr6 = cpu->dr6};
    events->exception.injected = 0;
    return true;
}

bool event_take(struct kvm_vcpu_events *events, const struct cpu_state *cpu, struct step_event *event)
{
    bool is_software = events->interrupt.soft;
    if (events->exception.injected)
        return take_exception(events, cpu, event);
    if (events->nmi.injected) {
        *event = (struct step_event){.kind = EVENT_NMI, .vector = VECTOR_NMI};
        events->nmi.injected = 0;
        return true;
    }
    if (!events->interrupt.injected)
        return false;
    *event = (struct step_event){.kind = EVENT_INTERRUPT, .vector = events->interrupt.nr};
    events->interrupt.injected = 0;
    return !is_software;
}
