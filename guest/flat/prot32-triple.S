/* SPDX-License-Identifier: MIT
 *
 * A division by zero without a usable IDT: the exception, the double fault and the third, which shuts the CPU
 * down.
 */
#include "guest/flat/flat.inc"

START32
    lidt no_idt
    xor %ecx, %ecx
    xor %edx, %edx
    div %ecx
    EXIT 1
no_idt:
    .fill 10, 1, 0
