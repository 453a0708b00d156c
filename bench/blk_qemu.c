/* SPDX-License-Identifier: MIT
 *
 * The same guest under qemu-system-x86_64 on the same KVM: virtio-blk-pci with an iothread and aio=io_uring.
 * Its RAM is a file that both processes map, so the mailbox works as in our machine; a debug console at the
 * guest's port wakes this process, which stops QEMU between batches (SIGSTOP).
 */
#include "bench/blk.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
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
#include "bench/payload.h"

extern char **environ;

#define RAM_BYTES     (32 * MIB)
#define BATCH_SECONDS 60 /* its firmware is slow where ring 0 is interpreted */
#define WORD_BYTES    400u

struct blk_qemu {
    struct blk_way way;
    int ram_fd, image_fd, message_fd;
    int bell[2]; /* a pipe: a byte each time the guest comes to its port */
    uint8_t *ram;
    pid_t pid; /* 0: not started */
    bool has_failed;
    bool was_running;
    unsigned operation; /* the last one; where it failed on the way, the next gets a new process */
    char reason[160];
};

static struct bench_blk_mailbox *box_of(const struct blk_qemu *guest)
{
    return (struct bench_blk_mailbox *)(void *)(guest->ram + BENCH_BLK_GPA);
}

static int make_files(struct blk_qemu *guest)
{
    size_t len = (size_t)(payload_kernel_end - payload_kernel);
    guest->ram_fd = memfd_create("qemu-ram", 0);
    guest->image_fd = memfd_create("qemu-image", 0);
    guest->message_fd = memfd_create("qemu-messages", 0);
    if (guest->ram_fd < 0 || guest->image_fd < 0 || guest->message_fd < 0 || pipe(guest->bell) ||
        ftruncate(guest->ram_fd, RAM_BYTES) || write(guest->image_fd, payload_kernel, len) != (ssize_t)len)
        return -errno;
    guest->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, guest->ram_fd, 0);
    return guest->ram == MAP_FAILED ? -errno : 0;
}

/* The words of the command line that differ. */
struct words {
    char memory[WORD_BYTES], image[WORD_BYTES], disk[8192 + WORD_BYTES], device[WORD_BYTES], bell[WORD_BYTES],
        port[WORD_BYTES];
};

static void fill_words(const struct blk_qemu *guest, struct words *words)
{
    const struct blk_setup *setup = guest->way.setup;
    const char *direct = setup->is_direct ? "on" : "off", *read_only = setup->is_read_only ? "on" : "off";
    snprintf(words->memory, WORD_BYTES,
             "memory-backend-file,id=ram,share=on,size=%lluM,mem-path=/proc/self/fd/%d",
             (unsigned long long)(RAM_BYTES / MIB), guest->ram_fd);
    snprintf(words->image, WORD_BYTES, "/proc/self/fd/%d", guest->image_fd);
    /* Our machine has the same file open, and its locks. */
    snprintf(words->disk, sizeof(words->disk),
             "driver=raw,node-name=disk,read-only=%s,cache.direct=%s,file.driver=file,file.filename=%s,"
             "file.aio=io_uring,file.cache.direct=%s,file.locking=off,file.read-only=%s",
             read_only, direct, setup->path, direct, read_only);
    snprintf(words->device, WORD_BYTES,
             "virtio-blk-pci,drive=disk,iothread=io,num-queues=1,disable-legacy=on,packed=%s",
             setup->is_packed ? "on" : "off");
    snprintf(words->bell, WORD_BYTES, "file,id=bell,path=/proc/self/fd/%d", guest->bell[1]);
    snprintf(words->port, WORD_BYTES, "isa-debugcon,chardev=bell,iobase=%#x", BENCH_BLK_PORT);
}

static int spawn(struct blk_qemu *guest)
{
    struct words words;
    fill_words(guest, &words);
    /* Some hosts' KVM reports ARCH_CAPABILITIES and then refuses them. */
    /* clang-format off */
    char *argv[] = {"qemu-system-x86_64", "-no-user-config", "-nodefaults", "-no-reboot",
                    "-display", "none",
                    "-accel", "kvm",
                    "-cpu", "host,arch-capabilities=off",
                    "-m", "32",
                    "-object", words.memory,
                    "-machine", "pc,memory-backend=ram",
                    "-kernel", words.image,
                    "-append", guest->way.setup->is_packed ? "cpus=1 bench=blk-packed" : "cpus=1 bench=blk",
                    "-object", "iothread,id=io",
                    "-blockdev", words.disk,
                    "-device", words.device,
                    "-chardev", words.bell,
                    "-device", words.port,
                    NULL};
    /* clang-format on */
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, guest->message_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, guest->message_fd, 2);
    /* A Ctrl-C is ours. Should we die of the next one, the kernel ends a stopped group that nobody waits for.
     */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int result = -posix_spawnp(&guest->pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (result)
        guest->pid = 0;
    /* From now on the pipe ends with QEMU. */
    close(guest->bell[1]);
    guest->bell[1] = -1;
    return result;
}

static void end_process(struct blk_qemu *guest)
{
    if (!guest->pid)
        return;
    kill(guest->pid, SIGKILL);
    waitpid(guest->pid, NULL, 0);
    guest->pid = 0;
}

static bool give_up(struct blk_qemu *guest, const char *text, const char **reason)
{
    snprintf(guest->reason, sizeof(guest->reason), "%.150s", text);
    guest->has_failed = true;
    end_process(guest);
    *reason = guest->reason;
    return false;
}

/* The last thing that QEMU has said, where it has ended by itself. */
static bool give_up_quoting(struct blk_qemu *guest, const char **reason)
{
    char said[1200] = "", text[160], *line = said;
    ssize_t len = pread(guest->message_fd, said, sizeof(said) - 1, 0);
    while (len > 0 && said[len - 1] == '\n')
        len--;
    said[len > 0 ? len : 0] = 0;
    if (strrchr(said, '\n'))
        line = strrchr(said, '\n') + 1;
    snprintf(text, sizeof(text), "QEMU ends: %.140s", *line ? line : "it does not say why");
    return give_up(guest, text, reason);
}

/* Until the guest comes to its port; then QEMU is stopped. */
static bool wait_for_guest(struct blk_qemu *guest, const char **reason)
{
    struct pollfd bell = {.fd = guest->bell[0], .events = POLLIN};
    uint64_t until_ns = bench_now_ns() + BATCH_SECONDS * 1000000000ull;
    char byte;
    int ready;
    do
        ready = poll(&bell, 1, 1000);
    while ((!ready || (ready < 0 && errno == EINTR)) && bench_now_ns() < until_ns);
    if (ready <= 0)
        return give_up(guest, "QEMU's guest does not come back", reason);
    if (read(guest->bell[0], &byte, 1) != 1)
        return give_up_quoting(guest, reason);
    kill(guest->pid, SIGSTOP);
    const char *failure = blk_mailbox_failure(box_of(guest));
    return failure ? give_up(guest, failure, reason) : true;
}

static bool start(struct blk_qemu *guest, const char **reason)
{
    if (make_files(guest))
        return give_up(guest, "no memory for QEMU's guest", reason);
    if (spawn(guest))
        return give_up(guest, "qemu-system-x86_64 is not installed", reason);
    return wait_for_guest(guest, reason);
}

/* Of the whole process; negative where it is not known. */
static double cpu_ns(const struct blk_qemu *guest)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(guest->pid, &clock) || clock_gettime(clock, &time))
        return -1;
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Of its vCPU, those included that KVM answers itself: where debugfs is mounted and may be read. */
static double kernel_exits(const struct blk_qemu *guest)
{
    char pattern[80];
    double exits = -1;
    glob_t found;
    snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/kvm/%d-*/exits", (int)guest->pid);
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

static const struct blk_qemu nothing = {
    .ram_fd = -1, .image_fd = -1, .message_fd = -1, .bell = {-1, -1}, .ram = MAP_FAILED};

/* As it was made. */
static void clear(struct blk_qemu *guest)
{
    const struct blk_setup *setup = guest->way.setup;
    end_process(guest);
    if (guest->ram != MAP_FAILED)
        munmap(guest->ram, RAM_BYTES);
    int fds[] = {guest->ram_fd, guest->image_fd, guest->message_fd, guest->bell[0], guest->bell[1]};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *guest = nothing;
    guest->way.setup = setup;
}

bool blk_qemu_batch(void *context, unsigned operation, unsigned count, struct batch *batch,
                    const char **reason)
{
    struct blk_qemu *guest = context;
    if (guest->has_failed && guest->was_running && guest->operation != operation)
        clear(guest);
    guest->operation = operation;
    *reason = guest->reason;
    if (guest->has_failed || (!guest->pid && !start(guest, reason)))
        return false;
    guest->was_running = true;
    double start_cpu_ns = cpu_ns(guest), start_exits = kernel_exits(guest);
    blk_mailbox_put(&guest->way, box_of(guest), operation, count);
    kill(guest->pid, SIGCONT);
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
    *guest = nothing;
    guest->way.setup = setup;
    *out = guest;
    return 0;
}

void blk_qemu_destroy(struct blk_qemu *guest)
{
    if (!guest)
        return;
    clear(guest);
    free(guest);
}
