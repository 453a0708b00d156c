/* SPDX-License-Identifier: MIT
 *
 * How a run ends: a value at the debug-exit port. `vmm run` and QEMU's isa-debug-exit make (value << 1) | 1
 * the status of the process.
 */
#ifndef GUEST_RUN_H
#define GUEST_RUN_H

#include "guest/kernel.h"

#define DEBUG_EXIT_PORT 0xf4

/* 0: every test passed; 1 to 100: so many failed; then: */
#define RUN_FAILED_MAX 100
#define RUN_BAD_WORD   101 /* the command line has a word that means nothing */
#define RUN_EXCEPTION  102 /* an exception that nobody expected */
#define RUN_PANIC      103 /* the kernel cannot go on: no memory, no memory map */

_Noreturn void run_end(unsigned value);
_Noreturn void panic(const char *reason);

#endif
