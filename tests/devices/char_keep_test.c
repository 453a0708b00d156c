/* SPDX-License-Identifier: MIT
 *
 * Console backends of a guest that is started again: what their peers see is one console.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/devices/char_fixture.h"

/* The guest is started again: another backend goes on with the first one's peer. */
static void start_again(struct char_config *config)
{
    fixture_destroy_backend();
    fixture_create(config);
}

START_TEST(a_kept_pty_stays_the_same)
{
    struct char_peer peer = {0};
    struct char_config config = {.kind = CHAR_PTY, .peer = &peer};
    char name[64];
    fixture_set_up();
    fixture_create(&config);
    snprintf(name, sizeof(name), "%s", char_backend_name(fixture.backend));
    int fd = open(name, O_RDWR | O_NOCTTY);
    put("one\n");
    ck_assert_str_eq(fixture_read(fd, 4), "one\n");
    look_for_input();
    send_text(fd, "taken");
    ck_assert_str_eq(fixture_input(2), "ta"); /* the rest has been read, and waits */
    fixture_destroy_backend();
    send_text(fd, " later");
    fixture_create(&config);
    ck_assert_str_eq(char_backend_name(fixture.backend), name);
    put("two\n");
    ck_assert_str_eq(fixture_read(fd, 4), "two\n");
    look_for_input();
    ck_assert_str_eq(fixture_input(9), "ken later");
    fixture_tear_down();
    char_peer_fini(&peer);
    ck_assert_int_lt(open(name, O_RDWR | O_NOCTTY), 0);
    close(fd);
}
END_TEST

START_TEST(a_kept_socket_keeps_its_client)
{
    char folder[] = "/tmp/vmm-keep-XXXXXX", path[40];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    struct char_peer peer = {0};
    struct char_config config = {.kind = CHAR_SOCKET, .path = path, .peer = &peer};
    fixture_set_up();
    fixture_create(&config);
    start_again(&config); /* nobody there yet */
    look_for_input();
    int client = connect_to(path);
    put("one\n");
    ck_assert_str_eq(fixture_read(client, 4), "one\n");
    start_again(&config);
    put("two\n");
    ck_assert_str_eq(fixture_read(client, 4), "two\n");
    send_text(client, "typed");
    look_for_input();
    ck_assert_str_eq(fixture_input(5), "typed");
    close(client); /* and the next one is accepted */
    client = connect_to(path);
    put("three\n");
    ck_assert_str_eq(fixture_read(client, 6), "three\n");
    fixture_tear_down();
    ck_assert_int_eq(access(path, F_OK), 0);
    char_peer_fini(&peer);
    ck_assert_int_eq(rmdir(folder), 0); /* it has removed its socket */
    close(client);
}
END_TEST

/* As a pipe that feeds a guest's shell: what was read ahead is not lost. */
START_TEST(kept_descriptors_keep_input_that_was_read)
{
    struct char_peer peer = {0};
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    struct char_config config = {.kind = CHAR_DESCRIPTORS, .in_fd = pipe_fds[0], .out_fd = -1, .peer = &peer};
    fixture_set_up();
    fixture_create(&config);
    look_for_input();
    send_text(pipe_fds[1], "reboot\nlogin\n");
    ck_assert_str_eq(fixture_input(7), "reboot\n");
    start_again(&config);
    look_for_input();
    ck_assert_str_eq(fixture_input(6), "login\n");
    fixture_tear_down();
    char_peer_fini(&peer);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_kept_pty_stays_the_same);
    test_add(suite, a_kept_socket_keeps_its_client);
    test_add(suite, kept_descriptors_keep_input_that_was_read);
}
