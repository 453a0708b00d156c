/* SPDX-License-Identifier: MIT
 *
 * From the arguments of a trace point to a record. Out of line, and cold: a machine that is not traced does
 * not come here.
 */
#include "base/trace.h"

#include <string.h>

void trace_queue_record(enum trace_event event, const char *device, unsigned queue, uint64_t id,
                        uint64_t bytes)
{
    const struct trace_record record = {
        .time = trace_now(), .event = event, .device = device, .value = bytes, .index = queue, .id = id};
    trace_record(&record);
}

void trace_request_record(enum trace_event event, const char *device, uint32_t operation,
                          const uint64_t values[3])
{
    const struct trace_record record = {.time = trace_now(),
                                        .event = event,
                                        .device = device,
                                        .address = values[1],
                                        .value = values[2],
                                        .index = operation,
                                        .id = values[0]};
    trace_record(&record);
}

void trace_line_record(enum trace_event event, uint32_t line, uint64_t address, uint64_t value)
{
    const struct trace_record record = {
        .time = trace_now(), .event = event, .address = address, .value = value, .index = line};
    trace_record(&record);
}

void trace_text_record(enum trace_event event, const char *device, const char *text, uint64_t value)
{
    struct trace_record record = {.time = trace_now(), .event = event, .device = device};
    size_t len = strnlen(text, TRACE_TEXT_MAX - sizeof(value));
    memcpy(record.text, &value, sizeof(value));
    memcpy(record.text + sizeof(value), text, len);
    record.len = (uint8_t)(len + sizeof(value));
    trace_record(&record);
}

void trace_marker_records(const char *line, size_t len)
{
    struct trace_record record = {.time = trace_now(), .event = TRACE_MARKER, .flags = TRACE_FIRST};
    while (len) {
        size_t piece = len < TRACE_TEXT_MAX ? len : TRACE_TEXT_MAX;
        record.len = (uint8_t)piece;
        memcpy(record.text, line, piece);
        line += piece;
        len -= piece;
        if (!len)
            record.flags |= TRACE_LAST;
        trace_record(&record);
        record.flags = 0;
        record.time++; /* pieces stay in order when they are sorted */
    }
}
