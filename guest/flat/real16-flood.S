/* SPDX-License-Identifier: MIT
 *
 * Serial output without end, a whole line by REP OUTSB: a slow or closed reader, and stop meanwhile.
 */
#include "guest/flat/flat.inc"

START16
    cld
    mov $UART, %dx
1:  mov $text, %si
    mov $64, %cx
    rep outsb
    jmp 1b
text:
    .ascii "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+\n"
