/* SPDX-License-Identifier: MIT
 *
 * One memory operation on a device or on RAM, in ring 0 or 3, a number of times, between two readings of the TSC:
 * for the tests and benchmarks of memory-mapped I/O; for the latter it also does what else causes exits.
 * flat/mmio.h says how it is asked. QEMU, which takes no flat image for long mode, takes it by its multiboot header
 * (multiboot 0.6.96 3.1.2, with the addresses that a plain binary needs).
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
#define TSS      0x30

/* For the way from 32-bit code to long mode: tables of 1 GiB that stand aside of those to come. */
#define BOOT_TABLES 0x230000
#define CR0_BITS    0x80010023 /* PG, WP, NE, MP, PE */
#define CR4_PAE     0x20
#define EFER        0xc0000080
#define EFER_LME    0x100

#define APIC_BASE           0x1b
#define UCODE_REV           0x8b
#define X2APIC_EOI          0x80b
#define X2APIC_SPURIOUS     0x80f
#define X2APIC_TIMER        0x832
#define X2APIC_TIMER_COUNT  0x838
#define X2APIC_TIMER_DIVIDE 0x83e
#define X2APIC_SELF_IPI     0x83f
#define X2APIC_ICR          0x830
#define ICR_INIT            0x4500
#define ICR_START           0x4600 /* and the page to start in */
#define INTERRUPT           32
#define IPI                 33 /* to the second CPU */
#define REPLY               34 /* and back */
#define AP_STACK            0x21d000
#define AP_START            0x8000 /* it starts in real mode, below 1 MiB */
#define IOAPIC              0xfec00000
#define IOAPIC_PINS         16 /* the first register of the redirection table */

START64
    jmp start64
.balign 4
multiboot:
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long multiboot, start, 0, 0, start32

.code32
start32:
    cli
    cld
    mov $BOOT_TABLES, %edi
    xor %eax, %eax
    mov $0xc00, %ecx
    rep stosl
    movl $BOOT_TABLES + 0x1003, BOOT_TABLES
    movl $BOOT_TABLES + 0x2003, BOOT_TABLES + 0x1000
    mov $BOOT_TABLES + 0x2000, %edi
    mov $0x83, %eax
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    cmp $0x40000000, %eax
    jb 1b
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov $BOOT_TABLES, %eax
    mov %eax, %cr3
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_BITS, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $CODE64, $1f
.code64
1:  mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss

start64:
    cld
    mov $STACK, %rsp
    movq $1, MAILBOX(MMIO_STEP)
    call make_page_tables
    lgdt gdt_pointer
    lidt idt_pointer
    call fill_idt
    mov $tss, %rax
    mov %ax, gdt + TSS + 2
    shr $16, %rax
    mov %al, gdt + TSS + 4
    mov $TSS, %eax
    ltr %ax
    pushq $CODE64 /* interrupts return to it */
    pushq $1f
    lretq
1:  mov $DATA, %eax
    mov %eax, %ss
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

/* Every exception ends the guest. An interrupt of ring 3 comes to ring 0's stack. */
fill_idt:
    mov $fault, %rax
    mov $idt, %rdi
    mov $INTERRUPT, %rcx
    call fill_gates
    mov $interrupt, %rax
    mov $1, %rcx
    call fill_gates
    mov $ipi, %rax
    mov $1, %rcx
    call fill_gates
    mov $reply, %rax
    mov $1, %rcx
fill_gates:
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
    cmp $MMIO_OP_LIMIT, %rax
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
    mov MAILBOX(MMIO_IO_PORT), %rdx
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

cpuid:
    mov %rbx, %r14
    xor %eax, %eax
    cpuid
    mov %r14, %rbx
    AGAIN
out8:
    out %al, (%dx)
    AGAIN
out16:
    out %ax, (%dx)
    AGAIN
out32:
    out %eax, (%dx)
    AGAIN
in8:
    in (%dx), %al
    AGAIN
in16:
    in (%dx), %ax
    AGAIN
in32:
    in (%dx), %eax
    AGAIN
rep_outsb:
    mov %rbp, %rsi
    mov $4096, %ecx
    rep outsb
    AGAIN
out8_burst:
    .rept 8
    out %al, (%dx)
    .endr
    AGAIN
read_user_msr:
    mov $MMIO_USER_MSR, %ecx
    rdmsr
    AGAIN
write_user_msr:
    mov $MMIO_USER_MSR, %ecx
    wrmsr
    AGAIN
read_msr:
    mov $APIC_BASE, %ecx
    rdmsr
    AGAIN
write_msr:
    mov $UCODE_REV, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    AGAIN
vmcall:
    mov $1, %eax
    vmcall
    AGAIN
vmmcall:
    mov $1, %eax
    vmmcall
    AGAIN
touch:
    movb $1, (%rbx)
    add $4096, %rbx
    AGAIN
eoi:
    mov $X2APIC_EOI, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    AGAIN
self_ipi:
    mov $X2APIC_SELF_IPI, %ecx
    mov $INTERRUPT, %eax
    xor %edx, %edx
    sti
    wrmsr
    nop
    cli
    AGAIN
hlt_timer:
    cli
    mov $X2APIC_TIMER_COUNT, %ecx
    mov $1, %eax
    xor %edx, %edx
    wrmsr
    sti
    hlt
    cli
    AGAIN

hlt_irqfd:
    cli
    mov MAILBOX(MMIO_IO_PORT), %rdx
    out %al, %dx
    sti
    hlt
    cli
    AGAIN

out_value:
    mov MAILBOX(MMIO_VALUE), %eax
    out %eax, (%dx)
    AGAIN
in_value:
    in (%dx), %eax
    mov %rax, MAILBOX(MMIO_VALUE)
    AGAIN
store_value:
    mov MAILBOX(MMIO_VALUE), %eax
    mov %eax, (%rbx)
    AGAIN

.macro SEND_IPI vector, cpu
    mov $X2APIC_ICR, %ecx
    mov $\vector, %eax
    mov $\cpu, %edx
    wrmsr
.endm
ipi_to_second:
    mov ap_count, %rbx
    SEND_IPI IPI, 1
1:  pause
    cmp %rbx, ap_count
    je 1b
    AGAIN
ipi_back:
    mov reply_count, %rbx
    SEND_IPI IPI, 1
    sti
1:  pause
    cmp %rbx, reply_count
    je 1b
    cli
    AGAIN

/* Starts the second CPU, at the first of these operations, and has it wait as the operation wants it: %rax. */
prepare_ipi:
    push %rax
    call prepare_apic
    cmpq $0, ap_count
    jne 1f
    mov $ap_start, %rsi
    mov $AP_START, %rdi
    mov $(ap_start64 - ap_start), %ecx
    rep movsb
    SEND_IPI ICR_INIT, 1
    SEND_IPI (ICR_START + AP_START / 4096), 1
2:  pause
    cmpq $0, ap_count
    je 2b
1:  pop %rax
    xor %edx, %edx
    cmp $MMIO_OP_IPI_BACK, %rax
    sete %dl
    mov %rdx, ap_replies
    xor %edx, %edx
    cmp $MMIO_OP_IPI_HLT, %rax
    setne %dl
    mov %rdx, ap_spins
    mov ap_count, %rbx /* it looks at that when an IPI has come */
    SEND_IPI IPI, 1
2:  pause
    cmp %rbx, ap_count
    je 2b
    ret

/* As prepare_apic, and the pin of the IOAPIC: edge, to this CPU. */
prepare_irqfd:
    call prepare_apic
    mov $IOAPIC, %rdx
    movl $(IOAPIC_PINS + 2 * MMIO_IRQFD_PIN + 1), (%rdx)
    movl $0, 16(%rdx)
    movl $(IOAPIC_PINS + 2 * MMIO_IRQFD_PIN), (%rdx)
    movl $INTERRUPT, 16(%rdx)
    ret

/* The local APIC in x2APIC mode, its timer at the bus clock, one interrupt each time; nothing from the PICs. */
prepare_apic:
    mov $0xff, %al
    out %al, $0x21
    out %al, $0xa1
    mov $APIC_BASE, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    .macro APIC_WRITE register, value
    mov $\register, %ecx
    mov $\value, %eax
    xor %edx, %edx
    wrmsr
    .endm
    APIC_WRITE X2APIC_SPURIOUS, 0x1ff
    APIC_WRITE X2APIC_TIMER, INTERRUPT
    APIC_WRITE X2APIC_TIMER_DIVIDE, 0xb
    ret
/* Uses no register that an operation needs behind it. */
interrupt:
    mov $X2APIC_EOI, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    iretq

/* On the second CPU. */
ipi:
    push %rax
    push %rcx
    push %rdx
    incq ap_count
    mov $X2APIC_EOI, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    cmpq $0, ap_replies
    je 1f
    SEND_IPI REPLY, 0
1:  pop %rdx
    pop %rcx
    pop %rax
    iretq
reply:
    push %rax
    push %rcx
    push %rdx
    incq reply_count
    mov $X2APIC_EOI, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    pop %rdx
    pop %rcx
    pop %rax
    iretq

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
    movq $0, ap_spins /* it takes no time from what is measured elsewhere */
    out %al, $MMIO_NEXT_PORT
    mov MAILBOX(MMIO_MORE), %rax
    test %rax, %rax
    jnz 1f
    EXIT MMIO_DONE
1:  mov MAILBOX(MMIO_BATCHES), %rcx
    inc %rcx
    mov %rcx, MAILBOX(MMIO_BATCHES)
    cmp $2, %rax
    jne run
1:  pause
    cmp %rcx, MAILBOX(MMIO_ORDERS)
    je 1b
    jmp run
no_op:
    EXIT MMIO_NO_OP
fault:
    EXIT MMIO_FAULT

.balign 8
operations:
    .quad nothing, store, load, add, lock_xadd, store16, store32, store64, load16, rep_movsb, rep_stosd
    .quad loop_of_stores, burst, crossing, movsb_back, masked, cmpxchg16b, x87
    .quad cpuid, out8, out16, out32, in8, in16, in32, rep_outsb, read_msr, write_msr, vmcall, vmmcall, touch
    .quad eoi, self_ipi, hlt_timer, out8_burst, read_user_msr, write_user_msr, hlt_irqfd
    .quad ipi_to_second, ipi_back, ipi_to_second, out_value, in_value, store_value
preparations:
    .quad 0, 0, 0, 0, 0, prepare16, prepare32, prepare64, prepare_nothing, prepare_nothing, prepare_nothing
    .quad prepare_nothing, prepare_nothing, prepare_nothing, prepare_nothing, prepare_masked, prepare_nothing
    .quad prepare_nothing
    .rept 13
    .quad prepare_nothing
    .endr
    .quad prepare_apic, prepare_apic, prepare_apic, prepare_nothing, prepare_nothing, prepare_nothing
    .quad prepare_irqfd, prepare_ipi, prepare_ipi, prepare_ipi, prepare_nothing, prepare_nothing, prepare_nothing
ap_count:
    .quad 0 /* IPIs that it has got, and one for its start */
reply_count:
    .quad 0
ap_replies:
    .quad 0
ap_spins:
    .quad 0
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff
    .quad (TSS_BYTES - 1) + 0x0000890000000000, 0
gdt_pointer:
    .word TSS + 15
    .quad gdt
idt_pointer:
    .word 559
    .quad idt
/* Every port up to 0xcff is open to ring 3: some KVMs forget IOPL. */
.balign 8
tss:
    .long 0
    .quad STACK
    .skip 90
    .word 104
    .skip 416
    .byte 0xff
.set TSS_BYTES, . - tss
.balign 16
idt:
    .skip 560

/* The second CPU, from real mode to long mode with the first one's tables, and its wait for IPIs. */
.code16
ap_start:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl ap_gdt_pointer - ap_start
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $PAGE_TABLES, %eax
    mov %eax, %cr3
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_BITS, %eax
    mov %eax, %cr0
    ljmpl $CODE64, $ap_start64
ap_gdt_pointer:
    .word TSS + 15
    .long gdt
.code64
ap_start64:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $AP_STACK, %rsp
    lidt idt_pointer
    mov $APIC_BASE, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    APIC_WRITE X2APIC_SPURIOUS, 0x1ff
    incq ap_count
1:  cli
    cmpq $0, ap_spins
    je 2f
    sti
    pause
    jmp 1b
2:  sti
    hlt
    jmp 1b
