/* SPDX-License-Identifier: MIT
 *
 * Console backends over descriptors and files: batching, slow, hung and closed readers, input, the escape
 * key. Pseudo-terminals and sockets are in char_peer_test.c.
 */
#include "devices/char/char_backend.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/devices/char_fixture.h"

#define PIPE_BYTES 65536 /* at most, unless it is changed */

static int to_guest[2], from_guest[2];

static void set_up_pipes(bool escape)
{
    fixture_set_up();
    ck_assert_int_eq(pipe2(to_guest, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from_guest, O_CLOEXEC), 0);
    fcntl(from_guest[0], F_SETFL, O_NONBLOCK);
    fixture_create(&(struct char_config){.kind = CHAR_DESCRIPTORS,
                                         .in_fd = to_guest[0],
                                         .out_fd = from_guest[1],
                                         .escape = escape,
                                         .on_escape = fixture_escape});
}

static void tear_down_pipes(void)
{
    fixture_tear_down();
    for (int i = 0; i < 2; i++) {
        if (to_guest[i] >= 0)
            close(to_guest[i]);
        if (from_guest[i] >= 0)
            close(from_guest[i]);
    }
}

/* What is in the pipe now. */
static const char *output(void)
{
    static char text[200];
    ssize_t len = read(from_guest[0], text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = 0;
    return text;
}

START_TEST(a_line_is_written_when_it_ends)
{
    set_up_pipes(false);
    event_loop_stop(fixture.loop); /* so that no flush interferes */
    put("a li");
    put("ne");
    ck_assert_str_eq(output(), "");
    put("\n");
    ck_assert_str_eq(output(), "a line\n");
    put("two\nand a half");
    ck_assert_str_eq(output(), "two\nand a half");
    tear_down_pipes();
}
END_TEST

/* For a message of somebody else's in the same place. */
START_TEST(an_open_line_is_told_once)
{
    set_up_pipes(false);
    put("waits for its end");
    char_backend_flush(fixture.backend);
    ck_assert(char_backend_break_line(fixture.backend));
    ck_assert(!char_backend_break_line(fixture.backend));
    put("\r");
    char_backend_flush(fixture.backend);
    ck_assert(!char_backend_break_line(fixture.backend));
    put("more\r");
    char_backend_flush(fixture.backend);
    ck_assert(char_backend_break_line(fixture.backend));
    put("more\n\r");
    char_backend_flush(fixture.backend);
    ck_assert(!char_backend_break_line(fixture.backend));
    tear_down_pipes();
}
END_TEST

START_TEST(a_line_without_an_end_is_written_soon)
{
    set_up_pipes(false);
    for (int i = 0; i < 3; i++) {
        put("login: ");
        ck_assert_str_eq(fixture_read(from_guest[0], 7), "login: ");
    }
    tear_down_pipes();
}
END_TEST

START_TEST(many_bytes_are_written_without_a_line)
{
    char byte[CHAR_BATCH_BYTES];
    set_up_pipes(false);
    event_loop_stop(fixture.loop);
    for (unsigned i = 0; i < CHAR_BATCH_BYTES - 1; i++)
        put("x");
    ck_assert_str_eq(output(), "");
    put("x");
    ck_assert_int_eq(read(from_guest[0], byte, sizeof(byte)), CHAR_BATCH_BYTES);
    tear_down_pipes();
}
END_TEST

START_TEST(flush_and_destroy_write_what_is_left)
{
    set_up_pipes(false);
    event_loop_stop(fixture.loop);
    put("one");
    char_backend_flush(fixture.backend);
    ck_assert_str_eq(output(), "one");
    put("two");
    fixture_destroy_backend();
    ck_assert_str_eq(output(), "two");
    tear_down_pipes();
}
END_TEST

START_TEST(without_a_loop_every_byte_is_written_at_once)
{
    struct char_backend *backend;
    ck_assert_int_eq(pipe2(from_guest, O_CLOEXEC | O_NONBLOCK), 0);
    struct char_config config = {.kind = CHAR_DESCRIPTORS, .in_fd = -1, .out_fd = from_guest[1]};
    ck_assert_int_eq(char_backend_create(&config, &backend, NULL), 0);
    char_backend_write(backend, "x", 1);
    ck_assert_str_eq(output(), "x");
    char byte;
    ck_assert_uint_eq(char_backend_read(backend, &byte, 1), 0);
    char_backend_destroy(backend);
}
END_TEST

/* A thread that reads a little at a time until the pipe's end. */
struct slow_reader {
    pthread_t thread;
    size_t len;
    bool wrong;
};

static void *slow_reader_main(void *context)
{
    struct slow_reader *reader = context;
    unsigned char bytes[3000];
    fcntl(from_guest[0], F_SETFL, 0);
    for (;;) {
        ssize_t len = read(from_guest[0], bytes, sizeof(bytes));
        if (len <= 0)
            return NULL;
        for (ssize_t i = 0; i < len; i++)
            reader->wrong |= bytes[i] != (unsigned char)(reader->len++ % 251);
        usleep(1000);
    }
}

START_TEST(a_slow_reader_loses_nothing)
{
    struct slow_reader reader = {0};
    const size_t total = 1 << 20;
    set_up_pipes(false);
    ck_assert_int_eq(pthread_create(&reader.thread, NULL, slow_reader_main, &reader), 0);
    for (size_t i = 0; i < total; i++)
        char_backend_write(fixture.backend, &(unsigned char){(unsigned char)(i % 251)}, 1);
    fixture_destroy_backend();
    close(from_guest[1]);
    from_guest[1] = -1;
    pthread_join(reader.thread, NULL);
    ck_assert_uint_eq(reader.len, total);
    ck_assert(!reader.wrong);
    ck_assert_uint_eq(fixture.counts.output_bytes, total);
    ck_assert_uint_eq(fixture.counts.output_dropped, 0);
    tear_down_pipes();
}
END_TEST

static void put_many(size_t len)
{
    static const char line[101] = "123456789012345678901234567890123456789012345678901234567890"
                                  "123456789012345678901234567890123456789\n";
    for (; len >= 100; len -= 100)
        char_backend_write(fixture.backend, line, 100);
}

START_TEST(a_hung_reader_costs_a_second_once)
{
    set_up_pipes(false);
    uint64_t start_ns = clock_now_ns();
    put_many(300000);
    uint64_t first_ns = clock_now_ns() - start_ns;
    put_many(300000);
    uint64_t second_ns = clock_now_ns() - start_ns - first_ns;
    ck_assert_uint_ge(first_ns, CHAR_STALL_MS * 1000000ull);
    ck_assert_uint_lt(first_ns, 3 * CHAR_STALL_MS * 1000000ull);
    ck_assert_uint_lt(second_ns, CHAR_STALL_MS * 500000ull);
    struct char_counts counts = char_backend_counts(fixture.backend);
    ck_assert_uint_gt(counts.output_dropped, 400000);
    ck_assert_uint_eq(counts.output_bytes + counts.output_dropped, 600000 - CHAR_OUTPUT_BYTES);
    /* the flush at the end does not wait for it again */
    start_ns = clock_now_ns();
    char_backend_flush(fixture.backend);
    ck_assert_uint_lt(clock_now_ns() - start_ns, CHAR_STALL_MS * 500000ull);
    tear_down_pipes();
}
END_TEST

START_TEST(a_hung_reader_that_reads_again_gets_what_was_kept)
{
    char bytes[1000];
    set_up_pipes(false);
    put_many(300000);
    size_t kept = 300000 - char_backend_counts(fixture.backend).output_dropped;
    ck_assert_uint_gt(kept, CHAR_OUTPUT_BYTES);
    for (size_t len = 0; len < kept;) {
        ssize_t got = read(from_guest[0], bytes, sizeof(bytes));
        if (got > 0)
            len += (size_t)got;
        else
            usleep(1000);
    }
    ck_assert_str_eq(output(), "");
    put("back\n");
    ck_assert_str_eq(fixture_read(from_guest[0], 5), "back\n");
    /* and is waited for as before */
    struct slow_reader reader = {0};
    uint64_t dropped = char_backend_counts(fixture.backend).output_dropped;
    ck_assert_int_eq(pthread_create(&reader.thread, NULL, slow_reader_main, &reader), 0);
    put_many(500000);
    fixture_destroy_backend();
    close(from_guest[1]);
    from_guest[1] = -1;
    pthread_join(reader.thread, NULL);
    ck_assert_uint_eq(reader.len, 500000);
    ck_assert_uint_eq(fixture.counts.output_dropped, dropped);
    tear_down_pipes();
}
END_TEST

START_TEST(a_closed_reader_is_no_harm)
{
    set_up_pipes(false);
    close(from_guest[0]);
    from_guest[0] = -1;
    uint64_t start_ns = clock_now_ns();
    put_many(1000000); /* neither SIGPIPE nor a wait */
    char_backend_flush(fixture.backend);
    ck_assert_uint_lt(clock_now_ns() - start_ns, CHAR_STALL_MS * 1000000ull);
    ck_assert_uint_eq(char_backend_counts(fixture.backend).output_dropped, 1000000);
    tear_down_pipes();
}
END_TEST

START_TEST(no_output_descriptor_counts_as_dropped)
{
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_DESCRIPTORS, .in_fd = -1, .out_fd = -1});
    put_many(200000);
    ck_assert_uint_eq(char_backend_counts(fixture.backend).output_dropped, 200000);
    fixture_tear_down();
}
END_TEST

START_TEST(none_swallows_everything)
{
    char byte;
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_NONE});
    put_many(200000);
    ck_assert_uint_eq(char_backend_read(fixture.backend, &byte, 1), 0);
    ck_assert_ptr_null(char_backend_name(fixture.backend));
    fixture_tear_down();
    char_backend_destroy(NULL);
}
END_TEST

START_TEST(a_file_is_made_and_cut)
{
    char path[] = "/tmp/vmm-char-XXXXXX", text[100] = "";
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "what was before", 15), 15);
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_FILE, .path = path});
    put("line\npart");
    fixture_tear_down();
    ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 9);
    ck_assert_str_eq(text, "line\npart");
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(a_file_that_cannot_be_made_is_refused_with_a_reason)
{
    static const struct {
        const char *path, *message;
    } rows[] = {
        {"/", "console file /: cannot create: Is a directory"},
        {"/nowhere/x", "console file /nowhere/x: cannot create: No such file or directory"},
        {"", "console file : cannot create: No such file or directory"},
    };
    struct vmm_error error;
    fixture_set_up();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct char_config config = {.kind = CHAR_FILE, .path = rows[i].path, .loop = fixture.loop};
        ck_assert_int_lt(char_backend_create(&config, &fixture.backend, &error), 0);
        ck_assert_str_eq(error.message, rows[i].message);
    }
    event_loop_destroy(fixture.loop);
}
END_TEST

START_TEST(a_full_disk_drops_and_goes_on)
{
    if (access("/dev/full", W_OK))
        test_skip("no /dev/full here");
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_FILE, .path = "/dev/full"});
    put_many(200000);
    ck_assert_uint_eq(char_backend_counts(fixture.backend).output_dropped, 200000);
    fixture_tear_down();
}
END_TEST

/* Input */

static void feed(const char *bytes, size_t len)
{
    ck_assert_int_eq(write(to_guest[1], bytes, len), (ssize_t)len);
}

START_TEST(input_is_looked_for_when_asked)
{
    char byte;
    set_up_pipes(false);
    feed("abc", 3);
    usleep(20000);
    ck_assert_int_eq(fixture_calls(), 0);
    ck_assert_uint_eq(char_backend_counts(fixture.backend).input_bytes, 0);
    char_backend_read(fixture.backend, &byte, 0);
    ck_assert_str_eq(fixture_input(3), "abc");
    fixture_wait(&fixture.calls, 1); /* told after the bytes are there */
    ck_assert_int_eq(fixture_calls(), 1);
    feed("def", 3);
    ck_assert_str_eq(fixture_input(3), "def");
    tear_down_pipes();
}
END_TEST

START_TEST(the_end_of_input_is_quiet)
{
    char byte;
    set_up_pipes(false);
    char_backend_read(fixture.backend, &byte, 0);
    feed("abc", 3);
    close(to_guest[1]);
    to_guest[1] = -1;
    ck_assert_str_eq(fixture_input(3), "abc");
    uint64_t start = fixture_cpu_ns();
    usleep(100000);
    ck_assert_uint_lt(fixture_cpu_ns() - start, 20000000); /* nobody spins on the hang-up */
    ck_assert_uint_eq(char_backend_read(fixture.backend, &byte, 1), 0);
    tear_down_pipes();
}
END_TEST

START_TEST(a_file_as_input_is_read_directly)
{
    char path[] = "/tmp/vmm-char-XXXXXX";
    static char text[10001], got[20000];
    for (int i = 0; i < 10000; i++)
        text[i] = (char)('0' + i % 10);
    int fd = mkstemp(path);
    unlink(path);
    ck_assert_int_eq(pwrite(fd, text, 10000, 0), 10000);
    fixture_set_up();
    fixture_create(&(struct char_config){.kind = CHAR_DESCRIPTORS, .in_fd = fd, .out_fd = -1});
    size_t len = 0;
    for (size_t taken = 1; taken; len += taken)
        taken = char_backend_read(fixture.backend, got + len, 16);
    ck_assert_uint_eq(len, 10000);
    ck_assert_str_eq(got, text);
    fixture_tear_down();
    close(fd);
}
END_TEST

START_TEST(odd_descriptors_as_input_are_like_an_empty_one)
{
    int fds[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), open("/", O_RDONLY | O_CLOEXEC), 12345};
    char byte;
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fixture_set_up();
        fixture_create(&(struct char_config){.kind = CHAR_DESCRIPTORS, .in_fd = fds[i], .out_fd = -1});
        for (int j = 0; j < 3; j++)
            ck_assert_uint_eq(char_backend_read(fixture.backend, &byte, 1), 0);
        fixture_tear_down();
        close(fds[i]);
    }
}
END_TEST

START_TEST(a_sender_is_held_back)
{
    static unsigned char sent[400000], got[400000];
    size_t sent_len = 0, got_len = 0;
    set_up_pipes(false);
    fcntl(to_guest[1], F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (unsigned char)(i % 251);
    char_backend_read(fixture.backend, got, 0);
    /* until nothing more fits for a while: the backend's buffer and the pipe are full */
    for (int quiet = 0; quiet < 50;) {
        ssize_t len = write(to_guest[1], sent + sent_len, sizeof(sent) - sent_len);
        quiet = len > 0 ? 0 : quiet + 1;
        sent_len += len > 0 ? (size_t)len : 0;
        usleep(1000);
    }
    ck_assert_uint_eq(char_backend_counts(fixture.backend).input_bytes, CHAR_INPUT_BYTES);
    ck_assert_uint_le(sent_len, CHAR_INPUT_BYTES + PIPE_BYTES);
    while (got_len < sizeof(sent)) {
        got_len += char_backend_read(fixture.backend, got + got_len, sizeof(got) - got_len);
        ssize_t len = write(to_guest[1], sent + sent_len, sizeof(sent) - sent_len);
        sent_len += len > 0 ? (size_t)len : 0;
    }
    ck_assert_mem_eq(got, sent, sizeof(sent));
    ck_assert_uint_eq(char_backend_counts(fixture.backend).input_dropped, 0);
    tear_down_pipes();
}
END_TEST

START_TEST(the_escape_key)
{
    set_up_pipes(true);
    feed("a\1\1bc", 5);
    ck_assert_str_eq(fixture_input(4), "a\1bc");
    ck_assert_int_eq(fixture_breaks() + fixture_escapes(), 0);
    feed("\1", 1);
    feed("b", 1); /* may come alone */
    fixture_wait(&fixture.breaks, 1);
    feed("\1z", 2); /* is no command: here they are */
    ck_assert_str_eq(fixture_read(from_guest[0], 8), "\r\nCtrl-A");
    ck_assert_int_eq(fixture_escapes(), 0);
    feed("\1\30", 2); /* with Ctrl still held */
    fixture_wait(&fixture.escapes, 1);
    ck_assert_uint_eq(char_backend_counts(fixture.backend).input_bytes, 4);
    tear_down_pipes();
}
END_TEST

START_TEST(without_escape_the_key_is_a_byte)
{
    char byte;
    set_up_pipes(false);
    char_backend_read(fixture.backend, &byte, 0);
    feed("\1x\1b", 4);
    ck_assert_str_eq(fixture_input(4), "\1x\1b");
    ck_assert_int_eq(fixture_breaks() + fixture_escapes(), 0);
    tear_down_pipes();
}
END_TEST

START_TEST(the_escape_key_works_when_the_guest_reads_nothing)
{
    static char flood[3 * CHAR_INPUT_BYTES];
    memset(flood, 'x', sizeof(flood));
    set_up_pipes(true);
    feed(flood, sizeof(flood));
    feed("\1x", 2);
    fixture_wait(&fixture.escapes, 1);
    struct char_counts counts = char_backend_counts(fixture.backend);
    ck_assert_uint_eq(counts.input_bytes, CHAR_INPUT_BYTES);
    ck_assert_uint_eq(counts.input_dropped, 2 * CHAR_INPUT_BYTES);
    tear_down_pipes();
}
END_TEST

START_TEST(a_detached_front_end_is_not_called)
{
    set_up_pipes(true);
    feed("a", 1);
    fixture_wait(&fixture.calls, 1);
    char_backend_attach(fixture.backend, NULL);
    feed("b\1b", 3);
    for (int i = 0; i < 5000 && char_backend_counts(fixture.backend).input_bytes < 2; i++)
        usleep(1000);
    ck_assert_int_eq(fixture_calls(), 1);
    ck_assert_int_eq(fixture_breaks(), 0);
    ck_assert_str_eq(fixture_input(2), "ab");
    tear_down_pipes();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_line_is_written_when_it_ends);
    test_add(suite, an_open_line_is_told_once);
    test_add(suite, a_line_without_an_end_is_written_soon);
    test_add(suite, many_bytes_are_written_without_a_line);
    test_add(suite, flush_and_destroy_write_what_is_left);
    test_add(suite, without_a_loop_every_byte_is_written_at_once);
    test_add(suite, a_slow_reader_loses_nothing);
    test_add(suite, a_hung_reader_costs_a_second_once);
    test_add(suite, a_hung_reader_that_reads_again_gets_what_was_kept);
    test_add(suite, a_closed_reader_is_no_harm);
    test_add(suite, no_output_descriptor_counts_as_dropped);
    test_add(suite, none_swallows_everything);
    test_add(suite, a_file_is_made_and_cut);
    test_add(suite, a_file_that_cannot_be_made_is_refused_with_a_reason);
    test_add(suite, a_full_disk_drops_and_goes_on);
    test_add(suite, input_is_looked_for_when_asked);
    test_add(suite, the_end_of_input_is_quiet);
    test_add(suite, a_file_as_input_is_read_directly);
    test_add(suite, odd_descriptors_as_input_are_like_an_empty_one);
    test_add(suite, a_sender_is_held_back);
    test_add(suite, the_escape_key);
    test_add(suite, without_escape_the_key_is_a_byte);
    test_add(suite, the_escape_key_works_when_the_guest_reads_nothing);
    test_add(suite, a_detached_front_end_is_not_called);
}
