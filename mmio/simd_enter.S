/* SPDX-License-Identifier: MIT
 *
 * Runs one instruction over the guest's vector state. The code at frame.code is that instruction (with a
 * bounce buffer as its memory operand) and a RET. All vector registers belong to the caller in the ABI, so of
 * the host's own state only the two control words have to be kept; the x87 stack is left empty.
 *
 * void simd_enter(struct simd_frame *frame)
 */

/* struct simd_frame; simd_code.c asserts these. */
#define FRAME_CODE 0
#define FRAME_XSAVE 8
#define FRAME_COMPONENTS 16
#define FRAME_FLAGS 24
#define FRAME_GPR 32
#define FRAME_HOST_MXCSR 160
#define FRAME_HOST_FCW 164
#define FRAME_MXCSR 168
#define FRAME_UNMASKED 172
#define FRAME_HAS_AVX 176
#define FRAME_HAS_X87 180
#define GPR(n) (FRAME_GPR + 8 * (n))

    .text
    .p2align 4
    .globl simd_enter
    .hidden simd_enter
    .type simd_enter, @function
simd_enter:
    .cfi_startproc
    push %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    push %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    push %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    push %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    push %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    push %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    push %rdi
    .cfi_adjust_cfa_offset 8
    push FRAME_CODE(%rdi)
    .cfi_adjust_cfa_offset 8

    stmxcsr FRAME_HOST_MXCSR(%rdi)
    cmpl $0, FRAME_HAS_X87(%rdi)
    je 1f
    fnstcw FRAME_HOST_FCW(%rdi)
1:
    mov FRAME_COMPONENTS(%rdi), %eax
    mov FRAME_COMPONENTS + 4(%rdi), %edx
    mov FRAME_XSAVE(%rdi), %rcx
    xrstor64 (%rcx)

    push FRAME_FLAGS(%rdi)
    .cfi_adjust_cfa_offset 8
    popfq
    .cfi_adjust_cfa_offset -8
    mov GPR(0)(%rdi), %rax
    mov GPR(1)(%rdi), %rcx
    mov GPR(2)(%rdi), %rdx
    mov GPR(3)(%rdi), %rbx
    mov GPR(5)(%rdi), %rbp
    mov GPR(6)(%rdi), %rsi
    mov GPR(8)(%rdi), %r8
    mov GPR(9)(%rdi), %r9
    mov GPR(10)(%rdi), %r10
    mov GPR(11)(%rdi), %r11
    mov GPR(12)(%rdi), %r12
    mov GPR(13)(%rdi), %r13
    mov GPR(14)(%rdi), %r14
    mov GPR(15)(%rdi), %r15
    mov GPR(7)(%rdi), %rdi
    call *(%rsp)
    mov %rdi, (%rsp)
    mov 8(%rsp), %rdi
    mov %rax, GPR(0)(%rdi)
    mov %rcx, GPR(1)(%rdi)
    mov %rdx, GPR(2)(%rdi)
    mov %rbx, GPR(3)(%rdi)
    mov %rbp, GPR(5)(%rdi)
    mov %rsi, GPR(6)(%rdi)
    mov %r8, GPR(8)(%rdi)
    mov %r9, GPR(9)(%rdi)
    mov %r10, GPR(10)(%rdi)
    mov %r11, GPR(11)(%rdi)
    mov %r12, GPR(12)(%rdi)
    mov %r13, GPR(13)(%rdi)
    mov %r14, GPR(14)(%rdi)
    mov %r15, GPR(15)(%rdi)
    pushfq
    .cfi_adjust_cfa_offset 8
    pop FRAME_FLAGS(%rdi)
    .cfi_adjust_cfa_offset -8
    mov (%rsp), %rax
    mov %rax, GPR(7)(%rdi)

    /* An exception that the guest has not masked: the registers stay what they were. */
    stmxcsr FRAME_MXCSR(%rdi)
    mov FRAME_MXCSR(%rdi), %eax
    test FRAME_UNMASKED(%rdi), %eax
    jnz 1f
    mov FRAME_COMPONENTS(%rdi), %eax
    mov FRAME_COMPONENTS + 4(%rdi), %edx
    mov FRAME_XSAVE(%rdi), %rcx
    xsave64 (%rcx)
1:
    cld
    cmpl $0, FRAME_HAS_AVX(%rdi)
    je 2f
    vzeroupper
2:
    cmpl $0, FRAME_HAS_X87(%rdi)
    je 3f
    fninit
    fldcw FRAME_HOST_FCW(%rdi)
3:
    ldmxcsr FRAME_HOST_MXCSR(%rdi)
    add $16, %rsp
    .cfi_adjust_cfa_offset -16
    pop %r15
    .cfi_adjust_cfa_offset -8
    pop %r14
    .cfi_adjust_cfa_offset -8
    pop %r13
    .cfi_adjust_cfa_offset -8
    pop %r12
    .cfi_adjust_cfa_offset -8
    pop %rbp
    .cfi_adjust_cfa_offset -8
    pop %rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size simd_enter, . - simd_enter

    .section .note.GNU-stack, "", @progbits
