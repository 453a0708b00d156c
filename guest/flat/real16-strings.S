/* SPDX-License-Identifier: MIT
 *
 * INS and OUTS with 16-bit addresses, in every width, forward and backward, REP and not; value 0, or the number
 * of the first check that failed. The UART's scratch register is the device.
 */
#include "guest/flat/flat.inc"

START16
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    cld
    mov $UART + 7, %dx
    mov $bytes, %si
    mov $4, %cx
    rep outsb
    CHECK 1, cmp $bytes + 4, %si
    in (%dx), %al
    CHECK 2, cmp $0x44, %al
    mov $buffer + 1, %di
    mov $2, %cx
    rep insb
    CHECK 3, cmp $buffer + 3, %di
    CHECK 4, cmpl $0xee4444ee, buffer
    dec %dx
    mov $words, %si
    mov $2, %cx
    rep outsw
    CHECK 5, cmp $words + 4, %si
    inc %dx
    in (%dx), %al
    CHECK 6, cmp $0x66, %al
    dec %dx
    mov $buffer + 4, %di
    insw
    CHECK 7, cmpb $0x66, buffer + 5
    mov $UNCLAIMED, %dx
    mov $buffer + 8, %di
    mov $2, %cx
    rep insl
    CHECK 8, cmpl $0xffffffff, buffer + 8
    CHECK 9, cmpl $0xffffffff, buffer + 12
    CHECK 10, cmpl $0xeeeeeeee, buffer + 16
    mov $bytes, %si
    mov $1, %cx
    rep outsl
    CHECK 11, cmp $bytes + 4, %si
    std
    mov $UART + 7, %dx
    mov $bytes + 2, %si
    mov $3, %cx
    rep outsb
    CHECK 12, cmp $bytes - 1, %si
    in (%dx), %al
    CHECK 13, cmp $0x11, %al
    mov $buffer + 19, %di
    mov $2, %cx
    rep insb
    CHECK 14, cmpl $0x1111eeee, buffer + 16
    cld
    xor %ecx, %ecx
    mov $DEBUG_EXIT, %dx
    rep outsb
    EXIT 0
.balign 8
bytes:
    .byte 0x11, 0x22, 0x33, 0x44
words:
    .short 0x5500, 0x6600
buffer:
    .fill 24, 1, 0xee
