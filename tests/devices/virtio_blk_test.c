/* SPDX-License-Identifier: MIT
 *
 * The disk as its driver sees it: every request, every backend, both rings, and what the specification says
 * of requests that make no sense (virtio 1.2, 5.2.6).
 */
#include "tests/devices/disk_fixture.h"

enum backend { URING, THREADS, OVERLAY_FILE, OVERLAY_MEMORY, URING_PINNED, BACKEND_COUNT };
static const char *const backend_names[] = {"io_uring", "threads", "overlay", "overlay in memory",
                                            "io_uring with pinned memory"};

static bool choose(struct disk *disk, enum backend backend)
{
    const char *reason;
    bool is_uring = backend == URING || backend == URING_PINNED;
    disk->config.backend.aio = is_uring ? BLOCK_AIO_URING : BLOCK_AIO_THREADS;
    disk->config.pin = backend == URING_PINNED;
    disk->config.backend.overlay_path = backend == OVERLAY_FILE ? disk->overlay : NULL;
    disk->config.backend.overlay_memory = backend == OVERLAY_MEMORY;
    return !is_uring || block_has_uring(&reason);
}

static void read_write_flush(struct disk *disk)
{
    uint32_t written;
    ck_assert_int_eq(disk_request(disk, TYPE_IN, 16, 0, 8192, &written), STATUS_OK);
    ck_assert_uint_eq(written, 8193);
    ck_assert(disk_is_filled(disk, 0, 8192, 16 * 512));
    disk_fill(disk, 0, 4096, 0x1122334400000000);
    ck_assert_int_eq(disk_request(disk, TYPE_OUT, 130, 0, 4096, &written), STATUS_OK);
    ck_assert_uint_eq(written, 1);
    ck_assert_int_eq(disk_request(disk, TYPE_FLUSH, 0, 0, 0, &written), STATUS_OK);
    ck_assert_uint_eq(written, 1);
    ck_assert_int_eq(disk_request(disk, TYPE_IN, 128, 0x10000, 8192, NULL), STATUS_OK);
    ck_assert(disk_is_filled(disk, 0x10000, 1024, 128 * 512));
    ck_assert(disk_is_filled(disk, 0x10400, 4096, 0x1122334400000000));
    ck_assert(disk_is_filled(disk, 0x11400, 3072, 138 * 512));
}

START_TEST(every_backend_reads_writes_and_flushes)
{
    for (enum backend backend = 0; backend < BACKEND_COUNT; backend++)
        for (unsigned packed = 0; packed < 2; packed++) {
            struct disk disk;
            disk_init(&disk);
            if (choose(&disk, backend)) {
                disk_start(&disk, F_ALL | (packed ? VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX : 0));
                printf("# %s, %s ring\n", backend_names[backend], packed ? "packed" : "split");
                read_write_flush(&disk);
            }
            disk_fini(&disk);
        }
}
END_TEST

/* 2.6.4: the framing says nothing. */
START_TEST(requests_may_be_framed_in_any_way)
{
    struct disk disk;
    uint16_t id;
    disk_init(&disk);
    disk_start(&disk, F_ALL);
    disk_header(&disk, 0, TYPE_IN, 8);
    const struct driver_buffer pieces[] = {{HEADERS_GPA, 1, false},      {HEADERS_GPA + 1, 10, false},
                                           {HEADERS_GPA + 11, 5, false}, {DATA_GPA, 24, true},
                                           {DATA_GPA + 24, 1000, true},  {DATA_GPA + 1024, 511, true},
                                           {DATA_GPA + 1535, 2, true}};
    virtio_driver_send(&disk.driver, 0, pieces, 7);
    ck_assert_uint_eq(virtio_driver_wait(&disk.driver, 0, &id), 1537);
    ck_assert(disk_is_filled(&disk, 0, 1536, 8 * 512));
    ck_assert_int_eq(*disk_ram(&disk, DATA_GPA + 1536, 1), STATUS_OK);
    /* A write whose header and data share a buffer. */
    uint8_t *ram = disk_ram(&disk, DATA_GPA, 1024);
    memset(ram, 0, 16);
    store_le32(ram, TYPE_OUT);
    store_le64(ram + 8, 77);
    memset(ram + 16, 0x5a, 512);
    const struct driver_buffer shared[] = {{DATA_GPA, 528, false}, {DATA_GPA + 4096, 1, true}};
    virtio_driver_send(&disk.driver, 0, shared, 2);
    virtio_driver_wait(&disk.driver, 0, &id);
    ck_assert_int_eq(*disk_ram(&disk, DATA_GPA + 4096, 1), STATUS_OK);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, 77, 0, 512, NULL), STATUS_OK);
    for (unsigned i = 0; i < 512; i++)
        ck_assert_int_eq(disk_ram(&disk, DATA_GPA, 512)[i], 0x5a);
    disk_fini(&disk);
}
END_TEST

START_TEST(requests_that_make_no_sense_are_refused)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        uint32_t len;
        uint8_t status;
    } cases[] = {{TYPE_IN, DISK_BYTES / 512, 512, STATUS_IOERR},
                 {TYPE_IN, DISK_BYTES / 512 - 1, 1024, STATUS_IOERR},
                 {TYPE_IN, UINT64_MAX, 512, STATUS_IOERR},
                 {TYPE_IN, UINT64_MAX / 512, 1024, STATUS_IOERR},
                 {TYPE_OUT, DISK_BYTES / 512, 512, STATUS_IOERR},
                 {TYPE_OUT, 1ull << 55, 512, STATUS_IOERR},
                 {TYPE_IN, 0, 511, STATUS_IOERR},
                 {TYPE_OUT, 0, 513, STATUS_IOERR},
                 {TYPE_IN, 0, 0, STATUS_OK},
                 {TYPE_OUT, DISK_BYTES / 512, 0, STATUS_OK},
                 {TYPE_GET_ID, 0, 19, STATUS_IOERR},
                 {2, 0, 512, STATUS_UNSUPP},
                 {10, 0, 512, STATUS_UNSUPP}, /* get lifetime */
                 {14, 0, 16, STATUS_UNSUPP},  /* secure erase */
                 {0xffffffff, 0, 0, STATUS_UNSUPP},
                 {TYPE_DISCARD, 0, 15, STATUS_IOERR},
                 {TYPE_DISCARD, 0, 0, STATUS_IOERR},
                 {TYPE_ZEROES, 0, 17 * 16, STATUS_IOERR}};
    struct disk disk;
    struct virtio_blk_counts counts;
    disk_init(&disk);
    disk_start(&disk, F_ALL);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        ck_assert_msg(disk_request(&disk, cases[i].type, cases[i].sector, 0, cases[i].len, NULL) ==
                          cases[i].status,
                      "case %u: %u instead of %u", i, disk_status(&disk, 0), cases[i].status);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 512, NULL), STATUS_OK);
    virtio_blk_get_counts(disk.blk, &counts);
    ck_assert_uint_eq(counts.refused, ARRAY_COUNT(cases) - 2);
    ck_assert_uint_eq(counts.errors, 0);
    disk_fini(&disk);
}
END_TEST

START_TEST(a_request_without_header_or_status_breaks_the_device)
{
    static const struct driver_buffer chains[][2] = {{{HEADERS_GPA, 16, false}, {0, 0, false}},
                                                     {{HEADERS_GPA, 15, false}, {HEADERS_GPA + 16, 1, true}},
                                                     {{HEADERS_GPA + 16, 1, true}, {0, 0, true}}};
    for (unsigned i = 0; i < ARRAY_COUNT(chains); i++) {
        struct disk disk;
        uint16_t id;
        disk_init(&disk);
        disk_start(&disk, F_ALL);
        virtio_driver_send(&disk.driver, 0, chains[i], chains[i][1].len ? 2 : 1);
        ck_assert_uint_eq(virtio_driver_wait(&disk.driver, 0, &id), 0);
        for (unsigned tries = 0; tries < 5000 && !virtio_driver_config_interrupts(&disk.driver); tries++)
            usleep(1000);
        ck_assert(virtio_status(virtio_blk_virtio(disk.blk)) & VIRTIO_NEEDS_RESET);
        ck_assert_uint_eq(virtio_driver_config_interrupts(&disk.driver), 1);
        /* After a reset it works. */
        virtio_driver_set_status(&disk.driver, 0);
        virtio_driver_init(&disk.driver, virtio_blk_virtio(disk.blk), RINGS_GPA);
        virtio_driver_start(&disk.driver, F_ALL, 1, 64);
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 512, NULL), STATUS_OK);
        disk_fini(&disk);
    }
}
END_TEST

static void put_range(struct disk *disk, unsigned index, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    uint8_t *range = disk_ram(disk, DATA_GPA + 16u * index, 16);
    store_le64(range, sector);
    store_le32(range + 8, sectors);
    store_le32(range + 12, flags);
}

START_TEST(zeroes_are_written_by_every_backend)
{
    for (enum backend backend = 0; backend < BACKEND_COUNT; backend++)
        for (unsigned unmap = 0; unmap < 2; unmap++) {
            struct disk disk;
            disk_init(&disk);
            if (choose(&disk, backend)) {
                disk_start(&disk, F_ALL);
                put_range(&disk, 0, 10, 5, unmap);
                put_range(&disk, 1, 0, 0, unmap);
                put_range(&disk, 2, 200, 300, unmap);
                ck_assert_int_eq(disk_request(&disk, TYPE_ZEROES, 0, 0, 48, NULL), STATUS_OK);
                ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0x1000, 0x80000, NULL), STATUS_OK);
                const uint8_t *ram = disk_ram(&disk, DATA_GPA + 0x1000, 0x80000);
                for (uint64_t i = 0; i < 0x80000; i += 8) {
                    uint64_t sector = i / 512;
                    bool is_zero = (sector >= 10 && sector < 15) || (sector >= 200 && sector < 500);
                    ck_assert_uint_eq(load_le64(ram + i), is_zero ? 0 : i);
                }
            }
            disk_fini(&disk);
        }
}
END_TEST

START_TEST(a_discard_gives_space_back)
{
    struct disk disk;
    struct stat before, after;
    disk_init(&disk);
    disk_start(&disk, F_ALL);
    ck_assert_int_eq(stat(disk.path, &before), 0);
    put_range(&disk, 0, 2048, 4096, 0);
    ck_assert_int_eq(disk_request(&disk, TYPE_DISCARD, 0, 0, 16, NULL), STATUS_OK);
    ck_assert_int_eq(stat(disk.path, &after), 0);
    ck_assert_int_eq(after.st_size, DISK_BYTES);
    if (after.st_blocks >= before.st_blocks)
        test_skip("this file system cannot give space back");
    put_range(&disk, 0, 0, 8, 1); /* unmap is for write zeroes */
    ck_assert_int_eq(disk_request(&disk, TYPE_DISCARD, 0, 0, 16, NULL), STATUS_UNSUPP);
    put_range(&disk, 0, DISK_BYTES / 512, 8, 0);
    ck_assert_int_eq(disk_request(&disk, TYPE_DISCARD, 0, 0, 16, NULL), STATUS_IOERR);
    disk_fini(&disk);
}
END_TEST

START_TEST(a_read_only_disk_refuses_writes)
{
    struct disk disk;
    disk_init(&disk);
    disk.config.backend.read_only = true;
    disk_start(&disk, F_ALL);
    ck_assert(virtio_features_offered(virtio_blk_virtio(disk.blk), 0) & 1u << 5);
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 0, 0, 512, NULL), STATUS_IOERR);
    put_range(&disk, 0, 0, 8, 0);
    ck_assert_int_ne(disk_request(&disk, TYPE_ZEROES, 0, 0, 16, NULL), STATUS_OK);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 512, NULL), STATUS_OK);
    ck_assert(disk_is_filled(&disk, 0, 512, 0));
    disk_fini(&disk);
}
END_TEST

START_TEST(the_configuration_says_what_the_disk_is)
{
    struct disk disk;
    struct virtio *virtio;
    disk_init(&disk);
    disk.config.serial = "a serial of 20 chars";
    disk.config.block_size = 4096;
    disk.config.queue_count = 3;
    disk_start(&disk, F_ALL);
    virtio = virtio_blk_virtio(disk.blk);
    ck_assert_uint_eq(virtio_config_read(virtio, 0, 8), DISK_BYTES / 512);
    ck_assert_uint_eq(virtio_config_read(virtio, 12, 4), 254);
    ck_assert_uint_eq(virtio_config_read(virtio, 20, 4), 4096);
    ck_assert_uint_eq(virtio_config_read(virtio, 32, 1), 1);
    ck_assert_uint_eq(virtio_config_read(virtio, 34, 2), 3);
    ck_assert_uint_eq(virtio_config_read(virtio, 60, 4), 0);
    ck_assert_int_eq(disk_request(&disk, TYPE_GET_ID, 0, 0, 20, NULL), STATUS_OK);
    ck_assert_int_eq(memcmp(disk_ram(&disk, DATA_GPA, 20), "a serial of 20 chars", 20), 0);
    virtio_config_write(virtio, 32, 1, 0); /* write through */
    ck_assert_uint_eq(virtio_config_read(virtio, 32, 1), 0);
    disk_fill(&disk, 0, 512, 7);
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 3, 0, 512, NULL), STATUS_OK);
    virtio_config_write(virtio, 0, 8, 1);
    ck_assert_uint_eq(virtio_config_read(virtio, 0, 8), DISK_BYTES / 512);
    disk_fini(&disk);
}
END_TEST

START_TEST(a_configuration_that_cannot_be_is_refused)
{
    struct disk disk;
    disk_init(&disk);
    disk.config.queue_count = VIRTIO_QUEUES_MAX + 1;
    ck_assert_int_eq(disk_open(&disk), -EINVAL);
    ck_assert_ptr_nonnull(strstr(disk.error.message, "65 queues are more than 64"));
    event_loop_destroy(disk.loop);
    disk.config.queue_count = 1;
    disk.config.block_size = 1000;
    ck_assert_int_eq(disk_open(&disk), -EINVAL);
    ck_assert_ptr_nonnull(strstr(disk.error.message, "a block size of 1000"));
    event_loop_destroy(disk.loop);
    disk.config.block_size = 0;
    disk.config.serial = "a serial of 21 chars.";
    ck_assert_int_eq(disk_open(&disk), -EINVAL);
    ck_assert_ptr_nonnull(strstr(disk.error.message, "more than 20 characters"));
    event_loop_destroy(disk.loop);
    disk.config.serial = NULL;
    disk.config.pin = true;
    disk.config.backend.aio = BLOCK_AIO_THREADS;
    ck_assert_int_eq(disk_open(&disk), -EINVAL);
    ck_assert_ptr_nonnull(strstr(disk.error.message, "pinned memory is for io_uring"));
    event_loop_destroy(disk.loop);
    disk.loop = NULL;
    disk_fini(&disk);
}
END_TEST

START_TEST(a_disk_grows_while_it_runs)
{
    struct disk disk;
    disk_init(&disk);
    disk_start(&disk, F_ALL);
    struct virtio *virtio = virtio_blk_virtio(disk.blk);
    uint32_t generation = virtio_config_generation(virtio);
    uint32_t written = 77;
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, DISK_BYTES / 512, 0, 512, &written), STATUS_IOERR);
    ck_assert_uint_eq(written, 0); /* not the status, which the data would precede */
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, DISK_BYTES / 512, 0, 512, &written), STATUS_IOERR);
    ck_assert_uint_eq(written, 1);
    ck_assert_int_eq(virtio_blk_resize(disk.blk, DISK_BYTES + 100, &disk.error), -EINVAL);
    ck_assert_int_eq(virtio_blk_resize(disk.blk, 2 * DISK_BYTES, &disk.error), 0);
    ck_assert_uint_eq(virtio_driver_config_interrupts(&disk.driver), 1);
    ck_assert_uint_ne(virtio_config_generation(virtio), generation);
    ck_assert_uint_eq(virtio_config_read(virtio, 0, 8), 2 * DISK_BYTES / 512);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, DISK_BYTES / 512, 0, 512, NULL), STATUS_OK);
    ck_assert_int_eq(truncate(disk.path, DISK_BYTES), 0);
    ck_assert_int_eq(virtio_blk_resize(disk.blk, 0, &disk.error), 0);
    ck_assert_uint_eq(virtio_config_read(virtio, 0, 8), DISK_BYTES / 512);
    disk_fini(&disk);
}
END_TEST

/* Behind the VMM's back. */
START_TEST(a_failure_of_the_host_reaches_the_guest)
{
    for (enum backend backend = URING; backend <= THREADS; backend++) {
        struct disk disk;
        struct virtio_blk_counts counts;
        disk_init(&disk);
        if (choose(&disk, backend)) {
            disk_start(&disk, F_ALL);
            ck_assert_int_eq(truncate(disk.path, 4096), 0);
            ck_assert_int_eq(disk_request(&disk, TYPE_IN, 100, 0, 1024, NULL), STATUS_IOERR);
            ck_assert_int_eq(disk_request(&disk, TYPE_IN, 6, 0, 2048, NULL), STATUS_IOERR);
            ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 4096, NULL), STATUS_OK);
            virtio_blk_get_counts(disk.blk, &counts);
            ck_assert_uint_eq(counts.errors, 2);
        }
        disk_fini(&disk);
    }
}
END_TEST

/* Many at once, in any order; one interrupt for a batch at most as often as requests. */
static void flood(struct disk *disk, unsigned queue, unsigned rounds)
{
    enum { DEPTH = 16, LEN = 4096 };
    unsigned sent = 0, done = 0;
    uint64_t at[DEPTH];
    uint16_t slot_of[DRIVER_QUEUE_SIZE_MAX], id;
    unsigned free_slots[DEPTH], free_count = DEPTH;
    for (unsigned i = 0; i < DEPTH; i++)
        free_slots[i] = i;
    while (done < rounds) {
        while (free_count && sent < rounds) {
            unsigned slot = free_slots[--free_count], header = queue * DEPTH + slot;
            at[slot] = (uint64_t)rand() % (DISK_BYTES / 512 - 8);
            disk_header(disk, header, TYPE_IN, at[slot]);
            const struct driver_buffer buffers[] = {{HEADERS_GPA + 32u * header, 16, false},
                                                    {DATA_GPA + header * (uint64_t)LEN, LEN, true},
                                                    {HEADERS_GPA + 32u * header + 16, 1, true}};
            slot_of[virtio_driver_send(&disk->driver, queue, buffers, 3)] = slot;
            sent++;
        }
        virtio_driver_wait(&disk->driver, queue, &id);
        unsigned slot = slot_of[id], header = queue * DEPTH + slot;
        ck_assert_int_eq(disk_status(disk, header), STATUS_OK);
        ck_assert(disk_is_filled(disk, header * (uint64_t)LEN, LEN, at[slot] * 512));
        free_slots[free_count++] = slot;
        done++;
    }
}

START_TEST(many_requests_at_once_all_come_back)
{
    for (enum backend backend = 0; backend < BACKEND_COUNT; backend++)
        for (unsigned packed = 0; packed < 2; packed++) {
            struct disk disk;
            disk_init(&disk);
            disk.config.queue_count = 2;
            if (choose(&disk, backend)) {
                disk_start(&disk, F_ALL | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
                                      (packed ? VIRTIO_F_RING_PACKED : 0));
                flood(&disk, 0, 2000);
                flood(&disk, 1, 2000);
            }
            disk_fini(&disk);
        }
}
END_TEST

START_TEST(a_reset_waits_for_what_is_in_flight)
{
    for (enum backend backend = 0; backend < BACKEND_COUNT; backend++) {
        struct disk disk;
        disk_init(&disk);
        if (!choose(&disk, backend)) {
            disk_fini(&disk);
            continue;
        }
        disk_start(&disk, F_ALL);
        for (unsigned round = 0; round < 200; round++) {
            for (unsigned i = 0; i < 8; i++) {
                disk_header(&disk, i, TYPE_IN, 64 * i);
                const struct driver_buffer buffers[] = {{HEADERS_GPA + 32u * i, 16, false},
                                                        {DATA_GPA + 0x8000 * i, 0x8000, true},
                                                        {HEADERS_GPA + 32u * i + 16, 1, true}};
                virtio_driver_send(&disk.driver, 0, buffers, 3);
            }
            virtio_driver_set_status(&disk.driver, 0);
            ck_assert_int_eq(virtio_status(virtio_blk_virtio(disk.blk)), 0);
            /* Nothing may write there any more. */
            memset(disk_ram(&disk, DATA_GPA, 0x40000), 0x77, 0x40000);
            virtio_driver_init(&disk.driver, virtio_blk_virtio(disk.blk), RINGS_GPA);
            virtio_driver_start(&disk.driver, F_ALL, 1, 64);
            for (unsigned i = 0; i < 0x40000; i += 4096)
                ck_assert_int_eq(disk_ram(&disk, DATA_GPA, 0x40000)[i], 0x77);
        }
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 512, NULL), STATUS_OK);
        disk_fini(&disk);
    }
}
END_TEST

/* Not how fast it is, but that it waits at all, and goes on. */
START_TEST(a_limit_holds_requests_back)
{
    struct disk disk;
    struct virtio_blk_counts counts;
    disk_init(&disk);
    disk.config.operations_limit = 50;
    disk.config.bytes_limit = 64 * MIB;
    disk_start(&disk, F_ALL);
    flood(&disk, 0, 30);
    event_loop_stop(disk.loop);
    virtio_blk_get_counts(disk.blk, &counts);
    ck_assert_uint_eq(counts.operations[BLOCK_READ], 30);
    ck_assert_uint_gt(counts.throttled, 0);
    disk_fini(&disk);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, every_backend_reads_writes_and_flushes);
    test_add(suite, requests_may_be_framed_in_any_way);
    test_add(suite, requests_that_make_no_sense_are_refused);
    test_add(suite, a_request_without_header_or_status_breaks_the_device);
    test_add(suite, zeroes_are_written_by_every_backend);
    test_add(suite, a_discard_gives_space_back);
    test_add(suite, a_read_only_disk_refuses_writes);
    test_add(suite, the_configuration_says_what_the_disk_is);
    test_add(suite, a_configuration_that_cannot_be_is_refused);
    test_add(suite, a_disk_grows_while_it_runs);
    test_add(suite, a_failure_of_the_host_reaches_the_guest);
    test_add_slow(suite, many_requests_at_once_all_come_back, 120);
    test_add_slow(suite, a_reset_waits_for_what_is_in_flight, 120);
    test_add_slow(suite, a_limit_holds_requests_back, 120);
}
