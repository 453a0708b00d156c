/* SPDX-License-Identifier: MIT
 *
 * Serial input: every byte comes back, polled; 'q' ends with value 0.
 */
#include "guest/flat/flat.inc"

START16
1:  mov $UART + 5, %dx
    in (%dx), %al
    test $0x01, %al
    jz 1b
    mov $UART, %dx
    in (%dx), %al
    out %al, (%dx)
    cmp $'q', %al
    jne 1b
    EXIT 0
