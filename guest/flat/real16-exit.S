/* SPDX-License-Identifier: MIT
 *
 * The smallest guest: ends with debug-exit value 42, which is status 85. What a start costs is measured with it.
 */
#include "guest/flat/flat.inc"

START16
    mov $42, %al
    out %al, $DEBUG_EXIT
    HALT
