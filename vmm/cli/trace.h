/* SPDX-License-Identifier: MIT
 *
 * What the parts of `vmm trace` share: a trace that was read, the requests in it, and symbols of the guest.
 */
#ifndef VMM_CLI_TRACE_H
#define VMM_CLI_TRACE_H

#include <stdio.h>

#include "base/trace_file.h"

/* ---- Requests of virtqueues: trace_requests.c ---- */

enum request_step {
    STEP_KICK,
    STEP_POP,
    STEP_ISSUE,
    STEP_DONE_BY_BACKEND,
    STEP_PUSH,
    STEP_INTERRUPT,
    STEP_COUNT
};

const char *request_step_name(enum request_step step);

#define STEP_MISSING SIZE_MAX

struct request {
    const char *device;
    uint32_t queue;
    uint64_t chain;
    size_t steps[STEP_COUNT]; /* items of the file, or STEP_MISSING */
    bool is_seen;             /* by the guest, which has used the chain again */
    size_t next_in_bucket, next_pushed;
};

struct requests {
    struct request *list; /* in the order in which they were taken from their queues */
    size_t count;
    size_t looks; /* at requests, in search of those that the records belong to */
};

/* False where memory is out. */
bool requests_find(const struct trace_file *file, struct requests *requests);
void requests_fini(struct requests *requests);

/* ---- Symbols: trace_symbols.c ---- */

struct symbols;

/* Of an ELF file or a System.map, which is found by content. */
int symbols_open(const char *path, struct symbols **symbols, struct vmm_error *error);
void symbols_close(struct symbols *symbols);

/* "name+0x12" for the address, in printable ASCII; "" where there is no symbol near, or `symbols` is NULL.
 * Returns `text`. */
const char *symbols_name(const struct symbols *symbols, uint64_t address, char *text, size_t text_bytes);

/* Bytes of the guest's image at the linear address; how many, up to `len`. */
size_t symbols_code(const struct symbols *symbols, uint64_t address, uint8_t *bytes, size_t len);

/* ---- Output: each writes to `out` ---- */

struct trace_view {
    const struct trace_file *file;
    const struct symbols *symbols; /* NULL: none */
    FILE *out;
};

int trace_print_text(const struct trace_view *view);
int trace_print_csv(const struct trace_view *view);
int trace_print_perfetto(const struct trace_view *view);
int trace_print_report(const struct trace_view *view, unsigned rows);

/* "out dx, al" for the code, from the trace or the image. Returns `text`. */
const char *trace_disassemble(const struct trace_view *view, uint64_t rip, char *text, size_t text_bytes);

/* The text of a marker or another event that has one; not terminated. */
const char *trace_text_of(const struct trace_record *record, size_t *len);

/* The region that an exit or access belongs to, or NULL. */
const struct trace_region *trace_region_of(const struct trace_file *file, const struct trace_record *record);

#endif
