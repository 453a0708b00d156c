/* SPDX-License-Identifier: MIT
 *
 * Descriptors and the loading of segment registers, with the checks and error codes of SDM 3A 5 and 6.
 */
#ifndef MMIO_SEGMENT_H
#define MMIO_SEGMENT_H

#include "mmio/access.h"

#define SELECTOR_RPL 3u
#define SELECTOR_TI  4u

/* Types of system descriptors (S = 0). */
#define SYSTEM_TSS16_AVAILABLE 1u
#define SYSTEM_LDT             2u
#define SYSTEM_TSS16_BUSY      3u
#define SYSTEM_CALL_GATE16     4u
#define SYSTEM_TASK_GATE       5u
#define SYSTEM_INT_GATE16      6u
#define SYSTEM_TRAP_GATE16     7u
#define SYSTEM_TSS_AVAILABLE   9u
#define SYSTEM_TSS_BUSY        11u
#define SYSTEM_CALL_GATE       12u
#define SYSTEM_INT_GATE        14u
#define SYSTEM_TRAP_GATE       15u

/* An entry of the GDT or LDT as it stood in memory when it was read. */
struct descriptor {
    uint64_t low, high; /* `high` of the 16-byte system descriptors of long mode, else 0 */
    gva_t gva;
    uint16_t selector;
};

/* An exception whose error code is the selector, without its RPL (SDM 3A 6.13). */
static inline enum step_result selector_fault(struct step_env *env, enum exception_vector vector,
                                              uint16_t selector)
{
    return env_raise_error(env, vector, selector & ~SELECTOR_RPL);
}

/* Reads the descriptor of a selector that is not null; `size` is 8 or 16. Beyond the table: `vector` with the
 * selector as its error code. */
enum step_result descriptor_read(struct step_env *env, uint16_t selector, unsigned size,
                                 enum exception_vector vector, struct descriptor *descriptor);

struct cpu_segment descriptor_segment(const struct descriptor *descriptor);

static inline unsigned descriptor_dpl(const struct descriptor *descriptor)
{
    return descriptor->low >> 45 & 3;
}

static inline unsigned descriptor_type(const struct descriptor *descriptor)
{
    return descriptor->low >> 40 & 15;
}

static inline bool descriptor_is_system(const struct descriptor *descriptor)
{
    return !(descriptor->low >> 44 & 1);
}

static inline bool descriptor_is_present(const struct descriptor *descriptor)
{
    return descriptor->low >> 47 & 1;
}

bool descriptor_is_writable_data(const struct descriptor *descriptor);

/* Type and privilege for DS, ES, FS and GS. */
bool descriptor_may_load_data(const struct step_env *env, const struct descriptor *descriptor);

/* Sets bits of the type field in memory (accessed, busy) where they are not set, atomically. */
enum step_result descriptor_mark(struct step_env *env, struct descriptor *descriptor, unsigned type_bits);

/* MOV, POP, LDS and the like into a segment register other than CS, in every mode. */
enum step_result segment_load(struct step_env *env, unsigned segment, uint16_t selector);

/* What a load does in real mode, and in virtual-8086 mode. */
void segment_load_real(struct cpu_segment *segment, uint16_t selector);
void segment_load_v86(struct cpu_segment *segment, uint16_t selector);

/* LLDT and LTR. */
enum step_result segment_load_ldt(struct step_env *env, uint16_t selector);
enum step_result segment_load_tr(struct step_env *env, uint16_t selector);

/* SS for a change of privilege: RPL, DPL and the new `cpl` must agree; faults are `vector` (#TS or #GP). */
enum step_result segment_load_stack(struct step_env *env, uint16_t selector, unsigned cpl,
                                    enum exception_vector vector, struct cpu_segment *ss);

#endif
