/* SPDX-License-Identifier: MIT
 *
 * A trace whose file is a temporary one, and a thread of it that the test is.
 */
#ifndef TESTS_BASE_TRACE_FIXTURE_H
#define TESTS_BASE_TRACE_FIXTURE_H

#include "base/trace_file.h"
#include "base/trace_ring.h"
#include "tests/harness.h"

struct traced {
    char path[64];
    struct trace *trace;
    struct trace_thread *thread;
};

/* Everything into one buffer, unless `config` says otherwise; its path and names are filled in. */
void traced_begin(struct traced *traced, struct trace_config config);
/* The same in two steps: threads and regions can be added between them. */
void traced_prepare(struct traced *traced, struct trace_config config);
void traced_start(struct traced *traced);
/* Ends it and reads the file. The caller destroys what it gets. */
struct trace_file *traced_end(struct traced *traced);

/* A port access of the calling thread. */
void traced_access(uint64_t port, uint64_t value);

#define RECORDS(count) ((uint64_t)(count) * sizeof(struct trace_record))

#endif
