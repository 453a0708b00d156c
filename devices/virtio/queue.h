/* SPDX-License-Identifier: MIT
 *
 * A virtqueue as the device sees it, split (virtio 1.2, 2.7) or packed (2.8): the only code that reads or
 * writes rings. The guest may write to a ring at any time: each descriptor is copied once, and the copy is
 * judged and used. Whatever it holds, a queue answers with a chain of RAM, with nothing, or that it is
 * broken.
 *
 * Threads: one at a time for each queue; starting and stopping while nobody uses it.
 */
#ifndef DEVICES_VIRTIO_QUEUE_H
#define DEVICES_VIRTIO_QUEUE_H

#include <sys/uio.h>

#include "base/types.h"
#include "ept/memory.h"

/* The most descriptors of one chain, those of an indirect table included, and entries of one ring. */
#define QUEUE_CHAIN_MAX 1024
#define QUEUE_SIZE_MAX  1024

/* Buffers of one request: `out_count` segments that the device reads, then `in_count` that it writes. */
struct queue_chain {
    /* The caller's: room for `capacity` segments, at most QUEUE_CHAIN_MAX. */
    struct iovec *segments;
    unsigned capacity;
    /* Filled in by queue_pop. Segments are of guest RAM, never empty, and borrowed until the queue stops. */
    unsigned out_count, in_count;
    uint64_t out_bytes, in_bytes;
    uint16_t id;    /* split: the head's index; packed: the buffer ID */
    uint16_t slots; /* packed: descriptors that it takes of the ring */
};

enum queue_answer {
    QUEUE_CHAIN,  /* a chain was taken, and has to be pushed one day */
    QUEUE_EMPTY,  /* nothing is available */
    QUEUE_BROKEN, /* the driver has broken a rule, now or before: `broken` says which; nothing more comes */
};

struct queue_config {
    const struct guest_memory *memory; /* a borrow */
    uint16_t size;                     /* 1 to QUEUE_SIZE_MAX; of a split ring a power of two */
    bool is_packed, has_event_idx, has_indirect;
    /* The descriptor, driver and device area (2.6): table, avail and used ring of a split queue; ring, driver
     * and device event suppression of a packed one. */
    gpa_t descriptor, driver, device;
};

struct queue {
    struct queue_config config;
    const char *broken; /* NULL, or why nothing more comes: a static phrase */
    /* The three areas. */
    uint8_t *descriptor, *driver, *device;
    /* Split: free-running indexes. Packed: slots, with the wrap counters of 2.8.1. */
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap;
    unsigned slots_taken; /* packed: of chains that were popped and are not pushed yet */
    uint16_t unsignalled; /* used entries (packed: slots) since the driver was last asked about interrupts */
    bool kicks_are_off;
};

/* Begins at an empty ring. -EINVAL for a size or an alignment that 2.6 and 2.7 do not allow, -EFAULT where an
 * area is not RAM that the guest may write. */
int queue_start(struct queue *queue, const struct queue_config *config);

/* Nothing is read or written any more; forgets the areas. */
void queue_stop(struct queue *queue);
bool queue_is_started(const struct queue *queue);

/* The next chain. One that breaks a rule is given back to the driver with nothing written, where that can be
 * done, and the queue is broken from then on: a loop, a descriptor outside the table or outside RAM, one to
 * read behind one to write, an indirect table where none may be, more segments than the caller has room for,
 * more than 4 GiB, an index that ran away, chains that were not pushed yet made available again. A descriptor
 * of no bytes is skipped. */
enum queue_answer queue_pop(struct queue *queue, struct queue_chain *chain);

/* Gives a chain back, `written` bytes of it written from its first writable byte on, at most in_bytes. In any
 * order; the driver sees it at once, but is told by an interrupt only. */
void queue_push(struct queue *queue, const struct queue_chain *chain, uint64_t written);

/* Whether the driver wants an interrupt for what was pushed since the last call. Once for each batch. */
bool queue_wants_interrupt(struct queue *queue);

/* Asks the driver not to notify, as long as the device comes back by itself; no more than a hint (2.7.10). */
void queue_kicks_off(struct queue *queue);

/* Asks for notifications again. False where something became available meanwhile, of which none may come:
 * pop on. */
bool queue_kicks_on(struct queue *queue);

#endif
