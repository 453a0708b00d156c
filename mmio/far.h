/* SPDX-License-Identifier: MIT
 *
 * What far transfers, returns and the delivery of events have in common: a new CS and a new stack.
 */
#ifndef MMIO_FAR_H
#define MMIO_FAR_H

#include "mmio/segment.h"

/* Whether a descriptor is a code segment that this mode can run: in long mode not with both L and D. */
bool far_is_code(const struct step_env *env, const struct descriptor *descriptor);

static inline bool far_is_conforming(const struct descriptor *descriptor)
{
    return descriptor_type(descriptor) & SEGMENT_EXPAND_DOWN;
}

/* Makes the code segment current at privilege `cpl`, with the target checked against it: #GP(0). `rip` is the
 * next one. CPL, and is_64bit of env, follow. */
enum step_result far_enter(struct step_env *env, struct descriptor *descriptor, unsigned cpl, uint64_t rip);

/* SS and rSP of a new stack; SS is already checked. */
void far_switch_stack(struct step_env *env, const struct cpu_segment *ss, uint64_t rsp);

/* The null SS that long mode has in supervisor code after a change of privilege. */
struct cpu_segment far_null_stack(unsigned cpl);

/* Legacy modes: SS and rSP of level `cpl` from a 16 or 32-bit TSS. */
enum step_result far_stack_legacy(struct step_env *env, unsigned cpl, struct cpu_segment *ss,
                                  uint64_t *pointer);

/* Long mode: rSP of a level or of an IST entry, 1 to 7; SS is null. */
#define FAR_STACK_LEVEL(cpl) (4u + 8 * (cpl))
#define FAR_STACK_IST(ist)   (28u + 8 * (ist))
enum step_result far_stack_long(struct step_env *env, unsigned entry, uint64_t *pointer);

/* Reads `count` slots from offset `pointer` of the stack up. */
enum step_result far_pop(struct step_env *env, uint64_t pointer, unsigned size, unsigned count,
                         uint64_t values[]);

/* Writes `count` slots below `*pointer`, values[0] at the highest address; *pointer follows. All are prepared
 * before the first is written. */
enum step_result far_push(struct step_env *env, uint64_t *pointer, unsigned size, unsigned count,
                          const uint64_t values[]);

#endif
