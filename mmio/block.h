/* SPDX-License-Identifier: MIT
 *
 * Blocks: quick instructions (quick.h) that stand one behind the other, found by their address and good as
 * long as their bytes are in memory. Who executes a block compares them once for all when it is entered, and
 * again when an instruction of it has written to memory or touched a device.
 *
 * Threads: the vCPU's own.
 */
#ifndef MMIO_BLOCK_H
#define MMIO_BLOCK_H

#include "base/bytes.h"
#include "mmio/quick.h"

#define BLOCK_INSNS 5u           /* at most */
#define BLOCK_BYTES 16u          /* of code, which must not leave its page */
#define NO_ADDRESS  (1ull << 63) /* not canonical: no code is there */

struct block {
    uint64_t rip;               /* NO_ADDRESS: an empty entry */
    const uint8_t *code;        /* where BLOCK_BYTES of it stand: set by who looks it up */
    uint64_t bytes[2], mask[2]; /* of the code, and for its length */
    unsigned count;             /* 0: what stands here is not quick */
    /* Behind the last stands one that does nothing (quick_end), with the address where the guest goes on. */
    struct quick insns[BLOCK_INSNS + 1];
};

/* For one CPU in one mode. */
struct block_cache {
    struct cpu_state *cpu;
    struct insn_mode mode;
    struct block *blocks;
    uint64_t place_mask; /* of `count` blocks: count - 1 */
};

/* `count` is a power of two. -ENOMEM. */
int block_cache_init(struct block_cache *cache, unsigned count);
void block_cache_fini(struct block_cache *cache);

/* The CPU and the mode of the lookups to come. All zeroes: there were none before. */
void block_cache_begin(struct block_cache *cache, struct cpu_state *cpu, struct insn_mode mode);

static inline struct block *block_place(struct block_cache *cache, uint64_t rip)
{
    return &cache->blocks[(rip ^ rip >> 6) & cache->place_mask];
}

/* Whether its bytes are those that stand at `code`. */
static inline bool block_holds(const struct block *block)
{
    uint64_t low = (load_le64(block->code) ^ block->bytes[0]) & block->mask[0];
    uint64_t high = (load_le64(block->code + 8) ^ block->bytes[1]) & block->mask[1];
    return !(low | high);
}

/* Makes it that of the code at rip, which stands at `code`. */
void block_learn(const struct block_cache *cache, struct block *block, uint64_t rip);

#endif
