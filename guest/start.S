/* SPDX-License-Identifier: MIT
 *
 * From what a loader gives us (32-bit protected mode, paging off; multiboot 0.6.96 3.2, or the PVH start
 * convention of Xen's hvm/start_info.h) to kernel_main() in long mode; and the same for an application
 * processor, from real mode. The first page tables are data: where ring 0 is interpreted, filling them in a
 * loop would be most of the boot.
 */
#include "guest/layout.h"

#define CR0_BITS 0x80010023 /* PG, WP, NE, MP, PE */
#define CR4_PAE  0x20
#define EFER     0xc0000080
#define EFER_LME 0x100

.section .note.pvh, "a", @note
.balign 4
    .long 4
    .long 8
    .long 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .balign 4
    .quad start_pvh

.text
.code32
.globl start_multiboot, start_pvh
start_pvh:
    mov $BOOT_PVH, %eax
start_multiboot:
    cli
    cld
    mov %eax, %edi
    mov %ebx, %esi
    rdtsc
    mov %eax, boot_tsc
    mov %edx, boot_tsc + 4
    lgdt boot_gdt_pointer
    mov $boot_pml4, %ebx
    xor %ebp, %ebp
    call long_mode_enable
    ljmp $SEL_CODE, $start64

/* Turns on long mode with the tables at ebx and the EFER bits of ebp; the caller jumps to 64-bit code. */
long_mode_enable:
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov %ebx, %cr3
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    or %ebp, %eax
    wrmsr
    mov $CR0_BITS, %eax
    mov %eax, %cr0
    ret

.code64
start64:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $boot_cpu + CPU_BYTES, %esp
    xor %ebp, %ebp
    call kernel_main
1:  cli
    hlt
    jmp 1b

/* An application processor, as the trampoline below leaves it. kernel_cr3 and kernel_efer are low. */
.code32
ap_start32:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov kernel_cr3, %ebx
    mov kernel_efer, %ebp
    mov $boot_cpu + CPU_FAULT_STACK, %esp /* shared by those who start, and only to return from one call */
    call long_mode_enable
    ljmp $SEL_CODE, $ap_start64

.code64
ap_start64:
    mov $1, %edi
    lock xadd %edi, cpus_started
    cmp cpu_limit, %edi
    jae 1f
    mov %rdi, %rax
    shl $14, %rax
    add cpu_blocks, %rax
    lea CPU_BYTES(%rax), %rsp
    xor %ebp, %ebp
    call ap_main
1:  cli
    hlt
    jmp 1b

/* Copied to TRAMPOLINE_ADDRESS. */
.globl trampoline_start, trampoline_end
.code16
trampoline_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl TRAMPOLINE_ADDRESS + (2f - trampoline_start)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $SEL_BOOT_CODE32, $ap_start32
    .balign 4
2:  .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt
trampoline_end:
.code64

.data
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf93000000ffff /* data */
    .quad 0x00cf9b000000ffff /* 32-bit code */
boot_gdt_end:
boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt

/* Identity over the first GiB. */
.balign 4096
boot_pml4:
    .quad boot_pdpt + 3
    .fill 511, 8, 0
boot_pdpt:
    .quad boot_pd + 3
    .fill 511, 8, 0
boot_pd:
    .set frame, 0
    .rept 512
    .quad frame + 0x83
    .set frame, frame + 0x200000
    .endr

.section .note.GNU-stack, "", @progbits
