/* SPDX-License-Identifier: MIT
 *
 * The instructions that loops around device accesses are made of (moves, additions and their like, jumps) in
 * 64-bit code, taken apart once so that executing them takes some dozens of host instructions. Everything
 * unusual is left to the emulator proper: nothing has happened then.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_QUICK_H
#define MMIO_QUICK_H

#include "mmio/env.h"

struct quick;

enum quick_result {
    QUICK_LEFT,   /* not executed: nothing has been changed */
    QUICK_DONE,   /* registers, memory and env->next_rip are as they have to be */
    QUICK_DEVICE, /* the same, and a device was touched, as the outcome says */
};

/* The CPU has no breakpoints and checks no alignment, env->tlb is there, and env->next_rip is that of the
 * instruction behind. */
typedef enum quick_result quick_fn(struct step_env *env, const struct quick *quick);

struct quick {
    quick_fn *execute; /* NULL: not one of these */
    uint64_t value;    /* the immediate; a branch's target */
    uint64_t mask;     /* of the operands' size */
    uint64_t keep;     /* what stays of the destination register */
    uint64_t disp;     /* of memory; of a rip-relative operand the whole offset */
    uint8_t to, from;  /* general registers */
    uint8_t size, from_size;
    uint8_t op; /* enum insn_op, or a condition */
    uint8_t base, index, shift, segment;
};

/* Of an instruction in 64-bit code that is plain (execute_is_plain). */
void quick_prepare(struct quick *quick, const struct insn *insn, uint64_t next_rip);

#endif
