/* SPDX-License-Identifier: MIT
 *
 * 32-bit paging (SDM 3A 4.3) in which nothing is where it is physically: code and data from 1 MiB on at 3 GiB and 1 MiB,
 * the local APIC at 0xd0000000, reached by segments with bases of their own, too. Needs interrupt controllers. Ends
 * with 42.
 */
#include "guest/flat/flat.inc"

#define DIRECTORY 0x200000
#define TABLE_LOW 0x201000 /* of 0 to 4 MiB, at 0 and at 3 GiB; the first goes */
#define TABLE_APIC 0x202000
#define HIGH       0xc0000000
#define APIC       0xd0000000
#define APIC_ID      0x20
#define APIC_VERSION 0x30
#define APIC_TPR     0x80
#define APIC_EOI     0xb0
#define APIC_SVR     0xf0
#define APIC_ICR     0x300

START32
    mov $TABLE_LOW, %edi
    mov $3, %eax
    mov $1024, %ecx
1:  mov %eax, (%edi)
    add $4, %edi
    add $0x1000, %eax
    loop 1b
    movl $TABLE_LOW + 3, DIRECTORY
    movl $TABLE_LOW + 3, DIRECTORY + (HIGH >> 22) * 4
    movl $TABLE_APIC + 3, DIRECTORY + (APIC >> 22) * 4
    movl $0xfee00000 + 0x1b, TABLE_APIC
    mov $DIRECTORY, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    mov $high + HIGH, %eax
    jmp *%eax
high:
    movl $0, HIGH + DIRECTORY /* from here on the low addresses are gone */
    mov $DIRECTORY, %eax
    mov %eax, %cr3
    lgdt gdt_register + HIGH
    mov $0x18, %eax
    mov %eax, %fs
    mov $0x20, %eax
    mov %eax, %gs
    CHECK 1, testl $0x80000000, APIC + APIC_VERSION /* the registers' layout is the old one */
    mov APIC + APIC_VERSION, %eax
    and $0xff, %eax
    cmp $0x10, %eax
    jae 1f
    EXIT 2
1:  movl $0x20, APIC + APIC_TPR
    CHECK 3, cmpl $0x20, APIC + APIC_TPR
    orl $0x10, APIC + APIC_TPR
    CHECK 4, cmpl $0x30, %fs:APIC_TPR
    mov $0x40, %ecx
    xchg %ecx, %fs:APIC_TPR
    CHECK 5, cmp $0x30, %ecx
    mov $APIC_TPR / 4 + 1, %ebx
    CHECK 6, cmpl $0x40, %gs:(, %ebx, 4)
    mov $0x5a, %al /* the mask of KVM's PIC */
    out %al, $0x21
    mov $0, %eax
    in $0x21, %al
    CHECK 7, cmp $0x5a, %eax
    lidt idt_register + HIGH
    mov $interrupt + HIGH, %eax /* an interrupt gate to it */
    mov %cs, %edx
    mov %ax, idt + HIGH + 0x40 * 8
    mov %dx, idt + HIGH + 0x40 * 8 + 2
    movw $0x8e00, idt + HIGH + 0x40 * 8 + 4
    shr $16, %eax
    mov %ax, idt + HIGH + 0x40 * 8 + 6
    mov $HIGH + 0x300000, %esp
    movl $0, APIC + APIC_TPR
    movl $0x1ff, APIC + APIC_SVR
    movl $0x40040, APIC + APIC_ICR /* to itself */
    sti
    nop
    nop
    cli
    CHECK 9, cmpl $1, taken + HIGH
    mov $0x1b, %ecx
    rdmsr
    and $0xfffff000, %eax
    CHECK 8, cmp $0xfee00000, %eax
    EXIT 42

interrupt:
    incl taken + HIGH
    movl $0, APIC + APIC_EOI
    iret

    .balign 8
idt:
    .fill 0x41, 8, 0
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* the loader's code and data */
    .quad 0x00cf93000000ffff
    .quad 0xd0cf93000000ffff /* base 0xd0000000 */
    .quad 0xcfcf93fffffcffff /* base 0xcffffffc */
taken:
    .long 0
idt_register:
    .word 0x41 * 8 - 1
    .long idt + HIGH
gdt_register:
    .word 5 * 8 - 1
    .long gdt + HIGH
