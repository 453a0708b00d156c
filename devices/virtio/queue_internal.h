/* SPDX-License-Identifier: MIT
 *
 * What the two kinds of ring share: a descriptor, and how a chain is put together from them. For queue*.c.
 */
#ifndef DEVICES_VIRTIO_QUEUE_INTERNAL_H
#define DEVICES_VIRTIO_QUEUE_INTERNAL_H

#include "base/bytes.h"
#include "devices/virtio/queue.h"

#define DESCRIPTOR_BYTES 16

/* Of both kinds of descriptor (2.7.5, 2.8.13). */
#define DESCRIPTOR_NEXT     1u
#define DESCRIPTOR_WRITE    2u
#define DESCRIPTOR_INDIRECT 4u

struct descriptor {
    uint64_t address;
    uint32_t len;
    uint16_t tail[2]; /* split: flags, next; packed: buffer ID, flags */
};

/* A ring's words are the driver's as well: each is read or written by one instruction, never twice. */
static inline uint16_t ring_load16(const uint8_t *at)
{
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_RELAXED);
}

static inline uint16_t ring_load16_acquire(const uint8_t *at)
{
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static inline void ring_store16(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELAXED);
}

static inline void ring_store16_release(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

static inline void ring_store32(uint8_t *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)at, value, __ATOMIC_RELAXED);
}

/* A copy of the descriptor, by one volatile read of each half: an indirect table has no alignment. */
static inline struct descriptor descriptor_copy(const uint8_t *at)
{
    struct descriptor copy;
    uint8_t bytes[DESCRIPTOR_BYTES];
    for (unsigned i = 0; i < DESCRIPTOR_BYTES; i += 8) {
        uint64_t word;
        __asm__ volatile("mov %1, %0" : "=r"(word) : "m"(*(const uint64_t(*)[1])(const void *)(at + i)));
        store_le64(bytes + i, word);
    }
    copy.address = load_le64(bytes);
    copy.len = load_le32(bytes + 8);
    copy.tail[0] = load_le16(bytes + 12);
    copy.tail[1] = load_le16(bytes + 14);
    return copy;
}

/* Empties it, with the caller's room kept. */
void chain_clear(struct queue_chain *chain);

/* Adds a buffer. NULL, or which rule it breaks. */
const char *chain_add(const struct queue *queue, struct queue_chain *chain, const struct descriptor *from,
                      bool is_write);

/* An indirect table (2.7.5.3, 2.8.8): its place, and how many descriptors it has. NULL, or the broken rule.
 */
const char *indirect_find(const struct queue *queue, const struct descriptor *from, const uint8_t **table,
                          unsigned *count);

enum queue_answer split_pop(struct queue *queue, struct queue_chain *chain);
void split_push(struct queue *queue, const struct queue_chain *chain, uint32_t written);
bool split_wants_interrupt(struct queue *queue);
void split_kicks_off(struct queue *queue);
bool split_kicks_on(struct queue *queue);

enum queue_answer packed_pop(struct queue *queue, struct queue_chain *chain);
void packed_push(struct queue *queue, const struct queue_chain *chain, uint32_t written);
bool packed_wants_interrupt(struct queue *queue);
void packed_kicks_off(struct queue *queue);
bool packed_kicks_on(struct queue *queue);

#endif
