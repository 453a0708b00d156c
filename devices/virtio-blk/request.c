/* SPDX-License-Identifier: MIT
 *
 * What a request asks for (virtio 1.2, 5.2.6): a header of 16 bytes that the device reads, data, and a status
 * byte that it writes. How they are spread over buffers is the driver's business (2.6.4).
 */
#include <string.h>

#include "base/bytes.h"
#include "devices/virtio-blk/internal.h"

#define HEADER_BYTES 16
#define RANGE_BYTES  16
#define ID_BYTES     20

enum request_type {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,
};

#define RANGE_FLAG_UNMAP 1u

/* Takes `len` bytes from the front of the segments; false, with some taken, where there are fewer. */
static bool take_front(struct iovec **segments, unsigned *count, void *to, size_t len)
{
    for (uint8_t *at = to; len;) {
        if (!*count)
            return false;
        struct iovec *first = *segments;
        size_t part = first->iov_len < len ? first->iov_len : len;
        memcpy(at, first->iov_base, part);
        first->iov_base = (char *)first->iov_base + part;
        first->iov_len -= part;
        at += part;
        len -= part;
        if (!first->iov_len) {
            (*segments)++;
            (*count)--;
        }
    }
    return true;
}

static void put_front(const struct iovec *segments, unsigned count, const uint8_t *from, size_t len)
{
    for (unsigned i = 0; i < count && len; i++) {
        size_t part = segments[i].iov_len < len ? segments[i].iov_len : len;
        memcpy(segments[i].iov_base, from, part);
        from += part;
        len -= part;
    }
}

/* 2.7.8.2: as many bytes as are surely written from the first on. Of a request that failed that is the
 * status, where nothing precedes it. */
void request_fail(struct request *request)
{
    request->written = request->chain.in_bytes == 1;
}

static enum request_next finish(struct request *request, uint8_t status)
{
    if (status != BLK_S_OK) {
        request->blk->counts.refused++;
        request_fail(request);
    }
    *request->status = status;
    return REQUEST_DONE;
}

/* Whether whole sectors from `sector` on are inside the disk; their byte offset. */
static bool find_sectors(const struct virtio_blk *blk, uint64_t sector, uint64_t len, uint64_t *offset)
{
    uint64_t bytes = __atomic_load_n(&blk->bytes, __ATOMIC_RELAXED);
    if (len % BLOCK_SECTOR || len > bytes || sector > (bytes - len) / BLOCK_SECTOR)
        return false;
    *offset = sector * BLOCK_SECTOR;
    return true;
}

static bool is_read_only(const struct virtio_blk *blk)
{
    return block_info(blk->block)->read_only;
}

static enum request_next read_transfer(struct request *request, bool is_write, uint64_t sector,
                                       const struct iovec *data, unsigned count)
{
    struct virtio_blk *blk = request->blk;
    uint64_t len = is_write ? request->chain.out_bytes - HEADER_BYTES : request->chain.in_bytes - 1, offset;
    if ((is_write && is_read_only(blk)) || len > TRANSFER_BYTES_MAX ||
        !find_sectors(blk, sector, len, &offset))
        return finish(request, BLK_S_IOERR);
    if (!is_write)
        request->written = len + 1;
    if (!len)
        return finish(request, BLK_S_OK);
    request->block.operation = is_write ? BLOCK_WRITE : BLOCK_READ;
    request->block.is_stable = is_write && !blk_has_cache(blk);
    request->block.offset = offset;
    request->block.len = len;
    request->block.segments = data;
    request->block.segment_count = count;
    return REQUEST_SUBMIT;
}

static enum request_next read_flush(struct request *request)
{
    request->block.operation = BLOCK_FLUSH;
    if (request->blk->has_lost) {
        request->blk->counts.errors++;
        request_fail(request);
        *request->status = BLK_S_IOERR;
        return REQUEST_DONE;
    }
    return REQUEST_SUBMIT;
}

static enum request_next read_id(struct request *request, const struct iovec *data, unsigned count)
{
    if (request->chain.in_bytes - 1 < ID_BYTES)
        return finish(request, BLK_S_IOERR);
    put_front(data, count, (const uint8_t *)request->blk->serial, ID_BYTES);
    request->written = request->chain.in_bytes == ID_BYTES + 1 ? ID_BYTES + 1 : ID_BYTES;
    return finish(request, BLK_S_OK);
}

/* One of struct virtio_blk_discard_write_zeroes. The status, if it cannot be. */
static uint8_t read_range(const struct request *request, bool is_discard, const uint8_t *bytes,
                          struct range *range)
{
    uint32_t sectors = load_le32(bytes + 8), flags = load_le32(bytes + 12);
    if ((flags & ~RANGE_FLAG_UNMAP) || (is_discard && flags))
        return BLK_S_UNSUPP;
    if (sectors > (is_discard ? DISCARD_SECTORS_MAX : ZEROES_SECTORS_MAX))
        return BLK_S_IOERR;
    range->len = (uint64_t)sectors * BLOCK_SECTOR;
    range->may_unmap = flags & RANGE_FLAG_UNMAP;
    return find_sectors(request->blk, load_le64(bytes), range->len, &range->offset) ? BLK_S_OK : BLK_S_IOERR;
}

/* Ranges are done one after the other (queue.c). */
static enum request_next read_ranges(struct request *request, bool is_discard, struct iovec *data,
                                     unsigned count)
{
    uint8_t bytes[RANGE_BYTES];
    uint64_t len = request->chain.out_bytes - HEADER_BYTES;
    uint64_t feature = is_discard ? BLK_F_DISCARD : BLK_F_WRITE_ZEROES;
    if (!(virtio_features(request->blk->virtio) & feature))
        return finish(request, BLK_S_UNSUPP);
    if (!len || len % RANGE_BYTES || len / RANGE_BYTES > RANGES_MAX || is_read_only(request->blk))
        return finish(request, BLK_S_IOERR);
    request->range_count = (unsigned)(len / RANGE_BYTES);
    for (unsigned i = 0; i < request->range_count; i++) {
        if (!take_front(&data, &count, bytes, sizeof(bytes)))
            return finish(request, BLK_S_IOERR);
        uint8_t status = read_range(request, is_discard, bytes, &request->ranges[i]);
        if (status != BLK_S_OK)
            return finish(request, status);
    }
    request->block.operation = is_discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
    request->block.is_stable = !blk_has_cache(request->blk);
    return REQUEST_SUBMIT;
}

/* The last writable byte. The buffer that it was in becomes shorter, or goes. */
static bool take_status(struct request *request)
{
    struct queue_chain *chain = &request->chain;
    if (!chain->in_count)
        return false;
    struct iovec *last = &chain->segments[chain->out_count + chain->in_count - 1];
    last->iov_len--;
    request->status = (uint8_t *)last->iov_base + last->iov_len;
    return true;
}

enum request_next request_read(struct request *request)
{
    uint8_t header[HEADER_BYTES];
    struct queue_chain *chain = &request->chain;
    struct iovec *out = chain->segments, *in = chain->segments + chain->out_count;
    unsigned out_count = chain->out_count, in_count = chain->in_count;
    request->block = (struct block_request){0};
    request->range_count = request->next_range = 0;
    request->written = 0;
    if (!take_status(request) || !take_front(&out, &out_count, header, sizeof(header)))
        return REQUEST_BROKEN;
    if (!in[in_count - 1].iov_len)
        in_count--;
    request->written = chain->in_bytes == 1; /* what precedes the status is not written but by a read */
    uint64_t sector = load_le64(header + 8);
    switch (load_le32(header)) {
    case TYPE_IN:
        return read_transfer(request, false, sector, in, in_count);
    case TYPE_OUT:
        return read_transfer(request, true, sector, out, out_count);
    case TYPE_FLUSH:
        return read_flush(request);
    case TYPE_GET_ID:
        return read_id(request, in, in_count);
    case TYPE_DISCARD:
        return read_ranges(request, true, out, out_count);
    case TYPE_WRITE_ZEROES:
        return read_ranges(request, false, out, out_count);
    }
    return finish(request, BLK_S_UNSUPP); /* secure erase and lifetime among them: not offered */
}
