/* SPDX-License-Identifier: MIT
 *
 * Reads the ports where devices are, and the last ones, 4 bytes at a time from each on, also beyond the end of the
 * space, and writes a zero to each; value 0. (Not to the debug-exit ports, which end the run.)
 */
#include "guest/flat/flat.inc"

START16
    xor %edx, %edx
1:  in (%dx), %eax
    xor %eax, %eax
    mov %dx, %cx
    and $0xfffc, %cx
    cmp $DEBUG_EXIT, %cx
    je 2f
    out %al, (%dx)
2:  inc %dx
    jz 3f
    cmp $0x600, %dx
    jne 1b
    mov $0xfff0, %dx
    jmp 1b
3:  EXIT 0
