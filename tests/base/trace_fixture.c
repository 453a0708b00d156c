/* SPDX-License-Identifier: MIT
 *
 * See trace_fixture.h.
 */
#include "tests/base/trace_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const reasons[] = {[2] = "IO", [6] = "MMIO", [8] = "SHUTDOWN"};

void traced_prepare(struct traced *traced, struct trace_config config)
{
    static const struct trace_buffer_config usual = {.name = "main", .events = ~0ull};
    struct vmm_error error;
    snprintf(traced->path, sizeof(traced->path), "/tmp/vmm-trace-XXXXXX");
    int fd = mkstemp(traced->path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    if (!config.buffer_count) {
        config.buffers = &usual;
        config.buffer_count = 1;
    }
    config.path = traced->path;
    config.names = (struct trace_names){.reasons = reasons, .reason_count = 9};
    int result = trace_create(&config, &traced->trace, &error);
    ck_assert_msg(!result, "%s", error.message);
    ck_assert_int_eq(trace_add_thread(traced->trace, "vCPU 3", 3, &traced->thread, NULL), 0);
}

void traced_start(struct traced *traced)
{
    ck_assert_int_eq(trace_start(traced->trace, NULL), 0);
    trace_attach(traced->thread);
}

void traced_begin(struct traced *traced, struct trace_config config)
{
    traced_prepare(traced, config);
    traced_start(traced);
}

struct trace_file *traced_end(struct traced *traced)
{
    struct trace_file *file;
    struct vmm_error error;
    trace_attach(NULL);
    ck_assert_int_eq(trace_finish(traced->trace, "the test's end", NULL), 0);
    trace_destroy(traced->trace);
    int result = trace_file_open(traced->path, &file, &error);
    unlink(traced->path);
    ck_assert_msg(!result, "%s", error.message);
    ck_assert_str_eq(file->damage, "");
    return file;
}

void traced_access(uint64_t port, uint64_t value)
{
    const struct trace_record record = {.time = trace_now(),
                                        .event = TRACE_PIO,
                                        .size = 1,
                                        .flags = TRACE_WRITE,
                                        .device = "a device",
                                        .address = port,
                                        .value = value,
                                        .count = 1};
    trace_record(&record);
}
