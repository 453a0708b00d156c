/* SPDX-License-Identifier: MIT
 *
 * `vmm bench blk`: a load of disk requests, and the ways to do it: a plain io_uring program of this process,
 * a guest of ours, the same guest under QEMU. Each way does a batch at a time on the same file; the blocks
 * are the same for all (bench_blk_next).
 */
#ifndef BENCH_BLK_H
#define BENCH_BLK_H

#include "bench/measure.h"

struct blk_load {
    const char *name;
    bool is_write, is_sequential;
    uint32_t block_bytes;
    unsigned depth;
};

#define BLK_LOAD_COUNT 8u
extern const struct blk_load blk_loads[BLK_LOAD_COUNT];

/* What all ways work on. The strings outlive them. */
struct blk_setup {
    const char *path;
    uint64_t bytes;
    bool is_direct; /* O_DIRECT */
    bool is_read_only;
    bool is_polled; /* the guest watches the ring instead of sleeping until an interrupt */
    bool is_packed; /* the ring */
};

/* What a way keeps from batch to batch. */
struct blk_way {
    const struct blk_setup *setup;
    unsigned operation; /* the last one */
    uint64_t position;  /* of its blocks */
    struct batch_io io;
    struct histogram latency;
};

/* Begins a batch: the load, of which `way` has the position. */
const struct blk_load *blk_way_begin(struct blk_way *way, unsigned operation);

/* Processor time of this process, all of its threads. */
double blk_cpu_ns(void);

/* For a guest: its orders, and what came of them. False, with a reason, where the guest has given up. */
void blk_mailbox_put(struct blk_way *way, struct bench_blk_mailbox *box, unsigned operation, unsigned count);
bool blk_mailbox_take(struct blk_way *way, struct bench_blk_mailbox *box, struct batch *batch,
                      const char **reason);

/* Why the guest has given up, or NULL. */
const char *blk_mailbox_failure(struct bench_blk_mailbox *box);

/* The three ways; what they need is made with the first batch. For struct bench_way: the operation is the
 * index in blk_loads. */
struct blk_floor;
int blk_floor_create(const struct blk_setup *setup, struct blk_floor **floor);
void blk_floor_destroy(struct blk_floor *floor);
bool blk_floor_batch(void *floor, unsigned operation, unsigned count, struct batch *batch,
                     const char **reason);

struct blk_vmm;
int blk_vmm_create(const struct blk_setup *setup, struct blk_vmm **guest);
void blk_vmm_destroy(struct blk_vmm *guest);
bool blk_vmm_batch(void *guest, unsigned operation, unsigned count, struct batch *batch, const char **reason);

struct blk_qemu;
int blk_qemu_create(const struct blk_setup *setup, struct blk_qemu **guest);
void blk_qemu_destroy(struct blk_qemu *guest);
bool blk_qemu_batch(void *guest, unsigned operation, unsigned count, struct batch *batch,
                    const char **reason);

#endif
