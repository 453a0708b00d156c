/* SPDX-License-Identifier: MIT
 *
 * The words of the tracer: events, the fields that each has, and a record as a line of text.
 *
 * Threads: any.
 */
#ifndef BASE_TRACE_NAMES_H
#define BASE_TRACE_NAMES_H

#include "base/error.h"
#include "base/trace.h"

/* Which fields of a record mean something; bits. */
enum trace_field {
    TRACE_HAS_DURATION = 1 << 0,
    TRACE_HAS_SIZE = 1 << 1,
    TRACE_HAS_DEVICE = 1 << 2,
    TRACE_HAS_RIP = 1 << 3,
    TRACE_HAS_ADDRESS = 1 << 4,
    TRACE_HAS_VALUE = 1 << 5,
    TRACE_HAS_INDEX = 1 << 6,
    TRACE_HAS_COUNT = 1 << 7,
    TRACE_HAS_ID = 1 << 8,
    TRACE_HAS_BYTES = 1 << 9, /* in the place of index, count and id */
    TRACE_HAS_TEXT = 1 << 10, /* in the place of everything behind the device */
};

/* What only the machine knows: the names of exit reasons, some of them NULL. */
struct trace_names {
    const char *const *reasons;
    unsigned reason_count;
    uint64_t ticks_per_s; /* of the TSC, for times in filters; 0: this host's, which is measured then */
};

/* A byte of the guest's, or of a file that somebody may have made up, for a terminal: printable ASCII as it
 * is,
 * '.' for all else (control characters are also in 0x80 to 0x9f). */
static inline char trace_printable(char byte)
{
    return byte >= ' ' && byte <= '~' ? byte : '.';
}

/* NULL for a number that is no event's. */
const char *trace_event_name(unsigned event);
unsigned trace_event_fields(unsigned event);

const char *trace_operation_name(unsigned operation);

/* "IO", or "reason 77" in `text` where it has no name. */
const char *trace_reason_name(const struct trace_names *names, uint32_t reason, char text[16]);

/* A comma-separated list such as "exit,pio,queue_kick" or "all" into a bit for each event; a - before a name
 * takes it out, of all where the list begins so. -EINVAL with the word that is none, and those that are. */
int trace_events_parse(const char *list, uint64_t *events, struct vmm_error *error);

/* What happened, without its time: "exit IO write 0x3f8 1 byte 0x41 rip 0x100123". Returns `text`. */
const char *trace_describe(const struct trace_record *record, const struct trace_names *names, char *text,
                           size_t text_bytes);

#endif
