/* SPDX-License-Identifier: MIT
 *
 * Where the processor arrives: a stub for each vector makes every frame the same (struct trap_frame), and
 * trap_handle() may change it before it is popped. Also trap_try(), which runs something that may fault, and
 * user_enter(), the way to ring 3.
 */
#include "guest/layout.h"

.macro STUB vector
    .balign 16
    .if (\vector != 8) && (\vector != 10) && (\vector != 11) && (\vector != 12) && (\vector != 13) && (\vector != 14) && (\vector != 17) && (\vector != 21) && (\vector != 29) && (\vector != 30)
    push $0
    .endif
    push $\vector
    jmp trap_common
.endm

.text
/* 16 bytes each, found by trap.c from the vector. */
.globl trap_stubs, trap_stub_spurious
.balign 16
trap_stubs:
    .set vector, 0
    .rept VECTOR_COUNT
    STUB vector
    .set vector, vector + 1
    .endr
trap_stub_spurious:
    STUB VECTOR_SPURIOUS

/* SYSCALL changes no stack, and leaves rip in rcx and rflags in r11. */
.globl syscall_entry
syscall_entry:
    mov %rsp, syscall_user_rsp
    mov syscall_stack, %rsp
    push $SEL_USER_DATA | 3
    push syscall_user_rsp
    push %r11
    push $SEL_USER_CODE | 3
    push %rcx
    push $0
    push $VECTOR_SYSCALL

trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call trap_handle
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

/* uint64_t trap_try(struct trap_landing *landing, fn, a, b): what fn(a, b) returns. A trap that is caught
 * arrives at trap_landing instead, with the landing in rdi, and the call returns all ones. */
.globl trap_try, trap_landing
trap_try:
    mov %rsp, (%rdi)
    mov %rbp, 8(%rdi)
    mov %rbx, 16(%rdi)
    mov %r12, 24(%rdi)
    mov %r13, 32(%rdi)
    mov %r14, 40(%rdi)
    mov %r15, 48(%rdi)
    mov %rsi, %rax
    mov %rdx, %rdi
    mov %rcx, %rsi
    sub $8, %rsp
    call *%rax
    add $8, %rsp
    ret
trap_landing:
    mov (%rdi), %rsp
    mov 8(%rdi), %rbp
    mov 16(%rdi), %rbx
    mov 24(%rdi), %r12
    mov 32(%rdi), %r13
    mov 40(%rdi), %r14
    mov 48(%rdi), %r15
    mov $-1, %rax
    ret

/* user_enter(const struct user_start *): ring 3 with rip, rflags, rsp, rdi and rsi of it. It is run by
 * trap_try() and left by a trap only, for which the kernel's stack goes on from here. */
.globl user_enter
user_enter:
    mov 40(%rdi), %rax
    mov %rsp, (%rax)
    mov %rsp, syscall_stack
    push $SEL_USER_DATA | 3
    push 16(%rdi)
    push 8(%rdi)
    push $SEL_USER_CODE | 3
    push (%rdi)
    mov 32(%rdi), %rsi
    mov 24(%rdi), %rdi
    xor %eax, %eax
    iretq

.section .note.GNU-stack, "", @progbits
