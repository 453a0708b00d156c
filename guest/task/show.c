/* SPDX-License-Identifier: MIT
 *
 * The lines of the task guest: what each side of a switch has seen.
 */
#include "guest/task/task.h"

#define CR0_SEEN 0x80000009u /* PG, TS, PE */

void begin(const char *name)
{
    world_reset();
    print(name);
    print(":");
}

static void show_fields(const char *const names[], const volatile uint32_t values[], uint32_t count,
                        uint32_t mask)
{
    for (uint32_t i = 0; i < count; i++)
        if (i != 4)
            print_field(names[i], values[i] & mask);
}

static const char *const gprs[] = {"eax", "ecx", "edx", "ebx", "", "ebp", "esi", "edi"};

/* What the worker has found; `mask` for the upper halves that a 16-bit TSS does not define. */
void show_seen(uint32_t mask, const char *stack)
{
    print_field("entered", seen.entered);
    show_fields(gprs, seen.gpr, 8, mask);
    print_field("used", ((uint32_t)stack - seen.gpr[4]) & mask);
    print_field("es", seen.segments[0]);
    print_field("cs", seen.segments[1]);
    print_field("ss", seen.segments[2]);
    print_field("ds", seen.segments[3]);
    print_field("fs", seen.segments[4]);
    print_field("gs", seen.segments[5]);
    print_field("eflags", seen.eflags);
    print_field("cr0", seen.cr0 & CR0_SEEN);
    print_field("tr", seen.tr);
    print_field("ldt", seen.ldt);
    print_field("dr7", seen.dr7);
}

/* What main()'s TSS has kept of it, and who is busy now. */
void show_main(const char *next)
{
    print(" | main");
    print_field("eip", main_tss.eip - (uint32_t)next);
    print_field("eflags", main_tss.eflags);
    show_fields(gprs, main_tss.gpr, 8, ~0u);
    print_field("cs", main_tss.segments[1]);
    print_field("ss", main_tss.segments[2]);
    print_field("ds", main_tss.segments[3]);
    print_field("link", main_tss.link);
    print_field("type", descriptor_type(MAIN));
}

void show_worker(void)
{
    print(" | worker");
    print_field("link", worker_tss->link);
    print_field("eip", worker_tss->eip - (uint32_t)worker);
    print_field("eflags", worker_tss->eflags);
    print_field("eax", worker_tss->gpr[0]);
    print_field("type", descriptor_type(WORKER));
}

static uint32_t read_cr0(void)
{
    uint32_t cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    return cr0;
}

static uint32_t read_tr(void)
{
    uint32_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    return tr;
}

void end(void)
{
    print_field("cr0", read_cr0() & CR0_SEEN);
    print_field("tr", read_tr());
    print("\n");
}

/* A handler's or a fault task's notes. */
void show_fault(void)
{
    static const uint8_t vectors[] = {8, 10, 11, 12, 13, 14};
    print_field("vector", fault.task ? vectors[(fault.task - FAULT_FIRST) / 8] : fault.vector);
    if (fault.has_error)
        print_field("error", fault.error);
}
