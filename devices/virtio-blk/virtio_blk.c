/* SPDX-License-Identifier: MIT
 *
 * A disk's configuration space (virtio 1.2, 5.2.4), and its life.
 */
#include "devices/virtio-blk/virtio_blk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "devices/virtio-blk/internal.h"

/* Offsets in struct virtio_blk_config. */
enum config_offset {
    CONFIG_CAPACITY = 0,
    CONFIG_SIZE_MAX = 8,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_PHYSICAL_EXP = 24,
    CONFIG_WRITEBACK = 32,
    CONFIG_NUM_QUEUES = 34,
    CONFIG_MAX_DISCARD_SECTORS = 36,
    CONFIG_MAX_DISCARD_SEG = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_MAX_ZEROES_SECTORS = 48,
    CONFIG_MAX_ZEROES_SEG = 52,
    CONFIG_ZEROES_MAY_UNMAP = 56,
    CONFIG_BYTES = 60,
};

static uint8_t log2_of(uint32_t value)
{
    return (uint8_t)__builtin_ctz(value);
}

/* A driver that knows no flush could never make a write stable. */
bool blk_has_cache(const struct virtio_blk *blk)
{
    uint64_t features = virtio_features(blk->virtio);
    uint8_t writeback = __atomic_load_n(&blk->writeback, __ATOMIC_RELAXED);
    if (writeback == WRITEBACK_UNSET)
        return features & BLK_F_FLUSH || !(virtio_status(blk->virtio) & VIRTIO_FEATURES_OK);
    return writeback;
}

/* Made anew for each read: few, and never in a hurry. */
static void config_read(void *device, uint32_t offset, void *to, unsigned len)
{
    const struct virtio_blk *blk = device;
    const struct block_info *info = block_info(blk->block);
    uint32_t block_size = blk->config.block_size;
    uint32_t physical = info->physical_block_size > block_size ? info->physical_block_size : block_size;
    uint8_t bytes[CONFIG_BYTES] = {0};
    store_le64(bytes + CONFIG_CAPACITY, __atomic_load_n(&blk->bytes, __ATOMIC_RELAXED) / BLOCK_SECTOR);
    store_le32(bytes + CONFIG_SIZE_MAX, SEGMENT_BYTES_MAX);
    store_le32(bytes + CONFIG_SEG_MAX, DATA_SEGMENTS_MAX);
    store_le32(bytes + CONFIG_BLK_SIZE, block_size);
    bytes[CONFIG_PHYSICAL_EXP] = (uint8_t)(log2_of(physical) - log2_of(block_size));
    bytes[CONFIG_WRITEBACK] = blk_has_cache(blk);
    store_le16(bytes + CONFIG_NUM_QUEUES, (uint16_t)blk->config.queue_count);
    store_le32(bytes + CONFIG_MAX_DISCARD_SECTORS, DISCARD_SECTORS_MAX);
    store_le32(bytes + CONFIG_MAX_DISCARD_SEG, RANGES_MAX);
    store_le32(bytes + CONFIG_DISCARD_ALIGNMENT, physical / BLOCK_SECTOR);
    store_le32(bytes + CONFIG_MAX_ZEROES_SECTORS, ZEROES_SECTORS_MAX);
    store_le32(bytes + CONFIG_MAX_ZEROES_SEG, RANGES_MAX);
    bytes[CONFIG_ZEROES_MAY_UNMAP] = info->can_discard;
    memcpy(to, bytes + offset, len);
}

/* Only the cache's mode can be written (5.2.5.1). */
static void config_write(void *device, uint32_t offset, const void *from, unsigned len)
{
    struct virtio_blk *blk = device;
    if (offset == CONFIG_WRITEBACK && len == 1 && (virtio_features(blk->virtio) & BLK_F_CONFIG_WCE))
        __atomic_store_n(&blk->writeback, *(const uint8_t *)from & 1, __ATOMIC_RELAXED);
}

static void reset(void *device)
{
    struct virtio_blk *blk = device;
    __atomic_store_n(&blk->writeback, WRITEBACK_UNSET, __ATOMIC_RELAXED);
}

static const struct virtio_ops blk_ops = {.config_read = config_read,
                                          .config_write = config_write,
                                          .notify = queue_notify,
                                          .drain = queue_drain,
                                          .reset = reset};

static int check_config(struct virtio_blk *blk, struct vmm_error *error)
{
    struct virtio_blk_config *config = &blk->config;
    uint32_t size = config->block_size;
    if (size && (size < BLOCK_SECTOR || size > 64 * KIB || (size & (size - 1))))
        return error_set(error, -EINVAL, "%s: a block size of %u is no power of two from 512 to 64K",
                         config->name, size);
    if (config->serial && strlen(config->serial) > VIRTIO_BLK_SERIAL_MAX)
        return error_set(error, -EINVAL, "%s: the serial \"%s\" has more than %d characters", config->name,
                         config->serial, VIRTIO_BLK_SERIAL_MAX);
    if (config->pin && (config->backend.aio == BLOCK_AIO_THREADS || config->backend.overlay_path ||
                        config->backend.overlay_memory))
        return error_set(error, -EINVAL,
                         "%s: pinned memory is for io_uring over a file or device without overlay",
                         config->name);
    if (config->pin)
        config->backend.aio = BLOCK_AIO_URING; /* nothing else can */
    if (!config->queue_count)
        config->queue_count = 1;
    if (config->queue_count > VIRTIO_QUEUES_MAX) {
        unsigned count = config->queue_count;
        config->queue_count = 0; /* of which the destroy has none to look after */
        return error_set(error, -EINVAL, "%s: %u queues are more than %d", config->name, count,
                         VIRTIO_QUEUES_MAX);
    }
    if (config->serial)
        memcpy(blk->serial, config->serial, strlen(config->serial));
    config->serial = NULL; /* the caller's */
    return 0;
}

/* io_uring takes a gigabyte at a time. */
static int list_ram(struct virtio_blk *blk, struct block_config *backend, struct vmm_error *error)
{
    size_t range_count;
    const struct memory_range *ranges = guest_memory_ranges(blk->config.memory, &range_count);
    size_t most = range_count + guest_memory_ram_bytes(blk->config.memory) / GIB;
    blk->pinned = calloc(most, sizeof(*blk->pinned));
    if (!blk->pinned)
        return error_set(error, -ENOMEM, "%s: out of memory", blk->config.name);
    for (size_t i = 0; i < range_count; i++)
        for (uint64_t at = 0; at < ranges[i].len && backend->pinned_count < most; at += GIB) {
            uint64_t len = ranges[i].len - at < GIB ? ranges[i].len - at : GIB;
            blk->pinned[backend->pinned_count++] = (struct iovec){.iov_base = ranges[i].hva + at,
                                                                  .iov_len = len};
        }
    backend->pinned = blk->pinned;
    return 0;
}

static int open_backend(struct virtio_blk *blk, struct vmm_error *error)
{
    struct block_config backend = blk->config.backend;
    backend.loop = blk->config.loop;
    backend.batch_done = queue_batch_done;
    backend.owner = blk;
    int result = blk->config.pin ? list_ram(blk, &backend, error) : 0;
    if (!result)
        result = block_open(&backend, &blk->block, error);
    if (result)
        return result;
    blk->bytes = block_info(blk->block)->bytes;
    if (!blk->config.block_size)
        blk->config.block_size = block_info(blk->block)->logical_block_size;
    return 0;
}

static int create_virtio(struct virtio_blk *blk, struct vmm_error *error)
{
    const struct block_info *info = block_info(blk->block);
    uint64_t features = BLK_F_SIZE_MAX | BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_TOPOLOGY |
                        BLK_F_CONFIG_WCE | BLK_F_MQ;
    if (info->read_only)
        features |= BLK_F_RO;
    else
        features |= BLK_F_WRITE_ZEROES | (info->can_discard ? BLK_F_DISCARD : 0);
    const struct virtio_config config = {.name = blk->config.name,
                                         .type = VIRTIO_ID_BLOCK,
                                         .features = features,
                                         .queue_count = blk->config.queue_count,
                                         .queue_size = QUEUE_SIZE,
                                         .config_len = CONFIG_BYTES,
                                         .memory = blk->config.memory,
                                         .loop = blk->config.loop,
                                         .ops = &blk_ops,
                                         .device = blk};
    return virtio_create(&config, &blk->virtio, error);
}

static void init_lock(struct virtio_blk *blk)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&blk->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_cond_init(&blk->idle, NULL);
}

int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_blk **out,
                      struct vmm_error *error)
{
    struct virtio_blk *blk = calloc(1, sizeof(*blk));
    if (!blk)
        return error_set(error, -ENOMEM, "%s: out of memory", config->name);
    blk->config = *config;
    blk->writeback = WRITEBACK_UNSET;
    init_lock(blk);
    limit_init(&blk->limit, config->operations_limit, config->bytes_limit, clock_now_ns());
    event_timer_init(&blk->refill, config->loop, queue_refilled, blk);
    int result = check_config(blk, error);
    if (!result)
        result = open_backend(blk, error);
    if (!result)
        result = queues_create(blk, error);
    if (!result)
        result = create_virtio(blk, error);
    if (result) {
        virtio_blk_destroy(blk);
        return result;
    }
    *out = blk;
    return 0;
}

/* The backend first: it waits for what it has begun, which nobody else can any more, and drops the rest. */
void virtio_blk_destroy(struct virtio_blk *blk)
{
    if (!blk)
        return;
    event_timer_fini(&blk->refill);
    block_close(blk->block);
    for (unsigned q = 0; q < blk->config.queue_count; q++)
        blk->queues[q].in_flight = 0;
    virtio_destroy(blk->virtio);
    queues_destroy(blk);
    free(blk->pinned);
    pthread_cond_destroy(&blk->idle);
    pthread_mutex_destroy(&blk->lock);
    free(blk);
}

struct virtio *virtio_blk_virtio(struct virtio_blk *blk)
{
    return blk->virtio;
}

const struct block_info *virtio_blk_info(const struct virtio_blk *blk)
{
    return block_info(blk->block);
}

/* With nothing in flight: a write that was begun before would make a file longer again that gets shorter. */
int virtio_blk_resize(struct virtio_blk *blk, uint64_t bytes, struct vmm_error *error)
{
    int result = queues_hold(blk);
    if (result)
        error_set(error, result, "%s: not resized: requests in flight do not end", blk->config.name);
    else
        result = block_resize(blk->block, bytes, error);
    if (!result)
        __atomic_store_n(&blk->bytes, block_info(blk->block)->bytes, __ATOMIC_RELAXED);
    queues_release(blk);
    if (!result)
        virtio_config_changed(blk->virtio);
    return result;
}

void virtio_blk_get_counts(const struct virtio_blk *blk, struct virtio_blk_counts *counts)
{
    *counts = blk->counts;
}
