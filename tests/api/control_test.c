/* SPDX-License-Identifier: MIT
 *
 * Run control from other threads: stop, pause, resume, timeout, several machines in one process. A wake-up
 * that gets lost shows as a test that does not end.
 */
#include <pthread.h>
#include <unistd.h>

#include "tests/api/guests.h"

struct runner {
    struct vmm *machine;
    struct vmm_end end;
    pthread_t thread;
};

static void *run(void *argument)
{
    struct runner *runner = argument;
    runner->end = guest_run(runner->machine);
    return NULL;
}

static void start(struct runner *runner, const char *code, size_t len)
{
    runner->machine = guest_create(NULL, code, len);
    ck_assert_int_eq(pthread_create(&runner->thread, NULL, run, runner), 0);
}

static uint32_t counter(const struct runner *runner)
{
    uint32_t value;
    ck_assert_int_eq(vmm_mem_read(runner->machine, COUNTER_GPA, &value, sizeof(value)), 0);
    return value;
}

/* Until the guest has counted on from where it is. */
static void wait_for_progress(const struct runner *runner)
{
    for (uint32_t before = counter(runner); counter(runner) == before;)
        usleep(100);
}

static void finish(struct runner *runner)
{
    vmm_stop(runner->machine);
    pthread_join(runner->thread, NULL);
    ck_assert_int_eq(runner->end.reason, VMM_END_STOPPED);
    vmm_destroy(runner->machine);
}

START_TEST(stop_reaches_a_guest_that_never_exits)
{
    test_need_kvm();
    struct runner runner;
    start(&runner, COUNTER_LOOP, 7);
    wait_for_progress(&runner);
    finish(&runner);
}
END_TEST

START_TEST(stop_before_the_run_ends_it_at_once)
{
    test_need_kvm();
    struct vmm *machine = guest_create(NULL, COUNTER_LOOP, 7);
    vmm_stop(machine);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_STOPPED);
    vmm_destroy(machine);
}
END_TEST

START_TEST(stop_at_any_moment_is_not_lost)
{
    test_need_kvm();
    for (unsigned i = 0; i < 100; i++) {
        struct runner runner;
        start(&runner, COUNTER_LOOP, 7);
        usleep(i * 37);
        finish(&runner);
    }
}
END_TEST

START_TEST(a_paused_guest_stands_still)
{
    test_need_kvm();
    struct runner runner;
    start(&runner, COUNTER_LOOP, 7);
    for (unsigned i = 0; i < 20; i++) {
        wait_for_progress(&runner);
        vmm_pause(runner.machine);
        uint32_t before = counter(&runner);
        usleep(2000);
        ck_assert_uint_eq(counter(&runner), before);
        vmm_pause(runner.machine);
        vmm_resume(runner.machine);
    }
    wait_for_progress(&runner);
    finish(&runner);
}
END_TEST

START_TEST(a_guest_paused_before_the_run_waits)
{
    test_need_kvm();
    struct runner runner;
    runner.machine = guest_create(NULL, COUNTER_LOOP, 7);
    vmm_pause(runner.machine);
    ck_assert_int_eq(pthread_create(&runner.thread, NULL, run, &runner), 0);
    usleep(20000);
    ck_assert_uint_eq(counter(&runner), 0);
    vmm_resume(runner.machine);
    wait_for_progress(&runner);
    finish(&runner);
}
END_TEST

START_TEST(stop_ends_a_paused_guest)
{
    test_need_kvm();
    struct runner runner;
    start(&runner, COUNTER_LOOP, 7);
    wait_for_progress(&runner);
    vmm_pause(runner.machine);
    finish(&runner);
}
END_TEST

/* in al,0x80 for ever: the vCPU is mostly between exits, where a kick must not be lost either. */
#define EXIT_LOOP "\xe4\x80\xeb\xfc"

static void *pause_and_resume(void *argument)
{
    struct runner *runner = argument;
    for (unsigned i = 0; i < 500; i++) {
        vmm_pause(runner->machine);
        vmm_resume(runner->machine);
    }
    return NULL;
}

START_TEST(pauses_from_two_threads_are_not_lost)
{
    test_need_kvm();
    struct runner runner;
    pthread_t pausers[2];
    start(&runner, EXIT_LOOP, 4);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&pausers[i], NULL, pause_and_resume, &runner), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(pausers[i], NULL);
    finish(&runner);
}
END_TEST

/* Pause, resume and stop from three threads, a limit of time and the guest's own end, all at about once, and
 * with the machine still being put together when the first ones come. */
static void *stop_soon(void *argument)
{
    struct runner *runner = argument;
    usleep(15000);
    vmm_stop(runner->machine);
    return NULL;
}

START_TEST(everything_at_once_ends_once)
{
    test_need_kvm();
    for (unsigned i = 0; i < 30; i++) {
        struct vmm_config config = {.timeout_ms = 10 + i % 8};
        struct vmm_scratch_config direct = {.base = 0xd0000000, .len = 65536, .direct = true};
        struct vmm_scratch_config ring = {.base = 0xd1000000, .len = 4096, .coalesce = true};
        struct runner runner = {
            .machine = guest_create(&config, i % 2 ? EXIT_LOOP : COUNTER_LOOP, 7 - i % 2 * 3)};
        pthread_t others[3];
        ck_assert_int_eq(vmm_add_scratch(runner.machine, &direct, NULL), 0);
        ck_assert_int_eq(vmm_add_scratch(runner.machine, &ring, NULL), 0);
        for (unsigned j = 0; j < 3; j++)
            ck_assert_int_eq(pthread_create(&others[j], NULL, j ? pause_and_resume : stop_soon, &runner), 0);
        run(&runner);
        ck_assert(runner.end.reason == VMM_END_STOPPED || runner.end.reason == VMM_END_TIMEOUT);
        for (unsigned j = 0; j < 3; j++)
            pthread_join(others[j], NULL);
        vmm_destroy(runner.machine);
    }
}
END_TEST

/* ds = 0xffff; mov ax,[0x14] for ever: address 0x100004, behind 64 KiB of RAM. */
#define READ_LOOP "\xb8\xff\xff\x8e\xd8\xa1\x14\x00\xeb\xfb"

static uint64_t read_nothing(void *context, uint64_t offset, unsigned size)
{
    (void)context, (void)offset, (void)size;
    return 0;
}

/* Behind an access to a trapped region the vCPU completes KVM's part by a kick of its own, and runs ahead: a
 * stop that comes just then must not be taken for that. */
START_TEST(stops_during_run_ahead_are_not_lost)
{
    test_need_kvm();
    static const struct vmm_region_ops ops = {.read = read_nothing};
    const struct vmm_config config = {.ram_bytes = 64 << 10, .mmio_engine = VMM_MMIO_TRAP};
    for (unsigned i = 0; i < 200; i++) {
        struct runner runner;
        runner.machine = guest_create(&config, READ_LOOP, 10);
        ck_assert_int_eq(
            vmm_add_region(runner.machine, VMM_SPACE_MEMORY, "trapped", 0x100000, 4096, &ops, NULL, NULL), 0);
        ck_assert_int_eq(pthread_create(&runner.thread, NULL, run, &runner), 0);
        usleep(500 + i * 7);
        for (unsigned j = 0; j < 20; j++) {
            vmm_pause(runner.machine);
            vmm_resume(runner.machine);
        }
        finish(&runner);
    }
}
END_TEST

START_TEST(a_timeout_ends_the_run)
{
    test_need_kvm();
    struct vmm_config config = {.timeout_ms = 50};
    struct vmm *machine = guest_create(&config, COUNTER_LOOP, 7);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_TIMEOUT);
    vmm_destroy(machine);
}
END_TEST

START_TEST(several_machines_live_in_one_process)
{
    test_need_kvm();
    struct runner runners[4];
    for (unsigned i = 0; i < 4; i++)
        start(&runners[i], COUNTER_LOOP, 7);
    for (unsigned i = 0; i < 4; i++)
        wait_for_progress(&runners[i]);
    vmm_pause(runners[1].machine);
    finish(&runners[0]);
    uint32_t before = counter(&runners[1]);
    wait_for_progress(&runners[2]);
    ck_assert_uint_eq(counter(&runners[1]), before);
    for (unsigned i = 1; i < 4; i++)
        finish(&runners[i]);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, stop_reaches_a_guest_that_never_exits);
    test_add(suite, stop_before_the_run_ends_it_at_once);
    test_add_slow(suite, stop_at_any_moment_is_not_lost, 120);
    test_add(suite, a_paused_guest_stands_still);
    test_add(suite, a_guest_paused_before_the_run_waits);
    test_add(suite, stop_ends_a_paused_guest);
    test_add_slow(suite, pauses_from_two_threads_are_not_lost, 120);
    test_add_slow(suite, everything_at_once_ends_once, 120);
    test_add_slow(suite, stops_during_run_ahead_are_not_lost, 120);
    test_add(suite, a_timeout_ends_the_run);
    test_add(suite, several_machines_live_in_one_process);
}
