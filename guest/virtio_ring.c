/* SPDX-License-Identifier: MIT
 *
 * Both kinds of ring, from the driver's side.
 */
#include "guest/virtio.h"

#define DESCRIPTOR_BYTES 16u
#define FLAG_NEXT        1u
#define FLAG_WRITE       2u
#define FLAG_INDIRECT    4u
#define FLAG_AVAIL       (1u << 7)
#define FLAG_USED        (1u << 15)

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u
#define EVENT_ENABLE       0u
#define EVENT_DISABLE      1u
#define EVENT_DESCRIPTOR   2u
#define EVENT_WRAP         (1u << 15)

#define RING16(area, offset) MEM(uint16_t, (area) + (offset))

/* Orders a store before a later load; an instruction that every CPU and emulator knows. */
static void barrier(void)
{
    __asm__ volatile("lock; addl $0, (%%rsp)" : : : "memory");
}

static void write_descriptor(uint8_t *at, uint64_t address, uint32_t len, uint16_t third, uint16_t fourth)
{
    MEM(uint64_t, at) = address;
    MEM(uint32_t, at + 8) = len;
    MEM(uint16_t, at + 12) = third;
    MEM(uint16_t, at + 14) = fourth;
}

/* In a table of its own; a packed ring's has no links. */
static uint8_t *write_table(struct vq *vq, unsigned id, const struct vq_buffer *buffers, unsigned count)
{
    uint8_t *table = vq->tables + id * VQ_CHAIN_MAX * DESCRIPTOR_BYTES;
    for (unsigned i = 0; i < count; i++) {
        uint16_t write = buffers[i].device_writes ? FLAG_WRITE : 0;
        uint16_t next = i + 1 < count ? FLAG_NEXT : 0;
        uint64_t address = (uint64_t)buffers[i].at;
        if (vq->is_packed)
            write_descriptor(table + i * DESCRIPTOR_BYTES, address, buffers[i].len, 0, write);
        else
            write_descriptor(table + i * DESCRIPTOR_BYTES, address, buffers[i].len, (uint16_t)(write | next),
                             (uint16_t)(i + 1));
    }
    return table;
}

static void split_add(struct vq *vq, const struct vq_buffer *buffers, unsigned count, uint16_t *id)
{
    uint16_t at = vq->free_first;
    *id = at;
    if (vq->is_indirect) {
        write_descriptor(vq->descriptors + at * DESCRIPTOR_BYTES,
                         (uint64_t)write_table(vq, at, buffers, count), count * DESCRIPTOR_BYTES,
                         FLAG_INDIRECT, 0);
        at = vq->next[at];
    }
    for (unsigned i = 0; i < count && !vq->is_indirect; i++, at = vq->next[at])
        write_descriptor(
            vq->descriptors + at * DESCRIPTOR_BYTES, (uint64_t)buffers[i].at, buffers[i].len,
            (uint16_t)((buffers[i].device_writes ? FLAG_WRITE : 0) | (i + 1 < count ? FLAG_NEXT : 0)),
            vq->next[at]);
    vq->free_first = at;
    RING16(vq->driver, 4 + 2 * (vq->next_avail & (vq->size - 1u))) = *id;
    vq->next_avail++;
    RING16(vq->driver, 2) = vq->next_avail; /* behind all of the above: stores are seen in order */
}

static void packed_step(const struct vq *vq, uint16_t *index, bool *wrap, unsigned count)
{
    *index = (uint16_t)(*index + count);
    if (*index >= vq->size) {
        *index = (uint16_t)(*index - vq->size);
        *wrap = !*wrap;
    }
}

/* The first one's flags last: with them the chain is the device's. */
static void packed_add(struct vq *vq, const struct vq_buffer *buffers, unsigned count, uint16_t *id)
{
    uint16_t index = vq->next_avail, slots = vq->is_indirect ? 1 : (uint16_t)count, first_flags = 0;
    uint8_t *first = vq->descriptors + index * DESCRIPTOR_BYTES;
    *id = vq->free_first;
    vq->free_first = vq->next[*id];
    for (unsigned i = 0; i < slots; i++) {
        uint8_t *at = vq->descriptors + index * DESCRIPTOR_BYTES;
        uint16_t flags = vq->avail_wrap ? FLAG_AVAIL : FLAG_USED;
        if (vq->is_indirect) {
            flags |= FLAG_INDIRECT;
            write_descriptor(at, (uint64_t)write_table(vq, *id, buffers, count), count * DESCRIPTOR_BYTES,
                             *id, MEM(uint16_t, at + 14));
        } else {
            flags |= (uint16_t)((buffers[i].device_writes ? FLAG_WRITE : 0) |
                                (i + 1 < slots ? FLAG_NEXT : 0));
            write_descriptor(at, (uint64_t)buffers[i].at, buffers[i].len, *id,
                             i ? flags : MEM(uint16_t, at + 14));
        }
        if (!i)
            first_flags = flags;
        packed_step(vq, &index, &vq->avail_wrap, 1);
    }
    vq->next_avail = index;
    MEM(uint16_t, first + 14) = first_flags;
}

bool vq_add(struct vq *vq, const struct vq_buffer *buffers, unsigned count, uint16_t *id)
{
    uint16_t slots = vq->is_indirect ? 1 : (uint16_t)count;
    if (vq->free_count < slots)
        return false;
    if (vq->is_packed)
        packed_add(vq, buffers, count, id);
    else
        split_add(vq, buffers, count, id);
    vq->lens[*id] = slots;
    vq->free_count = (uint16_t)(vq->free_count - slots);
    vq->unkicked = (uint16_t)(vq->unkicked + (vq->is_packed ? slots : 1));
    return true;
}

/* Whether the place `wanted` is one of the `count` before `now`, in a ring of `round` places. */
static bool is_passed(unsigned wanted, unsigned now, unsigned count, unsigned round)
{
    unsigned behind = (now + round - wanted) % round;
    return behind >= 1 && behind <= count;
}

static bool split_wants_kick(const struct vq *vq)
{
    if (!vq->has_event_idx)
        return !(RING16(vq->device, 0) & USED_NO_NOTIFY);
    return is_passed(RING16(vq->device, 4 + 8 * vq->size), vq->next_avail, vq->unkicked, 0x10000);
}

static bool packed_wants_kick(const struct vq *vq)
{
    uint16_t flags = RING16(vq->device, 2) & 3, event = RING16(vq->device, 0);
    if (flags != EVENT_DESCRIPTOR)
        return flags == EVENT_ENABLE;
    unsigned now = vq->next_avail + (vq->avail_wrap ? 0u : vq->size);
    unsigned wanted = (event & 0x7fffu) + (event & EVENT_WRAP ? 0u : vq->size);
    return is_passed(wanted, now, vq->unkicked, 2u * vq->size);
}

bool vq_kick(struct vq *vq)
{
    barrier();
    bool is_wanted = vq->unkicked && (vq->is_packed ? packed_wants_kick(vq) : split_wants_kick(vq));
    vq->unkicked = 0;
    if (is_wanted && vq->notify_is_wide)
        MEM(uint32_t, vq->notify) = vq->index;
    else if (is_wanted)
        MEM(uint16_t, vq->notify) = vq->index;
    return is_wanted;
}

void vq_interrupts_set(struct vq *vq, bool wanted)
{
    if (vq->is_packed) {
        RING16(vq->driver, 0) = (uint16_t)(vq->next_used | (vq->used_wrap ? EVENT_WRAP : 0));
        RING16(vq->driver, 2) = !wanted ? EVENT_DISABLE : vq->has_event_idx ? EVENT_DESCRIPTOR : EVENT_ENABLE;
    } else {
        RING16(vq->driver, 0) = wanted ? 0 : AVAIL_NO_INTERRUPT;
        /* Not wanted: half of all places away, until there is a whole round. */
        RING16(vq->driver, 4 + 2 * vq->size) = (uint16_t)(wanted ? vq->next_used : vq->next_used + 0x8000u);
    }
    barrier();
}

static bool split_take(struct vq *vq, uint16_t *id, uint32_t *written)
{
    if (RING16(vq->device, 2) == vq->next_used)
        return false;
    uint8_t *entry = vq->device + 4 + 8 * (vq->next_used & (vq->size - 1u));
    *id = (uint16_t)MEM(uint32_t, entry);
    *written = MEM(uint32_t, entry + 4);
    vq->next_used++;
    if (*id >= vq->size)
        return true;
    uint16_t last = *id;
    for (unsigned i = 1; i < vq->lens[*id]; i++)
        last = vq->next[last];
    vq->next[last] = vq->free_first;
    vq->free_first = *id;
    return true;
}

static bool packed_take(struct vq *vq, uint16_t *id, uint32_t *written)
{
    uint8_t *entry = vq->descriptors + vq->next_used * DESCRIPTOR_BYTES;
    uint16_t flags = MEM(uint16_t, entry + 14);
    if (!(flags & FLAG_AVAIL) == vq->used_wrap || !(flags & FLAG_USED) == vq->used_wrap)
        return false;
    *id = MEM(uint16_t, entry + 12);
    *written = MEM(uint32_t, entry + 8);
    if (*id >= vq->size)
        return true;
    packed_step(vq, &vq->next_used, &vq->used_wrap, vq->lens[*id]);
    vq->next[*id] = vq->free_first;
    vq->free_first = *id;
    return true;
}

bool vq_take(struct vq *vq, uint16_t *id, uint32_t *written)
{
    if (!(vq->is_packed ? packed_take(vq, id, written) : split_take(vq, id, written)))
        return false;
    if (*id < vq->size)
        vq->free_count = (uint16_t)(vq->free_count + vq->lens[*id]);
    return true;
}
