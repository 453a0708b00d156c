/* SPDX-License-Identifier: MIT
 *
 * Rings: what each mode keeps and loses, with the numbers; triggers; named buffers; a flood with a reader;
 * and that a thread without a trace records nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/trace_filter.h"
#include "base/trace_put.h"
#include "base/types.h"
#include "tests/base/trace_fixture.h"

#define RING 64u /* records: TRACE_BYTES_MIN holds so many */

static struct traced traced;

static struct trace_config one_buffer(struct trace_buffer_config *buffer)
{
    buffer->name = "main";
    if (!buffer->events)
        buffer->events = ~0ull;
    return (struct trace_config){.buffers = buffer, .buffer_count = 1};
}

static void access_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        traced_access(0x1000, i);
}

/* The values of the accesses in the file, which must go up by one. */
static void check_values(const struct trace_file *file, uint64_t first, size_t count)
{
    ck_assert_uint_eq(file->item_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(file->items[i].record.value, first + i);
}

START_TEST(nothing_is_recorded_without_a_trace)
{
    ck_assert(!trace_is_on());
    trace_queue_kick("disk", 0);
    trace_odd("disk", "nothing", 1);
    ck_assert(!trace_wants(TRACE_EXIT));
    traced_begin(&traced, (struct trace_config){.buffers = NULL});
    ck_assert(trace_is_on());
    ck_assert(trace_wants(TRACE_EXIT));
    ck_assert_ptr_eq(trace_attach(NULL), traced.thread);
    trace_queue_kick("disk", 0);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 0);
    trace_file_destroy(file);
}
END_TEST

START_TEST(a_ring_that_overwrites_keeps_the_newest)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .mode = TRACE_MODE_RING, .overwrite = true};
    struct trace_totals totals;
    traced_begin(&traced, one_buffer(&buffer));
    access_all(1000);
    trace_get_totals(traced.trace, &totals);
    ck_assert_uint_eq(totals.recorded, 1000);
    struct trace_file *file = traced_end(&traced);
    /* the record at the place of the next one is never trusted */
    check_values(file, 1000 - (RING - 1), RING - 1);
    ck_assert_uint_eq(file->items[0].lost_before, 1000 - (RING - 1));
    ck_assert_uint_eq(file->buffers[0].lost, 1000 - (RING - 1));
    ck_assert_uint_eq(file->buffers[0].recorded, 1000);
    ck_assert_uint_eq(file->buffers[0].written, RING - 1);
    trace_file_destroy(file);
}
END_TEST

START_TEST(a_ring_that_stops_keeps_the_oldest)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .mode = TRACE_MODE_RING};
    traced_begin(&traced, one_buffer(&buffer));
    access_all(1000);
    struct trace_file *file = traced_end(&traced);
    check_values(file, 0, RING);
    ck_assert_uint_eq(file->buffers[0].lost, 1000 - RING);
    ck_assert_uint_eq(file->buffers[0].recorded, RING);
    ck_assert_uint_eq(file->buffers[0].written, RING);
    trace_file_destroy(file);
}
END_TEST

START_TEST(an_overwritten_ring_that_was_not_full_loses_nothing)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .mode = TRACE_MODE_RING, .overwrite = true};
    traced_begin(&traced, one_buffer(&buffer));
    access_all(RING - 1);
    struct trace_file *file = traced_end(&traced);
    check_values(file, 0, RING - 1);
    ck_assert_uint_eq(file->lost, 0);
    trace_file_destroy(file);
}
END_TEST

/* More than the ring holds, at full speed: whatever the reader misses is counted, and what it has is sound.
 */
static void flood(bool overwrite)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .overwrite = overwrite};
    const unsigned count = 200000;
    traced_begin(&traced, one_buffer(&buffer));
    access_all(count);
    struct trace_file *file = traced_end(&traced);
    uint64_t taken = overwrite ? count : file->buffers[0].recorded;
    ck_assert_uint_eq(taken + (overwrite ? 0 : file->buffers[0].lost), count);
    ck_assert_uint_eq(file->buffers[0].written, file->item_count);
    if (overwrite)
        ck_assert_uint_eq(file->item_count + file->buffers[0].lost, count);
    for (size_t i = 0; i < file->item_count; i++) {
        const struct trace_record *record = &file->items[i].record;
        ck_assert_uint_eq(record->address, 0x1000);
        ck_assert_str_eq(record->device, "a device");
        if (i)
            ck_assert_uint_gt(record->value, file->items[i - 1].record.value);
    }
    ck_assert_uint_gt(file->item_count, 0);
    trace_file_destroy(file);
}

START_TEST(a_flood_that_stops_adds_up)
{
    flood(false);
}
END_TEST

START_TEST(a_flood_that_overwrites_adds_up)
{
    flood(true);
}
END_TEST

START_TEST(a_stream_with_room_has_everything)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(1 << 15)};
    traced_begin(&traced, one_buffer(&buffer));
    access_all(20000);
    struct trace_file *file = traced_end(&traced);
    check_values(file, 0, 20000);
    ck_assert_uint_eq(file->lost, 0);
    trace_file_destroy(file);
}
END_TEST

static void wait_for_written(uint64_t count)
{
    struct trace_totals totals;
    for (int i = 0; i < 5000; i++) {
        trace_get_totals(traced.trace, &totals);
        if (totals.written >= count)
            return;
        usleep(1000);
    }
    ck_abort_msg("only %llu records were written", (unsigned long long)totals.written);
}

START_TEST(a_trigger_writes_what_is_in_the_ring)
{
    struct trace_buffer_config buffer = {
        .bytes = RECORDS(RING), .mode = TRACE_MODE_SNAPSHOT, .overwrite = true};
    struct trace_config config = one_buffer(&buffer);
    config.trigger = "port == 0x3f8 && write";
    traced_begin(&traced, config);
    access_all(10);
    traced_access(0x3f8, 10);
    wait_for_written(12);
    access_all(10);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 12);
    ck_assert_uint_eq(file->items[0].record.value, 0);
    bool has_trigger = false;
    for (size_t i = 0; i < file->item_count; i++)
        has_trigger |= file->items[i].record.event == TRACE_TRIGGER;
    ck_assert(has_trigger);
    ck_assert_uint_eq(file->snapshot_count, 1);
    ck_assert_uint_eq(file->trigger_count, 1);
    trace_file_destroy(file);
}
END_TEST

START_TEST(a_trigger_fires_as_often_as_it_may)
{
    struct trace_buffer_config buffer = {.mode = TRACE_MODE_SNAPSHOT, .overwrite = true};
    struct trace_config config = one_buffer(&buffer);
    config.trigger = "snapshot:2 if port == 0x3f8";
    traced_begin(&traced, config);
    for (unsigned i = 0; i < 5; i++) {
        traced_access(0x3f8, i);
        if (i < 2)
            wait_for_written(2 * i + 2);
    }
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->snapshot_count, 2);
    trace_file_destroy(file);
}
END_TEST

START_TEST(a_snapshot_that_was_never_triggered_is_empty)
{
    struct trace_buffer_config buffer = {.mode = TRACE_MODE_SNAPSHOT, .overwrite = true};
    struct trace_config config = one_buffer(&buffer);
    config.trigger = "exit && reason == SHUTDOWN";
    traced_begin(&traced, config);
    access_all(10);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 0);
    trace_file_destroy(file);
}
END_TEST

START_TEST(traceoff_ends_the_recording)
{
    struct trace_buffer_config buffer = {.mode = TRACE_MODE_RING, .overwrite = true};
    struct trace_config config = one_buffer(&buffer);
    config.trigger = "traceoff if value == 5";
    traced_begin(&traced, config);
    access_all(10);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 7); /* 0 to 5, and the trigger */
    trace_file_destroy(file);
}
END_TEST

/* An exit that took so long; the record of it is made here, so the clock does not matter. */
START_TEST(a_slow_exit_is_a_trigger)
{
    struct trace_buffer_config buffer = {.mode = TRACE_MODE_RING, .overwrite = true};
    struct trace_config config = one_buffer(&buffer);
    config.trigger = "traceoff if exit && duration > 1ms";
    traced_begin(&traced, config);
    uint64_t ms = trace_measure_tsc() / 1000;
    struct trace_record record = {.time = trace_now(), .event = TRACE_EXIT, .index = 2};
    for (unsigned i = 0; i < 4; i++) {
        record.duration = (uint32_t)(i * ms / 2 + ms / 10);
        record.time++;
        trace_record(&record);
    }
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 4); /* 0.1, 0.6, 1.1 ms and the trigger */
    trace_file_destroy(file);
}
END_TEST

START_TEST(buffers_have_filters_of_their_own)
{
    struct trace_buffer_config buffers[] = {
        {.name = "all", .events = ~0ull},
        {.name = "writes", .events = 1u << TRACE_PIO, .filter = "value >= 6"},
        {.name = "kicks", .events = 1u << TRACE_QUEUE_KICK},
    };
    traced_begin(&traced, (struct trace_config){.buffers = buffers, .buffer_count = 3});
    access_all(10);
    trace_queue_kick("disk", 2);
    struct trace_file *file = traced_end(&traced);
    /* a record in two buffers is shown once */
    ck_assert_uint_eq(file->item_count, 11);
    ck_assert_str_eq(file->buffers[1].name, "writes");
    ck_assert_uint_eq(file->buffers[0].written, 11);
    ck_assert_uint_eq(file->buffers[1].written, 4);
    ck_assert_uint_eq(file->buffers[2].written, 1);
    trace_file_destroy(file);
}
END_TEST

START_TEST(configurations_that_make_no_sense_are_refused)
{
    static const struct {
        struct trace_buffer_config buffer;
        const char *trigger, *message;
    } cases[] = {
        {{.name = ""}, NULL, "a buffer's name has 1 to 23 characters"},
        {{.name = "m", .bytes = 100}, NULL, "100 bytes: give 4K to 4G"},
        {{.name = "m", .filter = "addr >"}, NULL, "column 7: a number is missing"},
        {{.name = "m"}, "snapshot if", "column 1"},
        {{.name = "m"}, "snapshot:3 if addr === 1", "column 8"},
        {{.name = "m", .mode = TRACE_MODE_SNAPSHOT}, NULL, "buffer m: mode snapshot, and no trigger"},
        {{.name = "m", .mode = TRACE_MODE_SNAPSHOT}, " traceoff if addr == 1", "ends the recording"},
    };
    char folder[] = "/tmp/vmm-trace-XXXXXX", path[40];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/never", folder);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct trace *trace;
        struct vmm_error error;
        struct trace_config config = {
            .path = path, .buffers = &cases[i].buffer, .buffer_count = 1, .trigger = cases[i].trigger};
        ck_assert_int_eq(trace_create(&config, &trace, &error), -EINVAL);
        ck_assert_ptr_null(trace);
        ck_assert_msg(strstr(error.message, cases[i].message), "%s", error.message);
    }
    ck_assert_int_eq(rmdir(folder), 0); /* and none has made the file */
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_an_error_at_once)
{
    struct trace_buffer_config buffer = {.name = "m", .events = ~0ull, .bytes = RECORDS(RING)};
    struct trace_config config = {.path = "/dev/full", .buffers = &buffer, .buffer_count = 1};
    struct trace *trace;
    struct vmm_error error;
    ck_assert_int_eq(trace_create(&config, &trace, &error), -ENOSPC);
    ck_assert_ptr_nonnull(strstr(error.message, "/dev/full"));
    config.path = "/no/such/folder/trace";
    ck_assert_int_eq(trace_create(&config, &trace, &error), -ENOENT);
}
END_TEST

static void *record_some(void *context)
{
    trace_attach(context);
    access_all(5000);
    return NULL;
}

START_TEST(threads_have_rings_of_their_own)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(8192)};
    struct trace_thread *threads[4];
    pthread_t ids[4];
    traced_prepare(&traced, one_buffer(&buffer));
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(trace_add_thread(traced.trace, "one", (int)i + 10, &threads[i], NULL), 0);
    traced_start(&traced);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, record_some, threads[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(ids[i], NULL);
    struct trace_file *file = traced_end(&traced);
    uint64_t next[5] = {0};
    ck_assert_uint_eq(file->item_count, 20000);
    for (size_t i = 0; i < file->item_count; i++)
        ck_assert_uint_eq(file->items[i].record.value, next[file->items[i].track]++);
    ck_assert_int_eq(file->tracks[4].vcpu, 13);
    trace_file_destroy(file);
}
END_TEST

static void collect(void *context, const struct trace_record *record)
{
    uint64_t *sum = context;
    sum[0]++;
    sum[1] = record->value;
}

START_TEST(the_last_records_can_be_looked_at)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .mode = TRACE_MODE_RING, .overwrite = true};
    uint64_t seen[2] = {0};
    traced_begin(&traced, one_buffer(&buffer));
    trace_visit_last(traced.thread, 8, collect, seen);
    ck_assert_uint_eq(seen[0], 0);
    access_all(100);
    trace_visit_last(traced.thread, 8, collect, seen);
    ck_assert_uint_eq(seen[0], 8);
    ck_assert_uint_eq(seen[1], 99);
    trace_file_destroy(traced_end(&traced));
}
END_TEST

/* A write of a byte to a port, as an exit: reason 2, 100 ticks long, of which the access took 30. */
static struct trace_record exit_with_access(uint64_t value, const char *device)
{
    return (struct trace_record){.time = trace_now(),
                                 .duration = 100,
                                 .event = TRACE_EXIT,
                                 .size = 1,
                                 .flags = TRACE_WRITE | (device ? 0 : TRACE_MISS),
                                 .len = TRACE_PIO,
                                 .device = device,
                                 .rip = 0x1234,
                                 .address = 0x3f8,
                                 .value = value,
                                 .index = 2,
                                 .count = 1,
                                 .id = 30};
}

static void check_pair(const struct trace_item *items, uint64_t value, const char *device)
{
    const struct trace_record *exit = &items[0].record, *access = &items[1].record;
    ck_assert_int_eq(access->event, TRACE_PIO);
    ck_assert_int_eq(exit->event, TRACE_EXIT);
    ck_assert_uint_eq(access->time, exit->time);
    ck_assert_uint_eq(access->duration, 30);
    ck_assert_uint_eq(exit->duration, 100);
    ck_assert_uint_eq(access->value, value);
    ck_assert_uint_eq(exit->value, value);
    ck_assert_uint_eq(access->address, 0x3f8);
    ck_assert_int_eq(access->flags, TRACE_WRITE | (device ? 0 : TRACE_MISS));
    ck_assert_int_eq(exit->flags, TRACE_WRITE);
    ck_assert_uint_eq(exit->rip, 0x1234);
    ck_assert_uint_eq(exit->index, 2);
    if (device)
        ck_assert_str_eq(access->device, device);
}

START_TEST(an_exit_that_is_an_access_is_two_records_of_the_file)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .mode = TRACE_MODE_RING, .overwrite = true};
    traced_begin(&traced, one_buffer(&buffer));
    ck_assert_ptr_nonnull(trace_plain_ring());
    /* In the ring as one, with what lies above the access's size, */
    const struct trace_record together = exit_with_access(0xaabbcc41, "serial");
    uint64_t *place = trace_begin_put(trace_plain_ring());
    for (size_t i = 0; i < TRACE_RECORD_WORDS; i++)
        trace_put(place, i, ((const uint64_t *)&together)[i]);
    trace_end_put(trace_plain_ring());
    /* and as two. */
    const struct trace_record missed = exit_with_access(0x42, NULL);
    trace_record_exit(&missed);
    uint64_t seen[2] = {0};
    trace_visit_last(traced.thread, 8, collect, seen);
    ck_assert_uint_eq(seen[0], 4);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 4);
    check_pair(&file->items[0], 0x41, "serial");
    check_pair(&file->items[2], 0x42, NULL);
    ck_assert_uint_eq(file->buffers[0].recorded, 3);
    trace_file_destroy(file);
}
END_TEST

START_TEST(a_filter_takes_exit_and_access_apart)
{
    struct trace_buffer_config buffer = {.mode = TRACE_MODE_RING, .filter = "pio"};
    traced_begin(&traced, one_buffer(&buffer));
    ck_assert_ptr_null(trace_plain_ring());
    const struct trace_record exit = exit_with_access(0x43, "serial");
    trace_record_exit(&exit);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 1);
    ck_assert_int_eq(file->items[0].record.event, TRACE_PIO);
    trace_file_destroy(file);
}
END_TEST

START_TEST(code_is_kept_beside_the_rings)
{
    struct trace_buffer_config buffer = {.bytes = RECORDS(RING), .mode = TRACE_MODE_RING, .overwrite = true};
    struct trace_record code = {.event = TRACE_CODE, .size = 64, .len = 2, .rip = 0x1000, .value = 7};
    uint64_t rip = 0;
    traced_begin(&traced, one_buffer(&buffer));
    ck_assert(!trace_code_find(7, &rip));
    memcpy(code.bytes, "\xee\x90", 2);
    trace_code_add(&code);
    ck_assert(trace_code_find(7, &rip));
    ck_assert_uint_eq(rip, 0x1000);
    for (unsigned i = 0; i < 6000; i++) { /* more than there is room for */
        code.value = 1000 + i;
        code.rip = 0x2000 + i;
        if (!trace_code_find(code.value, &rip))
            trace_code_add(&code);
    }
    access_all(1000);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->code_count, 4096);
    ck_assert_ptr_nonnull(trace_file_code(file, 0x1000));
    ck_assert_uint_eq(trace_file_code(file, 0x1000)->bytes[0], 0xee);
    trace_file_destroy(file);
}
END_TEST

START_TEST(a_long_marker_is_several_records)
{
    char line[150];
    memset(line, 'm', sizeof(line));
    traced_begin(&traced, (struct trace_config){.buffers = NULL});
    trace_marker(line, sizeof(line));
    trace_marker("short", 5);
    struct trace_file *file = traced_end(&traced);
    ck_assert_uint_eq(file->item_count, 5);
    ck_assert_uint_eq(file->items[0].record.flags, TRACE_FIRST);
    ck_assert_uint_eq(file->items[3].record.flags, TRACE_LAST);
    ck_assert_uint_eq(file->items[3].record.len, 150 - 3 * TRACE_TEXT_MAX);
    ck_assert_uint_eq(file->items[4].record.flags, TRACE_FIRST | TRACE_LAST);
    trace_file_destroy(file);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, nothing_is_recorded_without_a_trace);
    test_add(suite, a_ring_that_overwrites_keeps_the_newest);
    test_add(suite, a_ring_that_stops_keeps_the_oldest);
    test_add(suite, an_overwritten_ring_that_was_not_full_loses_nothing);
    test_add(suite, a_flood_that_stops_adds_up);
    test_add(suite, a_flood_that_overwrites_adds_up);
    test_add(suite, a_stream_with_room_has_everything);
    test_add(suite, a_trigger_writes_what_is_in_the_ring);
    test_add(suite, a_trigger_fires_as_often_as_it_may);
    test_add(suite, a_snapshot_that_was_never_triggered_is_empty);
    test_add(suite, traceoff_ends_the_recording);
    test_add(suite, a_slow_exit_is_a_trigger);
    test_add(suite, buffers_have_filters_of_their_own);
    test_add(suite, configurations_that_make_no_sense_are_refused);
    test_add(suite, a_file_that_cannot_be_written_is_an_error_at_once);
    test_add(suite, threads_have_rings_of_their_own);
    test_add(suite, the_last_records_can_be_looked_at);
    test_add(suite, an_exit_that_is_an_access_is_two_records_of_the_file);
    test_add(suite, a_filter_takes_exit_and_access_apart);
    test_add(suite, code_is_kept_beside_the_rings);
    test_add(suite, a_long_marker_is_several_records);
}
