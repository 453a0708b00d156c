/* SPDX-License-Identifier: MIT
 *
 * A trace from inside, for trace_ring.c (which writes to rings) and trace_stream.c (which reads from them).
 */
#ifndef BASE_TRACE_INTERNAL_H
#define BASE_TRACE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>

#include "base/trace_file.h"
#include "base/trace_filter.h"
#include "base/trace_put.h"
#include "base/trace_ring.h"

#define TRACE_CODE_LIMIT 4096 /* places whose code is kept, a power of two */
#define TRACE_CODE_SLOTS (2 * TRACE_CODE_LIMIT)

struct trace_thread {
    uint64_t events; /* of all its rings and the trigger */
    int vcpu;
    unsigned index;
    unsigned ring_count;
    struct trace *trace;
    struct trace_thread *next;
    struct trace_ring *rings; /* of each buffer */
    struct trace_ring *plain; /* the only one, which takes every exit and access; NULL: it is not so simple */
    struct trace_record *codes;
    uint16_t *code_slots; /* a hash of rip: 1 + index in codes, or 0 */
    uint64_t code_count;  /* Partner: the reader's acquire in write_codes */
    uint64_t codes_written;
    bool is_announced; /* in the file */
    char name[24];
};

struct trace_buffer {
    char name[24];
    uint64_t events, bytes;
    struct trace_filter *filter;
    enum trace_mode mode;
    bool overwrite;
};

enum trace_action {
    TRACE_ACTION_SNAPSHOT,
    TRACE_ACTION_OFF,
};

struct trace {
    struct trace_buffer buffers[TRACE_BUFFER_LIMIT];
    unsigned buffer_count;
    struct trace_filter *trigger; /* NULL: none */
    enum trace_action action;
    uint64_t action_limit;  /* how often */
    uint64_t trigger_count; /* how often it has fired, any thread */
    bool is_off;            /* by the trigger */
    struct trace_names names;
    struct trace_thread *threads; /* the oldest first */
    unsigned thread_count;

    sem_t wake; /* a ring is filling up, a trigger has fired, or it is the end */
    pthread_t thread;
    bool has_thread, stopping, is_finished;
    uint64_t snapshots_written;
    struct trace_writer writer;
};

/* Takes the access out of the record of an exit that was one (trace_record_exit). False: it was not. */
bool trace_split(struct trace_record *exit, struct trace_record *access);

/* Threads are added to the end of the list while the writer reads it. */
static inline struct trace_thread *trace_next_thread(struct trace_thread *const *link)
{
    return __atomic_load_n(link, __ATOMIC_ACQUIRE);
}

/* trace_stream.c */
int trace_start_writer(struct trace *trace, struct vmm_error *error);
void trace_stop_writer(struct trace *trace);
/* Takes the records of one buffer's rings to the file. */
void trace_drain(struct trace *trace, unsigned buffer);

#endif
