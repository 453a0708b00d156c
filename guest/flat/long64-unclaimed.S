/* SPDX-License-Identifier: MIT
 *
 * Ports and addresses that nobody claims read all ones in every width, and writes to them vanish; value 0, or
 * the number of the first check that failed.
 */
#include "guest/flat/flat.inc"

#define HOLE 0xd0000000

START64
    mov $UNCLAIMED, %edx
    xor %eax, %eax
    out %al, (%dx)
    out %ax, (%dx)
    out %eax, (%dx)
    in (%dx), %al
    CHECK 1, cmp $0xff, %eax
    in (%dx), %ax
    CHECK 2, cmp $0xffff, %eax
    in (%dx), %eax
    CHECK 3, cmp $-1, %eax
    mov $HOLE, %esi
    xor %eax, %eax
    mov %al, (%rsi)
    mov %ax, (%rsi)
    mov %eax, (%rsi)
    mov %rax, (%rsi)
    movzbl (%rsi), %eax
    CHECK 4, cmp $0xff, %eax
    movzwl 2(%rsi), %eax
    CHECK 5, cmp $0xffff, %eax
    mov 4(%rsi), %eax
    CHECK 6, cmp $-1, %eax
    mov 8(%rsi), %rax
    CHECK 7, cmp $-1, %rax
    mov 0xffd(%rsi), %rax
    CHECK 8, cmp $-1, %rax
    EXIT 0
