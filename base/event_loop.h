/* SPDX-License-Identifier: MIT
 *
 * A thread that waits for descriptors and timers and calls back, one callback at a time. A machine has one
 * for its devices, and each disk one of its own. Who waits for nothing never pays for it: the thread and the
 * kernel objects are made when the loop is started and something is there to wait for, whichever comes
 * second.
 *
 * Threads: every function from any thread, callbacks included, unless it says otherwise.
 */
#ifndef BASE_EVENT_LOOP_H
#define BASE_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/error.h"

struct event_loop;

/* Allocates memory and nothing else. */
int event_loop_create(struct event_loop **loop, struct vmm_error *error);
/* Stops. Sources and timers that are still there are forgotten. */
void event_loop_destroy(struct event_loop *loop);

/* What the loop's thread records goes to `trace`, base/trace_ring.h; a borrow. Before the first start. */
struct trace_thread;
void event_loop_set_trace(struct event_loop *loop, struct trace_thread *trace);

/* Until the first start nothing is called. stop waits for the callback in progress, and what becomes ready
 * while stopped is called after the next start. Neither may be called from a callback. */
int event_loop_start(struct event_loop *loop, struct vmm_error *error);
void event_loop_stop(struct event_loop *loop);

/* A descriptor to wait for. The caller's storage; it fills in the first group before event_loop_add. */
struct event_source {
    int fd;          /* the caller's */
    uint32_t events; /* EPOLLIN, EPOLLOUT; level-triggered. EPOLLERR and EPOLLHUP come with either */
    void (*ready)(void *owner, uint32_t events);
    void *owner;

    struct event_source *next;
    uint64_t id; /* 0: not added */
    bool polled;
};

/* -EPERM where the descriptor cannot be waited for: a regular file or directory. */
int event_loop_add(struct event_loop *loop, struct event_source *source, struct vmm_error *error);
/* Waits for `events` from now on; 0: for nothing, not even EPOLLHUP. A call already under way still comes. */
int event_loop_set(struct event_loop *loop, struct event_source *source, uint32_t events);
/* After it `ready` neither runs nor will run, so a lock that `ready` takes must not be held (from the loop's
 * own thread it returns at once). A source that was not added is left alone. The descriptor stays open. */
void event_loop_remove(struct event_loop *loop, struct event_source *source);

/* A one-shot timer on CLOCK_MONOTONIC, in the caller's storage. */
struct event_timer {
    struct event_loop *loop;
    void (*expired)(void *owner);
    void *owner;

    struct event_timer *next;
    uint64_t deadline_ns;
    bool armed;
};

/* Takes no resources. */
void event_timer_init(struct event_timer *timer, struct event_loop *loop, void (*expired)(void *owner),
                      void *owner);
/* After it `expired` neither runs nor will run: the lock rule of event_loop_remove. */
void event_timer_fini(struct event_timer *timer);
/* Calls `expired` once, `delay_ns` from now, and forgets an earlier setting. Negative errno where the loop's
 * thread was needed and could not be made; the timer then expires after the next event_loop_start. */
int event_timer_set(struct event_timer *timer, uint64_t delay_ns);
/* Forgets the setting, without waiting: a call that is already under way still comes. */
void event_timer_clear(struct event_timer *timer);

#endif
