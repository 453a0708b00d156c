/* SPDX-License-Identifier: MIT
 *
 * Exits without end (a write to port 0x80 each): stop and pause must not wait for a quiet moment.
 */
#include "guest/flat/flat.inc"

START16
1:  out %al, $POST
    inc %al
    jmp 1b
