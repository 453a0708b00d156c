/* SPDX-License-Identifier: MIT
 *
 * Console backends with a peer that comes and goes: the pseudo-terminal and the unix socket.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/devices/char_fixture.h"

START_TEST(a_pty_is_raw_and_carries_bytes_both_ways)
{
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_PTY});
    const char *name = char_backend_name(fixture.backend);
    ck_assert_ptr_nonnull(name);
    ck_assert_int_eq(strncmp(name, "/dev/pts/", 9), 0);
    int fd = open(name, O_RDWR | O_NOCTTY);
    ck_assert_int_ge(fd, 0);
    look_for_input();
    put("a\r\nb\n");
    ck_assert_str_eq(fixture_read(fd, 5), "a\r\nb\n");
    send_text(fd, "x\r\3\4\n");
    ck_assert_str_eq(fixture_input(5), "x\r\3\4\n");
    put("\n"); /* and what came in was not sent back */
    ck_assert_str_eq(fixture_read(fd, 1), "\n");
    close(fd);
    fixture_tear_down();
}
END_TEST

START_TEST(a_pty_reader_may_come_late_and_leave_and_come_back)
{
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_PTY});
    look_for_input();
    put("early\n");
    for (int i = 0; i < 3; i++) {
        int fd = open(char_backend_name(fixture.backend), O_RDWR | O_NOCTTY);
        ck_assert_str_eq(fixture_read(fd, 6), i ? "again\n" : "early\n");
        send_text(fd, "hello");
        ck_assert_str_eq(fixture_input(5), "hello");
        close(fd);
        put("again\n");
    }
    uint64_t start = fixture_cpu_ns();
    usleep(100000);
    ck_assert_uint_lt(fixture_cpu_ns() - start, 20000000);
    fixture_tear_down();
}
END_TEST

START_TEST(a_pty_that_nobody_reads_is_a_hung_reader)
{
    static char block[10000];
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_PTY});
    uint64_t start_ns = clock_now_ns();
    for (int i = 0; i < 100; i++)
        char_backend_write(fixture.backend, block, sizeof(block));
    ck_assert_uint_lt(clock_now_ns() - start_ns, 4 * CHAR_STALL_MS * 1000000ull);
    ck_assert_uint_gt(char_backend_counts(fixture.backend).output_dropped, 0);
    fixture_tear_down();
}
END_TEST

/* The program's own terminal: a pseudo-terminal whose other end is the descriptor for both ways. */
static int terminal_master, terminal;

static void set_up_terminal(void)
{
    char name[64];
    terminal_master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_eq(grantpt(terminal_master), 0);
    ck_assert_int_eq(unlockpt(terminal_master), 0);
    ck_assert_int_eq(ptsname_r(terminal_master, name, sizeof(name)), 0);
    terminal = open(name, O_RDWR | O_NOCTTY);
    ck_assert_int_ge(terminal, 0);
    struct termios mode;
    ck_assert_int_eq(tcgetattr(terminal, &mode), 0);
    cfmakeraw(&mode);
    ck_assert_int_eq(tcsetattr(terminal, TCSANOW, &mode), 0);
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_DESCRIPTORS,
                                         .in_fd = terminal,
                                         .out_fd = terminal,
                                         .escape = true,
                                         .on_escape = fixture_escape});
}

static void tear_down_terminal(void)
{
    fixture_tear_down();
    close(terminal);
    close(terminal_master);
}

START_TEST(a_terminal_is_used_and_left_as_it_was)
{
    set_up_terminal();
    send_text(terminal_master, "hello");
    ck_assert_str_eq(fixture_input(5), "hello");
    put("welcome\n");
    ck_assert_str_eq(fixture_read(terminal_master, 8), "welcome\n");
    send_text(terminal_master, "\1x");
    fixture_wait(&fixture.escapes, 1);
    ck_assert_int_eq(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0);
    fixture_destroy_backend();
    ck_assert_int_eq(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0);
    tear_down_terminal();
}
END_TEST

START_TEST(a_stopped_terminal_is_a_hung_reader_and_the_escape_key_works)
{
    static char block[10000];
    set_up_terminal();
    for (int i = 0; i < 100; i++)
        char_backend_write(fixture.backend, block, sizeof(block));
    ck_assert_uint_gt(char_backend_counts(fixture.backend).output_dropped, 0);
    send_text(terminal_master, "\1x");
    fixture_wait(&fixture.escapes, 1);
    tear_down_terminal();
}
END_TEST

/* Sockets */

static char directory[] = "/tmp/vmm-char-XXXXXX";
static char path[100];

static void set_up_socket(void)
{
    fixture_set_up();
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/console", directory);
    fixture_create(&(struct char_config){.kind = CHAR_SOCKET, .path = path});
    look_for_input();
}

static void tear_down_socket(void)
{
    fixture_tear_down();
    ck_assert_int_eq(access(path, F_OK), -1); /* it has removed its socket */
    ck_assert_int_eq(rmdir(directory), 0);
}

START_TEST(a_client_reads_and_writes)
{
    set_up_socket();
    ck_assert_str_eq(char_backend_name(fixture.backend), path);
    int fd = connect_to(path);
    send_text(fd, "hello");
    ck_assert_str_eq(fixture_input(5), "hello");
    put("welcome\n");
    ck_assert_str_eq(fixture_read(fd, 8), "welcome\n");
    put("login: ");
    ck_assert_str_eq(fixture_read(fd, 7), "login: ");
    close(fd);
    tear_down_socket();
}
END_TEST

START_TEST(output_waits_for_a_client)
{
    set_up_socket();
    put("early\n");
    put("and part");
    int fd = connect_to(path);
    ck_assert_str_eq(fixture_read(fd, 14), "early\nand part");
    close(fd);
    tear_down_socket();
}
END_TEST

START_TEST(without_a_client_nothing_waits_and_the_rest_is_dropped)
{
    static char block[CHAR_OUTPUT_BYTES];
    set_up_socket();
    uint64_t start_ns = clock_now_ns();
    for (int i = 0; i < 5; i++)
        char_backend_write(fixture.backend, block, sizeof(block));
    char_backend_flush(fixture.backend);
    ck_assert_uint_lt(clock_now_ns() - start_ns, CHAR_STALL_MS * 500000ull);
    ck_assert_uint_eq(char_backend_counts(fixture.backend).output_dropped, 4 * sizeof(block));
    tear_down_socket();
}
END_TEST

START_TEST(clients_come_one_after_the_other)
{
    set_up_socket();
    for (int i = 0; i < 5; i++) {
        int fd = connect_to(path);
        send_text(fd, "hello");
        ck_assert_str_eq(fixture_input(5), "hello");
        put("x\n");
        ck_assert_str_eq(fixture_read(fd, 2), "x\n");
        close(fd);
    }
    tear_down_socket();
}
END_TEST

START_TEST(a_second_client_waits_for_the_first_to_leave)
{
    set_up_socket();
    int first = connect_to(path), second = connect_to(path);
    send_text(second, "second");
    send_text(first, "first");
    ck_assert_str_eq(fixture_input(5), "first");
    usleep(20000);
    char byte;
    ck_assert_uint_eq(char_backend_read(fixture.backend, &byte, 1), 0);
    close(first);
    ck_assert_str_eq(fixture_input(6), "second");
    put("hello\n");
    ck_assert_str_eq(fixture_read(second, 6), "hello\n");
    close(second);
    tear_down_socket();
}
END_TEST

START_TEST(a_client_that_only_stops_sending_still_reads)
{
    set_up_socket();
    int fd = connect_to(path);
    send_text(fd, "commands");
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert_str_eq(fixture_input(8), "commands");
    usleep(20000);
    uint64_t start = fixture_cpu_ns();
    usleep(100000);
    ck_assert_uint_lt(fixture_cpu_ns() - start, 20000000);
    put("answer\n");
    ck_assert_str_eq(fixture_read(fd, 7), "answer\n");
    close(fd);
    fd = connect_to(path);
    send_text(fd, "next");
    ck_assert_str_eq(fixture_input(4), "next");
    close(fd);
    tear_down_socket();
}
END_TEST

START_TEST(a_client_that_hangs_and_then_leaves_is_replaced)
{
    static char block[10000];
    set_up_socket();
    int fd = connect_to(path);
    send_text(fd, "x");
    ck_assert_str_eq(fixture_input(1), "x");
    for (int i = 0; i < 100; i++) /* it reads none of this */
        char_backend_write(fixture.backend, block, sizeof(block));
    ck_assert_uint_gt(char_backend_counts(fixture.backend).output_dropped, 0);
    close(fd);
    fd = connect_to(path);
    for (size_t len = 0; len < CHAR_OUTPUT_BYTES;) { /* what was kept */
        ssize_t got = read(fd, block, sizeof(block));
        ck_assert_int_gt(got, 0);
        len += (size_t)got;
    }
    put("y\n");
    ck_assert_str_eq(fixture_read(fd, 2), "y\n");
    close(fd);
    tear_down_socket();
}
END_TEST

START_TEST(a_client_that_floods_and_leaves_is_replaced)
{
    static char block[2 * CHAR_INPUT_BYTES];
    set_up_socket();
    int fd = connect_to(path);
    ck_assert_int_eq(write(fd, block, sizeof(block)), sizeof(block));
    for (int i = 0; i < 5000 && char_backend_counts(fixture.backend).input_bytes < CHAR_INPUT_BYTES; i++)
        usleep(1000);
    close(fd);
    fd = connect_to(path);
    put("hello\n");
    ck_assert_str_eq(fixture_read(fd, 6), "hello\n");
    send_text(fd, "x");
    for (size_t len = 0; len < CHAR_INPUT_BYTES;)
        len += char_backend_read(fixture.backend, block, CHAR_INPUT_BYTES - len);
    ck_assert_str_eq(fixture_input(1), "x");
    close(fd);
    tear_down_socket();
}
END_TEST

static int second_backend(const char *where, struct vmm_error *error)
{
    struct char_backend *backend;
    struct char_config config = {.kind = CHAR_SOCKET, .path = where, .loop = fixture.loop};
    int result = char_backend_create(&config, &backend, error);
    if (!result)
        char_backend_destroy(backend);
    return result;
}

START_TEST(a_path_in_use_is_refused_and_left_alone)
{
    struct vmm_error error;
    char file[200], message[300];
    set_up_socket();
    snprintf(message, sizeof(message),
             "console socket %s: is there already, and in use or no socket: remove it, or take another path",
             path);
    ck_assert_int_eq(second_backend(path, &error), -EADDRINUSE);
    ck_assert_str_eq(error.message, message);
    snprintf(file, sizeof(file), "%s/file", directory);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(second_backend(file, &error), -EADDRINUSE);
    ck_assert_int_eq(unlink(file), 0); /* it is still there */
    int fd = connect_to(path);
    send_text(fd, "x");
    ck_assert_str_eq(fixture_input(1), "x");
    close(fd);
    tear_down_socket();
}
END_TEST

START_TEST(a_stale_socket_is_replaced)
{
    set_up_socket();
    char stale[108];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(stale, sizeof(stale), "%s/stale", directory);
    memcpy(address.sun_path, stale, sizeof(stale));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    ck_assert_int_eq(access(stale, F_OK), 0);
    ck_assert_int_eq(second_backend(stale, NULL), 0);
    tear_down_socket();
}
END_TEST

START_TEST(bad_paths_are_refused_with_a_reason)
{
    char path_of_108[109];
    struct vmm_error error;
    memset(path_of_108, 'x', 108);
    path_of_108[108] = 0;
    fixture_set_up();
    ck_assert_int_eq(second_backend(path_of_108, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "the path must have 1 to 107 bytes"));
    ck_assert_int_eq(second_backend("", &error), -EINVAL);
    ck_assert_int_eq(second_backend("/nowhere/x", &error), -ENOENT);
    ck_assert_str_eq(error.message, "console socket /nowhere/x: cannot bind: No such file or directory");
    event_loop_destroy(fixture.loop);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_pty_is_raw_and_carries_bytes_both_ways);
    test_add(suite, a_pty_reader_may_come_late_and_leave_and_come_back);
    test_add(suite, a_pty_that_nobody_reads_is_a_hung_reader);
    test_add(suite, a_terminal_is_used_and_left_as_it_was);
    test_add(suite, a_stopped_terminal_is_a_hung_reader_and_the_escape_key_works);
    test_add(suite, a_client_reads_and_writes);
    test_add(suite, output_waits_for_a_client);
    test_add(suite, without_a_client_nothing_waits_and_the_rest_is_dropped);
    test_add(suite, clients_come_one_after_the_other);
    test_add(suite, a_second_client_waits_for_the_first_to_leave);
    test_add(suite, a_client_that_only_stops_sending_still_reads);
    test_add(suite, a_client_that_hangs_and_then_leaves_is_replaced);
    test_add(suite, a_client_that_floods_and_leaves_is_replaced);
    test_add(suite, a_path_in_use_is_refused_and_left_alone);
    test_add(suite, a_stale_socket_is_replaced);
    test_add(suite, bad_paths_are_refused_with_a_reason);
}
