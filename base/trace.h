/* SPDX-License-Identifier: MIT
 *
 * Trace points: what a device, a bus or a vCPU calls where something happens. Each is one branch on a pointer
 * of the current thread while nothing is traced, and a probe for the host's tracers (USDT) where those were
 * built in. A thread that works for a machine is given the machine's trace (trace_attach, base/trace_ring.h);
 * whoever calls a trace point knows nothing of it, so several machines live in one process.
 *
 * Threads: any. Names of devices are static or live until the machine's destroy: only the pointer is kept.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/trace_probe.h"

/* What can be recorded. The numbers are those of the file format (docs/trace.md): new ones go to the end. The
 * words are those of the Linux kernel's tracer, where it has the same (trace_event_name). */
enum trace_event {
    TRACE_NONE,
    TRACE_ENTRY,           /* into the guest */
    TRACE_EXIT,            /* out of the guest: reason, and what the exit says of itself */
    TRACE_PIO,             /* an access to a port, by its device or by none */
    TRACE_MMIO,            /* the same of device memory */
    TRACE_INSN,            /* an instruction executed in software, with its bytes */
    TRACE_SET_IRQ,         /* an interrupt line was set to a level */
    TRACE_MSI,             /* a message-signalled interrupt was sent */
    TRACE_QUEUE_KICK,      /* the guest has notified a virtqueue */
    TRACE_QUEUE_POP,       /* a chain was taken from it */
    TRACE_QUEUE_PUSH,      /* ... and was given back */
    TRACE_QUEUE_INTERRUPT, /* the guest is told of it */
    TRACE_REQUEST_ISSUE,   /* a disk request goes to its backend */
    TRACE_REQUEST_DONE,    /* ... and has come back */
    TRACE_SNAPSHOT,        /* a step of saving or restoring the machine */
    TRACE_ODD,             /* the guest did what makes no sense */
    TRACE_MARKER,          /* text of the guest's own, by the marker port */
    TRACE_CODE,            /* the code at the rip of exits to come: written with the first of them */
    TRACE_TRIGGER,         /* a trigger has fired */
    TRACE_EVENT_COUNT
};

enum trace_flags {
    TRACE_WRITE = 1 << 0, /* the guest writes */
    TRACE_MISS = 1 << 1,  /* no device has claimed it */
    TRACE_FIRST = 1 << 2, /* of a text in several records: the first */
    TRACE_LAST = 1 << 3,  /* ... the last */
};

#define TRACE_BYTES_MAX 15 /* of an instruction */
#define TRACE_TEXT_MAX  40 /* of a marker, in one record */

/* One cache line. What a field means for each event is in docs/trace.md. */
struct trace_record {
    uint64_t time;     /* the host's TSC, when it began */
    uint32_t duration; /* in its ticks; 0 of what has no length */
    uint8_t event;
    uint8_t flags; /* enum trace_flags */
    uint8_t size;  /* of one access, in bytes */
    uint8_t len;   /* of bytes[] or text[]; mode of TRACE_CODE is in `size` */
    const char *device;
    union {
        struct {
            uint64_t rip;
            uint64_t address; /* port, guest-physical address, MSR, byte of a disk, chain, ... */
            uint64_t value;
            union {
                struct {
                    uint32_t index; /* exit reason, queue, line, operation, ... */
                    uint32_t count;
                    uint64_t id; /* the same in every record of one request */
                };
                uint8_t bytes[16];
            };
        };
        char text[TRACE_TEXT_MAX];
    };
};

_Static_assert(sizeof(struct trace_record) == 64, "a record is a cache line");

struct trace_thread;

/* What this thread's records go to; NULL: nowhere. Only to be asked by trace_is_on. */
extern _Thread_local struct trace_thread *trace_self
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline bool trace_is_on(void)
{
    return __builtin_expect(trace_self != NULL, 0);
}

static inline uint64_t trace_now(void)
{
    return __builtin_ia32_rdtsc();
}

/* Records it, if the event is wanted and the filters let it pass; `record` is the caller's, `time` filled in.
 * Only where trace_is_on. */
void trace_record(const struct trace_record *record);

/* The records behind the trace points below: not to be called but by those. */
void trace_queue_record(enum trace_event event, const char *device, unsigned queue, uint64_t id,
                        uint64_t bytes);
void trace_request_record(enum trace_event event, const char *device, uint32_t operation,
                          const uint64_t values[3]);
void trace_line_record(enum trace_event event, uint32_t line, uint64_t address, uint64_t value);
void trace_text_record(enum trace_event event, const char *device, const char *text, uint64_t value);
void trace_marker_records(const char *line, size_t len);

/* ---- Trace points of devices ---------------------------------------------------------------------------
 *
 * `queue` counts from 0; `chain` is the head of the descriptor chain (virtio 1.2, 2.7.5), which stands for
 * the request from pop to push. Requests of a backend that are not a chain's have ids of their own. */

/* The guest has notified the queue: on a vCPU's thread by the bus, or on the event loop by an ioeventfd. */
static inline void trace_queue_kick(const char *device, unsigned queue)
{
    TRACE_PROBE2(queue_kick, device, queue);
    if (trace_is_on())
        trace_queue_record(TRACE_QUEUE_KICK, device, queue, 0, 0);
}

/* A chain of so many bytes, in both directions, was taken from the queue. */
static inline void trace_queue_pop(const char *device, unsigned queue, uint64_t chain, uint64_t bytes)
{
    TRACE_PROBE4(queue_pop, device, queue, chain, bytes);
    if (trace_is_on())
        trace_queue_record(TRACE_QUEUE_POP, device, queue, chain, bytes);
}

/* It was given back with `written` bytes. */
static inline void trace_queue_push(const char *device, unsigned queue, uint64_t chain, uint64_t written)
{
    TRACE_PROBE4(queue_push, device, queue, chain, written);
    if (trace_is_on())
        trace_queue_record(TRACE_QUEUE_PUSH, device, queue, chain, written);
}

#define TRACE_QUEUE_CONFIG 0xffffu /* the interrupt is for a change of the configuration */

/* The guest is told, by whatever interrupt the transport has. Not called where the guest wants none. */
static inline void trace_queue_interrupt(const char *device, unsigned queue)
{
    TRACE_PROBE2(queue_interrupt, device, queue);
    if (trace_is_on())
        trace_queue_record(TRACE_QUEUE_INTERRUPT, device, queue, 0, 0);
}

/* What a disk is asked for; the numbers are the format's. */
enum trace_operation {
    TRACE_OPERATION_READ,
    TRACE_OPERATION_WRITE,
    TRACE_OPERATION_FLUSH,
    TRACE_OPERATION_DISCARD,
    TRACE_OPERATION_WRITE_ZEROES,
    TRACE_OPERATION_OTHER,
};

/* A request goes to the backend: `id` is the chain, `offset` a byte of the disk. */
static inline void trace_request_issue(const char *device, enum trace_operation operation, uint64_t id,
                                       uint64_t offset, uint64_t bytes)
{
    TRACE_PROBE5(request_issue, device, operation, id, offset, bytes);
    if (trace_is_on())
        trace_request_record(TRACE_REQUEST_ISSUE, device, operation, (const uint64_t[]){id, offset, bytes});
}

/* It has come back: 0, or a negative errno. */
static inline void trace_request_done(const char *device, enum trace_operation operation, uint64_t id,
                                      int result)
{
    TRACE_PROBE4(request_done, device, operation, id, result);
    if (trace_is_on())
        trace_request_record(TRACE_REQUEST_DONE, device, operation,
                             (const uint64_t[]){id, 0, (uint64_t)(int64_t)result});
}

/* The guest did what makes no sense; `what` is a static phrase, `value` the number that goes with it. */
static inline void trace_odd(const char *device, const char *what, uint64_t value)
{
    TRACE_PROBE3(odd, device, what, value);
    if (trace_is_on())
        trace_text_record(TRACE_ODD, device, what, value);
}

/* A step of saving or restoring the machine is done; `step` is a static phrase. */
static inline void trace_snapshot(const char *step, uint64_t bytes)
{
    TRACE_PROBE2(snapshot, step, bytes);
    if (trace_is_on())
        trace_text_record(TRACE_SNAPSHOT, NULL, step, bytes);
}

/* A line that the guest has written for the trace: printable or not, `len` bytes. */
static inline void trace_marker(const char *line, size_t len)
{
    TRACE_PROBE2(marker, line, len);
    if (trace_is_on())
        trace_marker_records(line, len);
}

/* ---- Trace points of the machine's interrupts ---- */

static inline void trace_set_irq(unsigned gsi, bool level)
{
    TRACE_PROBE2(set_irq, gsi, level);
    if (trace_is_on())
        trace_line_record(TRACE_SET_IRQ, gsi, 0, level);
}

static inline void trace_msi(uint64_t address, uint32_t data)
{
    TRACE_PROBE2(msi, address, data);
    if (trace_is_on())
        trace_line_record(TRACE_MSI, 0, address, data);
}

#endif
