/* SPDX-License-Identifier: MIT
 *
 * What the flat guests share. Each is one file, linked at the address where `vmm run --flat MODE` puts it, and
 * named after that mode; code and data are one section. None needs a stack.
 */
#ifndef GUEST_FLAT_FLAT_H
#define GUEST_FLAT_FLAT_H

#define DEBUG_EXIT 0xf4
#define POST       0x80
#define UART       0x3f8
#define UNCLAIMED  0x1230

.macro START bits
    .text
    .code\bits
    .globl start
start:
.endm
#define START16 START 16
#define START32 START 32
#define START64 START 64

/* For where a machine has no such device, or a run goes on after it. */
.macro HALT
9:  cli
    hlt
    jmp 9b
.endm

.macro EXIT value
    mov $\value, %al
    out %al, $DEBUG_EXIT
    HALT
.endm

/* CHECK NUMBER, COMPARISON: ends with the number unless what was compared is equal. */
.macro CHECK number, comparison:vararg
    \comparison
    je 8f
    EXIT \number
8:
.endm

#endif
