/* SPDX-License-Identifier: MIT
 *
 * The machine's disks. Each has an event loop, and so a thread, of its own: a disk that waits for its medium
 * keeps neither the console nor another disk waiting.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace_ring.h"
#include "devices/virtio-blk/virtio_blk.h"
#include "vmm/machine.h"

struct machine_disk {
    struct machine_disk *next;
    char name[16];
    struct event_loop *loop;
    struct virtio_blk *blk;
};

/* The loop's thread first: nothing may come back to the device any more. */
static void destroy_disk(void *part)
{
    struct machine_disk *disk = part;
    event_loop_stop(disk->loop);
    virtio_blk_destroy(disk->blk);
    event_loop_destroy(disk->loop);
    free(disk);
}

static int create_blk(struct vmm *machine, struct machine_disk *disk, const struct vmm_disk_config *config,
                      struct vmm_error *error)
{
    static const enum block_aio aios[] = {[VMM_DISK_AIO_AUTO] = BLOCK_AIO_AUTO,
                                          [VMM_DISK_AIO_URING] = BLOCK_AIO_URING,
                                          [VMM_DISK_AIO_THREADS] = BLOCK_AIO_THREADS};
    unsigned queues = config->queue_count ? config->queue_count : machine->config.cpu_count;
    if ((unsigned)config->aio >= ARRAY_COUNT(aios) || (unsigned)config->cache > VMM_DISK_CACHE_NONE)
        return error_set(error, -EINVAL, "%s: there is no such cache or aio", disk->name);
    const struct virtio_blk_config blk = {
        .name = disk->name,
        .backend = {.path = config->path,
                    .overlay_path = config->overlay_path,
                    .overlay_memory = config->overlay_memory,
                    .read_only = config->read_only,
                    .aio = aios[config->aio],
                    .cache = config->cache == VMM_DISK_CACHE_NONE ? BLOCK_CACHE_NONE : BLOCK_CACHE_WRITEBACK},
        .queue_count = queues > VMM_DISK_QUEUES_MAX && !config->queue_count ? VMM_DISK_QUEUES_MAX : queues,
        .pin = config->pin,
        .block_size = config->block_size,
        .serial = config->serial,
        .operations_limit = config->operations_limit,
        .bytes_limit = config->bytes_limit,
        .memory = machine->memory,
        .loop = disk->loop};
    if (blk.queue_count > VMM_DISK_QUEUES_MAX)
        return error_set(error, -EINVAL, "%s: %u queues are more than %d", disk->name, blk.queue_count,
                         VMM_DISK_QUEUES_MAX);
    return virtio_blk_create(&blk, &disk->blk, error);
}

static void append(struct vmm *machine, struct machine_disk *disk)
{
    struct machine_disk **end = &machine->disks;
    while (*end)
        end = &(*end)->next;
    *end = disk;
}

static unsigned disk_count(const struct vmm *machine)
{
    unsigned count = 0;
    for (const struct machine_disk *disk = machine->disks; disk; disk = disk->next)
        count++;
    return count;
}

static int add_disk(struct vmm *machine, const struct vmm_disk_config *config, struct vmm_error *error)
{
    struct machine_disk *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return error_set(error, -ENOMEM, "disk: out of memory");
    snprintf(disk->name, sizeof(disk->name), "disk%u", disk_count(machine));
    int result = event_loop_create(&disk->loop, error);
    if (result) {
        free(disk);
        return result;
    }
    result = create_blk(machine, disk, config, error);
    if (result) {
        destroy_disk(disk);
        return result;
    }
    result = machine_own(machine, disk, destroy_disk, error);
    if (!result)
        result = machine_attach_virtio(machine, virtio_blk_virtio(disk->blk), config->transport, error);
    if (!result)
        append(machine, disk);
    return result;
}

int vmm_add_disk(struct vmm *machine, const struct vmm_disk_config *config, struct vmm_error *error)
{
    uint64_t since_ns = machine_now_ns();
    int result = config->path ? add_disk(machine, config, error)
                              : error_set(error, -EINVAL, "disk: a path is needed");
    machine_count_phase(machine, VMM_PHASE_DEVICES, since_ns);
    return result;
}

int vmm_resize_disk(struct vmm *machine, unsigned index, uint64_t bytes, struct vmm_error *error)
{
    struct machine_disk *disk = machine->disks;
    for (unsigned i = 0; disk && i < index; i++)
        disk = disk->next;
    if (!disk)
        return error_set(error, -ENOENT, "disk %u: there is none", index);
    return virtio_blk_resize(disk->blk, bytes, error);
}

static int trace_disk(struct vmm *machine, struct machine_disk *disk, struct vmm_error *error)
{
    struct trace_thread *thread;
    int result = trace_add_thread(machine->trace, disk->name, -1, &thread, error);
    if (!result)
        event_loop_set_trace(disk->loop, thread);
    return result;
}

int machine_start_disks(struct vmm *machine, struct vmm_error *error)
{
    int result = 0;
    for (struct machine_disk *disk = machine->disks; disk && !result; disk = disk->next) {
        if (machine->trace)
            result = trace_disk(machine, disk, error);
        if (!result)
            result = event_loop_start(disk->loop, error);
    }
    return result;
}

void machine_stop_disks(struct vmm *machine)
{
    for (struct machine_disk *disk = machine->disks; disk; disk = disk->next)
        event_loop_stop(disk->loop);
}

static void read_disk(const struct machine_disk *disk, struct vmm_disk_stat *stat)
{
    struct virtio_blk_counts counts;
    struct virtio_counts queues;
    virtio_blk_get_counts(disk->blk, &counts);
    virtio_get_counts(virtio_blk_virtio(disk->blk), &queues);
    *stat = (struct vmm_disk_stat){.name = disk->name,
                                   .aio = virtio_blk_info(disk->blk)->aio,
                                   .bytes = virtio_blk_info(disk->blk)->bytes,
                                   .read_count = counts.operations[BLOCK_READ],
                                   .read_bytes = counts.bytes[BLOCK_READ],
                                   .write_count = counts.operations[BLOCK_WRITE],
                                   .write_bytes = counts.bytes[BLOCK_WRITE],
                                   .flush_count = counts.operations[BLOCK_FLUSH],
                                   .discard_count = counts.operations[BLOCK_DISCARD],
                                   .zeroes_count = counts.operations[BLOCK_WRITE_ZEROES],
                                   .error_count = counts.errors,
                                   .refused_count = counts.refused,
                                   .throttled_count = counts.throttled,
                                   .doorbell_count = queues.doorbells,
                                   .notify_count = queues.notifies,
                                   .interrupt_count = queues.interrupts,
                                   .suppressed_count = queues.suppressed};
}

size_t vmm_stats_disks(struct vmm *machine, struct vmm_disk_stat *list, size_t capacity)
{
    size_t found = 0;
    for (const struct machine_disk *disk = machine->disks; disk; disk = disk->next, found++)
        if (found < capacity)
            read_disk(disk, &list[found]);
    return found;
}
