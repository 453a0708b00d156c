/* SPDX-License-Identifier: MIT
 *
 * The guests' images as read-only data.
 */
.macro PAYLOAD name, file
    .globl payload_\name, payload_\name\()_end
    .balign 16
payload_\name:
    .incbin "\file"
payload_\name\()_end:
.endm

.section .rodata
PAYLOAD mmio, "guest/flat/long64-mmio.bin"
PAYLOAD exit, "guest/flat/real16-exit.bin"
PAYLOAD kernel, "guest/guest.img"

.section .note.GNU-stack, "", @progbits
