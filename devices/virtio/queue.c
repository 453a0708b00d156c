/* SPDX-License-Identifier: MIT
 *
 * What does not depend on the kind of ring: where its areas are, and what a chain is made of.
 */
#include "devices/virtio/queue.h"

#include <errno.h>
#include <string.h>

#include "devices/virtio/queue_internal.h"

/* Of one chain (2.7.5, 2.8.5). Its use is told in 32 bits. */
#define CHAIN_BYTES_MAX (4 * GIB)

/* An area's alignment and length (2.7.2, 2.8.10.1). */
struct area {
    gpa_t gpa;
    uint64_t len;
    unsigned align;
    uint8_t **hva;
};

static int map_area(const struct queue_config *config, const struct area *area)
{
    if (area->gpa % area->align)
        return -EINVAL;
    *area->hva = guest_mem_ptr(config->memory, area->gpa, area->len);
    return *area->hva ? 0 : -EFAULT;
}

int queue_start(struct queue *queue, const struct queue_config *config)
{
    unsigned size = config->size;
    bool is_packed = config->is_packed;
    *queue = (struct queue){.config = *config, .avail_wrap = true, .used_wrap = true};
    const struct area areas[] = {
        {config->descriptor, (uint64_t)size * DESCRIPTOR_BYTES, 16, &queue->descriptor},
        {config->driver, is_packed ? 4 : 6 + 2 * (uint64_t)size, is_packed ? 4 : 2, &queue->driver},
        {config->device, is_packed ? 4 : 6 + 8 * (uint64_t)size, 4, &queue->device},
    };
    if (!size || size > QUEUE_SIZE_MAX || (!is_packed && (size & (size - 1))))
        return -EINVAL;
    for (unsigned i = 0; i < ARRAY_COUNT(areas); i++) {
        int result = map_area(config, &areas[i]);
        if (result) {
            queue_stop(queue);
            return result;
        }
    }
    return 0;
}

void queue_stop(struct queue *queue)
{
    *queue = (struct queue){0};
}

bool queue_is_started(const struct queue *queue)
{
    return queue->device != NULL;
}

void chain_clear(struct queue_chain *chain)
{
    chain->out_count = chain->in_count = 0;
    chain->out_bytes = chain->in_bytes = 0;
    chain->id = 0;
    chain->slots = 1;
}

const char *chain_add(const struct queue *queue, struct queue_chain *chain, const struct descriptor *from,
                      bool is_write)
{
    unsigned count = chain->out_count + chain->in_count;
    if (!is_write && chain->in_count)
        return "a buffer to read behind one to write";
    if (!from->len)
        return NULL;
    if (count == chain->capacity)
        return "a chain of too many buffers";
    if (chain->out_bytes + chain->in_bytes + from->len > CHAIN_BYTES_MAX)
        return "a chain of more than 4 GiB";
    void *hva = guest_mem_ptr(queue->config.memory, from->address, from->len);
    if (!hva)
        return "a buffer outside RAM";
    chain->segments[count] = (struct iovec){.iov_base = hva, .iov_len = from->len};
    if (is_write) {
        chain->in_count++;
        chain->in_bytes += from->len;
    } else {
        chain->out_count++;
        chain->out_bytes += from->len;
    }
    return NULL;
}

const char *indirect_find(const struct queue *queue, const struct descriptor *from, const uint8_t **table,
                          unsigned *count)
{
    if (!queue->config.has_indirect)
        return "an indirect table that was not negotiated";
    if (!from->len || from->len % DESCRIPTOR_BYTES)
        return "an indirect table of no whole descriptors";
    *count = from->len / DESCRIPTOR_BYTES;
    if (*count > QUEUE_CHAIN_MAX)
        return "an indirect table that is too long";
    *table = guest_mem_ptr(queue->config.memory, from->address, from->len);
    return *table ? NULL : "an indirect table outside RAM";
}

enum queue_answer queue_pop(struct queue *queue, struct queue_chain *chain)
{
    chain_clear(chain);
    if (queue->broken)
        return QUEUE_BROKEN;
    if (!queue_is_started(queue))
        return QUEUE_EMPTY;
    return queue->config.is_packed ? packed_pop(queue, chain) : split_pop(queue, chain);
}

void queue_push(struct queue *queue, const struct queue_chain *chain, uint64_t written)
{
    if (!queue_is_started(queue))
        return;
    uint64_t most = chain->in_bytes < UINT32_MAX ? chain->in_bytes : UINT32_MAX;
    uint32_t len = (uint32_t)(written < most ? written : most);
    if (queue->config.is_packed)
        packed_push(queue, chain, len);
    else
        split_push(queue, chain, len);
}

bool queue_wants_interrupt(struct queue *queue)
{
    if (!queue_is_started(queue) || !queue->unsignalled)
        return false;
    bool wanted = queue->config.is_packed ? packed_wants_interrupt(queue) : split_wants_interrupt(queue);
    queue->unsignalled = 0;
    return wanted;
}

void queue_kicks_off(struct queue *queue)
{
    if (!queue_is_started(queue) || queue->kicks_are_off)
        return;
    queue->kicks_are_off = true;
    if (queue->config.is_packed)
        packed_kicks_off(queue);
    else
        split_kicks_off(queue);
}

bool queue_kicks_on(struct queue *queue)
{
    if (!queue_is_started(queue) || queue->broken)
        return true;
    queue->kicks_are_off = false;
    return queue->config.is_packed ? packed_kicks_on(queue) : split_kicks_on(queue);
}
