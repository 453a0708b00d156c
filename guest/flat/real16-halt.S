/* SPDX-License-Identifier: MIT
 *
 * HLT with interrupts enabled and none to come: a run that only stop, a signal or a time limit ends.
 */
#include "guest/flat/flat.inc"

START16
    sti
1:  hlt
    jmp 1b
