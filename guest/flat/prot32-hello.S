/* SPDX-License-Identifier: MIT
 *
 * A line on the serial port, byte by byte with the transmitter polled, from protected mode; then value 0.
 */
#include "guest/flat/flat.inc"

START32
    lea text, %esi
next:
    mov (%esi), %al
    test %al, %al
    jz done
    mov %al, %bl
    mov $UART + 5, %dx
wait:
    in (%dx), %al
    test $0x20, %al
    jz wait
    mov %bl, %al
    mov $UART, %dx
    out %al, (%dx)
    inc %esi
    jmp next
done:
    EXIT 0
text:
    .asciz "hello from protected mode\n"
