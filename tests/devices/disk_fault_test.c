/* SPDX-License-Identifier: MIT
 *
 * A disk whose backend fails or delays chosen requests: what the guest is told, and that nothing is lost or
 * claimed that is not so. The faults stand between the engine of threads and the file.
 */
#include <semaphore.h>

#include "devices/block/internal.h"
#include "devices/virtio-blk/internal.h"
#include "tests/devices/disk_fixture.h"

struct faults {
    struct store store; /* in front of `inner` */
    struct store *inner;
    int results[BLOCK_OPERATION_COUNT]; /* instead of doing it; 0: it is done */
    bool moves_nothing;                 /* what succeeds is not done either */
    uint64_t delayed_offset;            /* a request there waits for `go`; UINT64_MAX: none */
    sem_t go;
    unsigned stable_count; /* atomic: of writes that were to be stable */
    unsigned run_count;    /* atomic */
};

static int faults_run(void *self, const struct block_request *request)
{
    struct faults *faults = self;
    int result = __atomic_load_n(&faults->results[request->operation], __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&faults->run_count, 1, __ATOMIC_ACQ_REL);
    if (request->operation == BLOCK_WRITE && request->is_stable)
        __atomic_fetch_add(&faults->stable_count, 1, __ATOMIC_ACQ_REL);
    if (request->offset == faults->delayed_offset)
        while (sem_wait(&faults->go))
            ;
    return result || faults->moves_nothing ? result : faults->inner->ops->run(faults->inner->self, request);
}

static int faults_resize(void *self, uint64_t bytes, struct vmm_error *error)
{
    struct faults *faults = self;
    int result = faults->inner->ops->resize(faults->inner->self, bytes, error);
    faults->store.info = faults->inner->info;
    return result;
}

static void faults_close(void *self)
{
    struct faults *faults = self;
    faults->inner->ops->close(faults->inner->self);
}

static const struct store_ops faults_ops = {
    .run = faults_run, .resize = faults_resize, .close = faults_close};

static void set_result(struct faults *faults, enum block_operation operation, int result)
{
    __atomic_store_n(&faults->results[operation], result, __ATOMIC_RELEASE);
}

/* Before the first request, so before there is a thread that has seen the store. */
static void start(struct disk *disk, struct faults *faults, uint64_t features)
{
    disk_init(disk);
    disk->config.backend.aio = BLOCK_AIO_THREADS;
    ck_assert_msg(!disk_open(disk), "%s", disk->error.message);
    *faults = (struct faults){.inner = disk->blk->block->store, .delayed_offset = UINT64_MAX};
    faults->store = (struct store){.ops = &faults_ops, .self = faults, .info = faults->inner->info};
    sem_init(&faults->go, 0, 0);
    disk->blk->block->store = &faults->store;
    virtio_driver_start(&disk->driver, features, 1, 64);
}

static void finish(struct disk *disk, struct faults *faults)
{
    disk_fini(disk);
    sem_destroy(&faults->go);
}

START_TEST(a_failed_request_is_the_only_one_that_fails)
{
    static const struct {
        enum block_operation operation;
        uint32_t type;
    } cases[] = {{BLOCK_READ, TYPE_IN},
                 {BLOCK_WRITE, TYPE_OUT},
                 {BLOCK_DISCARD, TYPE_DISCARD},
                 {BLOCK_WRITE_ZEROES, TYPE_ZEROES}};
    struct disk disk;
    struct faults faults;
    struct virtio_blk_counts counts;
    start(&disk, &faults, F_ALL);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        bool is_range = cases[i].type >= TYPE_DISCARD;
        uint8_t *data = disk_ram(&disk, DATA_GPA, 512);
        store_le64(data, 64);
        store_le64(data + 8, 8); /* sectors, and no flags */
        set_result(&faults, cases[i].operation, -EIO);
        ck_assert_int_eq(disk_request(&disk, cases[i].type, 0, 0, is_range ? 16 : 512, NULL), STATUS_IOERR);
        set_result(&faults, cases[i].operation, 0);
        ck_assert_int_eq(disk_request(&disk, cases[i].type, 0, 0, is_range ? 16 : 512, NULL), STATUS_OK);
        ck_assert_int_eq(disk_request(&disk, TYPE_FLUSH, 0, 0, 0, NULL), STATUS_OK);
    }
    virtio_blk_get_counts(disk.blk, &counts);
    ck_assert_uint_eq(counts.errors, ARRAY_COUNT(cases));
    ck_assert_uint_eq(counts.bytes[BLOCK_WRITE_ZEROES], 2 * 8 * 512);
    finish(&disk, &faults);
}
END_TEST

/* The kernel tells of data that it could not write once, and then forgets it. */
START_TEST(after_a_failed_flush_none_claims_to_be_one)
{
    struct disk disk;
    struct faults faults;
    start(&disk, &faults, F_ALL);
    ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 0, 0, 512, NULL), STATUS_OK);
    set_result(&faults, BLOCK_FLUSH, -EIO);
    ck_assert_int_eq(disk_request(&disk, TYPE_FLUSH, 0, 0, 0, NULL), STATUS_IOERR);
    set_result(&faults, BLOCK_FLUSH, 0);
    ck_assert_int_eq(disk_request(&disk, TYPE_FLUSH, 0, 0, 0, NULL), STATUS_IOERR);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 512, NULL), STATUS_OK);
    virtio_driver_set_status(&disk.driver, 0);
    virtio_driver_init(&disk.driver, virtio_blk_virtio(disk.blk), RINGS_GPA);
    virtio_driver_start(&disk.driver, F_ALL, 1, 64);
    ck_assert_int_eq(disk_request(&disk, TYPE_FLUSH, 0, 0, 0, NULL), STATUS_IOERR);
    finish(&disk, &faults);
}
END_TEST

START_TEST(a_slow_request_delays_only_itself)
{
    struct disk disk;
    struct faults faults;
    uint16_t id;
    start(&disk, &faults, F_ALL);
    faults.delayed_offset = 512 * 100;
    disk_header(&disk, 1, TYPE_IN, 100);
    const struct driver_buffer slow[] = {
        {HEADERS_GPA + 32, 16, false}, {DATA_GPA + 0x1000, 512, true}, {HEADERS_GPA + 32 + 16, 1, true}};
    uint16_t slow_id = virtio_driver_send(&disk.driver, 0, slow, 3);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(disk_request(&disk, TYPE_IN, i, 0, 512, NULL), STATUS_OK);
    ck_assert_int_eq(disk_status(&disk, 1), STATUS_NONE);
    sem_post(&faults.go);
    virtio_driver_wait(&disk.driver, 0, &id);
    ck_assert_uint_eq(id, slow_id);
    ck_assert_int_eq(disk_status(&disk, 1), STATUS_OK);
    ck_assert(disk_is_filled(&disk, 0x1000, 512, 51200));
    finish(&disk, &faults);
}
END_TEST

/* The driver cannot see that something was popped. */
static unsigned count_in_flight(struct virtio_blk *blk)
{
    pthread_mutex_lock(&blk->lock);
    unsigned count = blk->queues[0].in_flight;
    pthread_mutex_unlock(&blk->lock);
    return count;
}

static void *let_go(void *argument)
{
    struct faults *faults = argument;
    usleep(20000);
    sem_post(&faults->go);
    return NULL;
}

START_TEST(a_reset_waits_for_a_slow_request)
{
    struct disk disk;
    struct faults faults;
    pthread_t thread;
    start(&disk, &faults, F_ALL);
    faults.delayed_offset = 0;
    disk_header(&disk, 1, TYPE_IN, 0);
    const struct driver_buffer slow[] = {
        {HEADERS_GPA + 32, 16, false}, {DATA_GPA, 512, true}, {HEADERS_GPA + 32 + 16, 1, true}};
    virtio_driver_send(&disk.driver, 0, slow, 3);
    while (!count_in_flight(disk.blk))
        usleep(100);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go, &faults), 0);
    virtio_driver_set_status(&disk.driver, 0);
    ck_assert_int_eq(disk_status(&disk, 1), STATUS_OK);
    pthread_join(thread, NULL);
    finish(&disk, &faults);
}
END_TEST

#define LARGE_BYTES (64 * MIB)
#define LARGE_COUNT 14
#define LARGE_MOST  4 /* in flight: a quarter of a gigabyte */

/* For requests that are larger than RAM: all of them have the same buffers, so nothing is moved. */
static void make_large(struct disk *disk, struct faults *faults, uint64_t bytes)
{
    ck_assert_int_eq(virtio_blk_resize(disk->blk, bytes, &disk->error), 0);
    virtio_driver_set_status(&disk->driver, 0);
    virtio_driver_init(&disk->driver, virtio_blk_virtio(disk->blk), RINGS_GPA);
    virtio_driver_start(&disk->driver, F_ALL, 1, 256);
    faults->moves_nothing = true;
}

/* Reads, each of which waits for a `go`. */
static void send_large(struct disk *disk, struct faults *faults)
{
    struct driver_buffer buffers[18];
    make_large(disk, faults, LARGE_BYTES);
    faults->delayed_offset = 0;
    for (unsigned i = 1; i < 17; i++)
        buffers[i] = (struct driver_buffer){DATA_GPA, LARGE_BYTES / 16, true};
    for (unsigned i = 0; i < LARGE_COUNT; i++) {
        disk_header(disk, i, TYPE_IN, 0);
        buffers[0] = (struct driver_buffer){HEADERS_GPA + 32 * i, 16, false};
        buffers[17] = (struct driver_buffer){HEADERS_GPA + 32 * i + 16, 1, true};
        virtio_driver_send(&disk->driver, 0, buffers, 18);
    }
    while (count_in_flight(disk->blk) < LARGE_MOST)
        usleep(100);
}

START_TEST(large_requests_wait_in_the_ring)
{
    struct disk disk;
    struct faults faults;
    start(&disk, &faults, F_ALL);
    send_large(&disk, &faults);
    ck_assert_uint_eq(count_in_flight(disk.blk), LARGE_MOST);
    for (unsigned i = 0; i < LARGE_COUNT; i++) {
        uint16_t id;
        sem_post(&faults.go);
        virtio_driver_wait(&disk.driver, 0, &id);
        ck_assert_uint_le(count_in_flight(disk.blk), LARGE_MOST);
    }
    for (unsigned i = 0; i < LARGE_COUNT; i++)
        ck_assert_int_eq(disk_status(&disk, i), STATUS_OK);
    ck_assert_uint_eq(__atomic_load_n(&faults.run_count, __ATOMIC_ACQUIRE), LARGE_COUNT);
    finish(&disk, &faults);
}
END_TEST

#define SEGMENTS 254 /* what the configuration says: so many, of a MiB at most */

/* A transfer of that and `more` bytes. */
static uint8_t send_largest(struct disk *disk, uint32_t type, uint32_t more)
{
    struct driver_buffer buffers[SEGMENTS + 2] = {{HEADERS_GPA, 16, false}};
    uint16_t id;
    for (unsigned i = 1; i <= SEGMENTS; i++)
        buffers[i] = (struct driver_buffer){DATA_GPA, 1 * MIB, type == TYPE_IN};
    buffers[SEGMENTS].len += more;
    buffers[SEGMENTS + 1] = (struct driver_buffer){HEADERS_GPA + 16, 1, true};
    disk_header(disk, 0, type, 0);
    virtio_driver_send(&disk->driver, 0, buffers, SEGMENTS + 2);
    virtio_driver_wait(&disk->driver, 0, &id);
    return disk_status(disk, 0);
}

/* Of `count` ranges, each of as many sectors as the configuration says, the last of `more` besides. */
static uint8_t send_ranges(struct disk *disk, uint32_t type, unsigned count, uint32_t more)
{
    enum { SECTORS = 32768 };
    uint8_t *range = disk_ram(disk, DATA_GPA, 16 * count);
    memset(range, 0, 16 * count);
    for (unsigned i = 0; i < count; i++)
        store_le32(range + 16 * i + 8, SECTORS + (i == count - 1 ? more : 0));
    return disk_request(disk, type, 0, 0, 16 * count, NULL);
}

START_TEST(a_request_is_no_larger_than_the_guest_is_told)
{
    struct disk disk;
    struct faults faults;
    struct virtio_blk_counts counts;
    start(&disk, &faults, F_ALL);
    struct virtio *virtio = virtio_blk_virtio(disk.blk);
    make_large(&disk, &faults, 512 * MIB);
    ck_assert(virtio_features_offered(virtio, 0) & 1u << 1);
    ck_assert_uint_eq(virtio_config_read(virtio, 8, 4), 1 * MIB);
    ck_assert_uint_eq(virtio_config_read(virtio, 12, 4), SEGMENTS);
    ck_assert_uint_eq(virtio_config_read(virtio, 48, 4), 32768);
    ck_assert_uint_eq(virtio_config_read(virtio, 52, 4), 16);
    ck_assert_int_eq(send_largest(&disk, TYPE_IN, 0), STATUS_OK);
    ck_assert_int_eq(send_largest(&disk, TYPE_OUT, 0), STATUS_OK);
    ck_assert_int_eq(send_ranges(&disk, TYPE_ZEROES, 16, 0), STATUS_OK);
    ck_assert_int_eq(send_ranges(&disk, TYPE_DISCARD, 16, 1), STATUS_OK);
    unsigned run_count = __atomic_load_n(&faults.run_count, __ATOMIC_ACQUIRE);
    ck_assert_uint_eq(run_count, 2 + 16 + 16);
    ck_assert_int_eq(send_largest(&disk, TYPE_IN, 512), STATUS_IOERR);
    ck_assert_int_eq(send_largest(&disk, TYPE_OUT, 512), STATUS_IOERR);
    ck_assert_int_eq(send_ranges(&disk, TYPE_ZEROES, 16, 1), STATUS_IOERR);
    ck_assert_uint_eq(__atomic_load_n(&faults.run_count, __ATOMIC_ACQUIRE), run_count);
    virtio_blk_get_counts(disk.blk, &counts);
    ck_assert_uint_eq(counts.refused, 3);
    finish(&disk, &faults);
}
END_TEST

struct reset {
    struct virtio_blk *blk;
    struct faults *faults;
};

/* Once the reset waits. */
static void *let_all_go(void *argument)
{
    const struct reset *reset = argument;
    for (bool is_halted = false; !is_halted; usleep(100)) {
        pthread_mutex_lock(&reset->blk->lock);
        is_halted = reset->blk->queues[0].is_halted;
        pthread_mutex_unlock(&reset->blk->lock);
    }
    for (unsigned i = 0; i < LARGE_COUNT; i++)
        sem_post(&reset->faults->go);
    return NULL;
}

/* The vCPU that resets waits meanwhile, and so does who wants to stop it. */
START_TEST(a_reset_does_not_wait_for_all_of_the_ring)
{
    struct disk disk;
    struct faults faults;
    pthread_t thread;
    start(&disk, &faults, F_ALL);
    send_large(&disk, &faults);
    struct reset reset = {disk.blk, &faults};
    ck_assert_int_eq(pthread_create(&thread, NULL, let_all_go, &reset), 0);
    virtio_driver_set_status(&disk.driver, 0);
    ck_assert_uint_eq(__atomic_load_n(&faults.run_count, __ATOMIC_ACQUIRE), LARGE_MOST);
    pthread_join(thread, NULL);
    finish(&disk, &faults);
}
END_TEST

/* Else the write would make the file long again. */
START_TEST(a_disk_shrinks_when_nothing_is_in_flight)
{
    struct disk disk;
    struct faults faults;
    struct stat status;
    pthread_t thread;
    start(&disk, &faults, F_ALL);
    faults.delayed_offset = DISK_BYTES - 512;
    disk_header(&disk, 1, TYPE_OUT, DISK_BYTES / 512 - 1);
    const struct driver_buffer slow[] = {
        {HEADERS_GPA + 32, 16, false}, {DATA_GPA, 512, false}, {HEADERS_GPA + 32 + 16, 1, true}};
    virtio_driver_send(&disk.driver, 0, slow, 3);
    while (!count_in_flight(disk.blk))
        usleep(100);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go, &faults), 0);
    ck_assert_int_eq(virtio_blk_resize(disk.blk, DISK_BYTES / 2, &disk.error), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(disk_status(&disk, 1), STATUS_OK);
    ck_assert_int_eq(stat(disk.path, &status), 0);
    ck_assert_uint_eq(status.st_size, DISK_BYTES / 2);
    uint16_t id;
    virtio_driver_wait(&disk.driver, 0, &id);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, 0, 0, 512, NULL), STATUS_OK);
    ck_assert_int_eq(disk_request(&disk, TYPE_IN, DISK_BYTES / 512 - 1, 0, 512, NULL), STATUS_IOERR);
    finish(&disk, &faults);
}
END_TEST

/* 5.2.5.2: a driver that could switch the cache off but knows no flush begins without one. */
START_TEST(a_driver_without_flush_has_no_cache)
{
    static const struct {
        uint64_t features;
        unsigned writeback;
    } cases[] = {{0, 0}, {F_CONFIG_WCE, 0}, {F_FLUSH, 1}, {F_ALL, 1}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct disk disk;
        struct faults faults;
        start(&disk, &faults, cases[i].features);
        ck_assert_uint_eq(virtio_config_read(virtio_blk_virtio(disk.blk), 32, 1), cases[i].writeback);
        ck_assert_int_eq(disk_request(&disk, TYPE_OUT, 0, 0, 512, NULL), STATUS_OK);
        ck_assert_uint_eq(__atomic_load_n(&faults.stable_count, __ATOMIC_ACQUIRE), !cases[i].writeback);
        finish(&disk, &faults);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_failed_request_is_the_only_one_that_fails);
    test_add(suite, after_a_failed_flush_none_claims_to_be_one);
    test_add(suite, a_slow_request_delays_only_itself);
    test_add(suite, a_reset_waits_for_a_slow_request);
    test_add(suite, large_requests_wait_in_the_ring);
    test_add(suite, a_request_is_no_larger_than_the_guest_is_told);
    test_add(suite, a_reset_does_not_wait_for_all_of_the_ring);
    test_add(suite, a_disk_shrinks_when_nothing_is_in_flight);
    test_add(suite, a_driver_without_flush_has_no_cache);
}
