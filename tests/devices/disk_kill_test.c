/* SPDX-License-Identifier: MIT
 *
 * Durability: a process that writes and flushes through the whole device is killed at a random moment, again
 * and again, and what it had been told to be stable must be there.
 *
 * Memory that both processes have stands for the guest, which saw the statuses: for each block the last
 * version that it sent, and the last that a flush had followed. What is on the disk is one between the two.
 *
 * A kill loses what the process holds (an overlay's map, queued requests), not what the kernel holds: that a
 * flush reaches the medium is fdatasync's word.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/devices/disk_fixture.h"

#define BLOCK_LEN   4096u
#define BLOCK_COUNT 64u
#define STRIDE      (DISK_BYTES / BLOCK_COUNT)
#define DEPTH       8u

/* What the guest knows. */
struct ledger {
    uint64_t sent[BLOCK_COUNT], acknowledged[BLOCK_COUNT], stable[BLOCK_COUNT];
    uint64_t flushes;
};

static uint64_t pattern(unsigned block, uint64_t version)
{
    return version ? (version << 32) + ((uint64_t)block << 20) : block * STRIDE;
}

/* A batch of writes to different blocks, all in flight at once. */
static void write_batch(struct disk *disk, struct ledger *ledger, unsigned first)
{
    uint16_t id;
    for (unsigned i = 0; i < DEPTH; i++) {
        unsigned block = (first + 37 * i) % BLOCK_COUNT;
        uint64_t version = ++ledger->sent[block];
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        disk_fill(disk, i * BLOCK_LEN, BLOCK_LEN, pattern(block, version));
        disk_header(disk, i, TYPE_OUT, block * STRIDE / 512);
        const struct driver_buffer buffers[] = {{HEADERS_GPA + 32u * i, 16, false},
                                                {DATA_GPA + i * BLOCK_LEN, BLOCK_LEN, false},
                                                {HEADERS_GPA + 32u * i + 16, 1, true}};
        virtio_driver_send(&disk->driver, 0, buffers, 3);
    }
    for (unsigned i = 0; i < DEPTH; i++)
        virtio_driver_wait(&disk->driver, 0, &id);
    for (unsigned i = 0; i < DEPTH; i++) {
        unsigned block = (first + 37 * i) % BLOCK_COUNT;
        if (disk_status(disk, i) != STATUS_OK)
            _exit(2);
        ledger->acknowledged[block] = ledger->sent[block];
    }
}

static _Noreturn void write_until_killed(struct disk *disk, struct ledger *ledger, unsigned seed)
{
    uint64_t before[BLOCK_COUNT];
    srand(seed);
    disk_start(disk, F_ALL);
    for (;;) {
        for (int batches = rand() % 4; batches >= 0; batches--)
            write_batch(disk, ledger, (unsigned)rand() % BLOCK_COUNT);
        memcpy(before, ledger->acknowledged, sizeof(before));
        if (disk_request(disk, TYPE_FLUSH, 0, 0, 0, NULL) != STATUS_OK)
            _exit(3);
        memcpy(ledger->stable, before, sizeof(before));
        __atomic_fetch_add(&ledger->flushes, 1, __ATOMIC_RELEASE);
    }
}

static void check_blocks(struct disk *disk, struct ledger *ledger, unsigned round)
{
    disk_start(disk, F_ALL);
    for (unsigned block = 0; block < BLOCK_COUNT; block++) {
        ck_assert_int_eq(disk_request(disk, TYPE_IN, block * STRIDE / 512, 0, BLOCK_LEN, NULL), STATUS_OK);
        uint64_t version = ledger->sent[block], low = ledger->stable[block];
        while (version > low && !disk_is_filled(disk, 0, BLOCK_LEN, pattern(block, version)))
            version--;
        /* A write that was under way may be there in part: sectors of any version that was not stable yet. */
        bool is_torn = false;
        for (unsigned sector = 0; version == low && sector < BLOCK_LEN / 512; sector++) {
            uint64_t word = load_le64(disk_ram(disk, DATA_GPA + 512 * sector, 8)) - 512 * sector;
            bool is_known = false;
            for (uint64_t v = low; v <= ledger->sent[block]; v++)
                is_known |= word == pattern(block, v);
            ck_assert_msg(is_known, "round %u: block %u is older than version %llu, which was flushed", round,
                          block, (unsigned long long)low);
            is_torn |= word != pattern(block, low);
        }
        ledger->sent[block] = ledger->acknowledged[block] = ledger->stable[block] = version + is_torn;
        if (is_torn) { /* made whole, for the next round */
            ledger->sent[block] = version + 1;
            disk_fill(disk, 0, BLOCK_LEN, pattern(block, version + 1));
            ck_assert_int_eq(disk_request(disk, TYPE_OUT, block * STRIDE / 512, 0, BLOCK_LEN, NULL),
                             STATUS_OK);
        }
    }
    ck_assert_int_eq(disk_request(disk, TYPE_FLUSH, 0, 0, 0, NULL), STATUS_OK);
    disk_close(disk);
}

static void kill_again_and_again(struct disk *disk, const char *name)
{
    unsigned rounds = (unsigned)test_cases(100);
    struct ledger *ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                                 -1, 0);
    ck_assert_ptr_ne(ledger, MAP_FAILED);
    unsigned seed = (unsigned)test_seed();
    srand(seed);
    for (unsigned round = 0; round < rounds; round++) {
        int status;
        pid_t child = fork();
        if (!child) {
            test_leave_check();
            write_until_killed(disk, ledger, seed + round);
        }
        /* Mostly behind the first flush of this round. */
        uint64_t flushes = __atomic_load_n(&ledger->flushes, __ATOMIC_ACQUIRE);
        for (unsigned ms = 0; ms < 5000 && round % 4; ms++) {
            if (__atomic_load_n(&ledger->flushes, __ATOMIC_ACQUIRE) != flushes)
                break;
            usleep(1000);
        }
        usleep((unsigned)rand() % 20000);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: the writer ended: %x", name,
                      (unsigned)status);
        check_blocks(disk, ledger, round);
    }
    printf("# %s: killed %u times behind %llu flushes\n", name, rounds, (unsigned long long)ledger->flushes);
    ck_assert_uint_gt(ledger->flushes, 0);
    munmap(ledger, sizeof(*ledger));
}

START_TEST(by_threads_nothing_flushed_is_lost)
{
    struct disk disk;
    disk_init(&disk);
    disk.config.backend.aio = BLOCK_AIO_THREADS;
    kill_again_and_again(&disk, "threads");
    disk_fini(&disk);
}
END_TEST

START_TEST(by_uring_nothing_flushed_is_lost)
{
    struct disk disk;
    const char *reason;
    if (!block_has_uring(&reason))
        test_skip("no io_uring: %s", reason);
    disk_init(&disk);
    disk.config.backend.aio = BLOCK_AIO_URING;
    kill_again_and_again(&disk, "io_uring");
    disk_fini(&disk);
}
END_TEST

START_TEST(from_an_overlay_nothing_flushed_is_lost)
{
    struct disk disk;
    disk_init(&disk);
    disk.config.backend.overlay_path = disk.overlay;
    kill_again_and_again(&disk, "overlay");
    disk_fini(&disk);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, by_threads_nothing_flushed_is_lost, 250);
    test_add_slow(suite, by_uring_nothing_flushed_is_lost, 250);
    test_add_slow(suite, from_an_overlay_nothing_flushed_is_lost, 250);
}
