/* SPDX-License-Identifier: MIT
 *
 * Hardware task switches (SDM 3A chapter 8, "Task Management"; APM 2 chapter 12): 32-bit and 16-bit TSSs, by
 * far JMP and CALL, IRET with NT, and the task gates of the IDT. Long mode has none: what would be one there
 * is #GP.
 *
 * What the old task has to answer for (descriptors, limits, pages) is checked before anything is changed.
 * Then outcome.task_switched is set, and what is wrong with the new task's segments, its stack for an error
 * code or its EIP is an exception in the new task.
 */
#ifndef MMIO_TASK_H
#define MMIO_TASK_H

#include "mmio/segment.h"

/* Whether far JMP or CALL to this descriptor is a task switch: a task gate or a TSS that is available. */
bool task_is_entry(const struct step_env *env, const struct descriptor *descriptor);

/* The switch, of an entry that has been read: privilege is checked here. A CALL nests. */
enum step_result task_enter(struct step_env *env, const struct descriptor *entry, bool is_call);

/* IRET with NT set: back to the task that the link of the current TSS names. */
enum step_result task_return(struct step_env *env);

/* A task gate of the IDT, already checked, that names the TSS `selector`. `flags` and `return_rip` are what
 * the interrupted task gets back. */
enum step_result task_event(struct step_env *env, uint16_t selector, const struct step_event *event,
                            uint64_t flags, uint64_t return_rip);

#endif
