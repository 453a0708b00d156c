/* SPDX-License-Identifier: MIT
 *
 * The short way (mmio/quick.h, mmio/block.h): what a block must notice while it is executed: code that
 * changes, faults, devices, the end of its budget, and what has changed since the last run.
 * tests/mmio/quick_random_test.c compares it with the long way.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/run.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"

#define CODE_PAGE 0x10000u

static struct step_run *run;
static const uint8_t never;

static unsigned quickly(unsigned limit)
{
    struct step_budget budget = {.left = limit, .window_left = limit, .window = limit, .stop = &never};
    return step_run_quick(run, &budget);
}

static void begin(enum test_mode mode, const char *state, const void *code, size_t len)
{
    test_set_up(mode);
    test_apply(state);
    test_cpu.rip = CODE_PAGE;
    memcpy(test_ram(CODE_PAGE), code, len);
    if (!run)
        ck_assert_int_eq(step_run_create(&run, NULL), 0);
    step_run_forget(run);
    step_run_begin(run, &test_machine, &test_cpu, &test_outcome);
}

/* mov byte [rbx], 0xc1; inc eax, whose second byte is written: then it is inc ecx */
START_TEST(a_block_sees_itself_change)
{
    begin(TEST_64, "rbx=10004 rax=0 rcx=0", "\xc6\x03\xc1\xff\xc0\xff\xc2", 7);
    ck_assert_uint_eq(quickly(3), 3);
    test_expect("after", "rax=0 rcx=1 rdx=1 rip=10007");
    /* add byte [rbx], 1 does so, too; and not behind the block, where nothing follows from it */
    begin(TEST_64, "rbx=10004 rax=0 rcx=0", "\x80\x03\x01\xff\xc0\xff\xc2", 7);
    ck_assert_uint_eq(quickly(3), 3);
    test_expect("after", "rax=0 rcx=1 rdx=1 rip=10007");
}
END_TEST

/* A device that puts the byte that is written to it into the code. */
static void poke(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    ((uint8_t *)device)[offset] = (uint8_t)value;
}

static uint64_t poke_on_read(void *device, uint64_t offset, unsigned size)
{
    ((uint8_t *)device)[offset + size] = 0xc1;
    return 0;
}

START_TEST(a_block_sees_what_a_device_changes)
{
    static const struct bus_ops ops = {.read = poke_on_read, .write = poke};
    struct bus_region region = {.name = "poke", .base = 0xd0002000, .len = 0x1000, .ops = &ops};
    static const char *const codes[] = {"\x88\x0b\xff\xc0\xff\xc2", "\x8a\x0b\xff\xc0\xff\xc2"};
    for (unsigned i = 0; i < 2; i++) {
        begin(TEST_64, i ? "rbx=53002 rax=0 rcx=0" : "rbx=53003 rax=0 rcx=c1", codes[i], 6);
        region.device = test_ram(CODE_PAGE);
        ck_assert_int_eq(bus_add(test_machine.bus, &region, NULL), 0);
        store_le64((uint8_t *)test_ram(0x4000) + 8 * 0x53, 0xd0002003);
        /* mov [rbx], cl or mov cl, [rbx]; inc eax, which becomes inc ecx; inc edx */
        ck_assert_uint_eq(quickly(3), 3);
        test_expect("after", i ? "rax=0 rcx=1 rdx=1 rip=10006" : "rax=0 rcx=c2 rdx=1 rip=10006");
    }
}
END_TEST

START_TEST(a_block_stops_at_a_fault)
{
    /* inc eax; mov [rbx], eax; inc ecx: nothing is mapped there */
    begin(TEST_64, "rbx=40000 rax=0 rcx=0 RF=1", "\xff\xc0\x89\x03\xff\xc1", 6);
    ck_assert_uint_eq(quickly(3), 1);
    test_expect("before the store", "rax=1 rcx=0 rip=10002 RF=0");
    ck_assert_uint_eq(quickly(3), 0);
    ck_assert_int_eq(step_run_insn(run), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.cr2, 0x40000);
    test_expect("at the store", "rax=1 rcx=0 rip=10002");
    /* the same where an earlier store of the block has made its page known: not for writing */
    begin(TEST_64, "rbx=60000 rax=0", "\x8b\x03\xff\xc0\x89\x03\xff\xc1", 8);
    ck_assert_uint_eq(quickly(4), 2);
    test_expect("before the store", "rip=10004");
}
END_TEST

START_TEST(a_budget_ends_anywhere)
{
    /* inc eax; mov cl, [rbx], a device; inc eax; inc eax; jmp back */
    static const char code[] = "\xff\xc0\x8a\x0b\xff\xc0\xff\xc0\xeb\xf6";
    for (unsigned limit = 1; limit < 20; limit++) {
        begin(TEST_64, "rbx=50000 rax=0", code, sizeof(code) - 1);
        ck_assert_uint_eq(quickly(limit), limit);
        ck_assert_uint_eq(test_cpu.rip, CODE_PAGE + 2 * (limit % 5));
        ck_assert_uint_eq(test_cpu.gpr[CPU_RAX],
                          limit / 5 * 3 + (limit % 5 > 0) + (limit % 5 > 2) + (limit % 5 > 3));
        ck_assert_uint_eq(test_outcome.device_reads, (limit + 3) / 5);
    }
    /* so many behind each access, and no further than the first when told to stop */
    struct step_budget budget = {.left = 100, .window_left = 3, .window = 2, .stop = &never};
    begin(TEST_64, "rbx=50000 rax=0", code, sizeof(code) - 1);
    ck_assert_uint_eq(step_run_quick(run, &budget), 4);
    ck_assert_uint_eq(budget.left, 96);
    ck_assert_uint_eq(budget.window_left, 0);
    ck_assert_uint_eq(budget.accesses, 1);
    static const uint8_t now = 1;
    budget = (struct step_budget){.left = 100, .window_left = 20, .window = 20, .stop = &now};
    begin(TEST_64, "rbx=50000 rax=0", code, sizeof(code) - 1);
    ck_assert_uint_eq(step_run_quick(run, &budget), 2);
    ck_assert_uint_eq(budget.window_left, 20);
}
END_TEST

/* A loop whose code another changes between two parts of it, and one that goes on behind a full block. */
START_TEST(a_loop_sees_what_others_change)
{
    /* inc eax, six times; dec ecx; jnz back */
    static const char code[] = "\xff\xc0\xff\xc0\xff\xc0\xff\xc0\xff\xc0\xff\xc0\xff\xc9\x75\xf0\xf4";
    begin(TEST_64, "rax=0 rcx=3", code, sizeof(code) - 1);
    ck_assert_uint_eq(quickly(100), 24);
    test_expect("three rounds", "rax=12 rcx=0 rip=10010");
    begin(TEST_64, "rax=0 rdx=0 rcx=2", code, sizeof(code) - 1);
    ck_assert_uint_eq(quickly(8), 8);
    *(uint8_t *)test_ram(CODE_PAGE + 1) = 0xc2; /* inc edx */
    *(uint8_t *)test_ram(CODE_PAGE + 11) = 0xc2;
    ck_assert_uint_eq(quickly(100), 8);
    test_expect("two rounds", "rax=a rdx=2 rcx=0");
}
END_TEST

START_TEST(flat_32_bit_code_is_quick)
{
    /* inc eax, a byte; mov [ebx + 4], ax; jmp to itself */
    begin(TEST_COMPAT, "rbx=50000 rax=ffffffff", "\x40\x66\x89\x43\x04\xeb\xf9", 7);
    ck_assert_uint_eq(quickly(6), 6);
    ck_assert_str_eq(test_seen, "a:w2@4=0 a:w2@4=1 ");
    test_expect("after", "rax=1 rip=10000");
    /* addresses wrap at 4 GiB */
    begin(TEST_32, "rbx=ffffffff rsi=20001 rax=0", "\x8a\x04\x33", 3);
    ck_assert_uint_eq(quickly(1), 1);
    /* segments that are not flat are left alone */
    begin(TEST_32, "ds.base=10", "\x40", 1);
    ck_assert_uint_eq(quickly(1), 0);
    begin(TEST_32, "ss.limit=ffff", "\x40", 1);
    ck_assert_uint_eq(quickly(1), 0);
    begin(TEST_16, "rax=0", "\x40", 1);
    ck_assert_uint_eq(quickly(1), 0);
}
END_TEST

/* To anywhere; an address that is none is the long way's. */
START_TEST(jumps_go_to_registers)
{
    begin(TEST_64, "rbx=20000", "\xff\xe3", 2);
    memcpy(test_ram(0x20000), "\xff\xc0", 2);
    ck_assert_uint_eq(quickly(2), 2);
    test_expect("there", "rax=1 rip=20002");
    begin(TEST_64, "rbx=8000000000000000", "\xff\xe3", 2);
    ck_assert_uint_eq(quickly(2), 0);
    ck_assert_int_eq(step_run_insn(run), STEP_EXCEPTION);
    /* where nothing is: behind the jump */
    begin(TEST_64, "rbx=40000", "\xff\xe3", 2);
    ck_assert_uint_eq(quickly(2), 1);
    test_expect("nowhere", "rip=40000");
}
END_TEST

static unsigned begin_again(void)
{
    test_cpu.rip = CODE_PAGE;
    step_run_begin(run, &test_machine, &test_cpu, &test_outcome);
    return quickly(1);
}

/* What is kept from run to run, and what has changed meanwhile. */
START_TEST(a_run_begins_as_things_are)
{
    uint8_t *table;
    begin(TEST_64, "rbx=50000 rax=7", "\x89\x03", 2);
    table = test_ram(0x4000);
    ck_assert_uint_eq(quickly(1), 1);
    ck_assert_uint_eq(begin_again(), 1);
    store_le64(table + 8 * 0x50, B_GPA | 3);
    ck_assert_uint_eq(begin_again(), 1);
    ck_assert_str_eq(test_seen, "a:w4@0=7 a:w4@0=7 b:w4@0=7 ");
    store_le64(table + 8 * 0x50, B_GPA | 1);
    ck_assert_uint_eq(begin_again(), 0);
    store_le64(table + 8 * 0x50, 0x20003);
    ck_assert_uint_eq(begin_again(), 1);
    test_expect("in RAM", "[20000]4=7");
    /* other code, of which a part means something else in 32-bit mode */
    memcpy(test_ram(0x21000), "\x48\xff\xc0", 3);
    store_le64(table + 8 * 0x10, 0x21003);
    ck_assert_uint_eq(begin_again(), 1);
    test_expect("inc rax", "rax=8 rip=10003");
    test_cpu.segments[CPU_CS].attributes = 0xc09b;
    ck_assert_uint_eq(begin_again(), 1);
    test_expect("dec eax", "rax=7 rip=10001");
    test_cpu.segments[CPU_CS].attributes = 0xa09b;
    ck_assert_uint_eq(begin_again(), 1);
    test_expect("inc rax", "rax=8 rip=10003");
    /* other tables */
    memcpy(test_ram(0x5000), test_ram(0x1000), 8);
    test_cpu.cr3 = 0x5000;
    ck_assert_uint_eq(begin_again(), 1);
    *(uint8_t *)test_ram(0x5000) = 0;
    ck_assert_uint_eq(begin_again(), 0);
    test_cpu.cr3 = 0x1000;
    ck_assert_uint_eq(begin_again(), 1);
    test_cpu.dr7 |= 1;
    ck_assert_uint_eq(begin_again(), 0);
    test_cpu.dr7 = 0x400;
    test_cpu.cpl = 3; /* now the code's page is the supervisor's */
    ck_assert_uint_eq(begin_again(), 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_block_sees_itself_change);
    test_add(suite, a_block_sees_what_a_device_changes);
    test_add(suite, a_block_stops_at_a_fault);
    test_add(suite, a_budget_ends_anywhere);
    test_add(suite, a_loop_sees_what_others_change);
    test_add(suite, flat_32_bit_code_is_quick);
    test_add(suite, jumps_go_to_registers);
    test_add(suite, a_run_begins_as_things_are);
}
