/* SPDX-License-Identifier: MIT
 *
 * Numbers that assembly and C agree on: selectors, vectors, addresses, the size of a CPU's block.
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

/* The order from USER_CODE32 on is what SYSRET expects. The last one is free for the tests to fill. */
#define SEL_CODE        0x08
#define SEL_DATA        0x10
#define SEL_USER_CODE32 0x18
#define SEL_USER_DATA   0x20
#define SEL_USER_CODE   0x28
#define SEL_TSS         0x30
#define SEL_TEST        0x40
#define GDT_ENTRIES     9

/* Only until the C code has loaded its own tables. */
#define SEL_BOOT_CODE32 0x18

#define BOOT_MULTIBOOT 0x2badb002
#define BOOT_PVH       0x336ec578

/* A CPU's block: struct cpu, then the stack of double faults, then its own stack, growing down from the end.
 */
#define CPU_BYTES       0x4000
#define CPU_FAULT_STACK 0x1800

/* Where application processors start, in real mode: the page below is the vector of the SIPI. */
#define TRAMPOLINE_ADDRESS 0x8000

#define VECTOR_IRQ_FIRST 0x20
#define VECTOR_USER_EXIT 0x80
#define VECTOR_COUNT     0x81
#define VECTOR_SPURIOUS  0xff
#define VECTOR_SYSCALL   0x100

/* User programs see themselves here, and their stack above. */
#define USER_CODE_VA  0x8000000000
#define USER_STACK_VA 0x8000200000

#endif
