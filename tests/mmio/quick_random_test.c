/* SPDX-License-Identifier: MIT
 *
 * The short way (mmio/quick.h, mmio/block.h) against the long one: random programs must do the same both
 * ways, whatever budget cuts them into pieces.
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
    if (count < 100)
        return; /* a few may all be short */
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

void test_suite(Suite *suite)
{
    test_add_slow(suite, random_programs_do_the_same_both_ways, 300);
    test_add_slow(suite, so_they_do_where_much_is_remembered, 60);
}
