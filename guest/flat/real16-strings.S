/* SPDX-License-Identifier: MIT
 *
 * guest/flat/strings.inc with 16-bit addresses.
 */
#include "guest/flat/flat.inc"

#define SI %si
#define DI %di
#define CX %cx

START16
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
#include "guest/flat/strings.inc"
