/* SPDX-License-Identifier: MIT
 *
 * The instructions that loops around device accesses are made of (moves, additions and their like, jumps) in
 * 64-bit code and flat 32-bit code, taken apart once (quick_prepare.c) so that executing them (quick.c,
 * quick_alu.c, quick_shift.c, quick_stack.c) takes some dozens of host instructions. Everything unusual is
 * left to the emulator proper: nothing has happened then.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_QUICK_H
#define MMIO_QUICK_H

#include "mmio/env.h"

struct quick;

enum quick_result {
    QUICK_DONE,    /* registers are as they have to be; the guest goes on behind the instruction */
    QUICK_JUMPED,  /* the same, but it goes on at env->next_rip */
    QUICK_WRITTEN, /* as DONE, and memory was written */
    QUICK_DEVICE,  /* as DONE, and a device was touched, as the outcome says */
    QUICK_LEFT,    /* not executed: nothing has been changed */
};

/* The CPU is one that quick_may has let pass, and env->tlb is there. */
typedef enum quick_result quick_fn(struct step_env *env, const struct quick *quick);

/* `a` with the result in its low 1, 2 or 8 bytes, or the result of 4 bytes; of CMP and TEST it is `a`. *flags
 * is RFLAGS as the instruction leaves it. */
typedef uint64_t quick_operation(uint64_t a, uint64_t b, uint64_t *flags);

/* Operands are pointers: to a general register of the one CPU that it was prepared for, or to a constant in
 * here. So it stays where it is. */
struct quick {
    quick_fn *execute;
    uint64_t *to;         /* the first operand, where it is a register */
    const uint64_t *from; /* the second, where it is none in memory */
    /* Of memory: segment base + ((disp + base + (index << shift)) & address_mask). */
    const uint64_t *base, *index, *segment_base;
    uint64_t disp, address_mask;
    quick_operation *operation; /* of arithmetic in memory */
    uint64_t value;             /* the immediate; a branch's target */
    uint64_t mask, keep;        /* the operand's bits; what a move does not change of its register */
    uint64_t flags, kept_flags; /* that it sets (that a branch looks at), and all others */
    uint64_t rip;
    uint8_t size;
    uint8_t from_size, from_shift; /* of the second operand; 64 less its bits */
    uint8_t shift, segment;
    uint8_t length;  /* of the instruction */
    bool is_negated; /* a branch that is taken where no flag of `flags` is set */
    bool ends_block; /* what stands behind it is not necessarily next */
};

/* Whether the CPU is one for this: 64-bit code, or 32-bit code in flat segments; no breakpoints, no alignment
 * checks. */
bool quick_may(const struct step_env *env);

/* Of an instruction at `rip`, decoded in the mode of the CPU, which quick_may has let pass. false: none of
 * these. */
bool quick_prepare(struct quick *quick, const struct insn *insn, struct cpu_state *cpu, uint64_t rip);

/* Only QUICK_LEFT. */
quick_fn quick_end;

/* ---- For quick_prepare: the functions, by what is memory ---- */

quick_fn quick_mov, quick_mov_from_memory, quick_mov_to_memory;
quick_fn quick_movzx, quick_movzx_from_memory, quick_movsx, quick_movsx_from_memory;
quick_fn quick_shl, quick_shr, quick_sar;
quick_fn quick_push, quick_pop, quick_call, quick_call_to, quick_return;
quick_fn quick_lea, quick_jump, quick_jump_to, quick_jump_if, quick_loop;

/* Arithmetic: `op` is enum insn_op, ADD, OR, AND, SUB, XOR, CMP, TEST, or INC and DEC, which are ADD and SUB
 * here; `size` 1, 2, 4, 8. */
quick_fn quick_alu_from_memory, quick_alu_in_memory, quick_compare_memory;
quick_fn *quick_alu(unsigned op, unsigned size);
quick_operation *quick_alu_operation(unsigned op, unsigned size);

/* A bit of RFLAGS that is always 0 stands for SF != OF in quick->flags of a branch. */
#define QUICK_FLAG_LESS 0x20u

#endif
