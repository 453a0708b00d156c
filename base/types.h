/* SPDX-License-Identifier: MIT
 *
 * The kinds of address, and arithmetic that cannot wrap. Nothing here knows what a VM is.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gpa_t; /* guest-physical address */
typedef uint64_t gva_t; /* guest-virtual (linear) address */

#define PAGE_BYTES         4096u
#define KIB                (1ull << 10)
#define MIB                (1ull << 20)
#define GIB                (1ull << 30)
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* *sum = a + b; false, with *sum undefined, where that wraps. */
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

/* Whether [start, start + len) lies in [base, base + limit). An empty range lies anywhere up to the end. */
static inline bool range_inside(uint64_t start, uint64_t len, uint64_t base, uint64_t limit)
{
    return start >= base && start - base <= limit && len <= limit - (start - base);
}

/* Whether two ranges share a byte. Both must end without wrapping. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a_len && b_len && (a < b ? b - a < a_len : a - b < b_len);
}

/* `align` is a power of two; the caller knows that rounding up does not wrap. */
static inline uint64_t align_down(uint64_t value, uint64_t align)
{
    return value & ~(align - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t align)
{
    return align_down(value + align - 1, align);
}

/* All ones in the low `size` bytes: 1 to 8. */
static inline uint64_t size_mask(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

#endif
