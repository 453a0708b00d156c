/* SPDX-License-Identifier: MIT
 *
 * How a backend is put together: a store does one request, and blocks; an engine does many at a time.
 *
 *   block_submit -> engine (io_uring: by itself; threads: store->run on one of them) -> done, on the loop
 */
#ifndef DEVICES_BLOCK_INTERNAL_H
#define DEVICES_BLOCK_INTERNAL_H

#include "devices/block/block.h"

/* Where the bytes are. Called from several threads at once. */
struct store_ops {
    int (*run)(void *store, const struct block_request *request);
    int (*resize)(void *store, uint64_t bytes, struct vmm_error *error); /* updates info */
    void (*close)(void *store);
};

struct store {
    const struct store_ops *ops;
    void *self;
    struct block_info info;
};

struct engine_ops {
    void (*submit)(void *engine, struct block_request *request);
    void (*kick)(void *engine);
    void (*close)(void *engine); /* waits for what was begun and begins nothing; calls no `done` */
};

struct block {
    struct block_config config;
    struct store *store;
    const struct engine_ops *engine_ops;
    void *engine;
};

/* A file or block device, raw. */
struct file_store {
    struct store store;
    int fd;        /* by the page cache */
    int direct_fd; /* O_DIRECT, or -1 */
    int lock_fd;   /* holds the lock */
    uint32_t direct_align;
    bool is_device;
};

int file_store_open(const struct block_config *config, struct file_store **file, struct vmm_error *error);

/* Where this request goes: direct_fd if it is aligned for that, else fd. */
int file_store_fd(const struct file_store *file, const struct block_request *request);

/* The whole transfer, in as many system calls as it takes; -EIO past the end of the file. */
int file_read(int fd, const struct iovec *segments, unsigned count, uint64_t offset);
int file_write(int fd, const struct iovec *segments, unsigned count, uint64_t offset, bool is_stable);

/* A lock on the whole file: one writer or many readers, whatever process they are in. */
int file_lock(int fd, const char *path, bool is_writer, struct vmm_error *error);

int overlay_store_open(const struct block_config *config, struct store **store, struct vmm_error *error);

/* The engines. Each calls `done` and then block->config.batch_done on the block's loop. */
int pool_open(struct block *block, struct vmm_error *error);
/* -ENOTSUP where this kernel or build has no io_uring; what to do instead is said. Only over a file_store. */
int uring_open(struct block *block, struct file_store *file, struct vmm_error *error);

#endif
