/* SPDX-License-Identifier: MIT
 *
 * An instruction in ring 0 that a KVM without hardware virtualization does not know: value 0 where a processor or
 * the VMM finishes it, value 1 for a wrong result, else a KVM internal error with these code bytes.
 */
#include "guest/flat/flat.inc"

START64
    popcnt word, %rax
    CHECK 1, cmp $5, %rax
    EXIT 0
.balign 8
word:
    .quad 0x8000000000000f00
