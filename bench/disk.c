/* SPDX-License-Identifier: MIT
 *
 * disk: what a request of a virtio disk costs beside the same load by a plain io_uring program, without a
 * guest: a driver on this thread fills the ring, signals the queue's eventfd as KVM's ioeventfd does, and
 * watches the used ring. So this is the device's own share: walker, request, backend, completion. Ways take
 * turns, batch by batch.
 *
 *   disk [FILE]      a scratch file of 64 MiB is made at FILE (default: in the current directory)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "bench/stats.h"
#include "devices/virtio-blk/virtio_blk.h"

#define FILE_BYTES  (64 * MIB)
#define RAM_BYTES   (16 * MIB)
#define QUEUE_SIZE  256u
#define DEPTH_MAX   32u
#define BATCHES     25u
#define WARM_UP     3u
#define DATA_GPA    (4 * MIB)
#define HEADERS_GPA (2 * MIB)

struct load {
    const char *name;
    bool is_write, is_sequential;
    uint32_t len;
    unsigned depth;
};

static const struct load loads[] = {{"4 KiB random reads, depth 1", false, false, 4096, 1},
                                    {"4 KiB random reads, depth 32", false, false, 4096, 32},
                                    {"4 KiB random writes, depth 1", true, false, 4096, 1},
                                    {"4 KiB random writes, depth 32", true, false, 4096, 32},
                                    {"128 KiB sequential reads, depth 1", false, true, 131072, 1},
                                    {"128 KiB sequential reads, depth 32", false, true, 131072, 32}};

/* A split ring, by its driver (virtio 1.2, 2.7). Request `slot` has the descriptors from 3 * slot on. */
struct driver {
    struct guest_memory *memory;
    struct event_loop *loop;
    struct virtio_blk *blk;
    struct virtio *virtio;
    uint8_t *ram;
    uint16_t avail, used;
    uint64_t kicks, interrupts; /* interrupts: atomic */
};

#define TABLE_GPA 0x10000u
#define AVAIL_GPA 0x20000u
#define USED_GPA  0x30000u

static uint64_t used_ns(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

/* Of every thread but this one, which only watches the ring. */
static uint64_t others_ns(void)
{
    return used_ns(RUSAGE_SELF) - used_ns(RUSAGE_THREAD);
}

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "disk: %s: %s\n", what, why);
    exit(1);
}

/* The next offset; the generator is the same for both ways. */
static uint64_t next_offset(const struct load *load, uint64_t *state)
{
    uint64_t count = FILE_BYTES / load->len;
    *state = load->is_sequential ? *state + 1 : *state * 6364136223846793005u + 1442695040888963407u;
    return (load->is_sequential ? *state : *state >> 33) % count * load->len;
}

/* ---- By the device ---- */

static void on_interrupt(void *transport, unsigned queue)
{
    struct driver *driver = transport;
    (void)queue;
    __atomic_fetch_add(&driver->interrupts, 1, __ATOMIC_RELAXED);
}

static const struct virtio_transport_ops transport_ops = {.interrupt = on_interrupt};

static void write_descriptor(struct driver *driver, unsigned index, gpa_t gpa, uint32_t len, uint16_t flags)
{
    uint8_t *to = driver->ram + TABLE_GPA + 16u * index;
    store_le64(to, gpa);
    store_le32(to + 8, len);
    store_le16(to + 12, flags);
    store_le16(to + 14, (uint16_t)(index + 1));
}

static void fill_slot(struct driver *driver, const struct load *load, unsigned slot, uint64_t offset)
{
    uint8_t *header = driver->ram + HEADERS_GPA + 64u * slot;
    store_le32(header, load->is_write);
    store_le64(header + 8, offset / 512);
    write_descriptor(driver, 3 * slot, HEADERS_GPA + 64u * slot, 16, 1);
    write_descriptor(driver, 3 * slot + 1, DATA_GPA + (gpa_t)slot * 131072, load->len,
                     load->is_write ? 1 : 1 | 2);
    write_descriptor(driver, 3 * slot + 2, HEADERS_GPA + 64u * slot + 16, 1, 2);
}

static void publish(struct driver *driver, unsigned slot)
{
    store_le16(driver->ram + AVAIL_GPA + 4 + 2u * (driver->avail % QUEUE_SIZE), (uint16_t)(3 * slot));
    driver->avail++;
    __atomic_store_n((uint16_t *)(void *)(driver->ram + AVAIL_GPA + 2), driver->avail, __ATOMIC_RELEASE);
}

/* With the event index: only where the device has asked for it. */
static void kick(struct driver *driver, uint16_t before)
{
    uint64_t one = 1;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t event = __atomic_load_n((uint16_t *)(void *)(driver->ram + USED_GPA + 4 + 8 * QUEUE_SIZE),
                                     __ATOMIC_RELAXED);
    if ((uint16_t)(driver->avail - event - 1) >= (uint16_t)(driver->avail - before))
        return;
    driver->kicks++;
    if (write(virtio_queue_event_fd(driver->virtio, 0), &one, sizeof(one)) != sizeof(one))
        fail("eventfd", strerror(errno));
}

static void run_device(struct driver *driver, const struct load *load, unsigned count, uint64_t *state)
{
    unsigned sent = 0, done = 0, slots[DEPTH_MAX], free_count = load->depth;
    for (unsigned i = 0; i < load->depth; i++)
        slots[i] = i;
    while (done < count) {
        uint16_t before = driver->avail;
        while (free_count && sent < count) {
            unsigned slot = slots[--free_count];
            fill_slot(driver, load, slot, next_offset(load, state));
            publish(driver, slot);
            sent++;
        }
        if (driver->avail != before)
            kick(driver, before);
        uint16_t *used = (uint16_t *)(void *)(driver->ram + USED_GPA + 2);
        while (__atomic_load_n(used, __ATOMIC_ACQUIRE) == driver->used)
            __builtin_ia32_pause();
        for (; __atomic_load_n(used, __ATOMIC_ACQUIRE) != driver->used; driver->used++, done++) {
            uint32_t id = load_le32(driver->ram + USED_GPA + 4 + 8u * (driver->used % QUEUE_SIZE));
            if (driver->ram[HEADERS_GPA + 64u * (id / 3) + 16])
                fail(load->name, "a request failed");
            slots[free_count++] = id / 3;
        }
        /* Interrupts for the next one that comes back. */
        store_le16(driver->ram + AVAIL_GPA + 4 + 2 * QUEUE_SIZE, driver->used);
    }
}

static void start_device(struct driver *driver, const char *path, enum block_cache cache, bool pin)
{
    struct vmm_error error;
    *driver = (struct driver){0};
    if (event_loop_create(&driver->loop, &error) ||
        guest_memory_create(RAM_BYTES, MEMORY_ANONYMOUS, &driver->memory, &error))
        fail("set-up", error.message);
    const struct virtio_blk_config config = {.name = "disk0",
                                             .backend = {.path = path, .cache = cache},
                                             .pin = pin,
                                             .queue_count = 1,
                                             .memory = driver->memory,
                                             .loop = driver->loop};
    if (virtio_blk_create(&config, &driver->blk, &error) || event_loop_start(driver->loop, &error))
        fail("set-up", error.message);
    driver->ram = guest_mem_ptr(driver->memory, 0, RAM_BYTES);
    memset(driver->ram, 1, RAM_BYTES); /* no page is touched for the first time later */
    memset(driver->ram + AVAIL_GPA, 0, 0x20000);
    struct virtio *virtio = driver->virtio = virtio_blk_virtio(driver->blk);
    uint8_t status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
    virtio_attach(virtio, &transport_ops, driver);
    lock_acquire(virtio_lock(virtio));
    virtio_set_status(virtio, status);
    virtio_accept_features(virtio, 0, (uint32_t)VIRTIO_F_EVENT_IDX | 1u << 9);
    virtio_accept_features(virtio, 1, (uint32_t)(VIRTIO_F_VERSION_1 >> 32));
    virtio_set_status(virtio, status |= VIRTIO_FEATURES_OK);
    virtio_set_queue_address(virtio, 0, VIRTIO_QUEUE_DESCRIPTOR, 0, TABLE_GPA);
    virtio_set_queue_address(virtio, 0, VIRTIO_QUEUE_DRIVER, 0, AVAIL_GPA);
    virtio_set_queue_address(virtio, 0, VIRTIO_QUEUE_DEVICE, 0, USED_GPA);
    virtio_enable_queue(virtio, 0);
    virtio_set_status(virtio, status | VIRTIO_DRIVER_OK);
    lock_release(virtio_lock(virtio));
}

static void stop_device(struct driver *driver)
{
    event_loop_stop(driver->loop);
    virtio_blk_destroy(driver->blk);
    event_loop_destroy(driver->loop);
    guest_memory_destroy(driver->memory);
}

/* ---- By a plain program ---- */

struct plain {
    struct io_uring ring;
    int fd;
    uint8_t *buffers;
};

static void run_plain(struct plain *plain, const struct load *load, unsigned count, uint64_t *state)
{
    unsigned sent = 0, done = 0, slots[DEPTH_MAX], free_count = load->depth;
    struct io_uring_cqe *cqe;
    for (unsigned i = 0; i < load->depth; i++)
        slots[i] = i;
    while (done < count) {
        while (free_count && sent < count) {
            unsigned slot = slots[--free_count];
            struct io_uring_sqe *sqe = io_uring_get_sqe(&plain->ring);
            void *buffer = plain->buffers + (size_t)slot * 131072;
            if (load->is_write)
                io_uring_prep_write(sqe, 0, buffer, load->len, next_offset(load, state));
            else
                io_uring_prep_read(sqe, 0, buffer, load->len, next_offset(load, state));
            sqe->flags |= IOSQE_FIXED_FILE;
            io_uring_sqe_set_data64(sqe, slot);
            sent++;
        }
        io_uring_submit_and_wait(&plain->ring, 1);
        while (!io_uring_peek_cqe(&plain->ring, &cqe)) {
            if (cqe->res != (int)load->len)
                fail(load->name, "a plain transfer failed");
            slots[free_count++] = (unsigned)io_uring_cqe_get_data64(cqe);
            io_uring_cqe_seen(&plain->ring, cqe);
            done++;
        }
    }
}

static void start_plain(struct plain *plain, const char *path, enum block_cache cache)
{
    plain->fd = open(path, O_RDWR | O_CLOEXEC | (cache == BLOCK_CACHE_NONE ? O_DIRECT : 0));
    if (plain->fd < 0 || io_uring_queue_init(64, &plain->ring, 0) ||
        io_uring_register_files(&plain->ring, &plain->fd, 1))
        fail(path, strerror(errno));
    plain->buffers = aligned_alloc(PAGE_BYTES, DEPTH_MAX * 131072);
    memset(plain->buffers, 1, DEPTH_MAX * 131072);
}

static void stop_plain(struct plain *plain)
{
    io_uring_queue_exit(&plain->ring);
    close(plain->fd);
    free(plain->buffers);
}

/* ---- Side by side ---- */

/* So many that a batch takes some 10 ms by the faster way. */
static unsigned find_count(struct plain *plain, const struct load *load)
{
    unsigned count = 2 * load->depth;
    uint64_t state = 1;
    for (; count < 100000; count *= 2) {
        uint64_t start = clock_now_ns();
        run_plain(plain, load, count, &state);
        if (clock_now_ns() - start > 10000000)
            break;
    }
    return count;
}

struct sums {
    uint64_t requests, device_ns, plain_ns, kicks, interrupts;
};

static void print_line(const struct load *load, const struct samples *ours, const struct samples *theirs,
                       const struct sums *sums)
{
    struct summary our = samples_summarize(ours), their = samples_summarize(theirs);
    struct summary ratio = samples_ratio(ours, theirs);
    double requests = (double)sums->requests;
    printf("%-36s %9.2f %9.2f   %.2f (%.2f to %.2f)%s   %6.3f %10.3f   %9.2f %9.2f\n", load->name,
           our.median / 1e3, their.median / 1e3, ratio.median, ratio.low, ratio.high,
           ratio.verdict == STATS_SOUND ? "  " : " ?", (double)sums->kicks / requests,
           (double)sums->interrupts / requests, (double)sums->device_ns / requests / 1e3,
           (double)sums->plain_ns / requests / 1e3);
    fflush(stdout);
}

static void compare(struct driver *driver, struct plain *plain, const struct load *load)
{
    static struct samples ours, theirs;
    struct sums sums = {.kicks = 0 - driver->kicks, .interrupts = 0 - driver->interrupts};
    unsigned count = find_count(plain, load);
    uint64_t our_state = 1, their_state = 1;
    ours.count = theirs.count = 0;
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        enum sample_kind kind = batch < WARM_UP ? SAMPLE_WARM_UP : SAMPLE_USED;
        uint64_t cpu = others_ns(), start = clock_now_ns();
        run_device(driver, load, count, &our_state);
        samples_add(&ours, (double)(clock_now_ns() - start) / count, kind);
        sums.device_ns += others_ns() - cpu;
        cpu = used_ns(RUSAGE_THREAD);
        start = clock_now_ns();
        run_plain(plain, load, count, &their_state);
        samples_add(&theirs, (double)(clock_now_ns() - start) / count, kind);
        sums.plain_ns += used_ns(RUSAGE_THREAD) - cpu;
        sums.requests += count;
    }
    sums.kicks += driver->kicks;
    sums.interrupts += driver->interrupts;
    print_line(load, &ours, &theirs, &sums);
}

static void run_all(const char *path, enum block_cache cache, bool pin, const char *title)
{
    struct driver driver;
    struct plain plain;
    start_device(&driver, path, cache, pin);
    start_plain(&plain, path, cache);
    printf("%s; by %s\n%-36s %9s %9s   %-22s   %6s %10s   %9s %9s\n", title, virtio_blk_info(driver.blk)->aio,
           "us a request, and for each request", "device", "io_uring", "ratio", "kicks", "interrupts",
           "CPU us", "io_uring's");
    for (unsigned i = 0; i < ARRAY_COUNT(loads); i++)
        compare(&driver, &plain, &loads[i]);
    stop_plain(&plain);
    stop_device(&driver);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "disk-bench.img";
    static uint8_t bytes[MIB];
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        fail(path, strerror(errno));
    memset(bytes, 0x5a, sizeof(bytes));
    for (unsigned i = 0; i < FILE_BYTES / MIB; i++)
        if (write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
            fail(path, strerror(errno));
    fsync(fd);
    close(fd);
    run_all(path, BLOCK_CACHE_WRITEBACK, false, "page cache");
    run_all(path, BLOCK_CACHE_WRITEBACK, true, "page cache, pinned memory");
    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        run_all(path, BLOCK_CACHE_NONE, false, "O_DIRECT");
        run_all(path, BLOCK_CACHE_NONE, true, "O_DIRECT, pinned memory");
    } else {
        printf("O_DIRECT: not to be had in this file system\n");
    }
    unlink(path);
    return 0;
}
