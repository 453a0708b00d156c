/* SPDX-License-Identifier: MIT
 *
 * A line on the serial port, byte by byte with the transmitter polled, from long mode; then value 0.
 */
#include "guest/flat/flat.inc"

START64
    lea text, %rsi
next:
    mov (%rsi), %al
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
    inc %rsi
    jmp next
done:
    EXIT 0
text:
    .asciz "hello from long mode\n"
