/* SPDX-License-Identifier: MIT
 *
 * RAM beyond the image: a word at every 64 KiB from 2 MiB to 3 MiB, each its own address, all written before the
 * first is read; value 0, or 1. It needs 3 MiB.
 */
#include "guest/flat/flat.inc"

START64
    mov $0x200000, %edi
1:  mov %rdi, (%rdi)
    add $0x10000, %edi
    cmp $0x300000, %edi
    jne 1b
    mov $0x200000, %edi
2:  CHECK 1, cmp %rdi, (%rdi)
    add $0x10000, %edi
    cmp $0x300000, %edi
    jne 2b
    EXIT 0
