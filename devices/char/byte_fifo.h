/* SPDX-License-Identifier: MIT
 *
 * Bytes that wait, first in first out, up to a limit. The bytes are contiguous, so that one write(2) can take
 * them all; the storage is used from its start whenever it runs empty, so a mostly empty one touches one
 * page.
 */
#ifndef DEVICES_CHAR_BYTE_FIFO_H
#define DEVICES_CHAR_BYTE_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct byte_fifo {
    uint8_t *bytes;
    size_t first, end, capacity; /* those waiting are bytes[first .. end) */
};

/* `storage` of `capacity` bytes is the caller's and outlives it. */
static inline void byte_fifo_init(struct byte_fifo *fifo, uint8_t *storage, size_t capacity)
{
    *fifo = (struct byte_fifo){.bytes = storage, .capacity = capacity};
}

static inline size_t byte_fifo_len(const struct byte_fifo *fifo)
{
    return fifo->end - fifo->first;
}

static inline size_t byte_fifo_room(const struct byte_fifo *fifo)
{
    return fifo->capacity - byte_fifo_len(fifo);
}

/* The first of the bytes waiting; byte_fifo_len of them are there. */
static inline const uint8_t *byte_fifo_peek(const struct byte_fifo *fifo)
{
    return fifo->bytes + fifo->first;
}

/* Forgets the first `len`, which must be there. */
static inline void byte_fifo_skip(struct byte_fifo *fifo, size_t len)
{
    fifo->first += len;
    if (fifo->first == fifo->end)
        fifo->first = fifo->end = 0;
}

/* How many of the bytes found room. */
static inline size_t byte_fifo_push(struct byte_fifo *fifo, const void *bytes, size_t len)
{
    if (len > byte_fifo_room(fifo))
        len = byte_fifo_room(fifo);
    if (len > fifo->capacity - fifo->end) {
        memmove(fifo->bytes, byte_fifo_peek(fifo), byte_fifo_len(fifo));
        fifo->end -= fifo->first;
        fifo->first = 0;
    }
    memcpy(fifo->bytes + fifo->end, bytes, len);
    fifo->end += len;
    return len;
}

/* How many bytes there were to take, up to `len`. */
static inline size_t byte_fifo_pop(struct byte_fifo *fifo, void *bytes, size_t len)
{
    if (len > byte_fifo_len(fifo))
        len = byte_fifo_len(fifo);
    memcpy(bytes, byte_fifo_peek(fifo), len);
    byte_fifo_skip(fifo, len);
    return len;
}

#endif
