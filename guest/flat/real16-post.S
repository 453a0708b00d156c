/* SPDX-License-Identifier: MIT
 *
 * Codes on port 0x80, one for each step, then value 0: a trace of them must show 1, 2, 3.
 */
#include "guest/flat/flat.inc"

START16
    mov $1, %al
1:  out %al, $POST
    inc %al
    cmp $4, %al
    jne 1b
    EXIT 0
