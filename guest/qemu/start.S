/* SPDX-License-Identifier: MIT
 *
 * Entry of the QEMU-style test kernel, by multiboot in flat 32-bit protected mode, and where its other CPUs
 * start.
 */
    .section .multiboot, "ax"
    .balign 4
    .long 0x1badb002, 0x00000003, -(0x1badb002 + 0x00000003)

    .text
    .code32
    .globl start
start:
    cli
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  mov $0x10, %edx
    mov %edx, %ds
    mov %edx, %es
    mov %edx, %ss
    lea stack_end, %esp
    push %ebx
    push %eax
    call main
2:  hlt
    jmp 2b

    .globl ap_start32
ap_start32:
    mov $0x10, %eax
    mov %eax, %ds
    lock incl cpus_started
3:  hlt
    jmp 3b

/* Copied to the page of the start-up interrupt; runs in real mode. */
    .code16
    .globl trampoline, trampoline_end
trampoline:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl trampoline_gdt - trampoline
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x08, $ap_start32
trampoline_gdt:
    .word 23
    .long gdt
trampoline_end:

    .data
gdt_pointer:
    .word 23
    .long gdt
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff

    .bss
    .balign 16
    .skip 8192
stack_end:
