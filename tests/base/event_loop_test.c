/* SPDX-License-Identifier: MIT
 *
 * The event loop: what it calls, when it makes its thread, and that removal waits.
 */
#include "base/event_loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/harness.h"

#define MS 1000000ull

static struct event_loop *loop;

static void set_up(void)
{
    ck_assert_int_eq(event_loop_create(&loop, NULL), 0);
}

static void set_up_started(void)
{
    set_up();
    ck_assert_int_eq(event_loop_start(loop, NULL), 0);
}

static int load(const int *value)
{
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

static void count_up(void *owner)
{
    __atomic_fetch_add((int *)owner, 1, __ATOMIC_ACQ_REL);
}

/* Up to five seconds, until the count is there. */
static void wait_for(const int *count, int wanted)
{
    for (int i = 0; i < 5000 && load(count) < wanted; i++)
        usleep(1000);
    ck_assert_int_ge(load(count), wanted);
}

/* Sanitizers have threads of their own, so the loop's are counted by name. */
static int loop_threads(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[300], name[20] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, name, sizeof(name) - 1) > 0 && !strcmp(name, "vmm-events\n"))
            count++;
        close(fd);
    }
    closedir(directory);
    return count;
}

START_TEST(an_unused_loop_makes_no_thread_and_no_descriptor)
{
    unsigned fds = test_count_entries("/proc/self/fd");
    set_up_started();
    struct event_timer timer;
    event_timer_init(&timer, loop, count_up, NULL);
    event_timer_clear(&timer);
    event_timer_fini(&timer);
    ck_assert_uint_eq(test_count_entries("/proc/self/fd"), fds);
    ck_assert_int_eq(loop_threads(), 0);
    event_loop_stop(loop);
    event_loop_destroy(loop);
}
END_TEST

START_TEST(destroy_gives_everything_back)
{
    unsigned fds = test_count_entries("/proc/self/fd");
    int count = 0;
    set_up_started();
    struct event_timer timer;
    event_timer_init(&timer, loop, count_up, &count);
    ck_assert_int_eq(event_timer_set(&timer, 0), 0);
    wait_for(&count, 1);
    ck_assert_int_eq(loop_threads(), 1);
    event_loop_destroy(loop);
    event_loop_destroy(NULL);
    ck_assert_uint_eq(test_count_entries("/proc/self/fd"), fds);
    /* a thread that was joined is listed until the kernel has taken it down */
    for (unsigned ms = 0; ms < 5000 && loop_threads(); ms++)
        usleep(1000);
    ck_assert_int_eq(loop_threads(), 0);
}
END_TEST

struct reader {
    struct event_source source;
    int fds[2];
    int calls;
    uint32_t events;
};

static void reader_ready(void *owner, uint32_t events)
{
    struct reader *reader = owner;
    char byte;
    if (events & EPOLLIN)
        ck_assert_int_eq(read(reader->source.fd, &byte, 1), 1);
    else
        event_loop_set(loop, &reader->source, 0);
    reader->events |= events;
    count_up(&reader->calls);
}

static void reader_add(struct reader *reader)
{
    memset(reader, 0, sizeof(*reader));
    ck_assert_int_eq(pipe2(reader->fds, O_CLOEXEC), 0);
    reader->source = (struct event_source){
        .fd = reader->fds[0], .events = EPOLLIN, .ready = reader_ready, .owner = reader};
    ck_assert_int_eq(event_loop_add(loop, &reader->source, NULL), 0);
}

static void reader_feed(struct reader *reader)
{
    ck_assert_int_eq(write(reader->fds[1], "x", 1), 1);
}

static void reader_close(struct reader *reader)
{
    event_loop_remove(loop, &reader->source);
    close(reader->fds[0]);
    if (reader->fds[1] >= 0)
        close(reader->fds[1]);
}

START_TEST(a_readable_descriptor_is_called_for)
{
    struct reader a, b;
    set_up_started();
    reader_add(&a);
    reader_add(&b);
    for (int i = 1; i <= 3; i++) {
        reader_feed(&a);
        wait_for(&a.calls, i);
    }
    reader_feed(&b);
    wait_for(&b.calls, 1);
    ck_assert_int_eq(load(&a.calls), 3);
    reader_close(&a);
    reader_close(&b);
    event_loop_destroy(loop);
}
END_TEST

START_TEST(a_removed_source_can_be_added_again)
{
    struct reader reader;
    set_up_started();
    reader_add(&reader);
    for (int i = 1; i <= 3; i++) {
        reader_feed(&reader);
        wait_for(&reader.calls, i);
        event_loop_remove(loop, &reader.source);
        ck_assert_int_eq(event_loop_add(loop, &reader.source, NULL), 0);
    }
    reader_close(&reader);
    event_loop_destroy(loop);
}
END_TEST

START_TEST(nothing_is_called_before_start_and_after_stop)
{
    struct reader reader;
    int expired = 0;
    struct event_timer timer;
    set_up();
    reader_add(&reader);
    reader_feed(&reader);
    event_timer_init(&timer, loop, count_up, &expired);
    ck_assert_int_eq(event_timer_set(&timer, 0), 0);
    usleep(20000);
    ck_assert_int_eq(load(&reader.calls) + load(&expired), 0);
    ck_assert_int_eq(event_loop_start(loop, NULL), 0);
    wait_for(&reader.calls, 1);
    wait_for(&expired, 1);
    event_loop_stop(loop);
    event_loop_stop(loop);
    reader_feed(&reader);
    ck_assert_int_eq(event_timer_set(&timer, 0), 0);
    usleep(20000);
    ck_assert_int_eq(load(&reader.calls), 1);
    ck_assert_int_eq(load(&expired), 1);
    ck_assert_int_eq(event_loop_start(loop, NULL), 0);
    wait_for(&reader.calls, 2);
    wait_for(&expired, 2);
    reader_close(&reader);
    event_loop_destroy(loop);
}
END_TEST

START_TEST(a_source_set_to_nothing_is_silent_even_when_hung_up)
{
    struct reader reader;
    set_up_started();
    reader_add(&reader);
    ck_assert_int_eq(event_loop_set(loop, &reader.source, 0), 0);
    reader_feed(&reader);
    usleep(20000);
    ck_assert_int_eq(load(&reader.calls), 0);
    ck_assert_int_eq(event_loop_set(loop, &reader.source, EPOLLIN), 0);
    wait_for(&reader.calls, 1);
    close(reader.fds[1]);
    reader.fds[1] = -1;
    wait_for(&reader.calls, 2); /* EPOLLHUP, upon which it sets itself to nothing */
    usleep(20000);
    ck_assert_int_eq(load(&reader.calls), 2);
    event_loop_stop(loop);
    ck_assert(reader.events & EPOLLHUP);
    reader_close(&reader);
    event_loop_destroy(loop);
}
END_TEST

START_TEST(what_cannot_be_waited_for_is_refused)
{
    set_up_started();
    char path[] = "/tmp/vmm-event-loop-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    struct vmm_error error;
    struct event_source source = {.fd = fd, .events = EPOLLIN, .ready = reader_ready};
    ck_assert_int_eq(event_loop_add(loop, &source, &error), -EPERM);
    ck_assert_ptr_nonnull(strstr(error.message, "cannot wait for descriptor"));
    close(fd);
    source.fd = fd;
    ck_assert_int_eq(event_loop_add(loop, &source, &error), -EBADF);
    ck_assert_int_eq(event_loop_set(loop, &source, EPOLLIN), -EINVAL);
    event_loop_remove(loop, &source);
    event_loop_destroy(loop);
}
END_TEST

/* Timers: each adds its digit to a number. */
static int order;

struct digit {
    struct event_timer timer;
    int value;
};

static void digit_expired(void *owner)
{
    const struct digit *digit = owner;
    __atomic_store_n(&order, 10 * order + digit->value, __ATOMIC_RELEASE);
}

START_TEST(timers_expire_in_order_and_not_early)
{
    /* So far apart that a busy machine sets them all before the first expires. */
    static const unsigned delays_ms[] = {600, 200, 800, 400};
    struct digit digits[4];
    order = 0;
    set_up_started();
    uint64_t start_ns = clock_now_ns();
    for (int i = 0; i < 4; i++) {
        digits[i].value = i + 1;
        event_timer_init(&digits[i].timer, loop, digit_expired, &digits[i]);
        ck_assert_int_eq(event_timer_set(&digits[i].timer, delays_ms[i] * MS), 0);
    }
    wait_for(&order, 1000);
    ck_assert_uint_ge(clock_now_ns() - start_ns, 800 * MS);
    ck_assert_int_eq(load(&order), 2413);
    for (int i = 0; i < 4; i++)
        event_timer_fini(&digits[i].timer);
    event_loop_destroy(loop);
}
END_TEST

START_TEST(a_timer_that_is_set_again_or_cleared_forgets_its_old_time)
{
    struct event_timer again, cleared;
    int again_count = 0, cleared_count = 0;
    set_up_started();
    event_timer_init(&again, loop, count_up, &again_count);
    event_timer_init(&cleared, loop, count_up, &cleared_count);
    ck_assert_int_eq(event_timer_set(&again, UINT64_MAX), 0);
    ck_assert_int_eq(event_timer_set(&cleared, 400 * MS), 0);
    ck_assert_int_eq(event_timer_set(&again, 10 * MS), 0);
    event_timer_clear(&cleared);
    wait_for(&again_count, 1);
    usleep(500000);
    ck_assert_int_eq(load(&again_count), 1);
    ck_assert_int_eq(load(&cleared_count), 0);
    event_timer_fini(&again);
    event_timer_fini(&cleared);
    event_loop_destroy(loop);
}
END_TEST

/* A timer that sets itself, without end. */
struct repeater {
    struct event_timer timer;
    int count;
};

static void repeater_expired(void *owner)
{
    struct repeater *repeater = owner;
    event_timer_set(&repeater->timer, 0);
    count_up(&repeater->count);
}

START_TEST(a_timer_that_sets_itself_starves_nobody_and_can_be_ended)
{
    struct repeater repeater = {0};
    struct reader reader;
    set_up_started();
    event_timer_init(&repeater.timer, loop, repeater_expired, &repeater);
    ck_assert_int_eq(event_timer_set(&repeater.timer, 0), 0);
    wait_for(&repeater.count, 10);
    reader_add(&reader);
    reader_feed(&reader);
    wait_for(&reader.calls, 1);
    event_timer_fini(&repeater.timer);
    int count = load(&repeater.count);
    usleep(10000);
    ck_assert_int_eq(load(&repeater.count), count);
    reader_close(&reader);
    event_loop_destroy(loop);
}
END_TEST

/* A slow callback, to see whether a removal waits for it. */
struct sleeper {
    struct event_source source;
    struct event_timer timer;
    int entered, left;
};

static void sleeper_sleep(void *owner)
{
    struct sleeper *sleeper = owner;
    count_up(&sleeper->entered);
    usleep(50000);
    count_up(&sleeper->left);
}

static void sleeper_ready(void *owner, uint32_t events)
{
    (void)events;
    sleeper_sleep(owner);
}

START_TEST(removal_waits_for_the_callback)
{
    struct sleeper sleeper = {0};
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    set_up_started();
    sleeper.source = (struct event_source){
        .fd = fds[1], .events = EPOLLOUT, .ready = sleeper_ready, .owner = &sleeper};
    ck_assert_int_eq(event_loop_add(loop, &sleeper.source, NULL), 0);
    wait_for(&sleeper.entered, 1);
    event_loop_remove(loop, &sleeper.source);
    ck_assert_int_eq(load(&sleeper.left), load(&sleeper.entered));

    sleeper.entered = sleeper.left = 0;
    event_timer_init(&sleeper.timer, loop, sleeper_sleep, &sleeper);
    ck_assert_int_eq(event_timer_set(&sleeper.timer, 0), 0);
    wait_for(&sleeper.entered, 1);
    event_timer_fini(&sleeper.timer);
    ck_assert_int_eq(load(&sleeper.left), 1);
    event_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static void remove_and_free(void *owner, uint32_t events)
{
    struct event_source *source = owner;
    (void)events;
    event_loop_remove(loop, source);
    close(source->fd);
    free(source);
}

START_TEST(a_callback_may_remove_and_free_its_own_source)
{
    unsigned descriptors = test_count_entries("/proc/self/fd");
    set_up_started();
    for (int i = 0; i < 20; i++) {
        int fds[2];
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        struct event_source *source = calloc(1, sizeof(*source));
        *source = (struct event_source){
            .fd = fds[0], .events = EPOLLIN, .ready = remove_and_free, .owner = source};
        ck_assert_int_eq(event_loop_add(loop, source, NULL), 0);
        close(fds[1]);
    }
    for (int i = 0; i < 5000 && test_count_entries("/proc/self/fd") > descriptors + 3; i++)
        usleep(1000);
    event_loop_destroy(loop);
    ck_assert_uint_eq(test_count_entries("/proc/self/fd"), descriptors);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, an_unused_loop_makes_no_thread_and_no_descriptor);
    test_add(suite, destroy_gives_everything_back);
    test_add(suite, a_readable_descriptor_is_called_for);
    test_add(suite, a_removed_source_can_be_added_again);
    test_add(suite, nothing_is_called_before_start_and_after_stop);
    test_add(suite, a_source_set_to_nothing_is_silent_even_when_hung_up);
    test_add(suite, what_cannot_be_waited_for_is_refused);
    test_add(suite, timers_expire_in_order_and_not_early);
    test_add(suite, a_timer_that_is_set_again_or_cleared_forgets_its_old_time);
    test_add(suite, a_timer_that_sets_itself_starves_nobody_and_can_be_ended);
    test_add(suite, removal_waits_for_the_callback);
    test_add(suite, a_callback_may_remove_and_free_its_own_source);
}
