/* SPDX-License-Identifier: MIT
 *
 * Bytes laid against the end of a page whose neighbour cannot be read: a decoder that reads further than it
 * was told dies of SIGSEGV.
 */
#ifndef TESTS_DECODER_EDGE_H
#define TESTS_DECODER_EDGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define EDGE_BYTES 4096

/* The first byte behind the readable page, or NULL. */
static inline uint8_t *edge_create(void)
{
    uint8_t *map = mmap(NULL, 2 * EDGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + EDGE_BYTES, EDGE_BYTES, PROT_NONE))
        return NULL;
    return map + EDGE_BYTES;
}

static inline const uint8_t *edge_place(uint8_t *edge, const uint8_t *bytes, size_t len)
{
    return memcpy(edge - len, bytes, len);
}

#endif
