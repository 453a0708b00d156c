/* SPDX-License-Identifier: MIT
 *
 * Starts the second CPU by INIT and SIPI (SDM 3A 8.4.4.1) sent to its APIC ID, as the first that anyone does with a
 * local APIC: it is never enabled, and nothing is sent to all. The second CPU ends the run with value 42.
 */
#include "guest/flat/flat.inc"

#define ICR_LOW    0xfee00300
#define ICR_HIGH   0xfee00310
#define TRAMPOLINE 0x8000

START32
    mov $other, %esi
    mov $TRAMPOLINE, %edi
    mov $other_end - other, %ecx
    rep movsb
    movl $1 << 24, ICR_HIGH
    movl $0xc500, ICR_LOW /* INIT, assert, level */
    movl $1 << 24, ICR_HIGH
    movl $0x8500, ICR_LOW /* de-assert */
    movl $1 << 24, ICR_HIGH
    movl $0x600 + (TRAMPOLINE >> 12), ICR_LOW
    HALT
.code16
other:
    EXIT 42
other_end:
