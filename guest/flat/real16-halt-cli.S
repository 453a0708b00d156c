/* SPDX-License-Identifier: MIT
 *
 * HLT with interrupts disabled: nothing can ever wake this CPU.
 */
#include "guest/flat/flat.inc"

START16
    cli
1:  hlt
    jmp 1b
