/* SPDX-License-Identifier: MIT
 *
 * Packed virtqueues (virtio 1.2, 2.8).
 *
 *   descriptor area: size x { le64 address, le32 len, le16 id, le16 flags }, written by both sides
 *   driver area:     le16 offset and wrap counter, le16 flags: which interrupts the driver wants
 *   device area:     the same: which notifications the device wants
 */
#include "devices/virtio/queue_internal.h"

#define DESCRIPTOR_ID    12
#define DESCRIPTOR_LEN   8
#define DESCRIPTOR_FLAGS 14
#define FLAG_AVAIL       (1u << 7)
#define FLAG_USED        (1u << 15)

/* Event suppression (2.8.14). */
#define EVENT_OFFSET     0
#define EVENT_FLAGS      2
#define EVENT_ENABLE     0u
#define EVENT_DISABLE    1u
#define EVENT_DESCRIPTOR 2u
#define EVENT_WRAP       (1u << 15)

static uint8_t *slot(const struct queue *queue, uint16_t index)
{
    return queue->descriptor + (size_t)index * DESCRIPTOR_BYTES;
}

/* Pairs with the driver's barrier between filling in a chain and writing its first flags (2.8.21.1). */
static bool is_available(const struct queue *queue)
{
    uint16_t flags = ring_load16_acquire(slot(queue, queue->next_avail) + DESCRIPTOR_FLAGS);
    return !!(flags & FLAG_AVAIL) == queue->avail_wrap && !!(flags & FLAG_USED) != queue->avail_wrap;
}

static void advance(const struct queue *queue, uint16_t *index, bool *wrap, unsigned count)
{
    unsigned sum = *index + count;
    if (sum >= queue->config.size) {
        sum -= queue->config.size;
        *wrap = !*wrap;
    }
    *index = (uint16_t)sum;
}

/* Here an entry's order is its place; only the direction counts among its flags (2.8.8). */
static const char *walk_indirect(const struct queue *queue, struct queue_chain *chain,
                                 const struct descriptor *from)
{
    const uint8_t *table;
    unsigned count;
    const char *broken = indirect_find(queue, from, &table, &count);
    for (unsigned i = 0; !broken && i < count; i++) {
        struct descriptor entry = descriptor_copy(table + i * DESCRIPTOR_BYTES);
        if (entry.tail[1] & DESCRIPTOR_INDIRECT)
            return "an indirect table inside another";
        broken = chain_add(queue, chain, &entry, entry.tail[1] & DESCRIPTOR_WRITE);
    }
    return broken;
}

/* The slots from next_avail on, up to one without NEXT. The last has the buffer ID. */
static const char *walk(const struct queue *queue, struct queue_chain *chain)
{
    uint16_t index = queue->next_avail;
    bool wrap = queue->avail_wrap;
    for (chain->slots = 1;; chain->slots++) {
        struct descriptor descriptor = descriptor_copy(slot(queue, index));
        uint16_t flags = descriptor.tail[1];
        const char *broken = NULL;
        chain->id = descriptor.tail[0];
        if (!(flags & DESCRIPTOR_INDIRECT))
            broken = chain_add(queue, chain, &descriptor, flags & DESCRIPTOR_WRITE);
        else if (chain->slots > 1 || (flags & DESCRIPTOR_NEXT))
            broken = "an indirect table in a chain of several descriptors";
        else
            broken = walk_indirect(queue, chain, &descriptor);
        if (broken || !(flags & DESCRIPTOR_NEXT))
            return broken;
        if (chain->slots == queue->config.size)
            return "a chain that never ends";
        advance(queue, &index, &wrap, 1);
    }
}

enum queue_answer packed_pop(struct queue *queue, struct queue_chain *chain)
{
    if (!is_available(queue))
        return QUEUE_EMPTY;
    queue->broken = walk(queue, chain);
    advance(queue, &queue->next_avail, &queue->avail_wrap, chain->slots);
    queue->slots_taken += chain->slots;
    if (!queue->broken && queue->slots_taken > queue->config.size)
        queue->broken = "more available than the ring holds";
    if (!queue->broken)
        return QUEUE_CHAIN;
    packed_push(queue, chain, 0);
    return QUEUE_BROKEN;
}

void packed_push(struct queue *queue, const struct queue_chain *chain, uint32_t written)
{
    uint8_t *entry = slot(queue, queue->next_used);
    uint16_t flags = queue->used_wrap ? FLAG_AVAIL | FLAG_USED : 0;
    ring_store16(entry + DESCRIPTOR_ID, chain->id);
    ring_store32(entry + DESCRIPTOR_LEN, written);
    /* Pairs with the driver's barrier between the flags and the rest (2.8.21.3.1). */
    ring_store16_release(entry + DESCRIPTOR_FLAGS, (uint16_t)(flags | (written ? DESCRIPTOR_WRITE : 0)));
    advance(queue, &queue->next_used, &queue->used_wrap, chain->slots);
    queue->slots_taken -= chain->slots;
    queue->unsignalled = (uint16_t)(queue->unsignalled + chain->slots);
}

/* A slot and its wrap counter as a place in two rounds of the ring. */
static unsigned place(const struct queue *queue, unsigned index, bool wrap)
{
    return index + (wrap ? 0 : queue->config.size);
}

bool packed_wants_interrupt(struct queue *queue)
{
    unsigned size = queue->config.size;
    /* Between our flags and the driver's wish, which it writes before it looks at the flags once more. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t flags = ring_load16(queue->driver + EVENT_FLAGS) & 3u;
    if (flags != EVENT_DESCRIPTOR || !queue->config.has_event_idx)
        return flags != EVENT_DISABLE;
    uint16_t event = ring_load16(queue->driver + EVENT_OFFSET);
    if ((event & ~EVENT_WRAP) >= size || queue->unsignalled >= 2 * size)
        return true;
    unsigned next = place(queue, queue->next_used, queue->used_wrap);
    unsigned wanted = place(queue, event & ~EVENT_WRAP, event & EVENT_WRAP);
    unsigned behind = (next + 2 * size - wanted) % (2 * size); /* how far the wanted slot lies behind us */
    return behind >= 1 && behind <= queue->unsignalled;
}

void packed_kicks_off(struct queue *queue)
{
    ring_store16(queue->device + EVENT_FLAGS, EVENT_DISABLE);
}

bool packed_kicks_on(struct queue *queue)
{
    if (queue->config.has_event_idx) {
        ring_store16(queue->device + EVENT_OFFSET,
                     (uint16_t)(queue->next_avail | (queue->avail_wrap ? EVENT_WRAP : 0)));
        ring_store16_release(queue->device + EVENT_FLAGS, EVENT_DESCRIPTOR);
    } else {
        ring_store16(queue->device + EVENT_FLAGS, EVENT_ENABLE);
    }
    /* Between our wish and the flags of the slot, after which the driver reads the wish. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !is_available(queue);
}
