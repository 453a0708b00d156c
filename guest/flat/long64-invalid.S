/* SPDX-License-Identifier: MIT
 *
 * An opcode that no processor has, without an IDT: #UD, then a triple fault; or an internal error that shows
 * the bytes 0f 0b.
 */
#include "guest/flat/flat.inc"

START64
    lidt no_idt
    ud2
    EXIT 1
no_idt:
    .fill 10, 1, 0
