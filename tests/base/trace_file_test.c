/* SPDX-License-Identifier: MIT
 *
 * The file: every event comes back as it was written; a file that is cut off at any byte, or has any byte
 * changed, is read as far as it goes or refused, and says so.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/types.h"
#include "tests/base/trace_fixture.h"

static struct traced traced;

static void record_all(void)
{
    struct trace_record record = {.event = TRACE_EXIT,
                                  .duration = 0xfffffff0,
                                  .flags = TRACE_WRITE,
                                  .size = 8,
                                  .rip = 0xffffffff81000000,
                                  .address = 0xfedcba9876543210,
                                  .value = UINT64_MAX,
                                  .index = 2,
                                  .count = 4096};
    for (unsigned i = 0; i < 300; i++) { /* more than a block */
        record.time = 1000 + 10 * i;
        record.rip += i & 1 ? 0x1000000 : -0x1000000ull;
        trace_record(&record);
    }
    trace_set_irq(4, true);
    trace_msi(0xfee00000, 0x4041);
    trace_queue_kick("disk", 1);
    trace_queue_pop("disk", 1, 7, 4112);
    trace_request_issue("disk", TRACE_OPERATION_WRITE, 7, 0x10000, 4096);
    trace_request_done("disk", TRACE_OPERATION_WRITE, 7, -5);
    trace_queue_push("disk", 1, 7, 1);
    trace_queue_interrupt("disk", TRACE_QUEUE_CONFIG);
    trace_odd("net", "a descriptor points at itself", 99);
    trace_snapshot("memory", 1 << 20);
    trace_marker("hello \"world\"", 13);
}

static struct trace_file *make(void)
{
    traced_prepare(&traced, (struct trace_config){.buffers = NULL});
    trace_add_region(traced.trace, &(struct trace_region){"disk", "trap", 0xd0000000, 0x1000, 'm'});
    traced_start(&traced);
    record_all();
    return traced_end(&traced);
}

static const struct trace_record *find(const struct trace_file *file, enum trace_event event)
{
    for (size_t i = 0; i < file->item_count; i++)
        if (file->items[i].record.event == event)
            return &file->items[i].record;
    ck_abort_msg("event %d is not there", (int)event);
}

static void check_text(const struct trace_file *file, enum trace_event event, const char *expected)
{
    char text[300];
    ck_assert_str_eq(trace_describe(find(file, event), &file->names, text, sizeof(text)), expected);
}

START_TEST(every_event_comes_back)
{
    struct trace_file *file = make();
    ck_assert_uint_eq(file->item_count, 311);
    check_text(file, TRACE_EXIT,
               "exit IO write 0xfedcba9876543210, 8 bytes 0xffffffffffffffff, the first of 4096, rip "
               "0xffffffff80000000");
    check_text(file, TRACE_SET_IRQ, "set_irq gsi 4 level 1");
    check_text(file, TRACE_MSI, "msi_set_irq address 0xfee00000 data 0x4041");
    check_text(file, TRACE_QUEUE_KICK, "queue_kick disk queue 1");
    check_text(file, TRACE_QUEUE_POP, "queue_pop disk queue 1 chain 7, 4112 bytes");
    check_text(file, TRACE_REQUEST_ISSUE, "rq_issue disk write id 7, 4096 bytes at 0x10000");
    check_text(file, TRACE_REQUEST_DONE, "rq_complete disk write id 7, result -5");
    check_text(file, TRACE_QUEUE_PUSH, "queue_push disk queue 1 chain 7, 1 bytes written");
    check_text(file, TRACE_QUEUE_INTERRUPT, "queue_interrupt disk configuration");
    check_text(file, TRACE_ODD, "guest_odd a descriptor points at itself 0x63, net");
    check_text(file, TRACE_SNAPSHOT, "snapshot_step memory 0x100000");
    check_text(file, TRACE_MARKER, "marker hello \"world\"");
    ck_assert_uint_eq(find(file, TRACE_EXIT)->duration, 0xfffffff0);
    ck_assert_uint_eq(find(file, TRACE_EXIT)->time, 1000);
    ck_assert_str_eq(file->why, "the test's end");
    ck_assert_str_eq(file->tracks[0].name, "vCPU 3");
    ck_assert_int_eq(file->tracks[0].vcpu, 3);
    ck_assert_str_eq(trace_file_region(file, 'm', 0xd0000fff)->engine, "trap");
    ck_assert_ptr_null(trace_file_region(file, 'm', 0xd0001000));
    ck_assert_ptr_null(trace_file_region(file, 'p', 0xd0000000));
    trace_file_destroy(file);
}
END_TEST

/* The bytes of a file with everything in it. */
static uint8_t *load_bytes(size_t *len)
{
    traced_begin(&traced, (struct trace_config){.buffers = NULL});
    record_all();
    trace_attach(NULL);
    ck_assert_int_eq(trace_finish(traced.trace, "end", NULL), 0);
    trace_destroy(traced.trace);
    int fd = open(traced.path, O_RDONLY);
    unlink(traced.path);
    *len = (size_t)lseek(fd, 0, SEEK_END);
    uint8_t *bytes = malloc(*len);
    ck_assert_int_eq(pread(fd, bytes, *len, 0), (ssize_t)*len);
    close(fd);
    return bytes;
}

START_TEST(a_file_may_be_cut_off_anywhere)
{
    size_t len, last_count = 0;
    uint8_t *bytes = load_bytes(&len);
    for (size_t cut = 0; cut < len; cut++) {
        struct trace_file *file;
        struct vmm_error error;
        int result = trace_file_parse(bytes, cut, &file, &error);
        if (cut < 16) {
            ck_assert_int_eq(result, -EINVAL);
            ck_assert_ptr_null(file);
            continue;
        }
        ck_assert_int_eq(result, 0);
        ck_assert_msg(strstr(file->damage, "cut off"), "%zu: %s", cut, file->damage);
        ck_assert_uint_ge(file->item_count, last_count);
        last_count = file->item_count;
        trace_file_destroy(file);
    }
    ck_assert_uint_eq(last_count, 311);
    free(bytes);
}
END_TEST

START_TEST(any_changed_byte_is_noticed)
{
    size_t len;
    uint8_t *bytes = load_bytes(&len);
    for (size_t at = 0; at < len; at++) {
        struct trace_file *file;
        struct vmm_error error;
        bytes[at] ^= 0x10;
        int result = trace_file_parse(bytes, len, &file, &error);
        bytes[at] ^= 0x10;
        if (at >= 12 && at < 16) { /* room in the head */
            trace_file_destroy(file);
            continue;
        }
        ck_assert_msg(result || *file->damage, "byte %zu", at);
        trace_file_destroy(file);
    }
    free(bytes);
}
END_TEST

START_TEST(what_is_no_trace_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *message;
    } cases[] = {
        {"", 0, "this is no trace: it does not begin with VMMTRACE"},
        {"VMMTRAC", 7, "this is no trace"},
        {"VMMTRACE", 8, "this trace is cut off after 8 bytes"},
        {"VMMTRACE\1\0\0", 11, "this trace is cut off after 11 bytes"},
        {"vmmtrace\1\0\0\0\0\0\0\0", 16, "this is no trace"},
        {"VMMTRACE\2\0\0\0\0\0\0\0", 16, "a trace of version 2; this program reads version 1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct trace_file *file;
        struct vmm_error error;
        ck_assert_int_eq(trace_file_parse(cases[i].bytes, cases[i].len, &file, &error), -EINVAL);
        ck_assert_msg(strstr(error.message, cases[i].message), "%s", error.message);
    }
}
END_TEST

/* A file of one block, whose sum is right. */
static struct trace_file *parse_block(uint8_t type, const char *payload, size_t len)
{
    uint8_t bytes[16 + 16 + 64] = "VMMTRACE\1";
    struct trace_file *file;
    store_le32(bytes + 16, TRACE_BLOCK_MAGIC);
    bytes[20] = type;
    store_le32(bytes + 24, (uint32_t)len);
    memcpy(bytes + 32, payload, len);
    store_le32(bytes + 28, trace_crc(trace_crc(0, bytes + 20, 8), bytes + 32, len));
    ck_assert_int_eq(trace_file_parse(bytes, 32 + len, &file, NULL), 0);
    return file;
}

static void check_block(uint8_t type, const char *payload, size_t len)
{
    struct trace_file *file = parse_block(type, payload, len);
    ck_assert_msg(strstr(file->damage, "makes no sense"), "type %u: %s", type, file->damage);
    trace_file_destroy(file);
}

START_TEST(blocks_that_make_no_sense_are_named)
{
    check_block(TRACE_BLOCK_EVENTS, "\1\1", 2);              /* no name */
    check_block(TRACE_BLOCK_EVENTS, "\1\xff\xff\x7f\1x", 6); /* fields that are none */
    check_block(TRACE_BLOCK_STRING, "\5\1x", 3);             /* not the next number */
    check_block(TRACE_BLOCK_STRING, "\1\xffx", 3);           /* longer than the block */
    check_block(TRACE_BLOCK_TRACK, "\7\1\1x", 4);            /* likewise */
    check_block(TRACE_BLOCK_BUFFER, "\1\1\1x", 4);           /* likewise */
    check_block(TRACE_BLOCK_RECORDS, "\0\0\0\1", 4);         /* of no track */
    check_block(TRACE_BLOCK_TOTALS, "\0\0\0\0", 4);          /* of no buffer */
    check_block(TRACE_BLOCK_CLOCK, "\xff\xff\xff", 3);       /* no end of a number */
    check_block(TRACE_BLOCK_REGION, "p", 1);
    check_block(TRACE_BLOCK_CODE, "\0", 1);
}
END_TEST

START_TEST(names_have_no_control_characters)
{
    struct trace_file *file = parse_block(TRACE_BLOCK_TRACK, "\0\0\7a\x1b\x7f\x9b\xc2\x80z", 10);
    ck_assert_uint_eq(file->track_count, 1);
    ck_assert_str_eq(file->tracks[0].name, "a.....z");
    trace_file_destroy(file);
}
END_TEST

START_TEST(the_sum_is_the_standard_one)
{
    ck_assert_uint_eq(trace_crc(0, (const uint8_t *)"123456789", 9), 0xcbf43926);
    ck_assert_uint_eq(trace_crc(trace_crc(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5),
                      0xcbf43926);
}
END_TEST

/* A run may empty the file while it is read, which ends a reader that maps it. A file of sysfs cannot be
 * mapped, and has fewer bytes than it says. */
START_TEST(a_file_is_read_and_not_mapped)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    struct trace_file *file;
    struct vmm_error error;
    if (access(path, R_OK))
        test_skip("%s is not there", path);
    ck_assert_int_eq(trace_file_open(path, &file, &error), -EINVAL);
    ck_assert_msg(strstr(error.message, "this is no trace"), "%s", error.message);
    ck_assert_int_eq(trace_file_open("/", &file, &error), -EISDIR);
    ck_assert_ptr_null(file);
}
END_TEST

/* The disk is full in the middle of it: nobody waits, and what is not in the file is not said to be. */
START_TEST(a_disk_that_fills_up_is_told_at_the_end)
{
    const struct trace_buffer_config buffer = {.name = "m", .events = ~0ull, .mode = TRACE_MODE_RING};
    struct traced full;
    struct rlimit before, little;
    struct vmm_error error;
    struct trace_totals totals;
    struct trace_file *file;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = (struct rlimit){.rlim_cur = 20000, .rlim_max = before.rlim_max};
    traced_begin(&full, (struct trace_config){.buffers = &buffer, .buffer_count = 1});
    for (unsigned i = 0; i < 10000; i++)
        traced_access(0x1000, i);
    trace_attach(NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    int result = trace_finish(full.trace, "the end", &error);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(result, -EFBIG);
    ck_assert_ptr_nonnull(strstr(error.message, "it is cut off"));
    trace_get_totals(full.trace, &totals);
    ck_assert_uint_eq(totals.recorded, 10000);
    ck_assert_uint_eq(totals.lost, 0);
    trace_destroy(full.trace);
    ck_assert_int_eq(trace_file_open(full.path, &file, NULL), 0);
    ck_assert_uint_eq(totals.written, file->item_count);
    ck_assert(file->item_count > 0 && file->item_count < 10000);
    ck_assert_ptr_nonnull(strstr(file->damage, "cut off"));
    trace_file_destroy(file);
    unlink(full.path);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, every_event_comes_back);
    test_add(suite, a_file_may_be_cut_off_anywhere);
    test_add(suite, any_changed_byte_is_noticed);
    test_add(suite, a_disk_that_fills_up_is_told_at_the_end);
    test_add(suite, a_file_is_read_and_not_mapped);
    test_add(suite, what_is_no_trace_is_refused);
    test_add(suite, blocks_that_make_no_sense_are_named);
    test_add(suite, names_have_no_control_characters);
    test_add(suite, the_sum_is_the_standard_one);
}
