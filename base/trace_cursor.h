/* SPDX-License-Identifier: MIT
 *
 * Numbers and texts of a trace file's block, one after the other. Whatever leads out of the block, or is no
 * number, is remembered and comes out as 0. docs/trace.md has the encodings.
 */
#ifndef BASE_TRACE_CURSOR_H
#define BASE_TRACE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const uint8_t *at, *end;
    bool is_bad;
};

static inline uint8_t get_byte(struct cursor *cursor)
{
    if (cursor->at == cursor->end) {
        cursor->is_bad = true;
        return 0;
    }
    return *cursor->at++;
}

static inline uint64_t get_number(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = get_byte(cursor);
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (!(byte & 0x80))
            return value;
    }
    cursor->is_bad = true;
    return 0;
}

static inline uint64_t get_difference(struct cursor *cursor, uint64_t from)
{
    uint64_t value = get_number(cursor);
    return from + (value >> 1 ^ -(value & 1));
}

/* At most `limit` bytes; returns how many. */
static inline unsigned get_bytes(struct cursor *cursor, void *to, unsigned limit)
{
    unsigned len = get_byte(cursor);
    if (len > limit || len > (size_t)(cursor->end - cursor->at)) {
        cursor->is_bad = true;
        return 0;
    }
    memcpy(to, cursor->at, len);
    cursor->at += len;
    return len;
}

#endif
