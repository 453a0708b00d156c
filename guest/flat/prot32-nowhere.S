/* SPDX-License-Identifier: MIT
 *
 * Jumps to where there is no memory: what is fetched there is all ones, an invalid opcode, and without a usable IDT
 * that shuts the CPU down.
 */
#include "guest/flat/flat.inc"

START32
    mov $0xd0000000, %eax
    jmp *%eax
