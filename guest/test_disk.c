/* SPDX-License-Identifier: MIT
 *
 * A virtio disk, by a driver of our own: its requests, on both rings, in chains of every shape. The first
 * disk's content is overwritten.
 */
#include "guest/disk.h"

#include "guest/clock.h"

static struct virtio other;

/* Every shape on rings of every size, so many that each ring goes round. */
static void check_ring(bool packed)
{
    static const uint16_t sizes[] = {8, 16, 64, VQ_SIZE_MAX};
    static const struct shape shapes[] = {{0, 1}, {5, 1}, {15, 3}, {1, 4}, {0, 5}};
    for (unsigned options = 0; options < 4; options++)
        for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
            CHECK(virtio_start(&disk, ring_features(packed, options & 1, options & 2), 1, sizes[i], NULL));
            CHECK_EQUAL(!(disk.features & VIRTIO_F_RING_PACKED), !packed);
            for (unsigned n = 0; n < 12; n++)
                CHECK(round_trip(disk.queues, 8 + n, SECTOR * (1 + n % 7), shapes[n % ARRAY_COUNT(shapes)],
                                 (uint64_t)(options * 100 + i * 20 + n) << 32));
        }
}

void test_disk_split(void)
{
    NEED_DISK();
    check_ring(false);
}

void test_disk_packed(void)
{
    NEED_DISK();
    SKIP_IF(!disk_has_packed(), "the device offers no packed ring");
    check_ring(true);
}

void test_disk_size(void)
{
    NEED_DISK();
    CHECK(virtio_offered(&disk) & VIRTIO_F_VERSION_1);
    CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 16, NULL));
    CHECK(disk_capacity() >= 64);
    uint64_t last = disk_capacity() - 1;
    CHECK(round_trip(disk.queues, last, SECTOR, plain, 1ull << 40));
    CHECK_EQUAL(request(disk.queues, TYPE_IN, last + 1, data, SECTOR, plain), STATUS_IOERR);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, last, data, 2 * SECTOR, plain), STATUS_IOERR);
    CHECK_EQUAL(request(disk.queues, TYPE_OUT, ~0ull, data, SECTOR, plain), STATUS_IOERR);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, last, data, SECTOR, plain), STATUS_OK);
    CHECK(is_filled(data, SECTOR, 1ull << 40));
}

void test_disk_requests(void)
{
    NEED_DISK();
    CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 16, NULL));
    CHECK_EQUAL(request(disk.queues, TYPE_GET_ID, 0, data, 20, plain), STATUS_OK);
    CHECK_EQUAL(request(disk.queues, TYPE_BAD, 0, data, SECTOR, plain), STATUS_UNSUPP);
    CHECK_EQUAL(request(disk.queues, TYPE_FLUSH, 0, data, 0, plain), STATUS_OK);
    CHECK(round_trip(disk.queues, 3, 3 * SECTOR, plain, 5ull << 40));
}

/* What is discarded reads as anything, and what is beside it as before. */
void test_disk_discard(void)
{
    NEED_DISK();
    SKIP_IF(!(virtio_offered(&disk) & DISK_F_DISCARD), "the device discards nothing");
    CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 16, NULL));
    CHECK(round_trip(disk.queues, 0, DATA_BYTES, plain, 7ull << 40));
    MEM(uint64_t, data) = 8;
    MEM(uint64_t, data + 8) = 16; /* sectors, and no flags */
    CHECK_EQUAL(request(disk.queues, TYPE_DISCARD, 0, data, 16, plain), STATUS_OK);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, 0, data, DATA_BYTES, plain), STATUS_OK);
    CHECK(is_filled(data, 8 * SECTOR, 7ull << 40));
    CHECK(is_filled(data + 24 * SECTOR, 8 * SECTOR, (7ull << 40) + 24 * SECTOR));
    MEM(uint64_t, data) = disk_capacity();
    MEM(uint64_t, data + 8) = 1;
    CHECK_EQUAL(request(disk.queues, TYPE_DISCARD, 0, data, 16, plain), STATUS_IOERR);
}

/* As many buffers as the device takes, in the ring and in a table. */
void test_disk_chains(void)
{
    NEED_DISK();
    uint32_t most = MEM(uint32_t, disk.config + DISK_SEG_MAX);
    bool has_packed = disk_has_packed();
    struct shape shape = {7, most < VQ_CHAIN_MAX - 3 ? most : VQ_CHAIN_MAX - 3};
    for (unsigned options = 0; options < (has_packed ? 4u : 2u); options++) {
        CHECK(virtio_start(&disk, ring_features(options & 2, options & 1, true) | DISK_F_SEG_MAX, 1,
                           VQ_SIZE_MAX, NULL));
        for (unsigned n = 0; n < 12; n++)
            CHECK(round_trip(disk.queues, n, DATA_BYTES, shape, (uint64_t)(options * 100 + n) << 32));
    }
}

void test_disk_zeroes(void)
{
    NEED_DISK();
    SKIP_IF(!(virtio_offered(&disk) & DISK_F_WRITE_ZEROES), "the device writes no zeroes by itself");
    CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 16, NULL));
    CHECK(round_trip(disk.queues, 16, 8 * SECTOR, plain, 6ull << 40));
    MEM(uint64_t, data) = 18;
    MEM(uint64_t, data + 8) = 3; /* sectors, and no flags */
    CHECK_EQUAL(request(disk.queues, TYPE_ZEROES, 0, data, 16, plain), STATUS_OK);
    CHECK_EQUAL(request(disk.queues, TYPE_IN, 16, data, 8 * SECTOR, plain), STATUS_OK);
    CHECK(is_filled(data, 2 * SECTOR, 6ull << 40));
    for (uint32_t i = 2 * SECTOR; i < 5 * SECTOR; i += 8)
        CHECK_EQUAL(MEM(uint64_t, data + i), 0);
    CHECK(is_filled(data + 5 * SECTOR, 3 * SECTOR, (6ull << 40) + 5 * SECTOR));
}

void test_disk_several(void)
{
    NEED_DISK();
    SKIP_IF(!virtio_find(VIRTIO_ID_BLOCK, 1, &other), "one disk");
    CHECK(virtio_start(&disk, DISK_F_USUAL, 1, 16, NULL));
    CHECK(virtio_start(&other, DISK_F_USUAL, 1, 16, NULL));
    CHECK(round_trip(disk.queues, 9, SECTOR, plain, 10ull << 40));
    CHECK(round_trip(other.queues, 9, SECTOR, plain, 11ull << 40));
    CHECK_EQUAL(request(disk.queues, TYPE_IN, 9, data, SECTOR, plain), STATUS_OK);
    CHECK(is_filled(data, SECTOR, 10ull << 40));
    virtio_reset(&other);
}
