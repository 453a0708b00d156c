/* SPDX-License-Identifier: MIT
 *
 * The hole below 4 GiB, with RAM on both sides: accesses that lie half in it; value 0, or the number of the first
 * check that failed. It needs more than 3 GiB.
 */
#include "guest/flat/flat.inc"

START64
    MAP_4G
    mov $0xbffffffc, %esi
    movl $0x12345678, (%rsi)
    mov (%rsi), %rax
    mov $0xffffffff12345678, %rbx
    CHECK 1, cmp %rbx, %rax
    mov $0xfffffffc, %edi
    movl $0x55667788, 4(%rdi)
    mov (%rdi), %rax
    mov $0x55667788ffffffff, %rbx
    CHECK 2, cmp %rbx, %rax
    mov $0x1122334400000000, %rax
    mov %rax, (%rdi)
    CHECK 3, cmpl $0x11223344, 4(%rdi)
    CHECK 4, cmpl $-1, (%rdi)
    CHECK 5, cmpl $0x12345678, (%rsi)
    EXIT 0
