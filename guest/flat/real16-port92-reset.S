/* SPDX-License-Identifier: MIT
 *
 * Bit 0 of port 0x92 resets the machine; value 1 if it does not. Setting bit 1 (A20) alone must not.
 */
#include "guest/flat/flat.inc"

START16
    mov $0x02, %al
    out %al, $0x92
    mov $0x03, %al
    out %al, $0x92
    EXIT 1
