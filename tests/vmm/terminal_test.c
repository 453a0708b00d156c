/* SPDX-License-Identifier: MIT
 *
 * `vmm run` on a terminal: raw mode, the escape key, the size of its window, and the terminal as it was
 * whatever ends the program.
 */
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "tests/vmm/program.h"

#define LOOP_GUEST "run --flat real16 flat/real16-loop.bin"
#define ECHO_GUEST "run --flat real16 flat/real16-echo.bin"

/* The program, and our end of its terminal. */
struct session {
    int fd;
    pid_t pid;
    struct termios before;
};

static bool is_raw(const struct session *session)
{
    struct termios now;
    ck_assert_int_eq(tcgetattr(session->fd, &now), 0);
    return !(now.c_lflag & (ICANON | ECHO | ISIG));
}

static void wait_for_raw(const struct session *session)
{
    while (!is_raw(session))
        usleep(2000);
}

static void check_restored(const struct session *session)
{
    struct termios now;
    ck_assert_int_eq(tcgetattr(session->fd, &now), 0);
    ck_assert_uint_eq(now.c_lflag, session->before.c_lflag);
    ck_assert_uint_eq(now.c_iflag, session->before.c_iflag);
    ck_assert_uint_eq(now.c_oflag, session->before.c_oflag);
    ck_assert_uint_eq(now.c_cflag, session->before.c_cflag);
    ck_assert_mem_eq(now.c_cc, session->before.c_cc, sizeof(now.c_cc));
}

/* The other end stays open here, so that the terminal and its settings outlive the program. */
static int kept_open;

static void start(struct session *session, const char *line)
{
    test_need_kvm();
    ck_assert_int_eq(openpty(&session->fd, &kept_open, NULL, NULL, NULL), 0);
    ck_assert_int_eq(tcgetattr(kept_open, &session->before), 0);
    session->pid = fork();
    ck_assert_int_ge(session->pid, 0);
    if (!session->pid) {
        close(session->fd);
        if (login_tty(kept_open))
            _exit(127);
        for (int number = 1; number < SIGRTMIN; number++)
            signal(number,
                   SIG_DFL); /* a shell's background job ignores SIGINT and SIGQUIT, and so would vmm */
        program_exec(line);
    }
    wait_for_raw(session);
}

static void send(const struct session *session, const char *text)
{
    ck_assert_int_eq(write(session->fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Until `text` has come, among other things. */
static void expect(const struct session *session, const char *text)
{
    char got[4096] = "";
    size_t len = 0;
    while (!strstr(got, text)) {
        ssize_t more = read(session->fd, got + len, sizeof(got) - 1 - len);
        ck_assert_msg(more > 0, "'%s' instead of '%s'", got, text);
        len += (size_t)more;
        got[len] = 0;
    }
}

static void finish(struct session *session, int status)
{
    ck_assert_int_eq(program_wait(session->pid), status);
    check_restored(session);
    close(session->fd);
    close(kept_open);
}

START_TEST(the_escape_key_ends_the_guest)
{
    struct session session;
    start(&session, LOOP_GUEST);
    send(&session, "\001x");
    finish(&session, 12);
}
END_TEST

START_TEST(a_message_begins_a_line_where_one_is_open)
{
    struct session session;
    start(&session, ECHO_GUEST);
    send(&session, "ab");
    expect(&session, "ab");
    send(&session, "\001x");
    expect(&session, "\r\nvmm: the guest was ended by Ctrl-A x\r\n");
    finish(&session, 12);
}
END_TEST

START_TEST(the_guest_gets_every_other_key)
{
    struct session session;
    start(&session, ECHO_GUEST);
    send(&session, "a\003\032\034\021");
    expect(&session, "a\003\032\034\021");
    send(&session, "\001\001b");
    expect(&session, "\001b");
    send(&session, "\001h");
    expect(&session, "Ctrl-A");
    send(&session, "q");
    finish(&session, 1);
}
END_TEST

START_TEST(a_key_presses_the_power_button)
{
    struct session session;
    start(&session, "run --flat real16 flat/real16-button.bin");
    send(&session, "p"); /* by itself it is the guest's */
    send(&session, "\001p");
    finish(&session, 1);
}
END_TEST

START_TEST(a_signal_gives_the_terminal_back)
{
    static const int signals[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT, SIGSEGV,
                                  SIGABRT, SIGUSR1, SIGALRM, SIGXCPU};
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
        struct session session;
        start(&session, LOOP_GUEST);
        kill(session.pid, signals[i]);
        finish(&session, 128 + signals[i]);
    }
}
END_TEST

START_TEST(a_time_limit_gives_the_terminal_back)
{
    struct session session;
    start(&session, "run --flat real16 --timeout 500ms flat/real16-loop.bin");
    finish(&session, 124);
}
END_TEST

START_TEST(a_stopped_program_lends_the_terminal_out)
{
    struct session session;
    int status;
    start(&session, ECHO_GUEST);
    kill(session.pid, SIGTSTP);
    ck_assert_int_eq(waitpid(session.pid, &status, WUNTRACED), session.pid);
    ck_assert(WIFSTOPPED(status));
    check_restored(&session);
    kill(session.pid, SIGCONT);
    wait_for_raw(&session);
    send(&session, "z");
    expect(&session, "z");
    send(&session, "q");
    finish(&session, 1);
}
END_TEST

/* As a shell does: SIGSTOP cannot be caught, so the program has not given the terminal back. */
START_TEST(a_halted_program_takes_the_terminal_again)
{
    struct session session;
    int status;
    start(&session, ECHO_GUEST);
    kill(session.pid, SIGSTOP);
    ck_assert_int_eq(waitpid(session.pid, &status, WUNTRACED), session.pid);
    ck_assert_int_eq(tcsetattr(session.fd, TCSANOW, &session.before), 0);
    kill(session.pid, SIGCONT);
    wait_for_raw(&session);
    send(&session, "z");
    expect(&session, "z");
    send(&session, "q");
    finish(&session, 1);
}
END_TEST

static void resize(const struct session *session, unsigned columns, unsigned rows)
{
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    ck_assert_int_eq(ioctl(session->fd, TIOCSWINSZ, &size), 0);
}

START_TEST(a_console_has_the_size_of_the_window)
{
    struct session session;
    start(&session, "run --serial none --device virtio-console,hvc=stdio,transport=mmio --flat prot32 "
                    "flat/prot32-window.bin");
    resize(&session, 132, 43);
    expect(&session, "002b0084");
    resize(&session, 80, 25);
    expect(&session, "00190050");
    resize(&session, 2, 1);
    finish(&session, 1);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_escape_key_ends_the_guest);
    test_add(suite, a_message_begins_a_line_where_one_is_open);
    test_add(suite, the_guest_gets_every_other_key);
    test_add(suite, a_key_presses_the_power_button);
    test_add(suite, a_signal_gives_the_terminal_back);
    test_add(suite, a_time_limit_gives_the_terminal_back);
    test_add(suite, a_stopped_program_lends_the_terminal_out);
    test_add(suite, a_halted_program_takes_the_terminal_again);
    test_add(suite, a_console_has_the_size_of_the_window);
}
