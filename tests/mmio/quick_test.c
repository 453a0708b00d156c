/* SPDX-License-Identifier: MIT
 *
 * The short way (mmio/quick.h, mmio/block.h) against the long one: random programs must do the same both
 * ways, whatever budget cuts them into pieces; and what a block must notice while it is executed: code that
 * changes, faults, devices.
 *
 * VMM_TEST_CASES is the number of programs, VMM_TEST_SEED repeats a run.
 */
#include <string.h>

#include "base/bytes.h"
#include "mmio/run.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"
#include "tests/mmio/oracle.h"
#include "tests/mmio/quick_program.h"

#define PROGRAMS_USUAL 2000
#define STEPS_MAX      60
#define CODE_PAGE      0x10000u

static struct step_run *run;
static const uint8_t never;

/* ---- Random programs ---- */

/* RAM, its end, the code, devices, read-only memory, nothing, and numbers. */
static uint64_t pick_register(void)
{
    static const uint32_t pages[] = {0x20000, 0x20000, 0x3f000, 0x50000,
                                     0x51000, 0x60000, 0x40000, CODE_PAGE};
    unsigned page = random_below(12);
    if (page < 8)
        return pages[page] + (random_below(4) ? random_below(256) : PAGE_BYTES - 1 - random_below(16));
    return page == 8 ? oracle_random() : random_below(16);
}

/* Pages of RAM: the tables, which are not mapped, since a run does not notice when they change; and the
 * others.
 */
static const uint8_t used_pages[] = {1, 2, 3, 4, 0x10, 0x11, 0x20, 0x21, 0x3f, 0x60};
#define TABLE_PAGES 4
struct ram {
    uint8_t pages[sizeof(used_pages)][PAGE_BYTES];
};

/* No code in devices: what is fetched for an instruction that a run leaves alone is fetched by one of the
 * ways only. */
static void map_only_used(void)
{
    uint8_t *table = test_ram(0x4000);
    for (unsigned page = 0; page < 0x80; page++) {
        bool is_device = page == 0x50 || page == 0x51;
        bool is_ram = memchr(used_pages + TABLE_PAGES, (int)page, sizeof(used_pages) - TABLE_PAGES);
        if (is_device)
            store_le64(table + 8 * page, load_le64(table + 8 * page) | 1ull << 63);
        else if (!is_ram)
            store_le64(table + 8 * page, 0);
    }
}

static void save_ram(struct ram *ram)
{
    for (unsigned i = 0; i < sizeof(used_pages); i++)
        memcpy(ram->pages[i], test_ram((gpa_t)used_pages[i] * PAGE_BYTES), PAGE_BYTES);
}

static void load_ram(const struct ram *ram)
{
    for (unsigned i = 0; i < sizeof(used_pages); i++)
        memcpy(test_ram((gpa_t)used_pages[i] * PAGE_BYTES), ram->pages[i], PAGE_BYTES);
}

static void set_up(const struct program *program, enum test_mode mode)
{
    test_set_up(mode);
    step_run_forget(run);
    map_only_used();
    for (unsigned i = 0; i < 16; i++)
        test_cpu.gpr[i] = pick_register();
    test_cpu.segments[CPU_FS].base = program->is_64bit ? random_below(64) : 0;
    test_cpu.rflags |= oracle_random() & (FLAGS_STATUS | FLAG_DF | FLAG_RF);
    unsigned offset = random_below(8) ? random_below(2048) : PAGE_BYTES - random_below(128);
    test_cpu.rip = CODE_PAGE + offset;
    memcpy(test_ram(test_cpu.rip), program->bytes, program->len);
    for (unsigned i = 0; i < 512; i++)
        *(uint8_t *)test_ram(0x20000 + i) = (uint8_t)oracle_random();
}

/* ---- Both ways ---- */

/* What was there after some instructions. */
struct record {
    unsigned count;
    enum step_result result;
    uint8_t vector;
    struct cpu_state cpu;
};

static struct record records[STEPS_MAX];
static unsigned record_count;
static unsigned long quick_count, insn_count;

static void go_the_short_way(void)
{
    enum step_result result = STEP_DONE;
    unsigned count, done = 0;
    for (record_count = 0; result == STEP_DONE && done < STEPS_MAX; done += count) {
        struct step_budget budget = {.left = 1 + random_below(12),
                                     .window_left = 1 + random_below(12),
                                     .window = 1 + random_below(12),
                                     .stop = &never};
        if (!done || !random_below(4))
            step_run_begin(run, &test_machine, &test_cpu, &test_outcome);
        unsigned before = budget.left;
        count = step_run_quick(run, &budget);
        ck_assert_uint_eq(before - budget.left, count);
        quick_count += count;
        if (!count) {
            result = step_run_insn(run);
            count = 1;
        }
        records[record_count++] = (struct record){
            .count = count, .result = result, .vector = test_outcome.event.vector, .cpu = test_cpu};
    }
    insn_count += done;
}

static void compare(const struct program *program, const struct record *record, enum step_result result)
{
    struct cpu_state cpu = record->cpu;
    if (program->has_logic)
        cpu.rflags = (cpu.rflags & ~(uint64_t)FLAG_AF) | (test_cpu.rflags & FLAG_AF);
    ck_assert_int_eq(record->result, result);
    if (result == STEP_EXCEPTION)
        ck_assert_uint_eq(record->vector, test_outcome.event.vector);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_msg(cpu.gpr[i] == test_cpu.gpr[i], "register %u is %llx, not %llx", i,
                      (unsigned long long)cpu.gpr[i], (unsigned long long)test_cpu.gpr[i]);
    ck_assert_uint_eq(cpu.rip, test_cpu.rip);
    ck_assert_uint_eq(cpu.rflags, test_cpu.rflags);
    ck_assert_mem_eq(&cpu, &test_cpu, sizeof(cpu));
}

/* The same instructions one by one, with nothing remembered. What a run leaves to KVM is not compared. */
static void go_the_long_way(const struct program *program)
{
    for (unsigned i = 0; i < record_count; i++) {
        const struct record *record = &records[i];
        enum step_result result = STEP_DONE;
        if (record->result == STEP_UNSUPPORTED)
            return;
        for (unsigned k = 0; k < record->count && result == STEP_DONE; k++)
            result = step_insn(&test_machine, &test_cpu, NULL, 0, &test_outcome);
        compare(program, record, result);
    }
}

/* A processor may set accessed bits for what it only may have come to, and so does a run. */
static void forget_accessed_bits(struct ram *ram)
{
    for (unsigned i = 0; i < TABLE_PAGES; i++)
        for (unsigned at = 0; at < PAGE_BYTES; at += 8)
            ram->pages[i][at] &= (uint8_t)~0x20;
}

static void compare_ways(const struct program *program, enum test_mode mode)
{
    static struct ram before, after, other;
    static char seen[sizeof(test_seen)];
    set_up(program, mode);
    const struct cpu_state cpu = test_cpu;
    save_ram(&before);
    go_the_short_way();
    save_ram(&after);
    memcpy(seen, test_seen, sizeof(seen));
    load_ram(&before);
    test_seen[0] = 0;
    test_cpu = cpu;
    go_the_long_way(program);
    ck_assert_str_eq(seen, test_seen);
    save_ram(&other);
    forget_accessed_bits(&after);
    forget_accessed_bits(&other);
    ck_assert_mem_eq(&after, &other, sizeof(after));
}

static void compare_random_programs(unsigned long count)
{
    static const enum test_mode modes[] = {TEST_64, TEST_64_USER, TEST_COMPAT};
    struct program program;
    oracle_seed(test_seed());
    for (unsigned long i = 0; i < count; i++) {
        enum test_mode mode = modes[random_below(3)];
        make_program(&program, mode != TEST_COMPAT);
        compare_ways(&program, mode);
    }
    step_run_destroy(run);
    /* else it shows nothing */
    ck_assert_uint_gt(insn_count, 4 * count);
    ck_assert_uint_gt(2 * quick_count, insn_count);
}

START_TEST(random_programs_do_the_same_both_ways)
{
    ck_assert_int_eq(step_run_create(&run, NULL), 0);
    compare_random_programs(test_cases(PROGRAMS_USUAL));
}
END_TEST

START_TEST(so_they_do_where_much_is_remembered)
{
    ck_assert_int_eq(step_run_create_large(&run, NULL), 0);
    compare_random_programs(test_cases(PROGRAMS_USUAL / 10));
}
END_TEST

/* ---- One property each ---- */

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
    test_add_slow(suite, random_programs_do_the_same_both_ways, 300);
    test_add_slow(suite, so_they_do_where_much_is_remembered, 60);
    test_add(suite, a_block_sees_itself_change);
    test_add(suite, a_block_sees_what_a_device_changes);
    test_add(suite, a_block_stops_at_a_fault);
    test_add(suite, a_budget_ends_anywhere);
    test_add(suite, a_loop_sees_what_others_change);
    test_add(suite, flat_32_bit_code_is_quick);
    test_add(suite, jumps_go_to_registers);
    test_add(suite, a_run_begins_as_things_are);
}
