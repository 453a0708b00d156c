/* SPDX-License-Identifier: MIT
 *
 * The watch of the terminal's window by itself: standard output is a terminal made here, and the machine that
 * is told is this file's vmm_resize_console.
 */
#include "vmm/cli/resize.h"

#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/harness.h"

#define CONSOLE 3

static atomic_uint told; /* rows << 16 | columns */
static atomic_uint told_count;
static struct vmm *const machine = (struct vmm *)&told;

int vmm_resize_console(struct vmm *of, unsigned index, unsigned columns, unsigned rows,
                       struct vmm_error *error)
{
    (void)error;
    ck_assert_ptr_eq(of, machine);
    ck_assert_uint_eq(index, CONSOLE);
    told = rows << 16 | columns;
    told_count++;
    return 0;
}

static void make_terminal(void)
{
    struct winsize size = {.ws_col = 80, .ws_row = 25};
    int ours, theirs;
    ck_assert_int_eq(openpty(&ours, &theirs, NULL, NULL, &size), 0);
    ck_assert_int_eq(dup2(theirs, STDOUT_FILENO), STDOUT_FILENO);
}

static void must_be_told(unsigned columns, unsigned rows)
{
    while (told != (rows << 16 | columns))
        usleep(1000);
}

/* As the terminal does it, were it this process's controlling one. */
static void resize(unsigned columns, unsigned rows)
{
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    ck_assert_int_eq(ioctl(STDOUT_FILENO, TIOCSWINSZ, &size), 0);
    kill(getpid(), SIGWINCH);
}

START_TEST(every_size_is_told)
{
    struct resize_watch watch;
    make_terminal();
    resize_watch_start(&watch, machine, CONSOLE);
    must_be_told(80, 25); /* without a signal: it may have changed before */
    resize(132, 43);
    must_be_told(132, 43);
    resize(65535, 1);
    must_be_told(65535, 1);
    resize_watch_stop(&watch);
    unsigned count = told_count;
    resize(80, 25);
    usleep(20000);
    ck_assert_uint_eq(told_count, count);
    resize_watch_stop(&watch); /* twice is once */
}
END_TEST

START_TEST(a_watch_that_was_never_started_stops)
{
    struct resize_watch watch = {0};
    resize_watch_stop(&watch);
}
END_TEST

START_TEST(an_output_without_a_size_is_not_told)
{
    struct resize_watch watch;
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_eq(dup2(pipe_fds[1], STDOUT_FILENO), STDOUT_FILENO);
    resize_watch_start(&watch, machine, CONSOLE);
    kill(getpid(), SIGWINCH);
    resize_watch_stop(&watch);
    ck_assert_uint_eq(told_count, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, every_size_is_told);
    test_add(suite, a_watch_that_was_never_started_stops);
    test_add(suite, an_output_without_a_size_is_not_told);
}
