/* SPDX-License-Identifier: MIT
 *
 * Random numbers that a seed repeats (xorshift64*).
 */
#include "tests/mmio/oracle.h"

static uint64_t state = 1;

void oracle_seed(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    if (!state)
        state = 1;
}

uint64_t oracle_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}
