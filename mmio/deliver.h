/* SPDX-License-Identifier: MIT
 *
 * Delivery of exceptions and interrupts in software: what the processor does between an event and the first
 * instruction of its handler (SDM 3A chapter 6). For hosts whose KVM cannot, and for INT n.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_DELIVER_H
#define MMIO_DELIVER_H

#include "mmio/env.h"

/* Delivers the event through the guest's IDT in software: pushes the frame, switches stacks, loads CS and
 * rip. An exception during the delivery is promoted as the processor does (SDM 3A, table 6-5). STEP_DONE; or
 * STEP_EXCEPTION for a triple fault (event is then #DF: the machine resets); or STEP_UNSUPPORTED (a
 * device inside the kernel is on the way). */
enum step_result deliver_event(const struct step_machine *machine, struct cpu_state *cpu,
                               const struct step_event *event, struct step_outcome *outcome);

/* One try for an instruction's own event (INT n, INT3, INTO, INT1), whose frame shows `env->next_rip`. An
 * exception on the way is the instruction's. */
enum step_result deliver_once(struct step_env *env, const struct step_event *event, uint64_t return_rip);

#endif
