/* SPDX-License-Identifier: MIT
 *
 * Traps: exceptions, interrupts, and the way back from ring 3, all as one frame. What nobody expects is
 * reported in full and ends the run.
 */
#ifndef GUEST_TRAP_H
#define GUEST_TRAP_H

#include "guest/kernel.h"

#define VECTOR_DE  0
#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_BP  3
#define VECTOR_UD  6
#define VECTOR_DF  8
#define VECTOR_NP  11
#define VECTOR_SS  12
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_AC  17

#define PF_PRESENT  1u
#define PF_WRITE    2u
#define PF_USER     4u
#define PF_RESERVED 8u
#define PF_FETCH    16u

/* As trap_entry.S pushes it, the last first. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Where trap_try() returns to after a trap. */
struct trap_landing {
    uint64_t rsp, rbp, rbx, r12, r13, r14, r15;
};

/* What became of something that was tried. */
struct trap {
    bool caught;
    uint64_t value; /* what it returned, where nothing was caught */
    uint64_t cr2;
    struct trap_frame frame;
};

/* What a user program starts with; user_enter() knows the offsets. */
struct user_start {
    uint64_t rip, rflags, rsp, rdi, rsi;
    void *kernel_stack; /* where the TSS has the stack for traps from ring 3 */
};

struct cpu;

/* Sets up this CPU's descriptor tables. */
void trap_init(struct cpu *cpu);

typedef uint64_t trap_fn(uint64_t a, uint64_t b);

/* Runs fn(a, b); a CPU exception ends it, and is the answer. */
struct trap trap_catch(trap_fn *fn, uint64_t a, uint64_t b);

/* Runs a program in ring 3 until it exits (VECTOR_USER_EXIT, VECTOR_SYSCALL), an exception, or user_stop().
 */
struct trap trap_catch_user(struct user_start start);

/* In an interrupt handler: the user program that was interrupted, if it was one, ends there. */
void trap_stop_user(void);

/* What runs at an interrupt; it acknowledges by itself. The same handlers serve every CPU. */
typedef void irq_fn(void);
void irq_handler_set(unsigned vector, irq_fn *handler);

/* What runs at an NMI; NULL makes it an unexpected exception again. */
void nmi_handler_set(irq_fn *handler);

/* Whether the next #PF, or every, finds no handler: the way to a double fault. */
void trap_gate_present_set(unsigned vector, bool present);

#endif
