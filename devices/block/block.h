/* SPDX-License-Identifier: MIT
 *
 * A disk's backend: bytes that are read and written asynchronously. What is behind it (a file by io_uring or
 * by threads, an overlay over a file) is chosen when it is opened, and no one who uses it sees a difference.
 *
 * Threads: open and close where nothing runs. Requests are submitted on the thread of the backend's event
 * loop, and their `done` is called there.
 */
#ifndef DEVICES_BLOCK_BLOCK_H
#define DEVICES_BLOCK_BLOCK_H

#include <sys/uio.h>

#include "base/event_loop.h"
#include "base/types.h"

/* Every offset and length is a multiple of it. */
#define BLOCK_SECTOR 512u

enum block_operation {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,        /* all that was done before is on stable storage when it is done */
    BLOCK_DISCARD,      /* the bytes are not needed any more; whatever is read there later is fine */
    BLOCK_WRITE_ZEROES, /* reads zeroes later */
    BLOCK_OPERATION_COUNT
};

/* The submitter's memory; from block_submit until `done` the backend's to use. */
struct block_request {
    enum block_operation operation;
    bool is_stable;               /* of a write: on stable storage when it is done */
    bool may_unmap;               /* of write zeroes: the space may be given back */
    uint64_t offset, len;         /* bytes; inside the disk; of a flush 0 */
    const struct iovec *segments; /* of reads and writes: `len` bytes together */
    unsigned segment_count;
    /* 0 or a negative errno. The request is the submitter's again and may be submitted at once. */
    void (*done)(struct block_request *request, int result);
    void *owner;

    struct block_request *next; /* the backend's, these two */
    int result;
};

enum block_aio {
    BLOCK_AIO_AUTO, /* io_uring where the kernel has it, else threads */
    BLOCK_AIO_URING,
    BLOCK_AIO_THREADS,
};

enum block_cache {
    BLOCK_CACHE_WRITEBACK, /* the host's page cache; a flush makes it stable */
    BLOCK_CACHE_NONE,      /* O_DIRECT, for what is aligned */
};

struct block_config {
    const char *path;
    /* Writes go to this file, which is made if it does not exist, or to memory; `path` is only read then. */
    const char *overlay_path;
    bool overlay_memory;
    bool read_only;
    enum block_aio aio;
    enum block_cache cache;
    /* Buffers that most requests use, which io_uring is to keep in memory and know: saves it the look-up of
     * their pages in each transfer. Borrowed. Only for io_uring over a file. */
    const struct iovec *pinned;
    unsigned pinned_count;
    struct event_loop *loop;
    /* After the last of several `done`s in a row: time for one interrupt. */
    void (*batch_done)(void *owner);
    void *owner;
};

struct block_info {
    uint64_t bytes;              /* a multiple of BLOCK_SECTOR */
    uint32_t logical_block_size; /* at least BLOCK_SECTOR: what is served without a detour */
    uint32_t physical_block_size;
    bool read_only;
    bool can_discard;
    const char *aio; /* "io_uring" or "threads" */
};

struct block;

/* Says what is wrong with the file: missing, no permission, no regular file or block device, empty, no whole
 * sectors, an image of a known other format, in use by another writer. */
int block_open(const struct block_config *config, struct block **block, struct vmm_error *error);
/* Waits for what was begun; the rest is dropped. No `done` is called: every request is the submitter's again
 * when this returns. The event loop is stopped. */
void block_close(struct block *block);

const struct block_info *block_info(const struct block *block);

/* The file has another size now, or is to get one: `bytes`, 0 for the size that it has. */
int block_resize(struct block *block, uint64_t bytes, struct vmm_error *error);

/* Begins a request; nothing happens before block_kick, which ends a batch. Neither calls `done` from inside
 * of block_submit. */
void block_submit(struct block *block, struct block_request *request);
void block_kick(struct block *block);

/* Whether the kernel lets this process use io_uring, and why not. */
bool block_has_uring(const char **reason);

#endif
