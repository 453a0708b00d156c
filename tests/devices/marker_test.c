/* SPDX-License-Identifier: MIT
 *
 * The marker port: it says that it is there, and what is written there becomes lines in the trace, whatever
 * it is.
 */
#include "devices/marker/marker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/trace_file.h"
#include "base/trace_ring.h"
#include "tests/devices/fake.h"
#include "tests/harness.h"

static struct marker *device;
static struct bus *bus;

static void set_up(void)
{
    const struct marker_config config = {.port = VMM_TRACE_MARKER_PORT};
    ck_assert_int_eq(marker_create(&config, &device, NULL), 0);
    bus = fake_bus(BUS_PORTS, marker_region(device));
}

static void tear_down(void)
{
    bus_destroy(bus);
    marker_destroy(device);
    marker_destroy(NULL);
}

static void write_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bus_write(bus, VMM_TRACE_MARKER_PORT, 1, (uint8_t)text[i]);
}

START_TEST(the_port_says_that_it_is_there)
{
    set_up();
    ck_assert_uint_eq(bus_read(bus, VMM_TRACE_MARKER_PORT, 1), 'T');
    ck_assert_uint_eq(bus_read(bus, VMM_TRACE_MARKER_PORT + 1, 1), 0xff);
    write_text("nobody listens\n", 15);
    tear_down();
}
END_TEST

START_TEST(lines_become_markers)
{
    char path[] = "/tmp/vmm-trace-XXXXXX", long_line[500];
    const struct trace_buffer_config buffer = {.name = "main", .events = 1u << TRACE_MARKER};
    struct trace_config config = {.path = path, .buffers = &buffer, .buffer_count = 1};
    struct trace *trace;
    struct trace_thread *thread;
    struct trace_file *file;
    close(mkstemp(path));
    set_up();
    ck_assert_int_eq(trace_create(&config, &trace, NULL), 0);
    ck_assert_int_eq(trace_add_thread(trace, "vCPU 0", 0, &thread, NULL), 0);
    trace_attach(thread);
    write_text("one\n\n\n\0two\0", 11); /* empty lines are none */
    memset(long_line, '\xff', sizeof(long_line));
    write_text(long_line, sizeof(long_line)); /* 200, 200, and 100 that have no end yet */
    trace_attach(NULL);
    ck_assert_int_eq(trace_finish(trace, "end", NULL), 0);
    trace_destroy(trace);
    tear_down();
    ck_assert_int_eq(trace_file_open(path, &file, NULL), 0);
    unlink(path);
    ck_assert_uint_eq(file->item_count, 2 + 2 * MARKER_LINE_MAX / TRACE_TEXT_MAX);
    ck_assert_mem_eq(file->items[0].record.text, "one", 3);
    ck_assert_mem_eq(file->items[1].record.text, "two", 3);
    trace_file_destroy(file);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_port_says_that_it_is_there);
    test_add(suite, lines_become_markers);
}
