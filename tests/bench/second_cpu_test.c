/* SPDX-License-Identifier: MIT
 *
 * Threads that are found by their name, moved to a CPU, and asked how often they were preempted.
 */
#include "bench/second_cpu.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/task.h"
#include "tests/harness.h"

#define NAME "CPU 7/TEST" /* as QEMU names its threads: with a space */

static pthread_barrier_t begun, over;
static pid_t task;

static void *wait_for_end(void *context)
{
    pthread_setname_np(pthread_self(), NAME);
    task = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&over);
    return context;
}

static pthread_t start(void)
{
    pthread_t thread;
    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&over, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_end, NULL), 0);
    pthread_barrier_wait(&begun);
    return thread;
}

static void end(pthread_t thread)
{
    pthread_barrier_wait(&over);
    pthread_join(thread, NULL);
}

START_TEST(a_thread_is_found_by_its_name)
{
    pthread_t thread = start();
    ck_assert_int_eq(task_find(getpid(), NAME), task);
    ck_assert_int_eq(task_find(getpid(), "CPU 7"), 0);
    end(thread);
    ck_assert_int_eq(task_find(getpid(), NAME), 0);
    ck_assert_int_eq(task_find(0x7fffffff, NAME), 0);
}
END_TEST

/* Two that spin on one CPU take it from each other. */
START_TEST(preemptions_are_counted)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    long before = task_count_preemptions(getpid());
    ck_assert_int_ge(before, 0);
    pid_t child = fork();
    for (unsigned i = 0; !child || (i < 1000 && task_count_preemptions(getpid()) == before); i++) {
        for (volatile unsigned spin = 0; spin < 1000000; spin++)
            ;
    }
    kill(child, SIGKILL);
    ck_assert_int_gt(task_count_preemptions(getpid()), before);
    ck_assert_int_lt(task_count_preemptions(0x7fffffff), 0);
}
END_TEST

static void expect_only(int cpu)
{
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(task, sizeof(set), &set), 0);
    ck_assert(CPU_ISSET(cpu, &set));
    ck_assert_int_eq(CPU_COUNT(&set), 1);
}

START_TEST(a_thread_keeps_to_its_cpu)
{
    cpu_set_t allowed, before, after;
    int first = 0, last = CPU_SETSIZE - 1;
    ck_assert_int_eq(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    if (CPU_COUNT(&allowed) < 2)
        test_skip("this host has one CPU");
    while (!CPU_ISSET(first, &allowed))
        first++;
    while (!CPU_ISSET(last, &allowed))
        last--;
    pthread_t thread = start();
    ck_assert_int_eq(sched_getaffinity(task, sizeof(before), &before), 0);
    second_cpu_take(NULL, thread);
    second_cpu_take_task(NULL, task);
    second_cpu_take_task(&first, 0); /* not even this one */
    ck_assert_int_eq(sched_getaffinity(task, sizeof(after), &after), 0);
    ck_assert(CPU_EQUAL(&before, &after));
    ck_assert_int_eq(sched_getaffinity(0, sizeof(after), &after), 0);
    ck_assert(CPU_EQUAL(&allowed, &after));
    second_cpu_take(&first, thread);
    expect_only(first);
    second_cpu_take_task(&last, task);
    expect_only(last);
    end(thread);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_thread_is_found_by_its_name);
    test_add(suite, preemptions_are_counted);
    test_add(suite, a_thread_keeps_to_its_cpu);
}
