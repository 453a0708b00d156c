/* SPDX-License-Identifier: MIT
 *
 * An overlay whose file cannot be synced: which bits are written, and what a flush says. The fdatasync here
 * stands before libc's.
 */
#include <sys/syscall.h>

#include "devices/block/internal.h"
#include "tests/devices/disk_fixture.h"

#define BITS 4096 /* the offset of the first cluster's bit */

/* The call of fdatasync that fails, counted from now; 0: none does. The host, too, fails once. */
static unsigned syncs_left;
static unsigned syncs; /* that were tried */

int fdatasync(int fd)
{
    syncs++;
    if (syncs_left && !--syncs_left) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void fail_sync(unsigned number)
{
    syncs_left = number;
}

static struct store *open_overlay(struct disk *disk, bool is_memory)
{
    const struct block_config config = {
        .path = disk->path, .overlay_path = is_memory ? NULL : disk->overlay, .overlay_memory = is_memory};
    struct store *store;
    ck_assert_msg(!overlay_store_open(&config, &store, &disk->error), "%s", disk->error.message);
    return store;
}

static void close_overlay(struct store *store)
{
    store->ops->close(store->self);
}

static int write_cluster(struct store *store, unsigned cluster, bool is_stable)
{
    static uint8_t bytes[512];
    const struct iovec segment = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    const struct block_request request = {.operation = BLOCK_WRITE,
                                          .is_stable = is_stable,
                                          .offset = cluster * 64 * KIB,
                                          .len = sizeof(bytes),
                                          .segments = &segment,
                                          .segment_count = 1};
    return store->ops->run(store->self, &request);
}

static int flush(struct store *store)
{
    const struct block_request request = {.operation = BLOCK_FLUSH};
    return store->ops->run(store->self, &request);
}

/* The first clusters', in the file. */
static uint8_t read_bits(const struct disk *disk)
{
    uint8_t bits;
    int fd = open(disk->overlay, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &bits, 1, BITS), 1);
    close(fd);
    return bits;
}

static void write_bits(const struct disk *disk, uint8_t bits)
{
    int fd = open(disk->overlay, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, &bits, 1, BITS), 1);
    close(fd);
}

START_TEST(no_bit_is_written_after_a_sync_that_failed)
{
    struct disk disk;
    disk_init(&disk);
    struct store *store = open_overlay(&disk, false);
    ck_assert_int_eq(write_cluster(store, 0, false), 0);
    ck_assert_int_eq(flush(store), 0);
    ck_assert_int_eq(write_cluster(store, 1, false), 0);
    fail_sync(1);
    ck_assert_int_eq(flush(store), -EIO);
    ck_assert_uint_eq(read_bits(&disk), 1);
    ck_assert_int_eq(flush(store), -EIO);
    ck_assert_int_eq(write_cluster(store, 2, true), -EIO); /* with the write cache off */
    ck_assert_uint_eq(read_bits(&disk), 1);
    close_overlay(store);
    ck_assert_uint_eq(read_bits(&disk), 1);
    disk_fini(&disk);
}
END_TEST

/* What was written meanwhile to a cluster that had its bit may be lost as well. */
START_TEST(nor_after_that_of_the_bits)
{
    struct disk disk;
    disk_init(&disk);
    struct store *store = open_overlay(&disk, false);
    ck_assert_int_eq(write_cluster(store, 0, false), 0);
    fail_sync(2);
    ck_assert_int_eq(flush(store), -EIO);
    ck_assert_int_eq(write_cluster(store, 1, false), 0);
    ck_assert_int_eq(flush(store), -EIO);
    close_overlay(store);
    ck_assert_uint_eq(read_bits(&disk) & 2, 0);
    disk_fini(&disk);
}
END_TEST

/* As if the medium had not taken the bits, and the page cache had them all the same. */
START_TEST(the_next_opening_writes_what_bits_it_found)
{
    struct disk disk;
    disk_init(&disk);
    struct store *store = open_overlay(&disk, false);
    ck_assert_int_eq(write_cluster(store, 0, false), 0);
    close_overlay(store);
    ck_assert_uint_eq(read_bits(&disk), 1);
    store = open_overlay(&disk, false);
    write_bits(&disk, 0);
    ck_assert_int_eq(write_cluster(store, 0, false), 0);
    ck_assert_int_eq(flush(store), 0);
    ck_assert_uint_eq(read_bits(&disk), 1);
    ck_assert_int_eq(write_cluster(store, 1, true), 0);
    close_overlay(store);
    ck_assert_uint_eq(read_bits(&disk), 3);
    disk_fini(&disk);
}
END_TEST

START_TEST(an_overlay_in_memory_needs_no_sync)
{
    struct disk disk;
    disk_init(&disk);
    struct store *store = open_overlay(&disk, true);
    syncs = 0;
    ck_assert_int_eq(write_cluster(store, 0, true), 0);
    ck_assert_int_eq(flush(store), 0);
    close_overlay(store);
    ck_assert_uint_eq(syncs, 0);
    disk_fini(&disk);
}
END_TEST

/* By the device, with the cache off: no write is acknowledged any more, since none can be stable. */
START_TEST(the_guest_is_told_of_each_write_that_is_not_stable)
{
    struct disk disk;
    disk_init(&disk);
    disk.config.backend.overlay_path = disk.overlay;
    disk_start(&disk, 0);
    fail_sync(1);
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 0, 0, 512, NULL), STATUS_IOERR);
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 0, 0, 512, NULL), STATUS_IOERR);
    disk_close(&disk);
    ck_assert_uint_eq(read_bits(&disk), 0);
    disk_fini(&disk);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, no_bit_is_written_after_a_sync_that_failed);
    test_add(suite, nor_after_that_of_the_bits);
    test_add(suite, the_next_opening_writes_what_bits_it_found);
    test_add(suite, an_overlay_in_memory_needs_no_sync);
    test_add(suite, the_guest_is_told_of_each_write_that_is_not_stable);
}
