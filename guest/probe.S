/* SPDX-License-Identifier: MIT
 *
 * The instructions of probe.h, and the programs that run in ring 3.
 */
#include "guest/layout.h"

.macro FUNCTION name
    .balign 16
    .globl \name
\name:
.endm

.text
FUNCTION probe_read8
    movzbl (%rdi), %eax
    ret
FUNCTION probe_read64
    mov (%rdi), %rax
    ret
FUNCTION probe_write8
    mov %sil, (%rdi)
    xor %eax, %eax
    ret
FUNCTION probe_write64
    mov %rsi, (%rdi)
    xor %eax, %eax
    ret
FUNCTION probe_jump
    jmp *%rdi
FUNCTION probe_return
    ret
FUNCTION probe_read_stack
    push %rbp
    mov %rdi, %rbp
    mov (%rbp), %rax
    pop %rbp
    ret
FUNCTION probe_load_es
    mov %edi, %es
    xor %eax, %eax
    ret
FUNCTION probe_cr0
    mov %rdi, %cr0
    xor %eax, %eax
    ret
FUNCTION probe_cr4
    mov %rdi, %cr4
    xor %eax, %eax
    ret
FUNCTION probe_efer
    mov %edi, %eax
    xor %edx, %edx
    mov %esi, %ecx
    wrmsr
    xor %eax, %eax
    ret
FUNCTION probe_divide
    mov %rdi, %rdx
    xor %eax, %eax
    .globl probe_divide_at
probe_divide_at:
    div %rsi
    ret
FUNCTION probe_ud
    ud2
FUNCTION probe_step
    pushf
    orl $0x100, (%rsp)
    popf
    nop
    .globl probe_step_at
probe_step_at:
    nop
    xor %eax, %eax
    ret
FUNCTION probe_int3
    int3
    xor %eax, %eax
    ret
FUNCTION probe_int_n
    int $VECTOR_USER_EXIT
    xor %eax, %eax
    ret
FUNCTION probe_insb_fault
    mov %rsi, %rcx
    mov $0x3ff, %edx
    rep insb
    xor %eax, %eax
    ret

.section .user, "ax"
.balign 4096
/* INT3 is how most of them end: INT n is not known everywhere. This one leaves rdi + rsi in rax and its own
 * number in every other register. */
FUNCTION user_exit
    lea (%rdi, %rsi), %rax
    mov $1, %ebx
    mov $2, %ecx
    mov $3, %edx
    mov $4, %ebp
    mov $8, %r8d
    mov $9, %r9d
    mov $10, %r10d
    mov $11, %r11d
    mov $12, %r12d
    mov $13, %r13d
    mov $14, %r14d
    mov $15, %r15d
    int3
FUNCTION user_syscall
    lea (%rdi, %rsi), %rax
    syscall
FUNCTION user_divide
    xor %edx, %edx
    mov $1, %eax
    xor %ecx, %ecx
    div %ecx
FUNCTION user_ud
    ud2
FUNCTION user_int3
    int3
    ud2
FUNCTION user_step
    pushf
    orl $0x100, (%rsp)
    popf
    nop
    .globl user_step_at
user_step_at:
    nop
    ud2
FUNCTION user_int_n
    int $VECTOR_USER_EXIT
    ud2
FUNCTION user_int_kernel
    int $0x21
FUNCTION user_cli
    cli
FUNCTION user_hlt
    hlt
FUNCTION user_cr0
    mov %cr0, %rax
FUNCTION user_msr
    rdmsr
FUNCTION user_in
    in (%dx), %al
FUNCTION user_read
    mov (%rdi), %rax
    int3
FUNCTION user_write
    mov %rsi, (%rdi)
    int3
FUNCTION user_jump
    jmp *%rdi
FUNCTION user_unaligned
    mov 1(%rsp), %eax
    int3
/* The bytes at rdi, rsi of them, to the scratch register; then as many back behind them. */
FUNCTION user_ports_run
    mov %rsi, %r8
    mov %rdi, %rsi
    mov %r8, %rcx
    mov $0x3ff, %edx
    cld
    rep outsb
    mov %rsi, %rdi
    mov %r8, %rcx
    rep insb
    in (%dx), %al
    int3
/* Four sums of 32 bits, from and to memory at rdi. */
FUNCTION user_sse_run
    movdqu (%rdi), %xmm1
    paddd 16(%rdi), %xmm1
    movaps %xmm1, %xmm9
    movdqu %xmm9, 32(%rdi)
    int3
FUNCTION user_loop
    inc %rax
    jmp user_loop

.section .note.GNU-stack, "", @progbits
