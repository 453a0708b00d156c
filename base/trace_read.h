/* SPDX-License-Identifier: MIT
 *
 * A trace file being read, from inside, for trace_read.c (the file and its blocks) and trace_blocks.c (what
 * is in a block). Threads: the reader's.
 */
#ifndef BASE_TRACE_READ_H
#define BASE_TRACE_READ_H

#include "base/trace_file.h"

#define TRACE_EVENT_LIMIT  256u
#define TRACE_REASON_LIMIT 256u

/* Strings of the file: all are freed with it. */
struct trace_strings {
    char **list; /* in the order they were met */
    size_t count;
    const char **by_id; /* devices: id - 1 is the place */
    size_t id_count;
    unsigned fields[TRACE_EVENT_LIMIT]; /* of the file's events */
    uint16_t event[TRACE_EVENT_LIMIT];  /* ours for the file's number, or TRACE_NONE */
    const char *reasons[TRACE_REASON_LIMIT];
    uint64_t last_ticks, last_ns; /* of the latest clock */
    bool has_clock;
};

/* Takes the payload of a block into the file; false where it makes no sense. A block of a type that is not
 * known is nothing. */
bool trace_read_block(struct trace_file *file, unsigned type, const uint8_t *payload, size_t len);

#endif
