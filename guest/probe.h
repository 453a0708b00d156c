/* SPDX-License-Identifier: MIT
 *
 * Single instructions to be tried with trap_catch(). The instruction that may fault is the first, so that the
 * function's address is what the frame's rip must be, except where noted.
 */
#ifndef GUEST_PROBE_H
#define GUEST_PROBE_H

#include "guest/kernel.h"

uint64_t probe_read8(uint64_t va, uint64_t unused);
uint64_t probe_read64(uint64_t va, uint64_t unused);
uint64_t probe_write8(uint64_t va, uint64_t value);
uint64_t probe_write64(uint64_t va, uint64_t value);
uint64_t probe_jump(uint64_t va, uint64_t unused);       /* to code that returns; a fault is at `va` */
uint64_t probe_read_stack(uint64_t va, uint64_t unused); /* by rbp; not the first instruction */
uint64_t probe_load_es(uint64_t selector, uint64_t unused);
uint64_t probe_cr0(uint64_t value, uint64_t unused);
uint64_t probe_cr4(uint64_t value, uint64_t unused);
uint64_t probe_efer(uint64_t low, uint64_t msr);        /* not the first instruction */
uint64_t probe_divide(uint64_t high, uint64_t divisor); /* high:0 / divisor; not the first instruction */
uint64_t probe_ud(uint64_t a, uint64_t b);
uint64_t probe_step(uint64_t a, uint64_t b); /* sets TF, then two NOPs; the trap is behind the first */
uint64_t probe_int3(uint64_t a, uint64_t b);
uint64_t probe_int_n(uint64_t a, uint64_t b);
uint64_t probe_insb_fault(uint64_t va, uint64_t count);
extern const uint8_t probe_divide_at[], probe_step_at[], probe_return[];

/* Programs for ring 3, position independent, in pages of their own. They take rdi and rsi. */
extern uint8_t user_start[], user_end[];
extern const uint8_t user_exit[], user_syscall[], user_divide[], user_ud[], user_int3[], user_step[],
    user_step_at[];
extern const uint8_t user_int_n[], user_int_kernel[], user_cli[], user_hlt[], user_cr0[], user_msr[],
    user_in[], user_read[], user_write[], user_jump[], user_unaligned[], user_ports_run[], user_sse_run[],
    user_loop[];

#endif
