/* SPDX-License-Identifier: MIT
 *
 * Traced machines as a user of libvmm has them: the counts, several machines at once, refused configurations.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/trace_file.h"
#include "tests/api/guests.h"

/* out 0x80, al; debug exit */
#define TWO_WRITES "\xe6\x80" DEBUG_EXIT("\x05")

static void make_path(char path[])
{
    strcpy(path, "/tmp/vmm-trace-XXXXXX");
    close(mkstemp(path));
}

static struct vmm *traced_guest(const char *path, const char *code, size_t len)
{
    const struct vmm_trace_config config = {.path = path};
    struct vmm_error error;
    struct vmm *machine = guest_create(NULL, code, len);
    int result = vmm_add_trace(machine, &config, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    return machine;
}

static unsigned count_events(const char *path, enum trace_event event, uint64_t address)
{
    struct trace_file *file;
    unsigned count = 0;
    ck_assert_int_eq(trace_file_open(path, &file, NULL), 0);
    ck_assert_str_eq(file->damage, "");
    for (size_t i = 0; i < file->item_count; i++)
        count += file->items[i].record.event == event && file->items[i].record.address == address;
    trace_file_destroy(file);
    return count;
}

START_TEST(a_trace_counts_and_is_complete)
{
    test_need_kvm();
    char path[32];
    struct vmm_trace_stats stats;
    make_path(path);
    struct vmm *machine = traced_guest(path, TWO_WRITES, 6);
    vmm_trace_stats_get(machine, &stats);
    ck_assert_uint_eq(stats.recorded_count, 0);
    ck_assert_uint_eq(guest_run(machine).value, 5);
    vmm_trace_stats_get(machine, &stats);
    ck_assert_uint_ge(stats.recorded_count, 5); /* an entry, two exits, two accesses */
    ck_assert_uint_eq(stats.written_count, stats.recorded_count);
    ck_assert_uint_eq(stats.lost_count, 0);
    vmm_destroy(machine);
    ck_assert_uint_eq(count_events(path, TRACE_EXIT, 0x80), 1);
    ck_assert_uint_eq(count_events(path, TRACE_PIO, 0x80), 1);
    ck_assert_uint_eq(count_events(path, TRACE_EXIT, 0xf4), 1);
    unlink(path);
}
END_TEST

static void *run_traced(void *context)
{
    struct vmm *machine = context;
    guest_run(machine);
    return NULL;
}

START_TEST(machines_in_one_process_have_traces_of_their_own)
{
    test_need_kvm();
    char paths[2][32];
    struct vmm *machines[2];
    pthread_t threads[2];
    static const char other[] = "\xe6\x81\xe6\x81" DEBUG_EXIT("\x05");
    for (unsigned i = 0; i < 2; i++)
        make_path(paths[i]);
    machines[0] = traced_guest(paths[0], TWO_WRITES, 6);
    machines[1] = traced_guest(paths[1], other, 8);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_traced, machines[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    /* and one that is not traced, on a thread that has run one that is */
    struct vmm *plain = guest_create(NULL, TWO_WRITES, 6);
    ck_assert_uint_eq(guest_run(plain).value, 5);
    vmm_destroy(plain);
    for (unsigned i = 0; i < 2; i++)
        vmm_destroy(machines[i]);
    ck_assert_uint_eq(count_events(paths[0], TRACE_PIO, 0x80), 1);
    ck_assert_uint_eq(count_events(paths[0], TRACE_PIO, 0x81), 0);
    ck_assert_uint_eq(count_events(paths[1], TRACE_PIO, 0x80), 0);
    ck_assert_uint_eq(count_events(paths[1], TRACE_PIO, 0x81), 2);
    for (unsigned i = 0; i < 2; i++)
        unlink(paths[i]);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    test_need_kvm();
    static const struct vmm_trace_buffer unknown = {.events = "exit,nothing"}, bad = {.filter = "addr >"},
                                         mode = {.mode = 17}, snapshot = {.mode = VMM_TRACE_SNAPSHOT};
    static const struct {
        struct vmm_trace_config config;
        int code;
        const char *message;
    } cases[] = {
        {{.path = NULL}, -EINVAL, "which file?"},
        {{.path = "/no/such/file"}, -ENOENT, "/no/such/file: cannot open it for the trace"},
        {{.path = "/dev/null", .buffers = &unknown, .buffer_count = 1}, -EINVAL, "no event 'nothing'"},
        {{.path = "/dev/null", .buffers = &bad, .buffer_count = 1}, -EINVAL, "column 7"},
        {{.path = "/dev/null", .buffers = &mode, .buffer_count = 1}, -EINVAL, "there is no mode 17"},
        {{.path = "/dev/null", .buffers = &mode, .buffer_count = 9}, -EINVAL, "9 buffers are more than 8"},
        {{.path = "/dev/null", .trigger = "snapshot if"}, -EINVAL, "column"},
        {{.path = "/dev/null", .buffers = &snapshot, .buffer_count = 1},
         -EINVAL,
         "main: mode snapshot, and no"},
    };
    struct vmm *machine = guest_create(NULL, TWO_WRITES, 6);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct vmm_error error;
        ck_assert_int_eq(vmm_add_trace(machine, &cases[i].config, &error), cases[i].code);
        ck_assert_msg(strstr(error.message, cases[i].message), "%s", error.message);
    }
    const struct vmm_trace_config config = {.path = "/dev/null"};
    ck_assert_int_eq(vmm_add_trace(machine, &config, NULL), 0);
    ck_assert_int_eq(vmm_add_trace(machine, &config, NULL), -EEXIST);
    ck_assert_uint_eq(guest_run(machine).value, 5);
    vmm_destroy(machine);
}
END_TEST

START_TEST(a_machine_that_never_ran_leaves_an_ended_file)
{
    test_need_kvm();
    char path[32];
    make_path(path);
    vmm_destroy(traced_guest(path, TWO_WRITES, 6));
    ck_assert_uint_eq(count_events(path, TRACE_EXIT, 0x80), 0);
    unlink(path);
}
END_TEST

START_TEST(a_machine_left_to_the_exit_leaves_whole_files)
{
    test_need_kvm();
    char path[32], console[40];
    make_path(path);
    snprintf(console, sizeof(console), "%s.socket", path);
    const struct vmm_serial_config serial = {.kind = VMM_SERIAL_SOCKET, .path = console};
    struct vmm *machine = traced_guest(path, TWO_WRITES, 6);
    ck_assert_int_eq(vmm_add_serial(machine, &serial, NULL), 0);
    ck_assert_uint_eq(guest_run(machine).value, 5);
    ck_assert_int_eq(access(console, F_OK), 0);
    vmm_destroy_at_exit(machine);
    ck_assert_uint_eq(count_events(path, TRACE_EXIT, 0x80), 1);
    ck_assert_int_ne(access(console, F_OK), 0);
    machine = guest_create(NULL, TWO_WRITES, 6); /* which nothing that was left stands in the way of */
    ck_assert_uint_eq(guest_run(machine).value, 5);
    vmm_destroy(machine);
    vmm_destroy_at_exit(NULL);
    unlink(path);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_machine_left_to_the_exit_leaves_whole_files);
    test_add(suite, a_trace_counts_and_is_complete);
    test_add(suite, machines_in_one_process_have_traces_of_their_own);
    test_add(suite, what_makes_no_sense_is_refused);
    test_add(suite, a_machine_that_never_ran_leaves_an_ended_file);
}
