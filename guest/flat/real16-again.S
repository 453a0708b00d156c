/* SPDX-License-Identifier: MIT
 *
 * Writes '>' on the serial port, or '!' where a machine before this one has left its mark in RAM, and sends back what it
 * gets, as real16-echo; 'q' ends with value 0, 'r' resets by the keyboard controller.
 */
#include "guest/flat/flat.inc"

#define MARK 0x9000 /* behind the image, which is loaded at 0x7c00 */

START16
    mov $UART, %dx
    mov $'>', %al
    cmpb $0, MARK
    je 3f
    mov $'!', %al
3:  movb $1, MARK
    out %al, (%dx)
1:  mov $UART + 5, %dx
    in (%dx), %al
    test $0x01, %al
    jz 1b
    mov $UART, %dx
    in (%dx), %al
    out %al, (%dx)
    cmp $'q', %al
    je 2f
    cmp $'r', %al
    jne 1b
    mov $0xfe, %al
    out %al, $0x64
2:  EXIT 0
