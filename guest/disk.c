/* SPDX-License-Identifier: MIT
 *
 * Requests to the disk, one at a time and many.
 */
#include "guest/disk.h"

#include "guest/clock.h"
#include "guest/page.h"

struct virtio disk;
struct disk_header *headers;
uint8_t *data;
const struct shape plain = {0, 1};

bool disk_find(void)
{
    if (!headers)
        headers = page_alloc();
    if (!data)
        data = page_alloc_range(DATA_PAGES * VQ_COUNT_MAX, PAGE_BYTES);
    return headers && data && virtio_find(VIRTIO_ID_BLOCK, 0, &disk);
}

uint64_t disk_capacity(void)
{
    return MEM(uint32_t, disk.config + DISK_CAPACITY) |
           (uint64_t)MEM(uint32_t, disk.config + DISK_CAPACITY + 4) << 32;
}

bool disk_has_packed(void)
{
    return virtio_offered(&disk) & VIRTIO_F_RING_PACKED;
}

void fill(uint8_t *at, uint32_t len, uint64_t seed)
{
    for (uint32_t i = 0; i < len; i += 8)
        MEM(uint64_t, at + i) = seed + i;
}

bool is_filled(const uint8_t *at, uint32_t len, uint64_t seed)
{
    for (uint32_t i = 0; i < len; i += 8)
        if (MEM(const uint64_t, at + i) != seed + i)
            return false;
    return true;
}

static unsigned shape_buffers(struct vq_buffer *buffers, struct disk_header *header, uint8_t *at,
                              uint32_t len, struct shape shape)
{
    unsigned count = 0;
    bool is_read = header->type == TYPE_IN || header->type == TYPE_GET_ID;
    if (shape.head)
        buffers[count++] = (struct vq_buffer){header, shape.head, false};
    buffers[count++] = (struct vq_buffer){(uint8_t *)header + shape.head, 16 - shape.head, false};
    for (unsigned i = 0; i < shape.pieces && len; i++) {
        uint32_t part = i + 1 == shape.pieces ? len : len / (shape.pieces - i + 1) + 1;
        buffers[count++] = (struct vq_buffer){at, part, is_read};
        at += part;
        len -= part;
    }
    buffers[count++] = (struct vq_buffer){&header->status, 1, true};
    return count;
}

bool send(struct vq *vq, struct disk_header *header, uint32_t type, uint64_t sector, uint8_t *at,
          uint32_t len, struct shape shape, uint16_t *id)
{
    struct vq_buffer buffers[VQ_CHAIN_MAX];
    *header = (struct disk_header){.type = type, .sector = sector, .status = STATUS_NONE};
    return vq_add(vq, buffers, shape_buffers(buffers, header, at, len, shape), id);
}

bool wait_for(struct vq *vq, uint16_t *id)
{
    uint32_t written;
    for (uint64_t deadline = deadline_after_us(WAIT_US); !deadline_passed(deadline);)
        if (vq_take(vq, id, &written))
            return true;
    return false;
}

uint8_t request(struct vq *vq, uint32_t type, uint64_t sector, uint8_t *at, uint32_t len, struct shape shape)
{
    uint16_t id, back;
    if (!send(vq, headers, type, sector, at, len, shape, &id))
        return STATUS_NONE;
    vq_kick(vq);
    if (!wait_for(vq, &back) || back != id)
        return STATUS_NONE;
    return MEM(uint8_t, &headers->status);
}

bool round_trip(struct vq *vq, uint64_t sector, uint32_t len, struct shape shape, uint64_t seed)
{
    fill(data, len, seed);
    if (request(vq, TYPE_OUT, sector, data, len, shape) != STATUS_OK)
        return false;
    memset(data, 0, len);
    return request(vq, TYPE_IN, sector, data, len, shape) == STATUS_OK && is_filled(data, len, seed);
}

uint64_t ring_features(bool packed, bool indirect, bool event)
{
    return DISK_F_USUAL | (packed ? VIRTIO_F_RING_PACKED : 0) | (indirect ? VIRTIO_F_INDIRECT_DESC : 0) |
           (event ? VIRTIO_F_EVENT_IDX : 0);
}

bool disk_flood(struct vq *vq, unsigned queue, unsigned count)
{
    struct disk_header *own = headers + DEPTH * queue;
    uint8_t *bytes = data + DATA_BYTES * queue;
    unsigned slot_of[VQ_SIZE_MAX], sent = 0, done = 0;
    uint16_t id;
    for (; sent < DEPTH; sent++) {
        if (!send(vq, own + sent, TYPE_IN, queue * 32 + sent, bytes + sent * SECTOR, SECTOR, plain, &id))
            return false;
        slot_of[id] = sent;
    }
    for (vq_kick(vq); done < count; done++) {
        if (!wait_for(vq, &id) || id >= vq->size)
            return false;
        unsigned slot = slot_of[id];
        uint8_t *at = bytes + slot * SECTOR;
        uint64_t seed = (uint64_t)(queue * 32 + slot) * SECTOR;
        if (MEM(uint8_t, &own[slot].status) != STATUS_OK || !is_filled(at, SECTOR, seed))
            return false;
        if (sent < count) {
            MEM(uint64_t, at) = 0;
            if (!send(vq, own + slot, TYPE_IN, queue * 32 + slot, at, SECTOR, plain, &id))
                return false;
            slot_of[id] = slot;
            sent++;
            vq_kick(vq);
        }
    }
    return true;
}

bool disk_write_offsets(unsigned sectors)
{
    for (unsigned sector = 0; sector < sectors; sector += DATA_BYTES / SECTOR) {
        fill(data, DATA_BYTES, (uint64_t)sector * SECTOR);
        if (request(disk.queues, TYPE_OUT, sector, data, DATA_BYTES, plain) != STATUS_OK)
            return false;
    }
    return true;
}
