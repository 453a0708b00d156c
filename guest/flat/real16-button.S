/* SPDX-License-Identifier: MIT
 *
 * Waits, by reading ACPI's status register (ACPI 6.5 4.8.3.1.1), until the power button was pressed; writes the bit to
 * clear it, and ends with value 0, or 1 where it is still set.
 */
#include "guest/flat/flat.inc"

#define PM1_STATUS 0x600
#define PWRBTN_STS 0x100

START16
    mov $PM1_STATUS, %dx
look:
    in (%dx), %ax
    test $PWRBTN_STS, %ax
    jz look
    mov $PWRBTN_STS, %ax
    out %ax, (%dx)
    in (%dx), %ax
    CHECK 1, test $PWRBTN_STS, %ax
    EXIT 0
