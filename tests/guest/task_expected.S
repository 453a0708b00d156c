/* SPDX-License-Identifier: MIT
 *
 * What the guest of task switches prints, as a string.
 */
    .section .rodata
    .globl task_expected
task_expected:
    .incbin "tests/guest/prot32-task.txt"
    .byte 0

    .section .note.GNU-stack, "", @progbits
