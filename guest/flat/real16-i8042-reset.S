/* SPDX-License-Identifier: MIT
 *
 * The keyboard controller's command 0xfe resets the machine; value 1 if it does not.
 */
#include "guest/flat/flat.inc"

START16
    mov $0xfe, %al
    out %al, $0x64
    EXIT 1
