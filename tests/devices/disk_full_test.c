/* SPDX-License-Identifier: MIT
 *
 * Each backend on a file system that runs out of space: what was acknowledged is there, in the machine that
 * goes on and in the next one, and when there is room again writes succeed again.
 */
#include <sched.h>
#include <sys/mount.h>

#include "devices/block/block.h"
#include "tests/devices/disk_fixture.h"

#define BASE_BYTES 80

enum backend { URING, THREADS, OVERLAY };

/* A file system of a megabyte, in a mount namespace of this process; false where that is not allowed. */
static bool mount_small(const char *folder)
{
    uid_t uid = getuid();
    char map[64];
    if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
        return false;
    if (uid) {
        snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
        int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        bool is_written = fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map);
        close(fd);
        if (!is_written)
            return false;
    }
    return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
           !mount("none", folder, "tmpfs", 0, "size=1M");
}

/* Sixteen pages apart: each of the first is alone in an overlay's cluster. */
static uint64_t page_sector(unsigned n)
{
    return 8 * (n * 16 % (DISK_BYTES / 4096) + n / 64);
}

/* Page n holds n + 1, and is flushed. */
static uint8_t write_page(struct disk *disk, unsigned n)
{
    disk_fill(disk, 0, 4096, (uint64_t)(n + 1) << 40);
    uint8_t status = disk_request(disk, TYPE_OUT, page_sector(n), 0, 4096, NULL);
    return status == STATUS_OK ? disk_request(disk, TYPE_FLUSH, 0, 0, 0, NULL) : status;
}

/* The number of pages that were acknowledged. */
static unsigned fill_up(struct disk *disk)
{
    unsigned n = 0;
    while (n < DISK_BYTES / 4096 && write_page(disk, n) == STATUS_OK)
        n++;
    return n;
}

static void check_pages(struct disk *disk, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        ck_assert_int_eq(disk_request(disk, TYPE_IN, page_sector(n), 0, 4096, NULL), STATUS_OK);
        ck_assert(disk_is_filled(disk, 0, 4096, (uint64_t)(n + 1) << 40));
    }
}

/* Of a megabyte, a quarter of which the file `filler` has. The base of an overlay is beside it. */
static void begin(struct disk *disk, enum backend backend, char base[BASE_BYTES])
{
    disk_init(disk);
    snprintf(base, BASE_BYTES, "%s.base", disk->folder);
    if (backend == OVERLAY)
        ck_assert_int_eq(rename(disk->path, base), 0);
    if (!mount_small(disk->folder))
        test_skip("this process may not mount a file system of its own");
    int folder = open(disk->folder, O_PATH | O_CLOEXEC);
    int fd = openat(folder, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(posix_fallocate(fd, 0, 256 << 10), 0);
    close(fd);
    if (backend == OVERLAY) {
        disk->config.backend.path = base;
        disk->config.backend.overlay_path = disk->overlay;
    } else {
        fd = openat(folder, "disk", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_eq(ftruncate(fd, DISK_BYTES), 0);
        close(fd);
    }
    close(folder);
    disk->config.backend.aio = backend == THREADS ? BLOCK_AIO_THREADS : BLOCK_AIO_AUTO;
    disk_start(disk, F_ALL);
}

static void make_room(const struct disk *disk)
{
    char filler[128];
    snprintf(filler, sizeof(filler), "%s/filler", disk->folder);
    ck_assert_int_eq(unlink(filler), 0);
}

static void end(struct disk *disk, const char *base)
{
    disk_close(disk);
    ck_assert_int_eq(umount2(disk->folder, MNT_DETACH), 0); /* io_uring keeps the file for a while */
    unlink(base);
    disk_fini(disk);
}

static void check_backend(enum backend backend)
{
    struct disk disk;
    char base[BASE_BYTES];
    begin(&disk, backend, base);
    unsigned count = fill_up(&disk);
    ck_assert_uint_gt(count, 4);
    ck_assert_uint_lt(count, 256);
    check_pages(&disk, count);
    make_room(&disk);
    ck_assert_int_eq(write_page(&disk, count), STATUS_OK);
    disk_close(&disk);
    disk_start(&disk, F_ALL);
    check_pages(&disk, count + 1);
    end(&disk, base);
}

START_TEST(a_full_disk_by_io_uring)
{
    const char *reason;
    if (!block_has_uring(&reason))
        test_skip("no io_uring: %s", reason);
    check_backend(URING);
}
END_TEST

START_TEST(a_full_disk_by_threads)
{
    check_backend(THREADS);
}
END_TEST

START_TEST(a_full_overlay)
{
    check_backend(OVERLAY);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_full_disk_by_io_uring);
    test_add(suite, a_full_disk_by_threads);
    test_add(suite, a_full_overlay);
}
