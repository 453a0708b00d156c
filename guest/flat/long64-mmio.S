/* SPDX-License-Identifier: MIT
 *
 * One memory operation on a device or on RAM, in ring 0 or 3, a number of times, between two readings of the TSC:
 * for the tests and benchmarks of memory-mapped I/O. flat/mmio.h says how it is asked.
 */
#include "guest/flat/flat.inc"
#include "guest/flat/mmio.h"

#define MAILBOX(field) (MMIO_MAILBOX + field)
#define PAGE_TABLES    0x220000 /* PML4, PDPT, four page directories: 4 GiB in pages of 2 MiB, for every ring */
#define STACK          0x21f000

#define CODE64   0x08
#define DATA     0x10
#define USER32   0x18 /* only there so that the numbers are those of SYSRET */
#define USER_DS  0x23
#define USER_CS  0x2b
#define IOPL3    0x3002

START64
    cld
    mov $STACK, %rsp
    movq $1, MAILBOX(MMIO_STEP)
    call make_page_tables
    lgdt gdt_pointer
    lidt idt_pointer
    call fill_idt
    movq $2, MAILBOX(MMIO_STEP)
    call enable_vectors
    movq $3, MAILBOX(MMIO_STEP)
    cmpq $3, MAILBOX(MMIO_RING)
    jne run
    pushq $USER_DS
    pushq $STACK
    pushq $IOPL3
    pushq $USER_CS
    pushq $run
    iretq

/* Present, writable, user; 2 MiB pages. */
make_page_tables:
    mov $PAGE_TABLES, %rdi
    lea 0x1007(%rdi), %rax
    mov %rax, (%rdi)
    lea 0x2007(%rdi), %rax
    mov $4, %rcx
    lea 0x1000(%rdi), %rdx
1:  mov %rax, (%rdx)
    add $0x1000, %rax
    add $8, %rdx
    loop 1b
    lea 0x2000(%rdi), %rdx
    mov $0x87, %rax
    mov $2048, %rcx
1:  mov %rax, (%rdx)
    add $0x200000, %rax
    add $8, %rdx
    loop 1b
    mov %rdi, %cr3
    ret

/* Every exception ends the guest; ring 3 comes here without a task state segment only to a triple fault. */
fill_idt:
    mov $fault, %rax
    mov $idt, %rdi
    mov $32, %rcx
1:  mov %ax, (%rdi)
    movw $CODE64, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    mov %rax, %rdx
    shr $16, %rdx
    mov %dx, 6(%rdi)
    add $16, %rdi
    loop 1b
    ret

/* SSE, and where CPUID has XSAVE all of XCR0 that it knows up to AVX-512. */
enable_vectors:
    mov %cr4, %rax
    or $0x600, %rax
    mov %rax, %cr4
    mov $1, %eax
    cpuid
    bt $26, %ecx
    jnc 1f
    mov %cr4, %rax
    or $0x40000, %rax
    mov %rax, %cr4
    mov $0xd, %eax
    xor %ecx, %ecx
    cpuid
    and $0xe7, %eax
    xor %edx, %edx
    xor %ecx, %ecx
    xsetbv
1:  ret

run:
    mov MAILBOX(MMIO_OP), %rax
    mov MAILBOX(MMIO_COUNT), %r12
    mov MAILBOX(MMIO_TARGET), %rbx
    cmp $MMIO_OP_COUNT, %rax
    jae no_op
    mov operations(, %rax, 8), %r13
    mov $MMIO_BUFFER, %rbp
    cmp $MMIO_OP_STORE16, %rax
    jb 1f
    call *preparations(, %rax, 8)
1:  rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, MAILBOX(MMIO_BEGIN)
    mov $0x0123456789abcdef, %rax
    jmp *%r13

/* The end of each operation's body, which is entered again until the count is used up. */
.macro AGAIN
    dec %r12
    jz done
    jmp *%r13
.endm

nothing:
    AGAIN
store:
    mov %eax, (%rbx)
    AGAIN
load:
    mov (%rbx), %eax
    AGAIN
add:
    addl $3, (%rbx)
    AGAIN
lock_xadd:
    lock xadd %rax, (%rbx)
    AGAIN
store16:
    movups %xmm0, (%rbx)
    AGAIN
store32:
    vmovups %ymm0, (%rbx)
    AGAIN
store64:
    vmovups %zmm0, (%rbx)
    AGAIN
load16:
    movups (%rbx), %xmm1
    movups %xmm1, 64(%rbp)
    AGAIN
rep_movsb:
    mov %rbp, %rsi
    mov %rbx, %rdi
    mov $4096, %ecx
    rep movsb
    AGAIN
rep_stosd:
    mov %rbx, %rdi
    mov $1024, %ecx
    rep stosl
    AGAIN
loop_of_stores:
    xor %ecx, %ecx
1:  mov %ecx, (%rbx, %rcx, 4)
    inc %ecx
    cmp $64, %ecx
    jb 1b
    AGAIN
burst:
    movl $0x11, (%rbx)
    movl $0x22, 4(%rbx)
    mov %eax, 8(%rbx)
    movw $0x33, 12(%rbx)
    movb $0x44, 16(%rbx)
    mov %rax, 24(%rbx)
    movl $0x55, 32(%rbx)
    movl $0x66, 36(%rbx)
    AGAIN
crossing:
    mov %rax, 4093(%rbx)
    AGAIN
movsb_back:
    mov %rbx, %rsi
    mov %rbp, %rdi
    mov $4096, %ecx
    rep movsb
    AGAIN
masked:
    vmovups %zmm0, (%rbx) {%k1}
    AGAIN
cmpxchg16b:
    xor %eax, %eax
    xor %edx, %edx
    mov %rbx, %rdi
    mov $0x1111, %ebx
    mov $0x2222, %ecx
    lock cmpxchg16b (%rdi)
    mov %rdi, %rbx
    AGAIN
x87:
    fldl (%rbp)
    fstpt (%rbx)
    AGAIN

prepare_nothing:
    ret
prepare16:
    movups (%rbp), %xmm0
    ret
prepare32:
    vmovups (%rbp), %ymm0
    ret
prepare64:
    vmovups (%rbp), %zmm0
    ret
prepare_masked:
    vmovups (%rbp), %zmm0
    mov $0x5555, %ecx
    kmovw %ecx, %k1
    ret

done:
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, MAILBOX(MMIO_END)
    out %al, $MMIO_NEXT_PORT
    cmpq $0, MAILBOX(MMIO_MORE)
    jne run
    EXIT MMIO_DONE
no_op:
    EXIT MMIO_NO_OP
fault:
    EXIT MMIO_FAULT

.balign 8
operations:
    .quad nothing, store, load, add, lock_xadd, store16, store32, store64, load16, rep_movsb, rep_stosd
    .quad loop_of_stores, burst, crossing, movsb_back, masked, cmpxchg16b, x87
preparations:
    .quad 0, 0, 0, 0, 0, prepare16, prepare32, prepare64, prepare_nothing, prepare_nothing, prepare_nothing
    .quad prepare_nothing, prepare_nothing, prepare_nothing, prepare_nothing, prepare_masked, prepare_nothing
    .quad prepare_nothing
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff
gdt_pointer:
    .word 47
    .quad gdt
idt_pointer:
    .word 511
    .quad idt
.balign 16
idt:
    .skip 512
