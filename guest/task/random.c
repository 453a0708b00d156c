/* SPDX-License-Identifier: MIT
 *
 * Task switches with random descriptors, selectors and flags: a line for each, of what it came to and a sum
 * over all that the tasks have seen. What QEMU is known to do otherwise, or in another order, is not among
 * them.
 */
#include "guest/task/task.h"

#define CASES 300u

static uint32_t state = 1;

static uint32_t random(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (state >> 16) % below;
}

static bool one_in(uint32_t n)
{
    return !random(n);
}

/* Code segments, whose RPL the stack's and the others' goes by. */
static uint32_t random_code(void)
{
    static const uint8_t selectors[] = {
        CODE, CODE,   CODE | 3, USER_CODE, USER_CODE & ~3, CONFORMING, CODE,        CODE | 1, USER_DATA,
        DATA, BEYOND, 4,        0,         ABSENT_CODE,    CONFORMING, EXECUTE_ONLY};
    return selectors[random(sizeof(selectors))];
}

static uint32_t random_stack(void)
{
    static const uint8_t selectors[] = {DATA,      DATA,   DATA, DATA | 1, USER_DATA,
                                        READ_ONLY, BEYOND, 0,    CODE,     12};
    return selectors[random(sizeof(selectors))];
}

static uint32_t random_data(void)
{
    static const uint8_t selectors[] = {DATA, DATA | 3,    USER_DATA,    USER_CODE, CODE,   READ_ONLY,  0,
                                        3,    ABSENT_DATA, EXECUTE_ONLY, BEYOND,    WORKER, CONFORMING, 12};
    return selectors[random(sizeof(selectors))];
}

/* The worker writes through it, and QEMU checks no types and limits then. */
static uint32_t random_writable(void)
{
    static const uint8_t selectors[] = {DATA,         DATA | 3, USER_DATA, ABSENT_DATA,
                                        EXECUTE_ONLY, BEYOND,   WORKER,    12};
    return selectors[random(sizeof(selectors))];
}

static void random_tss(void)
{
    if (one_in(2))
        worker_tss->segments[1] = random_code();
    if ((worker_tss->segments[1] & 3) == 3 && !one_in(4))
        worker_tss->segments[2] = USER_DATA;
    else if (one_in(4))
        worker_tss->segments[2] = random_stack();
    if ((worker_tss->segments[1] & 3) == 3)
        worker_tss->segments[0] = worker_tss->segments[3] = USER_DATA;
    if (one_in(2)) {
        static const uint8_t data[] = {0, 4, 5};
        worker_tss->segments[data[random(3)]] = random_data();
    } else if (one_in(2)) {
        worker_tss->segments[3] = random_writable();
    }
    if (one_in(6))
        worker_tss->ldt = one_in(2) ? LDT : random_data();
    if (one_in(3))
        worker_tss->eflags = (random(0x10000) & 0x4cd5) | 2; /* NT, too; no TF, no IF */
    worker_tss16.segments[3] = worker_tss->segments[3];
    worker_tss16.ldt = (uint16_t)worker_tss->ldt;
}

static void random_descriptor(uint32_t selector, uint32_t base, uint32_t limit, uint32_t access)
{
    static const uint8_t others[] = {
        TSS_TYPE | BUSY, TSS16_TYPE | BUSY, TSS_TYPE & ~0x80u, 0x82, 0x92, 0x96, 0xe9, 0xa9};
    if (one_in(8))
        access = others[random(sizeof(others))];
    if (one_in(10))
        limit -= random(3);
    descriptor_set(selector, base, limit, access);
}

static uint32_t random_target(void)
{
    static const uint8_t selectors[] = {WORKER,     WORKER,   WORKER16, GATE, GATE,
                                        WORKER | 1, GATE | 3, SPARE,    MAIN};
    return selectors[random(sizeof(selectors))];
}

static void random_world(void)
{
    static const uint8_t vectors[] = {8, 10, 11, 12, 13, 14};
    static const uint8_t gates[] = {TASK_GATE, TASK_GATE, TASK_GATE, TASK_GATE | 0x60, 0x05};
    static const uint8_t targets[] = {WORKER, WORKER, WORKER16, MAIN, DATA, BEYOND, SPARE};
    for (uint32_t i = 0; i < 6; i++)
        task_gate_set(vectors[i], FAULT_FIRST + 8 * i, TASK_GATE);
    random_tss();
    random_descriptor(WORKER, (uint32_t)worker_tss, 0x67, TSS_TYPE);
    random_descriptor(WORKER16, (uint32_t)&worker_tss16, 0x2b, TSS16_TYPE);
    descriptor_set(GATE, targets[random(sizeof(targets))], 0, gates[random(sizeof(gates))]);
    descriptor_set(SPARE, targets[random(sizeof(targets))], 0, gates[random(sizeof(gates))]);
    task_gate_set(0x30, targets[random(sizeof(targets))], gates[random(sizeof(gates))]);
    worker_jumps = one_in(2);
    main_tss.link = one_in(3) ? random_target() : one_in(4) ? 0 : WORKER;
}

static void random_switch(void)
{
    switch (random(4)) {
    case 0:
        go_jmp(random_target());
        break;
    case 1:
        go_call(random_target());
        break;
    case 2:
        go_int();
        break;
    default:
        gdt[WORKER / 8] |= (uint64_t)(!one_in(3)) << 41; /* busy */
        go_iret();
    }
}

static uint32_t sum_word(uint32_t so_far, uint32_t value)
{
    return (so_far ^ value) * 16777619; /* FNV-1a */
}

static uint32_t sum(uint32_t so_far, const volatile uint32_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        so_far = sum_word(so_far, values[i]);
    return so_far;
}

/* The upper halves of what a 16-bit TSS gave, and ESP, are nobody's promise. */
static uint32_t sum_of_all(void)
{
    uint32_t so_far = 2166136261, mask = seen.tr == WORKER16 ? 0xffff : ~0u;
    for (uint32_t i = 0; i < 8; i++)
        if (i != 4)
            so_far = sum_word(so_far, seen.gpr[i] & mask);
    so_far = sum(so_far, seen.segments, 7);
    so_far = sum(so_far, &seen.tr, 3);
    so_far = sum(so_far, &worker_tss->link, 1);
    so_far = sum_word(so_far, worker_tss->eflags & 0xffff); /* not RF, which QEMU has in no TSS */
    so_far = sum_word(so_far, worker_tss->gpr[0]);
    so_far = sum(so_far, worker_tss->segments, 7);
    so_far = sum_word(so_far, main_tss.eflags & 0xffff);
    so_far = sum(so_far, &main_tss.segments[0], 6);
    so_far = sum(so_far, &main_tss.link, 1);
    for (uint32_t selector = MAIN; selector <= SPARE; selector += 8)
        so_far = sum_word(so_far, descriptor_type(selector));
    return so_far;
}

void random_cases(void)
{
    for (uint32_t i = 0; i < CASES; i++) {
        world_reset();
        random_world();
        print("random");
        print_field("number", i);
        random_switch();
        print_field("entered", seen.entered);
        print_field("task", fault.task);
        print_field("error", fault.error);
        print_field("sum", sum_of_all());
        print("\n");
    }
}
