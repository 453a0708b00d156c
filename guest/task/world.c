/* SPDX-License-Identifier: MIT
 *
 * The task guest's tables: GDT, LDT, IDT and TSSs as every case finds them.
 */
#include "guest/task/task.h"

#define PRESENT_GATE 0x8eu

uint64_t gdt[GDT_LIMIT / 8 + 1];
uint64_t idt[64];
uint64_t ldt[2];
uint32_t far_place;
static uint64_t far_pointer;
struct tss main_tss, fault_tss[6], *worker_tss;
static struct tss worker_in_ram;
struct tss16 worker_tss16;

static void clear(void *at, uint32_t bytes)
{
    for (volatile uint8_t *byte = at; bytes; bytes--)
        *byte++ = 0;
}

void descriptor_set(uint32_t selector, uint32_t base, uint32_t limit, uint32_t access)
{
    uint64_t low = (limit & 0xffff) | base << 16;
    uint64_t high = (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | (base & 0xff000000);
    gdt[selector / 8] = low | high << 32;
}

uint32_t descriptor_type(uint32_t selector)
{
    return gdt[selector / 8] >> 40 & 0xff;
}

void gate_set(uint32_t vector, const void *handler, uint32_t access)
{
    uint32_t address = (uint32_t)handler;
    idt[vector] = (uint64_t)((address & 0xffff0000) | access << 8) << 32 | CODE << 16 | (address & 0xffff);
}

void task_gate_set(uint32_t vector, uint32_t selector, uint32_t access)
{
    idt[vector] = (uint64_t)access << 40 | selector << 16;
}

static void set_tss(struct tss *tss, const void *entry, const char *stack)
{
    static const uint8_t selectors[] = {DATA, CODE, DATA, DATA, 0, 0};
    clear(tss, sizeof(*tss));
    tss->stacks[0] = (uint32_t)inner_stack_end;
    tss->stacks[1] = DATA;
    tss->eip = (uint32_t)entry;
    tss->eflags = 0x46;
    for (uint32_t i = 0; i < 8; i++)
        tss->gpr[i] = 0x11111111 * (i + 1);
    tss->gpr[4] = (uint32_t)stack;
    for (uint32_t i = 0; i < 6; i++)
        tss->segments[i] = selectors[i];
}

static void set_tss16(void)
{
    clear(&worker_tss16, sizeof(worker_tss16));
    worker_tss16.flags = 0x46;
    for (uint32_t i = 0; i < 8; i++)
        worker_tss16.gpr[i] = (uint16_t)(0x1111 * (i + 1));
    worker_tss16.gpr[4] = 0x100;
    worker_tss16.segments[0] = worker_tss16.segments[3] = DATA;
    worker_tss16.segments[1] = CODE16;
    worker_tss16.segments[2] = STACK16;
}

static void set_gdt(void)
{
    uint32_t code16 = (uint32_t)worker, stack = (uint32_t)stack16;
    gdt[CODE / 8] = ldt[0] = 0x00cf9b000000ffff;
    gdt[DATA / 8] = ldt[1] = 0x00cf93000000ffff;
    gdt[USER_CODE / 8] = 0x00cffb000000ffff;
    gdt[USER_DATA / 8] = 0x00cff3000000ffff;
    gdt[ABSENT_DATA / 8] = 0x00cf13000000ffff;
    gdt[READ_ONLY / 8] = 0x00cf91000000ffff;
    gdt[ABSENT_CODE / 8] = 0x00cf1b000000ffff;
    gdt[CONFORMING / 8] = 0x00cf9f000000ffff;
    gdt[EXECUTE_ONLY / 8] = 0x00cf99000000ffff;
    descriptor_set(MAIN, (uint32_t)&main_tss, 0x67, TSS_TYPE | BUSY);
    descriptor_set(WORKER, (uint32_t)worker_tss, 0x67, TSS_TYPE);
    descriptor_set(WORKER16, (uint32_t)&worker_tss16, 0x2b, TSS16_TYPE);
    descriptor_set(GATE, WORKER, 0, TASK_GATE);
    descriptor_set(LDT, (uint32_t)ldt, sizeof(ldt) - 1, 0x82);
    gdt[SPARE / 8] = 0;
    for (uint32_t i = 0; i < 6; i++)
        descriptor_set(FAULT_FIRST + 8 * i, (uint32_t)&fault_tss[i], 0x67, TSS_TYPE);
    descriptor_set(CODE16, code16, 0xffff, 0x9b);
    gdt[CODE16 / 8] |= 1ull << 54; /* 32-bit code all the same */
    descriptor_set(STACK16, stack, 0xffff, 0x93);
    descriptor_set(FAR, far_place, 0xffff, 0x93);
}

static void set_idt(void)
{
    gate_set(1, handler_db, PRESENT_GATE);
    gate_set(8, handler_df, PRESENT_GATE);
    gate_set(10, handler_ts, PRESENT_GATE);
    gate_set(11, handler_np, PRESENT_GATE);
    gate_set(12, handler_ss, PRESENT_GATE);
    gate_set(13, handler_gp, PRESENT_GATE);
    gate_set(14, handler_pf, PRESENT_GATE);
    gate_set(0x31, handler_user, PRESENT_GATE | 0x60);
    task_gate_set(0x30, WORKER, TASK_GATE | 0x60);
    task_gate_set(0, WORKER, TASK_GATE);
}

bool remembers(uint32_t address)
{
    volatile uint32_t *place = (uint32_t *)address;
    *place = 0x12345678;
    return *place == 0x12345678;
}

void world_reset(void)
{
    if (!far_place)
        far_place = remembers(FAR_DEVICE) ? FAR_DEVICE : (uint32_t)&far_pointer;
    clear((void *)&seen, sizeof(seen));
    clear((void *)&fault, sizeof(fault));
    if (!worker_tss)
        worker_tss = remembers(TSS_DEVICE) ? (struct tss *)TSS_DEVICE : &worker_in_ram;
    worker_jumps = recover_fixed = resume = 0;
    main_tss.link = 0;
    main_tss.trap = 0;
    set_tss(worker_tss, worker, worker_stack_end);
    set_tss16();
    for (uint32_t i = 0; i < 6; i++)
        set_tss(&fault_tss[i], fault_entry, fault_stack_end);
    set_gdt();
    set_idt();
    __asm__ volatile("clts");
}
