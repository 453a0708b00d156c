/* SPDX-License-Identifier: MIT
 *
 * The virtio disk that the disk-* tests use, and requests to it (virtio 1.2, 5.2).
 */
#ifndef GUEST_DISK_H
#define GUEST_DISK_H

#include "guest/test.h"
#include "guest/virtio.h"

#define DISK_F_SEG_MAX      (1ull << 2)
#define DISK_F_FLUSH        (1ull << 9)
#define DISK_F_MQ           (1ull << 12)
#define DISK_F_DISCARD      (1ull << 13)
#define DISK_F_WRITE_ZEROES (1ull << 14)
#define DISK_F_USUAL        (DISK_F_FLUSH | DISK_F_MQ | DISK_F_DISCARD | DISK_F_WRITE_ZEROES)

/* Of the device's configuration. */
#define DISK_CAPACITY 0
#define DISK_SEG_MAX  12

enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_ZEROES = 13,
    TYPE_BAD = 77
};
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, STATUS_NONE = 0xee };

#define SECTOR     512u
#define DATA_PAGES 4u
#define DATA_BYTES (DATA_PAGES * (uint32_t)PAGE_BYTES)
#define DEPTH      16u
#define WAIT_US    10000000u

/* A header of 16 bytes with its status behind. */
struct disk_header {
    uint32_t type, reserved;
    uint64_t sector;
    uint8_t status, padding[15];
};

/* How a request is spread over buffers: `head` bytes of its header apart from the rest, and data in `pieces`,
 * of odd lengths. */
struct shape {
    unsigned head, pieces;
};

extern struct virtio disk;
extern struct disk_header *headers; /* a page: DEPTH of them for each queue */
extern uint8_t *data;               /* DATA_PAGES for each queue */
extern const struct shape plain;

/* Finds the first disk and takes the memory for its requests. */
bool disk_find(void);
#define NEED_DISK() SKIP_IF(!disk_find(), "no virtio disk")

/* In sectors. */
uint64_t disk_capacity(void);

/* DISK_F_USUAL, with what is wanted of the ring. */
uint64_t ring_features(bool packed, bool indirect, bool event);
bool disk_has_packed(void);

/* `len` bytes, a multiple of 8, that say their own offset on top of the seed. */
void fill(uint8_t *at, uint32_t len, uint64_t seed);
bool is_filled(const uint8_t *at, uint32_t len, uint64_t seed);

/* Adds a request, without a kick; false where the ring has no room. */
bool send(struct vq *vq, struct disk_header *header, uint32_t type, uint64_t sector, uint8_t *at,
          uint32_t len, struct shape shape, uint16_t *id);
bool wait_for(struct vq *vq, uint16_t *id);

/* One request from its begin to its end; STATUS_NONE where it did not come back. */
uint8_t request(struct vq *vq, uint32_t type, uint64_t sector, uint8_t *at, uint32_t len, struct shape shape);

/* Writes and reads back through `data`. */
bool round_trip(struct vq *vq, uint64_t sector, uint32_t len, struct shape shape, uint64_t seed);

/* `count` reads of sectors that disk_write_offsets() wrote, DEPTH of them in flight, which come back in any
 * order: each has what was written to its place. */
bool disk_flood(struct vq *vq, unsigned queue, unsigned count);
bool disk_write_offsets(unsigned sectors);

#endif
