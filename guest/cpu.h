/* SPDX-License-Identifier: MIT
 *
 * A CPU's block: its tables and its stacks, CPU_BYTES aligned to their size, so that the stack pointer finds
 * it.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include "guest/layout.h"
#include "guest/trap.h"

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_bitmap;
} __attribute__((packed));

struct cpu {
    uint32_t index, apic_id;
    uint64_t gdt[GDT_ENTRIES];
    struct tss tss;
    struct trap_landing *landing; /* of the innermost trap_try(), or NULL */
    struct trap *trap;            /* where it wants the frame */
    bool user_stop;
    void (*volatile work)(struct cpu *cpu); /* what an application processor is to run next */
    volatile uint64_t work_result;
    volatile uint32_t ipi_count;
};

_Static_assert(sizeof(struct cpu) <= 0x800, "the double fault stack needs its room");

/* The first CPU's block; the others' are made by smp_start(). */
extern union cpu_block {
    struct cpu cpu;
    uint8_t bytes[CPU_BYTES];
} boot_cpu;

static inline struct cpu *cpu_this(void)
{
    uint64_t rsp;
    __asm__("mov %%rsp, %0" : "=r"(rsp));
    return (struct cpu *)((rsp - 1) & ~(uint64_t)(CPU_BYTES - 1));
}

#endif
