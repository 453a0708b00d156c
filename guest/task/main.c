/* SPDX-License-Identifier: MIT
 *
 * A guest that switches tasks in every way that 32-bit protected mode has, and prints what each side then
 * sees: a line for each case. It prints the same wherever tasks are switched as the manuals say.
 */
#include "guest/task/task.h"

#define CR0_PG  0x80000000u
#define CR4_PSE 0x10u

static uint32_t directories[2][1024] __attribute__((aligned(4096)));

static void show_cr3(const char *name, uint32_t cr3)
{
    print_field(name, cr3 == (uint32_t)directories[0] ? 0xa : cr3 == (uint32_t)directories[1] ? 0xb : cr3);
}

/* ---- Switches that succeed ---- */

static void all_ways_there_and_back(void)
{
    begin("jmp");
    worker_jumps = 1;
    go_jmp(WORKER);
    show_seen(~0u, worker_stack_end);
    show_main(jmp_end);
    show_worker();
    end();
    begin("call");
    go_call(WORKER);
    show_seen(~0u, worker_stack_end);
    show_main(call_end);
    show_worker();
    end();
    begin("jmp gate");
    worker_jumps = 1;
    go_jmp(GATE);
    show_seen(~0u, worker_stack_end);
    show_main(jmp_end);
    end();
    begin("call gate");
    go_call(GATE);
    show_seen(~0u, worker_stack_end);
    show_main(call_end);
    show_worker();
    end();
    begin("int");
    go_int();
    show_seen(~0u, worker_stack_end);
    show_main(int_end);
    show_worker();
    end();
    begin("iret");
    descriptor_set(WORKER, (uint32_t)worker_tss, 0x67, TSS_TYPE | BUSY);
    main_tss.link = WORKER;
    worker_jumps = 1;
    go_iret();
    show_seen(~0u, worker_stack_end);
    show_main(iret_end);
    show_worker();
    end();
}

/* RF, which a fault leaves in its image of EFLAGS, is not looked at: QEMU has none in a TSS. */
static void exceptions(void)
{
    begin("#GP by a task");
    task_gate_set(13, WORKER, TASK_GATE);
    resume = (uint32_t)bad_load_end;
    go_bad_load();
    show_seen(~0u, worker_stack_end);
    print_field("error", seen.top);
    print_field("at", seen.old_eip - (uint32_t)bad_load);
    print_field("eflags", seen.old_eflags & 0xffff);
    show_worker();
    end();
    begin("#DE by a task");
    resume = (uint32_t)divide_end;
    go_divide();
    show_seen(~0u, worker_stack_end);
    print_field("at", seen.old_eip - (uint32_t)divide);
    end();
    begin("#DF by a task");
    task_gate_set(8, WORKER, TASK_GATE);
    task_gate_set(0, WORKER, 0x05); /* absent: #NP, which is the second contributory exception */
    gdt[SPARE / 8] = 0;
    task_gate_set(11, SPARE, TASK_GATE);
    resume = (uint32_t)divide_end;
    go_divide();
    show_seen(~0u, worker_stack_end);
    print_field("error", seen.top);
    print_field("at", seen.old_eip - (uint32_t)divide);
    end();
}

static void sixteen_bits(void)
{
    begin("call 16");
    go_call(WORKER16);
    show_seen(0xffff, (char *)0x100);
    show_main(call_end);
    print(" | worker");
    print_field("link", worker_tss16.link);
    print_field("ip", worker_tss16.ip);
    print_field("flags", worker_tss16.flags);
    print_field("ax", worker_tss16.gpr[0]);
    print_field("sp", worker_tss16.gpr[4]);
    print_field("cs", worker_tss16.segments[1]);
    print_field("ldt", worker_tss16.ldt);
    print_field("type", descriptor_type(WORKER16));
    end();
    begin("jmp 16");
    worker_jumps = 1;
    go_jmp(WORKER16);
    show_seen(0xffff, (char *)0x100);
    show_main(jmp_end);
    print_field("type", descriptor_type(WORKER16));
    end();
    begin("#GP by a 16-bit task");
    task_gate_set(13, WORKER16, TASK_GATE);
    resume = (uint32_t)bad_load_end;
    go_bad_load();
    show_seen(0xffff, (char *)0x100);
    print_field("error", seen.top & 0xffff);
    end();
}

static void more_state(void)
{
    begin("ldt");
    worker_tss->ldt = LDT;
    worker_tss->segments[1] = 0x04;
    worker_tss->segments[3] = worker_tss->segments[4] = 0x0c;
    go_call(WORKER);
    show_seen(~0u, worker_stack_end);
    end();
    begin("dr7");
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x6ffu));
    go_call(WORKER);
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400u));
    show_seen(~0u, worker_stack_end);
    end();
    begin("flags");
    worker_tss->eflags = 0x2430d7; /* ID, AC, IOPL 3 and no IF */
    go_call(WORKER);
    show_seen(~0u, worker_stack_end);
    show_worker();
    end();
    begin("conforming");
    worker_tss->segments[1] = CONFORMING;
    go_call(WORKER);
    show_seen(~0u, worker_stack_end);
    end();
}

static void trap_bit(void)
{
    begin("trap bit");
    worker_tss->trap = 1;
    recover_fixed = 1;
    recover = (uint32_t)fault_back;
    go_jmp(WORKER);
    show_fault();
    print_field("at", fault.eip - (uint32_t)worker);
    print_field("dr6", fault.dr6 & 0xe00f);
    end();
}

static void set_user_task(void)
{
    worker_tss->eip = (uint32_t)user_worker;
    worker_tss->segments[1] = USER_CODE;
    worker_tss->segments[0] = worker_tss->segments[2] = worker_tss->segments[3] = USER_DATA;
}

static void user_tasks(void)
{
    begin("user task");
    set_user_task();
    go_jmp(WORKER);
    print_field("cs", seen.segments[1]);
    print_field("ss", seen.segments[2]);
    show_fault();
    print_field("from", fault.cs);
    show_main(jmp_end);
    end();
    begin("user task may not jump");
    set_user_task();
    worker_jumps = 1;
    recover_fixed = 1;
    recover = (uint32_t)fault_back;
    gate_set(13, handler_user, 0x8e);
    go_jmp(WORKER);
    print_field("entered", seen.entered);
    print_field("error", fault.eip); /* of this handler, the top of the stack */
    end();
    begin("user task may jump");
    set_user_task();
    worker_jumps = 1;
    gdt[MAIN / 8] |= 3ull << 45;
    go_jmp(WORKER);
    print_field("entered", seen.entered);
    show_main(jmp_end);
    end();
}

static void v86_task(void)
{
    uint8_t *to = (uint8_t *)0x5000;
    begin("virtual-8086 task");
    for (const char *from = v86_code; from < v86_code_end; from++)
        *to++ = (uint8_t)*from;
    worker_tss->eflags = 0x23002;
    worker_tss->eip = 0;
    worker_tss->segments[1] = 0x500;
    worker_tss->segments[2] = 0x600;
    worker_tss->gpr[4] = 0x100;
    task_gate_set(0x30, MAIN, TASK_GATE | 0x60);
    go_jmp(WORKER);
    print_field("ip", worker_tss->eip);
    print_field("eflags", worker_tss->eflags);
    print_field("eax", worker_tss->gpr[0]);
    print_field("esp", worker_tss->gpr[4]);
    print_field("cs", worker_tss->segments[1]);
    print_field("ss", worker_tss->segments[2]);
    print_field("ds", worker_tss->segments[3]);
    print_field("pushed", *(volatile uint16_t *)0x60fe);
    show_main(jmp_end);
    end();
}

/* Two directories, both identity by 4 MiB pages; 12 MiB is mapped nowhere. */
static void paging(void)
{
    uint32_t cr0, cr3, cr4;
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t page = 0; page < 1024; page++)
            directories[i][page] = page == 3 ? 0 : page << 22 | 0x83;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4; mov %1, %%cr3" : : "r"(cr4 | CR4_PSE), "r"(directories[0]));
    __asm__ volatile("mov %%cr0, %0; or %1, %0; mov %0, %%cr0" : "=&r"(cr0) : "r"(CR0_PG));
    begin("cr3");
    main_tss.cr3 = (uint32_t)directories[0];
    worker_tss->cr3 = (uint32_t)directories[1];
    go_call(WORKER);
    show_cr3("cr3", seen.cr3);
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    show_cr3("back", cr3);
    end();
    begin("cr3 16");
    go_call(WORKER16);
    show_cr3("cr3", seen.cr3);
    end();
    begin("no page for the new TSS");
    descriptor_set(WORKER, 0xc00000, 0x67, TSS_TYPE);
    go_jmp(WORKER);
    show_fault();
    print_field("at", fault.eip - (uint32_t)jmp_end);
    print_field("type", descriptor_type(MAIN));
    print_field("type", descriptor_type(WORKER));
    end();
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~CR0_PG));
}

/* ---- Refused by the old task: nothing has happened, and a handler goes on behind the instruction ---- */

enum way { JMP, CALL, IRET, INT };

static void refused(enum way way, uint32_t selector)
{
    static const char *const ways[] = {" jmp", " call", " iret", " int"};
    print(ways[way]);
    if (way == JMP)
        go_jmp(selector);
    else if (way == CALL)
        go_call(selector);
    else if (way == IRET)
        go_iret();
    else
        go_int();
    show_fault();
    print_field("entered", seen.entered);
    print_field("main", descriptor_type(MAIN));
    print_field("link", worker_tss->link);
    end();
}

static void refuse(const char *name, enum way way, uint32_t selector)
{
    begin(name);
    refused(way, selector);
}

/* With a descriptor in the spare place. */
static void refuse_spare(const char *name, enum way way, uint64_t descriptor)
{
    begin(name);
    gdt[SPARE / 8] = descriptor;
    refused(way, SPARE);
}

static void refuse_link(const char *name, uint32_t link, uint64_t spare)
{
    begin(name);
    main_tss.link = link;
    gdt[SPARE / 8] = spare;
    refused(IRET, 0);
}

static uint64_t spare_tss(uint32_t limit, uint32_t access)
{
    descriptor_set(SPARE, (uint32_t)worker_tss, limit, access);
    return gdt[SPARE / 8];
}

static void refusals(void)
{
    refuse("itself", JMP, MAIN);
    refuse("itself", CALL, MAIN);
    refuse_spare("busy", JMP, spare_tss(0x67, TSS_TYPE | BUSY));
    refuse_spare("absent", JMP, spare_tss(0x67, TSS_TYPE & ~0x80u));
    refuse_spare("short", CALL, spare_tss(0x66, TSS_TYPE));
    refuse_spare("short 16", JMP, spare_tss(0x2a, TSS16_TYPE));
    refuse_spare("absent gate", CALL, (uint64_t)0x05 << 40 | WORKER << 16);
    refuse_spare("gate to main", JMP, (uint64_t)TASK_GATE << 40 | MAIN << 16);
    refuse_spare("gate to data", JMP, (uint64_t)TASK_GATE << 40 | DATA << 16);
    refuse_spare("gate to null", CALL, (uint64_t)TASK_GATE << 40);
    refuse_spare("gate beyond", CALL, (uint64_t)TASK_GATE << 40 | BEYOND << 16);
    refuse("rpl", JMP, WORKER | 1);
    refuse("gate rpl", JMP, GATE | 3);
    begin("int absent");
    task_gate_set(0x30, WORKER, 0x05);
    refused(INT, 0);
    begin("int busy");
    task_gate_set(0x30, MAIN, TASK_GATE);
    refused(INT, 0);
    begin("int data");
    task_gate_set(0x30, DATA, TASK_GATE);
    refused(INT, 0);
    refuse_link("link null", 0, 0);
    refuse_link("link in the ldt", WORKER | 4, 0);
    refuse_link("link beyond", BEYOND, 0);
    refuse_link("link to data", DATA, 0);
    refuse_link("link available", WORKER, 0);
    refuse_link("link absent", SPARE, spare_tss(0x67, (TSS_TYPE | BUSY) & ~0x80u));
    refuse_link("link short", SPARE, spare_tss(0x66, TSS_TYPE | BUSY));
}

/* ---- Found in the new task: the exception comes from there, before its first instruction ---- */

static void late(const char *name, uint32_t at, uint32_t selector)
{
    begin(name);
    static const uint8_t vectors[] = {8, 10, 11, 12, 13, 14};
    for (uint32_t i = 0; i < 6; i++)
        task_gate_set(vectors[i], FAULT_FIRST + 8 * i, TASK_GATE);
    if (at == 6)
        worker_tss->ldt = selector;
    else
        worker_tss->segments[at] = selector;
    go_jmp(WORKER);
    show_fault();
    print_field("entered", seen.entered);
    print_field("of", fault_tss[(fault.task - FAULT_FIRST) / 8].link);
    print_field("late_eip", worker_tss->eip - (uint32_t)worker);
    print_field("eflags", worker_tss->eflags & 0xffff);
    print_field("eax", worker_tss->gpr[0]);
    for (uint32_t i = 0; i < 6; i++)
        print_field("seg", worker_tss->segments[i]);
    show_main(jmp_end);
    end();
}

static void late_faults(void)
{
    late("ldt is data", 6, DATA);
    late("ldt in the ldt", 6, LDT | 4);
    late("ldt beyond", 6, BEYOND);
    late("cs null", 1, 0);
    late("cs beyond", 1, BEYOND);
    late("cs in no ldt", 1, 4);
    late("cs is data", 1, DATA);
    late("cs absent", 1, ABSENT_CODE);
    late("cs rpl", 1, CODE | 3);
    late("ss null", 2, 0);
    late("ss read-only", 2, READ_ONLY);
    late("ss of applications", 2, USER_DATA);
    late("ss rpl", 2, DATA | 1);
    late("ss absent", 2, ABSENT_DATA);
    late("ds beyond", 3, BEYOND);
    late("ds execute-only", 3, EXECUTE_ONLY);
    late("ds a tss", 3, WORKER);
    late("ds absent", 3, ABSENT_DATA);
    late("es absent", 0, ABSENT_DATA);
    late("fs rpl", 4, DATA | 1);
    late("gs absent", 5, ABSENT_DATA);
    begin("eip beyond cs");
    task_gate_set(13, FAULT_FIRST + 32, TASK_GATE);
    worker_tss->segments[1] = CODE16;
    go_jmp(WORKER);
    show_fault();
    print_field("of", fault_tss[4].link);
    print_field("late_eip", worker_tss->eip - (uint32_t)worker);
    end();
    begin("gs absent, by a handler");
    recover_fixed = 1;
    recover = (uint32_t)fault_back;
    worker_tss->segments[5] = ABSENT_DATA;
    go_jmp(WORKER);
    show_fault();
    print_field("late_eip", fault.eip - (uint32_t)worker);
    print_field("cs", fault.cs);
    end();
}

void main(void)
{
    all_ways_there_and_back();
    exceptions();
    sixteen_bits();
    more_state();
    trap_bit();
    if (!remembers(NO_USERS_DEVICE))
        user_tasks();
    v86_task();
    refusals();
    late_faults();
    random_cases();
    paging();
    print("end\n");
    finish();
}
