/* SPDX-License-Identifier: MIT
 *
 * QEMU as a rival. See rival.h.
 */
#include "bench/rival.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/types.h"
#include "bench/guest.h"
#include "bench/payload.h"
#include "guest/flat/mmio.h"

extern char **environ;

#define RAM_BYTES     (48 * MIB)
#define HPET_GPA      0xfed00000u
#define POST_PORT     0x80u
#define PCI_PORT      0xcf8u
#define START_SECONDS 60 /* its firmware is slow where ring 0 is interpreted */
#define BATCH_SECONDS 10

struct rival {
    int ring;
    int ram_fd, image_fd;
    uint8_t *ram;
    pid_t pid; /* 0: not started */
    bool gave_up;
    uint64_t batches; /* done */
    char reason[120];
};

int rival_create(int ring, struct rival **out)
{
    struct rival *rival = calloc(1, sizeof(*rival));
    if (!rival)
        return -ENOMEM;
    *rival = (struct rival){.ring = ring, .ram_fd = -1, .image_fd = -1, .ram = MAP_FAILED};
    *out = rival;
    return 0;
}

static void end_process(struct rival *rival)
{
    if (!rival->pid)
        return;
    kill(rival->pid, SIGKILL);
    waitpid(rival->pid, NULL, 0);
    rival->pid = 0;
}

void rival_destroy(struct rival *rival)
{
    if (!rival)
        return;
    end_process(rival);
    if (rival->ram != MAP_FAILED)
        munmap(rival->ram, RAM_BYTES);
    if (rival->ram_fd >= 0)
        close(rival->ram_fd);
    if (rival->image_fd >= 0)
        close(rival->image_fd);
    free(rival);
}

bool rival_knows(unsigned operation)
{
    switch (operation) {
    case MMIO_OP_NOTHING:
    case MMIO_OP_CPUID:
    case MMIO_OP_RDMSR:
    case MMIO_OP_WRMSR:
    case MMIO_OP_OUT8:
    case MMIO_OP_OUT32:
    case MMIO_OP_IN8:
    case MMIO_OP_IN32:
    case MMIO_OP_STORE:
    case MMIO_OP_LOAD:
    case MMIO_OP_ADD:
        return true;
    default:
        return false;
    }
}

static volatile uint64_t *field(struct rival *rival, unsigned offset)
{
    return (volatile uint64_t *)(rival->ram + MMIO_MAILBOX + offset);
}

static int make_files(struct rival *rival)
{
    size_t len = (size_t)(payload_mmio_end - payload_mmio);
    rival->ram_fd = memfd_create("qemu-ram", 0);
    rival->image_fd = memfd_create("qemu-image", 0);
    if (rival->ram_fd < 0 || rival->image_fd < 0 || ftruncate(rival->ram_fd, RAM_BYTES) ||
        write(rival->image_fd, payload_mmio, len) != (ssize_t)len)
        return -errno;
    rival->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, rival->ram_fd, 0);
    return rival->ram == MAP_FAILED ? -errno : 0;
}

static int spawn(struct rival *rival)
{
    char memory[120], image[40];
    snprintf(memory, sizeof(memory),
             "memory-backend-file,id=ram,share=on,size=%lluM,mem-path=/proc/self/fd/%d",
             (unsigned long long)(RAM_BYTES / MIB), rival->ram_fd);
    snprintf(image, sizeof(image), "/proc/self/fd/%d", rival->image_fd);
    /* Some hosts' KVM reports ARCH_CAPABILITIES and then refuses them. */
    char *argv[] = {"qemu-system-x86_64",
                    "-accel",
                    "kvm",
                    "-cpu",
                    "host,arch-capabilities=off",
                    "-m",
                    "48",
                    "-machine",
                    "pc,memory-backend=ram",
                    "-object",
                    memory,
                    "-nodefaults",
                    "-display",
                    "none",
                    "-no-reboot",
                    "-kernel",
                    image,
                    NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
    int result = -posix_spawnp(&rival->pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result)
        rival->pid = 0;
    return result;
}

/* Until the guest has done one batch more, looking now and then. */
static bool wait_for_batch(struct rival *rival, unsigned seconds)
{
    const struct timespec pause = {.tv_nsec = 300000};
    uint64_t until_ns = bench_now_ns() + seconds * 1000000000ull;
    while (*field(rival, MMIO_BATCHES) == rival->batches) {
        if (bench_now_ns() > until_ns || waitpid(rival->pid, NULL, WNOHANG) == rival->pid ||
            bench_is_interrupted())
            return false;
        nanosleep(&pause, NULL);
    }
    rival->batches++;
    kill(rival->pid, SIGSTOP);
    return true;
}

static bool give_up(struct rival *rival, const char **reason, const char *text)
{
    snprintf(rival->reason, sizeof(rival->reason), "%s", text);
    rival->gave_up = true;
    end_process(rival);
    *reason = rival->reason;
    return false;
}

static bool start(struct rival *rival, const char **reason)
{
    if (rival->gave_up) {
        *reason = rival->reason;
        return false;
    }
    if (make_files(rival))
        return give_up(rival, reason, "no memory for QEMU's guest");
    *field(rival, MMIO_RING) = (uint64_t)rival->ring;
    *field(rival, MMIO_COUNT) = 1;
    *field(rival, MMIO_MORE) = 2;
    *field(rival, MMIO_ORDERS) = 1;
    if (spawn(rival))
        return give_up(rival, reason, "qemu-system-x86_64 is not installed");
    if (!wait_for_batch(rival, START_SECONDS))
        return give_up(rival, reason, "QEMU does not start this guest here");
    return true;
}

bool rival_batch(void *context, unsigned operation, unsigned count, struct batch *batch, const char **reason)
{
    struct rival *rival = context;
    bool is_wide = operation == MMIO_OP_OUT32 || operation == MMIO_OP_IN32;
    if (!rival->pid && !start(rival, reason))
        return false;
    *field(rival, MMIO_OP) = operation;
    *field(rival, MMIO_COUNT) = count;
    *field(rival, MMIO_TARGET) = HPET_GPA;
    *field(rival, MMIO_IO_PORT) = is_wide ? PCI_PORT : POST_PORT;
    /* Partner: the guest, which reads the orders behind this. */
    __atomic_store_n(field(rival, MMIO_ORDERS), rival->batches + 1, __ATOMIC_RELEASE);
    kill(rival->pid, SIGCONT);
    if (!wait_for_batch(rival, BATCH_SECONDS))
        return give_up(rival, reason, "QEMU's guest does not come back");
    batch->ns = (double)(*field(rival, MMIO_END) - *field(rival, MMIO_BEGIN)) / bench_tsc_per_ns();
    return true;
}
