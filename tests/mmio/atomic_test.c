/* SPDX-License-Identifier: MIT
 *
 * LOCK against others: two emulated CPUs, and one beside a thread of the host that stands for a CPU running
 * natively. Nothing may be lost.
 */
#include <pthread.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/mmio/machine.h"

#define ROUNDS 20000

static pthread_mutex_t bus_lock = PTHREAD_MUTEX_INITIALIZER;

struct worker {
    struct cpu_state cpu;
    const char *code;
    unsigned len;
    pthread_t thread;
    unsigned failures;
};

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    struct step_outcome outcome;
    for (unsigned i = 0; i < ROUNDS; i++) {
        worker->cpu.rip = CODE;
        worker->cpu.gpr[CPU_RAX] = 1;
        enum step_result result = step_insn(&test_machine, &worker->cpu, (const uint8_t *)worker->code,
                                            worker->len, &outcome);
        worker->failures += result != STEP_DONE;
    }
    return NULL;
}

static void run_two(const char *code, unsigned len, uint64_t rbx)
{
    struct worker workers[2];
    for (unsigned i = 0; i < 2; i++) {
        workers[i] = (struct worker){.cpu = test_cpu, .code = code, .len = len};
        workers[i].cpu.gpr[CPU_RBX] = rbx;
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_uint_eq(workers[i].failures, 0);
    }
}

START_TEST(two_emulated_cpus_lose_no_increment)
{
    static const struct {
        const char *code;
        unsigned len;
        uint64_t rbx;
    } cases[] = {
        {"\xf0\x48\x01\x03", 4, 0x20010},     /* lock add [rbx], rax */
        {"\xf0\x48\xff\x03", 4, 0x20021},     /* lock inc [rbx], unaligned */
        {"\xf0\x48\x0f\xc1\x03", 5, 0x2003c}, /* lock xadd [rbx], rax, across a cache line */
        {"\xf0\x48\x01\x03", 4, 0x21ffc},     /* across a page: the bus lock */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        test_set_up(TEST_64);
        test_machine.bus_lock = &bus_lock;
        run_two(cases[i].code, cases[i].len, cases[i].rbx);
        uint64_t value;
        memcpy(&value, test_ram(cases[i].rbx), sizeof(value));
        ck_assert_uint_eq(value, 2 * ROUNDS);
    }
}
END_TEST

static void *native_increments(void *counter)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        __atomic_fetch_add((uint64_t *)counter, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

START_TEST(an_emulated_cpu_and_a_native_one_lose_no_increment)
{
    test_set_up(TEST_64);
    struct worker worker = {.cpu = test_cpu, .code = "\xf0\x48\x01\x03", .len = 4};
    worker.cpu.gpr[CPU_RBX] = 0x20010;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, native_increments, test_ram(0x20010)), 0);
    worker_run(&worker);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(*(uint64_t *)test_ram(0x20010), 2 * ROUNDS);
}
END_TEST

/* The walk sets A and D bits while another CPU counts in the bits of the same entry that are the system's. */
static void *count_in_entry(void *entry)
{
    for (unsigned i = 0; i < 2 * ROUNDS; i++)
        __atomic_fetch_add((uint64_t *)entry, i % 100 < 50 ? 1ull << 52 : -(1ull << 52), __ATOMIC_SEQ_CST);
    return NULL;
}

START_TEST(accessed_bits_take_nothing_back)
{
    test_set_up(TEST_64);
    uint64_t *entry = (uint64_t *)test_ram(0x4000) + 0x20, before = *entry;
    test_cpu.gpr[CPU_RBX] = 0x20010;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, count_in_entry, entry), 0);
    for (unsigned i = 0; i < 2000; i++) {
        __atomic_fetch_and(entry, ~0x60ull, __ATOMIC_SEQ_CST);
        test_cpu.rip = CODE;
        ck_assert_int_eq(test_step("\x48\x89\x03", 3), STEP_DONE);
        ck_assert_uint_eq(__atomic_load_n(entry, __ATOMIC_SEQ_CST) & 0x60, 0x60);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(*entry, before | 0x60);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, two_emulated_cpus_lose_no_increment);
    test_add(suite, an_emulated_cpu_and_a_native_one_lose_no_increment);
    test_add(suite, accessed_bits_take_nothing_back);
}
