/* SPDX-License-Identifier: MIT
 *
 * Decoding of blocks. See block.h.
 */
#include "mmio/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int block_cache_init(struct block_cache *cache, unsigned count)
{
    *cache = (struct block_cache){.blocks = calloc(count, sizeof(*cache->blocks)), .place_mask = count - 1};
    return cache->blocks ? 0 : -ENOMEM;
}

void block_cache_fini(struct block_cache *cache)
{
    free(cache->blocks);
}

void block_cache_begin(struct block_cache *cache, struct cpu_state *cpu, struct insn_mode mode)
{
    if (cache->cpu == cpu && cache->mode.bits == mode.bits && cache->mode.vendor == mode.vendor)
        return;
    cache->cpu = cpu;
    cache->mode = mode;
    for (uint64_t i = 0; i <= cache->place_mask; i++)
        cache->blocks[i].rip = NO_ADDRESS;
}

/* What is decoded is a copy: the memory may change meanwhile. */
void block_learn(const struct block_cache *cache, struct block *block, uint64_t rip)
{
    uint8_t bytes[BLOCK_BYTES];
    unsigned at = 0;
    struct insn insn;
    memcpy(bytes, block->code, sizeof(bytes));
    block->rip = rip;
    block->count = 0;
    while (block->count < BLOCK_INSNS &&
           insn_decode(bytes + at, sizeof(bytes) - at, cache->mode, &insn) == INSN_OK) {
        struct quick *quick = &block->insns[block->count];
        if (!quick_prepare(quick, &insn, cache->cpu, rip + at))
            break;
        block->count++;
        at += insn.length;
        if (quick->ends_block)
            break;
    }
    rip += at;
    block->insns[block->count] = (struct quick){.execute = quick_end,
                                                .rip = cache->mode.bits == 64 ? rip : (uint32_t)rip};
    /* of what is not quick, all that may have been looked at */
    unsigned len = block->count ? at : sizeof(bytes);
    block->bytes[0] = load_le64(bytes);
    block->bytes[1] = load_le64(bytes + 8);
    block->mask[0] = len ? size_mask(len < 8 ? len : 8) : 0;
    block->mask[1] = len > 8 ? size_mask(len - 8) : 0;
}
