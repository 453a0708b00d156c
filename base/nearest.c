/* SPDX-License-Identifier: MIT
 *
 * Words by their distance: how many letters have to change.
 */
#include "base/nearest.h"

#include <stddef.h>
#include <string.h>

#define WORD_LIMIT 40

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The number of insertions, deletions, replacements and swaps of neighbours from one word to the other. */
static unsigned distance(const char *from, const char *to)
{
    unsigned rows[3][WORD_LIMIT + 1];
    size_t from_len = strlen(from), to_len = strlen(to);
    if (from_len > WORD_LIMIT || to_len > WORD_LIMIT)
        return WORD_LIMIT;
    for (size_t column = 0; column <= to_len; column++)
        rows[0][column] = (unsigned)column;
    for (size_t row = 1; row <= from_len; row++) {
        unsigned *now = rows[row % 3], *before = rows[(row + 2) % 3], *earlier = rows[(row + 1) % 3];
        now[0] = (unsigned)row;
        for (size_t column = 1; column <= to_len; column++) {
            unsigned best = before[column - 1] + (from[row - 1] != to[column - 1]);
            best = least(best, least(before[column], now[column - 1]) + 1);
            if (row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1])
                best = least(best, earlier[column - 2] + 1);
            now[column] = best;
        }
    }
    return rows[from_len % 3][to_len];
}

const char *nearest_word(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t len = strlen(word);
    unsigned best = least((unsigned)len / 3 + 2, (unsigned)len); /* further away is no help */
    for (; *words; words++) {
        unsigned far = len >= 3 && strncmp(*words, word, len) == 0 ? 1 : distance(word, *words);
        if (far < best) {
            best = far;
            nearest = *words;
        }
    }
    return nearest;
}
