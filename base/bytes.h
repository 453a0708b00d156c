/* SPDX-License-Identifier: MIT
 *
 * Little-endian values in byte buffers of any alignment.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "an x86 host is little-endian"
#endif

static inline uint16_t load_le16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline uint32_t load_le32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static inline uint64_t load_le64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

/* Sizes that are no power of two. Apart, so that the others keep nothing in memory, which a compiler would
 * have to guard. */
__attribute__((noinline, unused)) static uint64_t load_le_odd(const void *from, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, from, size);
    return value;
}

__attribute__((noinline, unused)) static void store_le_odd(void *to, uint64_t value, unsigned size)
{
    memcpy(to, &value, size);
}

/* The low `size` bytes, 0 to 8, zero-extended. */
static inline uint64_t load_le(const void *from, unsigned size)
{
    switch (size) { /* a call of memcpy would cost more than the load */
    case 1:
        return *(const uint8_t *)from;
    case 2:
        return load_le16(from);
    case 4:
        return load_le32(from);
    case 8:
        return load_le64(from);
    }
    return load_le_odd(from, size);
}

static inline void store_le16(void *to, uint16_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline void store_le32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline void store_le64(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof(value));
}

static inline void store_le(void *to, uint64_t value, unsigned size)
{
    switch (size) {
    case 1:
        *(uint8_t *)to = (uint8_t)value;
        return;
    case 2:
        store_le16(to, (uint16_t)value);
        return;
    case 4:
        store_le32(to, (uint32_t)value);
        return;
    case 8:
        store_le64(to, value);
        return;
    }
    store_le_odd(to, value, size);
}

#endif
