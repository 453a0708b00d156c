/* SPDX-License-Identifier: MIT
 *
 * Split virtqueues (virtio 1.2, 2.7).
 *
 *   descriptor area: size x { le64 address, le32 len, le16 flags, le16 next }
 *   driver area:     le16 flags, le16 idx, le16 ring[size], le16 used_event
 *   device area:     le16 flags, le16 idx, { le32 id, le32 len } ring[size], le16 avail_event
 */
#include "devices/virtio/queue_internal.h"

#define RING_FLAGS 0
#define RING_IDX   2
#define RING_ITEMS 4

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u

static uint8_t *used_event(const struct queue *queue)
{
    return queue->driver + RING_ITEMS + 2u * queue->config.size;
}

static uint8_t *avail_event(const struct queue *queue)
{
    return queue->device + RING_ITEMS + 8u * queue->config.size;
}

/* Entries that the driver has made available. Pairs with the driver's barrier between filling in an entry
 * and moving idx (2.7.13.3.1). */
static uint16_t available(const struct queue *queue)
{
    return (uint16_t)(ring_load16_acquire(queue->driver + RING_IDX) - queue->next_avail);
}

/* Where the walk goes on: in the ring's own table, or in an indirect one. */
struct cursor {
    const uint8_t *table;
    unsigned count;
    unsigned index;
    bool is_indirect;
};

/* One descriptor: a buffer, or the way into an indirect table. NULL, or the broken rule. */
static const char *take(const struct queue *queue, struct queue_chain *chain, struct cursor *cursor,
                        bool *is_last)
{
    struct descriptor descriptor = descriptor_copy(cursor->table + cursor->index * DESCRIPTOR_BYTES);
    uint16_t flags = descriptor.tail[0], next = descriptor.tail[1];
    if (flags & DESCRIPTOR_INDIRECT) {
        if (cursor->is_indirect || (flags & DESCRIPTOR_NEXT))
            return "an indirect table inside or before something";
        cursor->is_indirect = true;
        cursor->index = 0;
        return indirect_find(queue, &descriptor, &cursor->table, &cursor->count);
    }
    *is_last = !(flags & DESCRIPTOR_NEXT);
    if (!*is_last && next >= cursor->count)
        return "a next descriptor outside its table";
    cursor->index = next;
    return chain_add(queue, chain, &descriptor, flags & DESCRIPTOR_WRITE);
}

/* A chain is no longer than its tables together, so a loop ends as one that is too long. */
static const char *walk(const struct queue *queue, struct queue_chain *chain)
{
    struct cursor cursor = {.table = queue->descriptor, .count = queue->config.size, .index = chain->id};
    bool is_last = false;
    unsigned limit = queue->config.size;
    for (unsigned steps = 0; !is_last; steps++) {
        if (steps == limit)
            return "a chain that never ends";
        bool was_indirect = cursor.is_indirect;
        const char *broken = take(queue, chain, &cursor, &is_last);
        if (broken)
            return broken;
        if (cursor.is_indirect && !was_indirect)
            limit = steps + 1 + cursor.count;
    }
    return NULL;
}

enum queue_answer split_pop(struct queue *queue, struct queue_chain *chain)
{
    uint16_t count = available(queue), size = queue->config.size;
    if (!count)
        return QUEUE_EMPTY;
    /* Those not pushed yet still have their descriptors. */
    if (count > size - (uint16_t)(queue->next_avail - queue->next_used)) {
        queue->broken = "more available than the ring holds";
        return QUEUE_BROKEN;
    }
    chain->id = ring_load16(queue->driver + RING_ITEMS + 2u * (queue->next_avail & (size - 1u)));
    queue->next_avail++;
    if (chain->id >= size) {
        queue->broken = "a head outside the descriptor table";
        return QUEUE_BROKEN;
    }
    queue->broken = walk(queue, chain);
    if (!queue->broken)
        return QUEUE_CHAIN;
    split_push(queue, chain, 0);
    return QUEUE_BROKEN;
}

void split_push(struct queue *queue, const struct queue_chain *chain, uint32_t written)
{
    uint8_t *entry = queue->device + RING_ITEMS + 8u * (queue->next_used & (queue->config.size - 1u));
    ring_store32(entry, chain->id);
    ring_store32(entry + 4, written);
    queue->next_used++;
    queue->unsignalled++;
    /* Pairs with the driver's barrier between reading idx and reading the entry (2.7.14). */
    ring_store16_release(queue->device + RING_IDX, queue->next_used);
}

/* Whether `event` is one of the `count` entries before `next` (2.7.10). */
static bool is_passed(uint16_t event, uint16_t next, uint16_t count)
{
    return (uint16_t)(next - event - 1) < count;
}

bool split_wants_interrupt(struct queue *queue)
{
    /* Between our idx and the driver's wish, which it writes before it reads idx once more. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (queue->config.has_event_idx)
        return is_passed(ring_load16(used_event(queue)), queue->next_used, queue->unsignalled);
    return !(ring_load16(queue->driver + RING_FLAGS) & AVAIL_NO_INTERRUPT);
}

/* With an event index, the one of before stays behind: no write is needed. */
void split_kicks_off(struct queue *queue)
{
    if (!queue->config.has_event_idx)
        ring_store16(queue->device + RING_FLAGS, USED_NO_NOTIFY);
}

bool split_kicks_on(struct queue *queue)
{
    if (queue->config.has_event_idx)
        ring_store16(avail_event(queue), queue->next_avail);
    else
        ring_store16(queue->device + RING_FLAGS, 0);
    /* Between our wish and the driver's idx, after which it reads the wish. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !available(queue);
}
