/* SPDX-License-Identifier: MIT
 *
 * A CPU that never leaves the guest by itself: what stop, pause and time limits have to interrupt.
 */
#include "guest/flat/flat.inc"

START64
1:  jmp 1b
