/* SPDX-License-Identifier: MIT
 *
 * The task guest's entry, flat and by multiboot; the tasks that are entered, the handlers, and the ways into a task.
 */
#define SEL_CODE      0x08 /* as in task.h */
#define SEL_DATA      0x10
#define SEL_MAIN      0x28
#define SEL_FAULT     0x58
#define SEL_FAR       0xc0
#define SEL_GDT_LIMIT 0xc7

    .section .multiboot, "ax"
    .code32
    jmp start
    .balign 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .globl start
start:
    cli
    cld
    lea main_stack_end, %esp
    call world_reset
    lgdt gdt_pointer
    lidt idt_pointer
    ljmp $SEL_CODE, $1f
1:  mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %gs
    mov $SEL_FAR, %eax
    mov %eax, %fs
    andb $~0x02, gdt + SEL_MAIN + 5
    mov $SEL_MAIN, %eax
    ltr %ax
    xor %eax, %eax
    lldt %ax
    call main
2:  hlt
    jmp 2b

/* The worker: writes down what it finds, flags first of what MOV does not keep, and goes back. */
    .globl worker, user_worker
worker:
    mov %eax, seen
    mov %ecx, seen + 4
    mov %edx, seen + 8
    mov %ebx, seen + 12
    mov %esp, seen + 16
    mov %ebp, seen + 20
    mov %esi, seen + 24
    mov %edi, seen + 28
    mov %es, seen + 32
    mov %cs, seen + 36
    mov %ss, seen + 40
    mov %ds, seen + 44
    mov %fs, seen + 48
    mov %gs, seen + 52
    pushf
    pop %eax
    mov %eax, seen + 56
    mov %cr0, %eax
    mov %eax, seen + 60
    mov %cr3, %eax
    mov %eax, seen + 64
    str seen + 68
    sldt seen + 72
    mov %dr7, %eax
    mov %eax, seen + 76
    mov main_tss + 0x20, %eax
    mov %eax, seen + 84
    mov main_tss + 0x24, %eax
    mov %eax, seen + 88
    pop %eax
    mov %eax, seen + 92
    push %eax
    incl seen + 80
    mov resume, %eax
    test %eax, %eax
    jz 2f
    mov %eax, main_tss + 0x20
2:  cmpl $0, worker_jumps
    jne 1f
    mov $0x600d, %eax
    stc
    jmp 3f /* QEMU 7.2 has the flags ready for a task switch only here */
3:  iret
    jmp worker
1:  ljmp *main_pointer
    jmp worker

/* In CPL 3: the handler of INT 0x31 sees where it comes from. */
user_worker:
    mov %cs, seen + 36
    mov %ss, seen + 40
    incl seen + 80
    cmpl $0, worker_jumps
    jne 1f
    int $0x31
1:  ljmp *main_pointer
    ud2

/* A task that an exception enters. If main() is what it has interrupted, that goes on behind the instruction; else its
 * TSS may be in use, by the task that it has entered. */
    .globl fault_entry, fault_back
fault_entry:
    str %eax
    mov %eax, fault + 20
    cmp $fault_stack_end, %esp
    je fault_back
    popl fault + 4
    movl $1, fault + 24
    sub $SEL_FAULT, %eax
    imul $104 / 8, %eax
    cmpw $SEL_MAIN, fault_tss(%eax)
    jne fault_back
    mov recover, %eax
    mov %eax, main_tss + 0x20
fault_back:
    andb $~0x02, gdt + SEL_MAIN + 5
    ljmp *main_pointer
    ud2

.macro HANDLER name, vector, has_error
    .globl handler_\name
handler_\name:
    movl $\vector, fault
    movl $\has_error, fault + 24
    .if \has_error
    popl fault + 4
    .endif
    push %eax
    mov 4(%esp), %eax
    mov %eax, fault + 8
    mov 8(%esp), %eax
    mov %eax, fault + 12
    mov %dr6, %eax
    mov %eax, fault + 16
    mov recover, %eax
    mov %eax, 4(%esp)
    pop %eax
    iret
.endm
    HANDLER db, 1, 0
    HANDLER df, 8, 1
    HANDLER ts, 10, 1
    HANDLER np, 11, 1
    HANDLER ss, 12, 1
    HANDLER gp, 13, 1
    HANDLER pf, 14, 1

/* Of CPL 3, to which there is no way back. */
    .globl handler_user
handler_user:
    movl $0x31, fault
    mov (%esp), %eax
    mov %eax, fault + 8
    mov 4(%esp), %eax
    mov %eax, fault + 12
    jmp fault_back

/* Ways into another task. */
.macro WAY name, recovery
    .globl \name
\name:
    push %ebp
    push %ebx
    push %esi
    push %edi
    mov 20(%esp), %eax
    movl $0xdeadbeef, %fs:0
    mov %eax, %fs:4
    cmpl $0, recover_fixed
    jne 7f
    movl $\recovery, recover
7:  mov $0xa0a0a0a0, %eax
    mov $0xc1c1c1c1, %ecx
    mov $0xd2d2d2d2, %edx
    mov $0xb3b3b3b3, %ebx
    mov $0xb5b5b5b5, %ebp
    mov $0x56565656, %esi
    mov $0xd7d7d7d7, %edi
.endm
.macro BACK label
    .globl \label
\label:
    pushf /* NT may be on */
    andl $~0x4000, (%esp)
    popf
    pop %edi
    pop %esi
    pop %ebx
    pop %ebp
    ret
.endm

    .globl bad_load, divide
    WAY go_jmp, jmp_end
    push $0x8d7
    popf
    ljmp *%fs:0
    BACK jmp_end
    WAY go_call, call_end
    push $0x8d7
    popf
    lcall *%fs:0
    BACK call_end
    WAY go_iret, iret_end
    push $0x48d7
    popf
    iret
    BACK iret_end
    WAY go_int, int_end
    push $0x8d7
    popf
    int $0x30
    BACK int_end
    WAY go_bad_load, bad_load_end
    mov $0xfff8, %eax
    push $0x8d7
    popf
bad_load:
    mov %ax, %gs
    BACK bad_load_end
    WAY go_divide, divide_end
    xor %edx, %edx
    mov $1, %eax
    xor %ecx, %ecx
    push $0x8d7
    popf
divide:
    div %ecx
    BACK divide_end

/* Copied to 0x5000. */
    .code16
    .globl v86_code, v86_code_end
v86_code:
    mov $0x1234, %ax
    push %ax
    int $0x30
    hlt
v86_code_end:

    .data
gdt_pointer:
    .word SEL_GDT_LIMIT
    .long gdt
idt_pointer:
    .word 64 * 8 - 1
    .long idt
    .balign 4
main_pointer:
    .long 0xdeadbeef
    .word SEL_MAIN

    .bss
    .balign 16
    .globl seen, fault, worker_jumps, resume, recover, recover_fixed
seen:
    .skip 128
fault:
    .skip 32
worker_jumps:
    .skip 4
resume:
    .skip 4
recover:
    .skip 4
recover_fixed:
    .skip 4
    .globl worker_stack_end, fault_stack_end, stack16, inner_stack_end
    .balign 16
    .skip 4096
main_stack_end:
    .skip 1024
worker_stack_end:
    .skip 1024
fault_stack_end:
    .skip 1024
inner_stack_end:
stack16:
    .skip 0x200
