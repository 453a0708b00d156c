/* SPDX-License-Identifier: MIT
 *
 * The loads, and the talk with a guest by its mailbox. See blk.h.
 */
#include <string.h>
#include <time.h>

#include "bench/blk.h"
#include "bench/guest.h"

const struct blk_load blk_loads[BLK_LOAD_COUNT] = {
    {"4 KiB random read, depth 1", false, false, 4096, 1},
    {"4 KiB random read, depth 32", false, false, 4096, 32},
    {"4 KiB random write, depth 1", true, false, 4096, 1},
    {"4 KiB random write, depth 32", true, false, 4096, 32},
    {"128 KiB sequential read, depth 1", false, true, 131072, 1},
    {"128 KiB sequential read, depth 32", false, true, 131072, 32},
    {"128 KiB sequential write, depth 1", true, true, 131072, 1},
    {"128 KiB sequential write, depth 32", true, true, 131072, 32},
};

double blk_cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

const struct blk_load *blk_way_begin(struct blk_way *way, unsigned operation)
{
    if (way->operation != operation)
        way->position = 0;
    way->operation = operation;
    way->io = (struct batch_io){
        .notifications = -1, .interrupts = -1, .kernel_exits = -1, .latency = &way->latency};
    memset(&way->latency, 0, sizeof(way->latency));
    return &blk_loads[operation];
}

void blk_mailbox_put(struct blk_way *way, struct bench_blk_mailbox *box, unsigned operation, unsigned count)
{
    const struct blk_load *load = blk_way_begin(way, operation);
    box->is_write = load->is_write;
    box->is_sequential = load->is_sequential;
    box->block_bytes = load->block_bytes;
    box->depth = load->depth;
    box->count = count;
    box->is_polled = way->setup->is_polled;
    box->block_count = way->setup->bytes / load->block_bytes;
    box->position = way->position;
    /* Partner: the guest, which reads the rest behind this. */
    __atomic_store_n(&box->orders, __atomic_load_n(&box->batches, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

const char *blk_mailbox_failure(struct bench_blk_mailbox *box)
{
    box->failure[sizeof(box->failure) - 1] = 0;
    return *box->failure ? box->failure : NULL;
}

bool blk_mailbox_take(struct blk_way *way, struct bench_blk_mailbox *box, struct batch *batch,
                      const char **reason)
{
    *reason = blk_mailbox_failure(box);
    if (*reason)
        return false;
    way->position = box->position;
    way->io.bytes = (double)box->count * box->block_bytes;
    way->io.notifications = box->notifications;
    way->io.interrupts = box->interrupts;
    histogram_add_counts(&way->latency, box->latency);
    batch->ns = (double)(box->end_tsc - box->begin_tsc) / bench_tsc_per_ns();
    batch->io = &way->io;
    return true;
}
