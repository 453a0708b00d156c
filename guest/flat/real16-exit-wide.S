/* SPDX-License-Identifier: MIT
 *
 * Debug-exit takes 16 bits too: value 0x1234, of which the status keeps (0x1234 << 1 | 1) & 0xff = 0x69.
 */
#include "guest/flat/flat.inc"

START16
    mov $0x1234, %ax
    out %ax, $DEBUG_EXIT
    HALT
