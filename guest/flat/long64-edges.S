/* SPDX-License-Identifier: MIT
 *
 * The edges of 4 MiB of RAM: accesses that lie half in it, at odd addresses where nothing is, and across 4 GiB,
 * where nothing wraps to address 0; value 0, or the number of the first check that failed.
 */
#include "guest/flat/flat.inc"

#define RAM_END 0x400000
#define HOLE    0xd0000000
#define TOP     0xfffffffc

START64
    MAP_4G
    movl $0x12345678, RAM_END - 4
    mov RAM_END - 4, %rax
    mov $0xffffffff12345678, %rbx
    CHECK 1, cmp %rbx, %rax
    mov $0x1122334455667788, %rax
    mov %rax, RAM_END - 4
    mov RAM_END - 4, %rax
    mov $0xffffffff55667788, %rbx
    CHECK 2, cmp %rbx, %rax
    mov RAM_END - 1, %eax
    CHECK 3, cmp $0xffffff55, %eax
    mov $HOLE, %esi
    xor %eax, %eax
    mov 1(%rsi), %ax
    CHECK 4, cmp $0xffff, %eax
    mov 3(%rsi), %eax
    CHECK 5, cmp $-1, %eax
    mov 5(%rsi), %rax
    CHECK 6, cmp $-1, %rax
    mov 0xfff(%rsi), %rax
    CHECK 7, cmp $-1, %rax
    movl $0, 0
    mov $TOP, %esi
    mov (%rsi), %eax
    CHECK 8, cmp $-1, %eax
    mov (%rsi), %rax
    CHECK 9, cmp $-1, %rax
    mov %rbx, (%rsi)
    CHECK 10, cmpl $0, 0
    EXIT 0
