/* SPDX-License-Identifier: MIT
 *
 * The same guest under QEMU (bench/qemu.h): virtio-blk-pci with an iothread and aio=io_uring.
 */
#include "bench/blk.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/types.h"
#include "bench/payload.h"
#include "bench/qemu.h"

#define RAM_BYTES     (32 * MIB)
#define BATCH_SECONDS 60 /* its firmware is slow where ring 0 is interpreted */
#define WORD_BYTES    400u

struct blk_qemu {
    struct blk_way way;
    struct qemu qemu;
    bool was_running;
    unsigned operation; /* the last one; where it failed on the way, the next gets a new process */
};

static struct bench_blk_mailbox *box_of(const struct blk_qemu *guest)
{
    return (struct bench_blk_mailbox *)(void *)(guest->qemu.ram + BENCH_BLK_GPA);
}

static int spawn(struct blk_qemu *guest)
{
    const struct blk_setup *setup = guest->way.setup;
    const char *direct = setup->is_direct ? "on" : "off", *read_only = setup->is_read_only ? "on" : "off";
    char disk[8192 + WORD_BYTES], device[WORD_BYTES];
    /* Our machine has the same file open, and its locks. */
    snprintf(disk, sizeof(disk),
             "driver=raw,node-name=disk,read-only=%s,cache.direct=%s,file.driver=file,file.filename=%s,"
             "file.aio=io_uring,file.cache.direct=%s,file.locking=off,file.read-only=%s",
             read_only, direct, setup->path, direct, read_only);
    snprintf(device, sizeof(device),
             "virtio-blk-pci,drive=disk,iothread=io,num-queues=1,disable-legacy=on,packed=%s",
             setup->is_packed ? "on" : "off");
    /* clang-format off */
    const char *words[] = {"-m", "32",
                           "-machine", "pc,memory-backend=ram",
                           "-append", setup->is_packed ? "cpus=1 bench=blk-packed" : "cpus=1 bench=blk",
                           "-object", "iothread,id=io",
                           "-blockdev", disk,
                           "-device", device,
                           NULL};
    /* clang-format on */
    return qemu_start(&guest->qemu, BENCH_BLK_PORT, words);
}

static bool wait_for_guest(struct blk_qemu *guest, const char **reason)
{
    if (!qemu_wait(&guest->qemu, BATCH_SECONDS, reason))
        return false;
    const char *failure = blk_mailbox_failure(box_of(guest));
    return failure ? qemu_give_up(&guest->qemu, failure, reason) : true;
}

static bool start(struct blk_qemu *guest, const char **reason)
{
    size_t len = (size_t)(payload_kernel_end - payload_kernel);
    if (qemu_make_files(&guest->qemu, RAM_BYTES, payload_kernel, len))
        return qemu_give_up(&guest->qemu, "no memory for QEMU's guest", reason);
    if (spawn(guest))
        return qemu_give_up(&guest->qemu, "qemu-system-x86_64 is not installed", reason);
    return wait_for_guest(guest, reason);
}

/* Of the whole process; negative where it is not known. */
static double cpu_ns(const struct blk_qemu *guest)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(guest->qemu.pid, &clock) || clock_gettime(clock, &time))
        return -1;
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Of its vCPU, those included that KVM answers itself: where debugfs is mounted and may be read. */
static double kernel_exits(const struct blk_qemu *guest)
{
    char pattern[80];
    double exits = -1;
    glob_t found;
    snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/kvm/%d-*/exits", (int)guest->qemu.pid);
    if (glob(pattern, 0, NULL, &found) == 0) {
        FILE *file = fopen(found.gl_pathv[0], "re");
        if (!file || fscanf(file, "%lf", &exits) != 1)
            exits = -1;
        if (file)
            fclose(file);
        globfree(&found);
    }
    return exits;
}

bool blk_qemu_batch(void *context, unsigned operation, unsigned count, struct batch *batch,
                    const char **reason)
{
    struct blk_qemu *guest = context;
    if (guest->qemu.has_failed && guest->was_running && guest->operation != operation) {
        qemu_clear(&guest->qemu);
        *guest = (struct blk_qemu){.way.setup = guest->way.setup, .qemu = guest->qemu};
    }
    guest->operation = operation;
    *reason = guest->qemu.reason;
    if (guest->qemu.has_failed || (!guest->qemu.pid && !start(guest, reason)))
        return false;
    guest->was_running = true;
    double start_cpu_ns = cpu_ns(guest), start_exits = kernel_exits(guest);
    blk_mailbox_put(&guest->way, box_of(guest), operation, count);
    qemu_go_on(&guest->qemu);
    if (!wait_for_guest(guest, reason) || !blk_mailbox_take(&guest->way, box_of(guest), batch, reason))
        return false;
    guest->way.io.cpu_ns = start_cpu_ns < 0 ? -1 : cpu_ns(guest) - start_cpu_ns;
    if (start_exits >= 0)
        guest->way.io.kernel_exits = kernel_exits(guest) - start_exits;
    return true;
}

int blk_qemu_create(const struct blk_setup *setup, struct blk_qemu **out)
{
    struct blk_qemu *guest = malloc(sizeof(*guest));
    if (!guest)
        return -ENOMEM;
    *guest = (struct blk_qemu){.way.setup = setup, .qemu = qemu_nothing};
    *out = guest;
    return 0;
}

void blk_qemu_destroy(struct blk_qemu *guest)
{
    if (!guest)
        return;
    qemu_clear(&guest->qemu);
    free(guest);
}
