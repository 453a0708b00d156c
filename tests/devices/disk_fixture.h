/* SPDX-License-Identifier: MIT
 *
 * A disk under test: a file in a folder of its own, the device over it, its event loop, and a driver.
 */
#ifndef TESTS_DEVICES_DISK_FIXTURE_H
#define TESTS_DEVICES_DISK_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "devices/virtio-blk/virtio_blk.h"
#include "tests/devices/virtio_driver.h"

#define DISK_BYTES  (4 * MIB)
#define RINGS_GPA   0x10000u
#define HEADERS_GPA 0x200000u /* headers and statuses of requests */
#define DATA_GPA    0x300000u
#define RAM_BYTES   (8 * MIB)

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_DISCARD = 11, TYPE_ZEROES = 13 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, STATUS_NONE = 0xee };

#define F_FLUSH      (1ull << 9)
#define F_CONFIG_WCE (1ull << 11)
#define F_DISCARD    (1ull << 13)
#define F_ZEROES     (1ull << 14)
#define F_ALL        (F_FLUSH | F_CONFIG_WCE | F_DISCARD | F_ZEROES)

struct disk {
    char folder[64], path[96], overlay[96];
    struct guest_memory *memory;
    struct event_loop *loop;
    struct virtio_blk_config config;
    struct virtio_blk *blk;
    struct virtio_driver driver;
    struct vmm_error error;
};

/* A file of DISK_BYTES whose 64-bit words are their own offsets. */
static inline void disk_make_file(const char *path)
{
    static uint8_t bytes[DISK_BYTES];
    for (uint64_t i = 0; i < DISK_BYTES; i += 8)
        store_le64(bytes + i, i);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    close(fd);
}

/* A place that is mostly no tmpfs, which has no O_DIRECT. */
static inline void disk_init(struct disk *disk)
{
    memset(disk, 0, sizeof(*disk));
    snprintf(disk->folder, sizeof(disk->folder), "disk-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(disk->folder));
    snprintf(disk->path, sizeof(disk->path), "%s/disk", disk->folder);
    snprintf(disk->overlay, sizeof(disk->overlay), "%s/overlay", disk->folder);
    disk_make_file(disk->path);
    ck_assert_int_eq(guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &disk->memory, &disk->error), 0);
    disk->config = (struct virtio_blk_config){
        .name = "disk0", .backend = {.path = disk->path}, .queue_count = 1, .memory = disk->memory};
}

static inline int disk_open(struct disk *disk)
{
    ck_assert_int_eq(event_loop_create(&disk->loop, &disk->error), 0);
    disk->config.loop = disk->loop;
    int result = virtio_blk_create(&disk->config, &disk->blk, &disk->error);
    if (!result)
        virtio_driver_init(&disk->driver, virtio_blk_virtio(disk->blk), RINGS_GPA);
    if (!result)
        ck_assert_int_eq(event_loop_start(disk->loop, &disk->error), 0);
    return result;
}

static inline void disk_start(struct disk *disk, uint64_t features)
{
    ck_assert_msg(!disk_open(disk), "%s", disk->error.message);
    virtio_driver_start(&disk->driver, features, disk->config.queue_count, 64);
}

static inline void disk_close(struct disk *disk)
{
    event_loop_stop(disk->loop);
    virtio_blk_destroy(disk->blk);
    event_loop_destroy(disk->loop);
    disk->loop = NULL;
    disk->blk = NULL;
}

static inline void disk_fini(struct disk *disk)
{
    if (disk->loop)
        disk_close(disk);
    guest_memory_destroy(disk->memory);
    unlink(disk->path);
    unlink(disk->overlay);
    rmdir(disk->folder);
}

static inline uint8_t *disk_ram(const struct disk *disk, gpa_t gpa, uint64_t len)
{
    uint8_t *ram = guest_mem_ptr(disk->memory, gpa, len);
    ck_assert_ptr_nonnull(ram);
    return ram;
}

/* Header and status number `slot`. */
static inline void disk_header(struct disk *disk, unsigned slot, uint32_t type, uint64_t sector)
{
    uint8_t *header = disk_ram(disk, HEADERS_GPA + 32u * slot, 32);
    store_le32(header, type);
    store_le32(header + 4, 0);
    store_le64(header + 8, sector);
    header[16] = STATUS_NONE;
}

static inline uint8_t disk_status(struct disk *disk, unsigned slot)
{
    return disk_ram(disk, HEADERS_GPA + 32u * slot, 32)[16];
}

/* Sends a request with `len` bytes at DATA_GPA + `at`, and waits. Returns its status; *written may be NULL.
 */
static inline uint8_t disk_request(struct disk *disk, uint32_t type, uint64_t sector, gpa_t at, uint32_t len,
                                   uint32_t *written)
{
    struct driver_buffer buffers[3] = {{HEADERS_GPA, 16, false}};
    unsigned count = 1;
    uint16_t id;
    if (len)
        buffers[count++] = (struct driver_buffer){DATA_GPA + at, len, type == TYPE_IN || type == TYPE_GET_ID};
    buffers[count++] = (struct driver_buffer){HEADERS_GPA + 16, 1, true};
    disk_header(disk, 0, type, sector);
    virtio_driver_send(&disk->driver, 0, buffers, count);
    uint32_t got = virtio_driver_wait(&disk->driver, 0, &id);
    if (written)
        *written = got;
    return disk_status(disk, 0);
}

static inline void disk_fill(struct disk *disk, gpa_t at, uint64_t len, uint64_t seed)
{
    uint8_t *ram = disk_ram(disk, DATA_GPA + at, len);
    for (uint64_t i = 0; i < len; i += 8)
        store_le64(ram + i, seed + i);
}

static inline bool disk_is_filled(struct disk *disk, gpa_t at, uint64_t len, uint64_t seed)
{
    const uint8_t *ram = disk_ram(disk, DATA_GPA + at, len);
    for (uint64_t i = 0; i < len; i += 8)
        if (load_le64(ram + i) != seed + i)
            return false;
    return true;
}

#endif
