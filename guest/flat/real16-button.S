/* SPDX-License-Identifier: MIT
 *
 * Waits, by reading the register of ACPI's generic event device, until the power button was pressed; writes the bit to
 * clear it, and ends with value 0, or 1 where it is still set.
 */
#include "guest/flat/flat.inc"

#define EVENTS 0x60c
#define BUTTON 0x01

START16
    mov $EVENTS, %dx
look:
    in (%dx), %al
    test $BUTTON, %al
    jz look
    mov $BUTTON, %al
    out %al, (%dx)
    in (%dx), %al
    CHECK 1, test $BUTTON, %al
    EXIT 0
