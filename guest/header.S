/* SPDX-License-Identifier: MIT
 *
 * The multiboot 1 header: flags 3 ask for page-aligned modules and a memory map. It is linked into guest.img
 * only: QEMU takes whatever has one by multiboot, and guest-pvh.img is there to be taken by PVH.
 */
.section .multiboot, "a"
.balign 4
    .long 0x1badb002
    .long 0x00000003
    .long -(0x1badb002 + 0x00000003)

.section .note.GNU-stack, "", @progbits
