/* SPDX-License-Identifier: MIT
 *
 * The floor of `vmm bench blk`: the load by a plain io_uring program, on the caller's thread.
 */
#include "bench/blk.h"

#include <errno.h>
#include <stdlib.h>

#ifdef BENCH_HAVE_URING
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "bench/guest.h"

struct blk_floor {
    struct blk_way way;
    bool is_ready, has_failed;
    struct io_uring ring;
    int fd;
    uint8_t *buffers; /* BENCH_BLK_BYTES_MAX for each slot */
    uint64_t start_ticks[BENCH_BLK_DEPTH_MAX];
    unsigned free_slots[BENCH_BLK_DEPTH_MAX], free_count;
    char reason[160];
};

static bool fail(struct blk_floor *floor, const char **reason, const char *what, int number)
{
    snprintf(floor->reason, sizeof(floor->reason), "%s: %s", what, strerror(number));
    *reason = floor->reason;
    return false;
}

static bool set_up(struct blk_floor *floor, const char **reason)
{
    const struct blk_setup *setup = floor->way.setup;
    floor->has_failed = true;
    floor->fd = open(setup->path, (setup->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
                                      (setup->is_direct ? O_DIRECT : 0));
    if (floor->fd < 0)
        return fail(floor, reason, setup->path, errno);
    floor->buffers = aligned_alloc(PAGE_BYTES, BENCH_BLK_DEPTH_MAX * BENCH_BLK_BYTES_MAX);
    if (!floor->buffers)
        return fail(floor, reason, "the floor's data", ENOMEM);
    memset(floor->buffers, 0x5a, BENCH_BLK_DEPTH_MAX * BENCH_BLK_BYTES_MAX);
    int result = io_uring_queue_init(2 * BENCH_BLK_DEPTH_MAX, &floor->ring, 0);
    if (result)
        return fail(floor, reason, "no io_uring on this host", -result);
    floor->is_ready = true;
    result = io_uring_register_files(&floor->ring, &floor->fd, 1);
    if (result)
        return fail(floor, reason, "no registered files in io_uring on this host", -result);
    floor->has_failed = false;
    return true;
}

static void submit(struct blk_floor *floor, const struct blk_load *load)
{
    unsigned slot = floor->free_slots[--floor->free_count];
    uint64_t block = bench_blk_next(&floor->way.position, load->is_sequential,
                                    floor->way.setup->bytes / load->block_bytes);
    void *buffer = floor->buffers + (size_t)slot * BENCH_BLK_BYTES_MAX;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);
    if (load->is_write)
        io_uring_prep_write(sqe, 0, buffer, load->block_bytes, block * load->block_bytes);
    else
        io_uring_prep_read(sqe, 0, buffer, load->block_bytes, block * load->block_bytes);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, slot);
    floor->start_ticks[slot] = __builtin_ia32_rdtsc();
}

/* What has come back: its number, or a negative errno. */
static int collect(struct blk_floor *floor, const struct blk_load *load)
{
    struct io_uring_cqe *cqe;
    int count = 0;
    for (; !io_uring_peek_cqe(&floor->ring, &cqe); count++) {
        unsigned slot = (unsigned)io_uring_cqe_get_data64(cqe);
        if (cqe->res != (int)load->block_bytes)
            return cqe->res < 0 ? cqe->res : -EIO;
        histogram_add(&floor->way.latency, __builtin_ia32_rdtsc() - floor->start_ticks[slot]);
        floor->free_slots[floor->free_count++] = slot;
        io_uring_cqe_seen(&floor->ring, cqe);
    }
    return count;
}

static int run(struct blk_floor *floor, const struct blk_load *load, unsigned count)
{
    unsigned sent = 0, done = 0;
    for (floor->free_count = 0; floor->free_count < load->depth; floor->free_count++)
        floor->free_slots[floor->free_count] = floor->free_count;
    while (done < count) {
        for (; floor->free_count && sent < count; sent++)
            submit(floor, load);
        int result = io_uring_submit_and_wait(&floor->ring, 1);
        if (result < 0 && result != -EINTR)
            return result;
        result = collect(floor, load);
        if (result < 0)
            return result;
        done += (unsigned)result;
    }
    return 0;
}

bool blk_floor_batch(void *context, unsigned operation, unsigned count, struct batch *batch,
                     const char **reason)
{
    struct blk_floor *floor = context;
    *reason = floor->reason;
    if (floor->has_failed || (!floor->is_ready && !set_up(floor, reason)))
        return false;
    const struct blk_load *load = blk_way_begin(&floor->way, operation);
    double start_cpu_ns = blk_cpu_ns();
    uint64_t start_ticks = __builtin_ia32_rdtsc();
    int result = run(floor, load, count);
    batch->ns = (double)(__builtin_ia32_rdtsc() - start_ticks) / bench_tsc_per_ns();
    if (result) {
        floor->has_failed = true;
        return fail(floor, reason, load->name, -result);
    }
    floor->way.io.cpu_ns = blk_cpu_ns() - start_cpu_ns;
    floor->way.io.bytes = (double)count * load->block_bytes;
    batch->io = &floor->way.io;
    return true;
}

void blk_floor_destroy(struct blk_floor *floor)
{
    if (!floor)
        return;
    if (floor->is_ready)
        io_uring_queue_exit(&floor->ring);
    if (floor->fd >= 0)
        close(floor->fd);
    free(floor->buffers);
    free(floor);
}

#else

struct blk_floor {
    struct blk_way way;
    int fd;
};

bool blk_floor_batch(void *floor, unsigned operation, unsigned count, struct batch *batch,
                     const char **reason)
{
    (void)floor, (void)operation, (void)count, (void)batch;
    *reason = "this build has no liburing";
    return false;
}

void blk_floor_destroy(struct blk_floor *floor)
{
    free(floor);
}

#endif

int blk_floor_create(const struct blk_setup *setup, struct blk_floor **out)
{
    struct blk_floor *floor = calloc(1, sizeof(*floor));
    if (!floor)
        return -ENOMEM;
    floor->way.setup = setup;
    floor->fd = -1;
    *out = floor;
    return 0;
}
