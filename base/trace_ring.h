/* SPDX-License-Identifier: MIT
 *
 * A machine's trace: a ring of records for each thread and each buffer, and the thread that takes them to a
 * file.
 *
 *     thread "vcpu 0" -> [ring of buffer "main"] [ring of buffer "disk"] --.
 *     thread "events" -> [ring of buffer "main"] [ring of buffer "disk"] ---> writer -> file
 *
 * Only its own thread writes to a ring, without a lock and without ever waiting: where the ring is full the
 * new record or the oldest is lost, as chosen, and counted. The reader copies records and looks afterwards
 * whether they were overwritten meanwhile.
 *
 * Threads: trace_start, trace_add_region and trace_finish while nothing of the machine runs; trace_add_thread
 * by one thread at a time, also after the start; trace_attach by the thread itself; the rest says so.
 */
#ifndef BASE_TRACE_RING_H
#define BASE_TRACE_RING_H

#include "base/trace_names.h"

struct trace;
struct trace_ring;

enum trace_mode {
    TRACE_MODE_STREAM,   /* the file is written all the time */
    TRACE_MODE_RING,     /* the end of the run writes what is in the rings then */
    TRACE_MODE_SNAPSHOT, /* a trigger writes what is in the rings then */
};

/* A named buffer: which records, and how they are kept. */
struct trace_buffer_config {
    const char *name;
    uint64_t events;    /* a bit for each enum trace_event */
    const char *filter; /* NULL: all of them */
    uint64_t bytes;     /* of each thread's ring; 0: TRACE_BYTES_DEFAULT */
    enum trace_mode mode;
    bool overwrite; /* a full ring loses its oldest record, not the new one */
};

#define TRACE_BYTES_DEFAULT (1u << 20)
#define TRACE_BYTES_MIN     (1u << 12)
#define TRACE_BYTES_LIMIT   (1ull << 32)
#define TRACE_BUFFER_LIMIT  8

struct trace_config {
    const char *path; /* made or emptied by trace_create */
    const struct trace_buffer_config *buffers;
    unsigned buffer_count;
    /* "snapshot if EXPR", "snapshot:3 if EXPR" (three times at most), "traceoff if EXPR" (stops recording),
     * or EXPR alone, which means snapshot. NULL: none. */
    const char *trigger;
    struct trace_names names; /* borrowed until the destroy */
};

/* How many records, over all threads. */
struct trace_totals {
    uint64_t recorded; /* taken by a ring */
    uint64_t written;  /* to the file */
    uint64_t lost;     /* not taken by a full ring, or overwritten before they were written */
    uint64_t triggers;
};

int trace_create(const struct trace_config *config, struct trace **trace, struct vmm_error *error);
/* Finishes, where that was not done. NULL is fine. No thread is attached any more. */
void trace_destroy(struct trace *trace);

/* A thread to come: `vcpu` is its number, or -1. A borrow until the destroy. */
int trace_add_thread(struct trace *trace, const char *name, int vcpu, struct trace_thread **thread,
                     struct vmm_error *error);

/* The records of the calling thread go to `thread` from now on; NULL: nowhere. Returns what it was before. */
struct trace_thread *trace_attach(struct trace_thread *thread);

/* A device of the machine (base/trace_file.h), for the reader of the file. Before the start. */
struct trace_region;
void trace_add_region(struct trace *trace, const struct trace_region *region);

/* Starts the writer, where a buffer needs one. */
int trace_start(struct trace *trace, struct vmm_error *error);

/* Writes what is left and ends the file. The first failure of a write, now or earlier, is the result. */
int trace_finish(struct trace *trace, const char *why, struct vmm_error *error);

void trace_get_totals(struct trace *trace, struct trace_totals *totals);
void trace_get_buffer_totals(struct trace *trace, unsigned buffer, struct trace_totals *totals);

/* An exit. Where it was one access and nothing else, that is recorded with it: `len` is its event, TRACE_PIO
 * or TRACE_MMIO, `device` and TRACE_MISS are its own, `id` is how many ticks after the exit's `time` it was
 * done. Only where trace_is_on. */
void trace_record_exit(const struct trace_record *exit);

/* The calling thread's only ring, if it takes every exit and access as they come; else NULL. There the two
 * may be one record, in these words: it counts as one, and whoever reads the ring makes two of it. */
struct trace_ring *trace_plain_ring(void);

/* Whether a buffer of the calling thread takes such records. */
bool trace_wants(enum trace_event event);

/* The code of exits is kept beside the rings, so that it is not overwritten: a TRACE_CODE whose `value` is a
 * key of the caller's. find: true where it is there, with its rip, or where there is no room for any more,
 * with *rip left alone; false: it is to be added. The calling thread's. */
bool trace_code_find(uint64_t key, uint64_t *rip);
void trace_code_add(const struct trace_record *code);

/* Calls `visit` with the newest `count` records of the thread, the oldest first, while others may be written.
 * Any thread. */
void trace_visit_last(struct trace_thread *thread, unsigned count,
                      void (*visit)(void *context, const struct trace_record *record), void *context);

#endif
