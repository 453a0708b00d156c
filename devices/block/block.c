/* SPDX-License-Identifier: MIT
 *
 * Chooses the store and the engine of a backend.
 */
#include "devices/block/block.h"

#include <stdlib.h>

#include "devices/block/internal.h"

/* An overlay's steps follow each other (read, copy, write, mark), so it runs on threads. */
static int open_engine(struct block *block, struct file_store *file, struct vmm_error *error)
{
    enum block_aio aio = block->config.aio;
    if (aio == BLOCK_AIO_URING && !file)
        return error_set(error, -ENOTSUP, "%s: an overlay has no io_uring: use threads", block->config.path);
    int result = aio != BLOCK_AIO_THREADS && file ? uring_open(block, file, error) : -ENOTSUP;
    return result && aio != BLOCK_AIO_URING ? pool_open(block, error) : result;
}

static int open_store(struct block *block, struct file_store **file, struct vmm_error *error)
{
    const struct block_config *config = &block->config;
    if (config->overlay_path || config->overlay_memory)
        return overlay_store_open(config, &block->store, error);
    int result = file_store_open(config, file, error);
    if (!result)
        block->store = &(*file)->store;
    return result;
}

int block_open(const struct block_config *config, struct block **out, struct vmm_error *error)
{
    struct block *block = calloc(1, sizeof(*block));
    struct file_store *file = NULL;
    if (!block)
        return error_set(error, -ENOMEM, "%s: out of memory", config->path);
    block->config = *config;
    int result = open_store(block, &file, error);
    if (!result)
        result = open_engine(block, file, error);
    if (result) {
        block_close(block);
        return result;
    }
    *out = block;
    return 0;
}

void block_close(struct block *block)
{
    if (!block)
        return;
    if (block->engine)
        block->engine_ops->close(block->engine);
    if (block->store)
        block->store->ops->close(block->store->self);
    free(block);
}

const struct block_info *block_info(const struct block *block)
{
    return &block->store->info;
}

int block_resize(struct block *block, uint64_t bytes, struct vmm_error *error)
{
    return block->store->ops->resize(block->store->self, bytes, error);
}

void block_submit(struct block *block, struct block_request *request)
{
    block->engine_ops->submit(block->engine, request);
}

void block_kick(struct block *block)
{
    block->engine_ops->kick(block->engine);
}
