/* SPDX-License-Identifier: MIT
 *
 * Opening a disk's file: what can be wrong with it, and what is said. And overlays from one opening to the
 * next.
 */
#include "devices/block/internal.h"
#include "tests/devices/disk_fixture.h"

/* Opens `path` and expects a message with `part` in it. */
static void expect_refusal(const struct block_config *config, int code, const char *part)
{
    struct vmm_error error = {0};
    struct block *block = NULL;
    struct event_loop *loop;
    struct block_config with_loop = *config;
    ck_assert_int_eq(event_loop_create(&loop, &error), 0);
    with_loop.loop = loop;
    ck_assert_int_eq(block_open(&with_loop, &block, &error), code);
    ck_assert_msg(strstr(error.message, part), "\"%s\" says nothing of \"%s\"", error.message, part);
    ck_assert_ptr_nonnull(strstr(error.message, config->path));
    event_loop_destroy(loop);
}

static void make(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

START_TEST(what_is_wrong_with_a_file_is_said)
{
    struct disk disk;
    disk_init(&disk);
    struct block_config config = {.path = disk.path};
    static const char cow[1024] = "QFI\xfb", text[1000] = "x";
    make(disk.path, text, 0);
    expect_refusal(&config, -EINVAL, "is empty");
    make(disk.path, text, 1000);
    expect_refusal(&config, -EINVAL, "1000 bytes are no whole sectors of 512");
    make(disk.path, cow, sizeof(cow));
    expect_refusal(&config, -EINVAL, "a qcow2 image");
    unlink(disk.path);
    expect_refusal(&config, -ENOENT, "cannot open: No such file");
    config.path = disk.folder;
    expect_refusal(&config, -EISDIR, "is a directory");
    config.path = "/dev/null";
    expect_refusal(&config, -EINVAL, "neither a regular file nor a block device");
    ck_assert_int_eq(mkfifo(disk.path, 0600), 0);
    config.path = disk.path;
    expect_refusal(&config, -EINVAL, "neither a regular file nor a block device");
    disk_fini(&disk);
}
END_TEST

START_TEST(a_file_without_permission_is_refused)
{
    struct disk disk;
    disk_init(&disk);
    struct block_config config = {.path = disk.path};
    chmod(disk.folder, 0755);
    chmod(disk.path, 0444);
    if (!geteuid() && seteuid(65534))
        test_skip("root may do everything, and cannot become anybody else here");
    if (access(disk.path, R_OK))
        expect_refusal(&config, -EACCES, "cannot open");
    else
        expect_refusal(&config, -EACCES, "a read-only disk or an overlay");
    ck_assert_int_eq(seteuid(getuid()), 0);
    disk_fini(&disk);
}
END_TEST

/* In this process and in another; many may read. */
START_TEST(a_second_writer_is_refused)
{
    struct disk disk;
    disk_init(&disk);
    struct block_config writer = {.path = disk.path}, reader = {.path = disk.path, .read_only = true};
    disk_start(&disk, 0);
    expect_refusal(&writer, -EBUSY, "in use by another disk or process");
    expect_refusal(&reader, -EBUSY, "in use by another disk or process");
    disk_close(&disk);
    disk.config.backend.read_only = true;
    ck_assert_int_eq(disk_open(&disk), 0); /* the rings are the other's */
    expect_refusal(&writer, -EBUSY, "use an overlay to share it");
    struct disk other = disk;
    other.config.backend.overlay_memory = true;
    other.config.backend.read_only = false;
    disk_start(&other, F_ALL);
    ck_assert_int_eq(disk_request(&other, TYPE_IN, 1, 0, 512, NULL), STATUS_OK);
    disk_close(&other);
    disk_fini(&disk);
}
END_TEST

/* Nothing is mapped there; the kernel's limit of locked memory, which root does not have, is told the same
 * way.
 */
START_TEST(what_is_wrong_with_pinned_memory_is_said)
{
    struct disk disk;
    const char *reason;
    const struct iovec pinned = {.iov_base = (void *)0x10000, .iov_len = 4096};
    disk_init(&disk);
    struct block_config config = {
        .path = disk.path, .aio = BLOCK_AIO_URING, .pinned = &pinned, .pinned_count = 1};
    if (block_has_uring(&reason))
        expect_refusal(&config, -EFAULT,
                       "cannot pin the guest's memory (RLIMIT_MEMLOCK?): leave it unpinned");
    else
        expect_refusal(&config, -ENOTSUP, "leave its memory unpinned");
    disk_fini(&disk);
}
END_TEST

START_TEST(direct_io_serves_aligned_and_other_requests)
{
    struct disk disk;
    disk_init(&disk);
    int fd = open(disk.path, O_RDWR | O_DIRECT);
    if (fd < 0) {
        disk_fini(&disk);
        test_skip("the current directory's file system has no O_DIRECT");
    }
    close(fd);
    for (enum block_aio aio = BLOCK_AIO_AUTO; aio <= BLOCK_AIO_THREADS; aio++) {
        const char *reason;
        if (aio == BLOCK_AIO_URING && !block_has_uring(&reason))
            continue;
        disk_make_file(disk.path);
        disk.config.backend.cache = BLOCK_CACHE_NONE;
        disk.config.backend.aio = aio;
        disk_start(&disk, F_ALL);
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, 8, 0, 8192, NULL), STATUS_OK); /* aligned */
        ck_assert(disk_is_filled(&disk, 0, 8192, 4096));
        disk_fill(&disk, 0, 4096, 1ull << 40);
        ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 16, 0, 4096, NULL), STATUS_OK);
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, 17, 0x1008, 512, NULL), STATUS_OK); /* neither */
        ck_assert(disk_is_filled(&disk, 0x1008, 512, (1ull << 40) + 512));
        disk_fill(&disk, 0x2008, 512, 1ull << 41);
        ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 17, 0x2008, 512, NULL), STATUS_OK);
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, 16, 0, 4096, NULL), STATUS_OK);
        ck_assert(disk_is_filled(&disk, 0, 512, 1ull << 40));
        ck_assert(disk_is_filled(&disk, 512, 512, 1ull << 41));
        disk_close(&disk);
    }
    disk_fini(&disk);
}
END_TEST

START_TEST(an_overlay_keeps_what_was_written_and_leaves_the_base)
{
    struct disk disk;
    disk_init(&disk);
    disk.config.backend.overlay_path = disk.overlay;
    for (unsigned round = 0; round < 5; round++) {
        disk_start(&disk, F_ALL);
        for (unsigned i = 0; i < round; i++) {
            ck_assert_int_eq(disk_request(&disk, TYPE_IN, 300 * i + 127, 0, 1024, NULL), STATUS_OK);
            ck_assert(disk_is_filled(&disk, 0, 1024, (i + 1ull) << 40));
        }
        disk_fill(&disk, 0, 1024, (round + 1ull) << 40);
        ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 300 * round + 127, 0, 1024, NULL), STATUS_OK);
        ck_assert_int_eq(disk_request(&disk, TYPE_FLUSH, 0, 0, 0, NULL), STATUS_OK);
        disk_close(&disk);
    }
    disk.config.backend.overlay_path = NULL;
    disk_start(&disk, F_ALL);
    for (unsigned i = 0; i < DISK_BYTES / MIB; i++) {
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, i * (MIB / 512), 0, MIB, NULL), STATUS_OK);
        ck_assert(disk_is_filled(&disk, 0, MIB, i * MIB));
    }
    disk_fini(&disk);
}
END_TEST

START_TEST(a_damaged_overlay_is_refused)
{
    struct disk disk;
    disk_init(&disk);
    struct block_config config = {.path = disk.path, .overlay_path = disk.overlay};
    disk.config.backend.overlay_path = disk.overlay;
    disk_start(&disk, F_ALL);
    disk_close(&disk);
    static const struct {
        off_t offset;
        const char *part;
    } cases[] = {{0, "no overlay of ours"}, {8, "version"}, {12, "version"}, {16, "belongs to a base"}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t byte, changed;
        int fd = open(disk.overlay, O_RDWR);
        ck_assert_int_eq(pread(fd, &byte, 1, cases[i].offset), 1);
        changed = byte ^ 0x40;
        ck_assert_int_eq(pwrite(fd, &changed, 1, cases[i].offset), 1);
        struct vmm_error error = {0};
        struct block *block;
        ck_assert_int_eq(event_loop_create(&config.loop, &error), 0);
        ck_assert_int_eq(block_open(&config, &block, &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(error.message, cases[i].part));
        event_loop_destroy(config.loop);
        ck_assert_int_eq(pwrite(fd, &byte, 1, cases[i].offset), 1);
        close(fd);
    }
    ck_assert_int_eq(truncate(disk.overlay, DISK_BYTES), 0);
    config.loop = NULL;
    struct vmm_error error = {0};
    struct block *block;
    ck_assert_int_eq(event_loop_create(&config.loop, &error), 0);
    ck_assert_int_eq(block_open(&config, &block, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "cut short"));
    event_loop_destroy(config.loop);
    disk_fini(&disk);
}
END_TEST

/* The length is there and the header is not: nothing can be in it yet, unless a bit says so. */
START_TEST(an_overlay_that_was_not_finished_is_made)
{
    static const uint8_t zeroes[4096];
    struct disk disk;
    disk_init(&disk);
    disk.config.backend.overlay_path = disk.overlay;
    disk_start(&disk, F_ALL);
    disk_fill(&disk, 0, 4096, 1ull << 40);
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 8, 0, 4096, NULL), STATUS_OK);
    disk_close(&disk);
    int fd = open(disk.overlay, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, zeroes, sizeof(zeroes), 0), sizeof(zeroes));
    ck_assert_int_eq(disk_open(&disk), -EINVAL);
    ck_assert_ptr_nonnull(strstr(disk.error.message, "no overlay of ours"));
    event_loop_destroy(disk.loop);
    ck_assert_int_eq(pwrite(fd, zeroes, sizeof(zeroes), 4096), sizeof(zeroes));
    close(fd);
    disk_start(&disk, F_ALL);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, 8, 0, 4096, NULL), STATUS_OK);
    ck_assert(disk_is_filled(&disk, 0, 4096, 4096)); /* the base's */
    disk_fini(&disk);
}
END_TEST

struct again {
    struct block *block;
    struct block_request request;
    unsigned left;
};

static void submit_again(struct block_request *request, int result)
{
    struct again *again = request->owner;
    ck_assert_int_eq(result, 0);
    if (!again->left--)
        return;
    block_submit(again->block, request);
    block_kick(again->block);
}

/* As a guest's discard of many ranges does, without end on a stack. */
START_TEST(a_request_that_is_done_may_submit_the_next)
{
    struct disk disk;
    const char *reason;
    static uint8_t sector[512];
    if (!block_has_uring(&reason))
        test_skip("no io_uring: %s", reason);
    disk_init(&disk);
    struct block_config config = {.path = disk.path, .aio = BLOCK_AIO_URING};
    struct again again = {.left = 60000};
    const struct iovec segment = {.iov_base = sector, .iov_len = sizeof(sector)};
    ck_assert_int_eq(event_loop_create(&config.loop, &disk.error), 0);
    ck_assert_int_eq(block_open(&config, &again.block, &disk.error), 0);
    again.request = (struct block_request){.operation = BLOCK_READ,
                                           .len = sizeof(sector),
                                           .segments = &segment,
                                           .segment_count = 1,
                                           .done = submit_again,
                                           .owner = &again};
    block_submit(again.block, &again.request);
    block_kick(again.block);
    ck_assert_int_eq(event_loop_start(config.loop, &disk.error), 0); /* for what was not in the cache */
    for (unsigned ms = 0; ms < 60000 && __atomic_load_n(&again.left, __ATOMIC_RELAXED) != UINT32_MAX; ms++)
        usleep(1000);
    event_loop_stop(config.loop);
    ck_assert_uint_eq(again.left, UINT32_MAX);
    block_close(again.block);
    event_loop_destroy(config.loop);
    disk_fini(&disk);
}
END_TEST

struct refill {
    struct block *block;
    struct block_request request;
    bool is_in_flight;
    unsigned left, depth, depth_max;
};

static void refill_done(struct block_request *request, int result)
{
    struct refill *refill = request->owner;
    ck_assert_int_eq(result, 0);
    refill->is_in_flight = false;
}

static void refill_batch_done(void *owner)
{
    struct refill *refill = owner;
    if (++refill->depth > refill->depth_max)
        refill->depth_max = refill->depth;
    if (!refill->is_in_flight && __atomic_load_n(&refill->left, __ATOMIC_RELAXED)) {
        __atomic_fetch_sub(&refill->left, 1, __ATOMIC_RELAXED);
        refill->is_in_flight = true;
        block_submit(refill->block, &refill->request);
        block_kick(refill->block);
    }
    refill->depth--;
}

/* As a disk does that had more chains than requests: the guest chooses how often, but not how deep. */
START_TEST(a_batch_that_is_done_may_submit_the_next)
{
    static const enum block_operation operations[] = {BLOCK_DISCARD, BLOCK_WRITE, BLOCK_READ};
    static uint8_t bytes[4096];
    const struct iovec segment = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct disk disk;
    const char *reason;
    disk_init(&disk);
    for (unsigned i = 0; i < 6; i++) {
        enum block_aio aio = i % 2 ? BLOCK_AIO_URING : BLOCK_AIO_THREADS;
        struct refill refill = {.left = 100};
        struct block_config config = {
            .path = disk.path, .aio = aio, .batch_done = refill_batch_done, .owner = &refill};
        if (aio == BLOCK_AIO_URING && !block_has_uring(&reason))
            continue;
        ck_assert_int_eq(event_loop_create(&config.loop, &disk.error), 0);
        ck_assert_int_eq(block_open(&config, &refill.block, &disk.error), 0);
        refill.request = (struct block_request){.operation = operations[i / 2],
                                                .len = 4096,
                                                .segments = &segment,
                                                .segment_count = 1,
                                                .done = refill_done,
                                                .owner = &refill};
        refill.is_in_flight = true;
        block_submit(refill.block, &refill.request);
        block_kick(refill.block);
        ck_assert_int_eq(event_loop_start(config.loop, &disk.error), 0);
        for (unsigned ms = 0; ms < 20000 && __atomic_load_n(&refill.left, __ATOMIC_RELAXED); ms++)
            usleep(1000);
        event_loop_stop(config.loop);
        ck_assert_uint_eq(refill.left, 0);
        ck_assert_uint_eq(refill.depth_max, 1);
        block_close(refill.block);
        event_loop_destroy(config.loop);
    }
    disk_fini(&disk);
}
END_TEST

/* A store in front of the file's, which may have to wait. */
static struct slow {
    struct store_ops ops;
    const struct store_ops *inner;
    unsigned runs; /* of writes, by the thread of the loop */
    unsigned wait_us;
} slow;

static int slow_run(void *store, const struct block_request *request)
{
    slow.runs += request->operation == BLOCK_WRITE;
    if (request->operation == BLOCK_WRITE && slow.wait_us)
        usleep(slow.wait_us);
    return slow.inner->run(store, request);
}

struct write {
    struct block *block;
    struct block_request request;
    struct event_timer now; /* takes it to the loop's thread */
    unsigned done;          /* atomic */
};

static void write_done(struct block_request *request, int result)
{
    struct write *write = request->owner;
    ck_assert_int_eq(result, 0);
    __atomic_fetch_add(&write->done, 1, __ATOMIC_RELEASE);
}

static void submit_write(void *context)
{
    struct write *write = context;
    block_submit(write->block, &write->request);
    block_kick(write->block);
}

/* One write, to its end, on the loop's thread; whether that thread did it by itself. */
static bool is_copied(struct write *write)
{
    unsigned runs = slow.runs, done = write->done;
    ck_assert_int_eq(event_timer_set(&write->now, 0), 0);
    for (unsigned ms = 0; ms < 20000 && __atomic_load_n(&write->done, __ATOMIC_ACQUIRE) == done; ms++)
        usleep(1000);
    ck_assert_uint_eq(write->done, done + 1);
    return slow.runs != runs;
}

/* What the page cache takes at once is copied by the loop's thread; once that had to wait twice, a worker of
 * io_uring's does it. Stable writes are never copied. */
START_TEST(writes_are_copied_until_that_has_to_wait)
{
    struct disk disk;
    const char *reason;
    static uint8_t bytes[4096];
    if (!block_has_uring(&reason))
        test_skip("no io_uring: %s", reason);
    disk_init(&disk);
    struct block_config config = {.path = disk.path, .aio = BLOCK_AIO_URING};
    const struct iovec segment = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct write write = {.request = {.operation = BLOCK_WRITE,
                                      .len = sizeof(bytes),
                                      .segments = &segment,
                                      .segment_count = 1,
                                      .done = write_done,
                                      .owner = &write}};
    ck_assert_int_eq(event_loop_create(&config.loop, &disk.error), 0);
    ck_assert_int_eq(block_open(&config, &write.block, &disk.error), 0);
    event_timer_init(&write.now, config.loop, submit_write, &write);
    slow = (struct slow){.inner = write.block->store->ops, .ops = *write.block->store->ops};
    slow.ops.run = slow_run;
    write.block->store->ops = &slow.ops;
    ck_assert_int_eq(event_loop_start(config.loop, &disk.error), 0);
    /* at first, since a write that this host made wait would be one of the two */
    slow.wait_us = 5000;
    ck_assert(is_copied(&write));
    ck_assert(is_copied(&write));
    ck_assert(!is_copied(&write));
    slow.wait_us = 0;
    usleep(1100000);
    ck_assert(is_copied(&write));
    write.request.is_stable = true;
    ck_assert(!is_copied(&write));
    event_loop_stop(config.loop);
    block_close(write.block);
    event_loop_destroy(config.loop);
    disk_fini(&disk);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, writes_are_copied_until_that_has_to_wait, 60);
    test_add(suite, what_is_wrong_with_a_file_is_said);
    test_add(suite, a_file_without_permission_is_refused);
    test_add(suite, a_second_writer_is_refused);
    test_add(suite, what_is_wrong_with_pinned_memory_is_said);
    test_add(suite, direct_io_serves_aligned_and_other_requests);
    test_add(suite, an_overlay_keeps_what_was_written_and_leaves_the_base);
    test_add(suite, a_damaged_overlay_is_refused);
    test_add(suite, an_overlay_that_was_not_finished_is_made);
    test_add_slow(suite, a_request_that_is_done_may_submit_the_next, 120);
    test_add(suite, a_batch_that_is_done_may_submit_the_next);
}
