/* SPDX-License-Identifier: MIT
 *
 * What a disk makes of requests: any bytes, in any number of buffers of any length. Whatever is submitted
 * must lie inside of the disk, be whole sectors, and have buffers of just that length inside of the chain's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "devices/virtio-blk/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define DISK_BYTES (1u << 20)
#define RAM_BYTES  (64u << 10)

static struct virtio_blk *blk;
static struct request *request;
static uint8_t ram[RAM_BYTES];

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void set_up(void)
{
    struct vmm_error error;
    struct guest_memory *memory;
    struct event_loop *loop;
    char path[64];
    int fd = memfd_create("disk", 0);
    if (fd < 0 || ftruncate(fd, DISK_BYTES))
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (event_loop_create(&loop, &error) || guest_memory_create(1 << 20, MEMORY_ANONYMOUS, &memory, &error))
        abort();
    const struct virtio_blk_config config = {
        .name = "disk0", .backend = {.path = path, .aio = BLOCK_AIO_THREADS}, .memory = memory, .loop = loop};
    if (virtio_blk_create(&config, &blk, &error)) {
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    request = calloc(1, sizeof(*request));
    request->blk = blk;
    request->chain.segments = request->segments;
}

/* Features as a driver could have negotiated them. */
static void negotiate(uint8_t bits)
{
    struct virtio *virtio = virtio_blk_virtio(blk);
    uint32_t offered = virtio_features_offered(virtio, 0);
    virtio_set_status(virtio, 0);
    virtio_set_status(virtio, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio_accept_features(virtio, 0, bits & 1 ? offered : offered & ~(uint32_t)BLK_F_DISCARD);
    virtio_accept_features(virtio, 1, (uint32_t)(VIRTIO_F_VERSION_1 >> 32));
    virtio_set_status(virtio, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
}

/* A byte for each buffer: its length, and in the first ones' sum how many are read. */
static void make_chain(const uint8_t *data, unsigned count, unsigned out_count)
{
    struct queue_chain *chain = &request->chain;
    size_t at = 0;
    *chain = (struct queue_chain){.segments = request->segments};
    for (unsigned i = 0; i < count; i++) {
        size_t len = data[i] & 0x80 ? (data[i] & 0x7fu) * 128u + 1 : data[i] + 1u;
        if (at + len > RAM_BYTES)
            break;
        chain->segments[i] = (struct iovec){.iov_base = ram + at, .iov_len = len};
        at += len;
        *(i < out_count ? &chain->out_count : &chain->in_count) += 1;
        *(i < out_count ? &chain->out_bytes : &chain->in_bytes) += len;
    }
}

static void check(const struct block_request *block)
{
    uint64_t sum = 0;
    require(block->offset % BLOCK_SECTOR == 0 && block->len % BLOCK_SECTOR == 0);
    require(block->offset <= DISK_BYTES && block->len <= DISK_BYTES - block->offset);
    for (unsigned i = 0; i < block->segment_count; i++) {
        const uint8_t *start = block->segments[i].iov_base;
        require(start >= ram && start + block->segments[i].iov_len <= ram + RAM_BYTES);
        sum += block->segments[i].iov_len;
    }
    require(block->operation > BLOCK_WRITE || sum == block->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!blk)
        set_up();
    if (len < 4)
        return 0;
    unsigned count = data[1] % 64, out_count = data[2] % 64;
    if (len < 4u + count)
        return 0;
    negotiate(data[0]);
    make_chain(data + 4, count, out_count);
    size_t rest = len - 4 - count;
    memset(ram, data[3], 4096);
    memcpy(ram, data + 4 + count, rest < RAM_BYTES ? rest : RAM_BYTES);
    uint64_t in_bytes = request->chain.in_bytes;
    if (request_read(request) == REQUEST_SUBMIT)
        check(&request->block);
    require(request->written <= in_bytes || !in_bytes);
    for (unsigned i = 0; i < request->range_count; i++)
        require(request->ranges[i].offset <= DISK_BYTES || !request->ranges[i].len);
    return 0;
}
