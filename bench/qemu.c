/* SPDX-License-Identifier: MIT
 *
 * QEMU as a process. See qemu.h.
 */
#include "bench/qemu.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/types.h"
#include "bench/measure.h"

extern char **environ;

const struct qemu qemu_nothing = {
    .ram_fd = -1, .image_fd = -1, .message_fd = -1, .bell = {-1, -1}, .ram = MAP_FAILED};

int qemu_make_files(struct qemu *qemu, size_t ram_bytes, const uint8_t *image, size_t image_len)
{
    qemu->ram_fd = memfd_create("qemu-ram", 0);
    qemu->image_fd = memfd_create("qemu-image", 0);
    qemu->message_fd = memfd_create("qemu-messages", 0);
    if (qemu->ram_fd < 0 || qemu->image_fd < 0 || qemu->message_fd < 0 || pipe(qemu->bell) ||
        ftruncate(qemu->ram_fd, (off_t)ram_bytes) ||
        write(qemu->image_fd, image, image_len) != (ssize_t)image_len)
        return -errno;
    qemu->ram_bytes = ram_bytes;
    qemu->ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, qemu->ram_fd, 0);
    return qemu->ram == MAP_FAILED ? -errno : 0;
}

static int spawn(struct qemu *qemu, char *const *argv)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, qemu->message_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, qemu->message_fd, 2);
    /* A Ctrl-C is ours. Should we die of the next one, the kernel ends a stopped group that nobody waits for.
     */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int result = -posix_spawnp(&qemu->pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (result)
        qemu->pid = 0;
    /* From now on the pipe ends with QEMU. */
    close(qemu->bell[1]);
    qemu->bell[1] = -1;
    return result;
}

int qemu_start(struct qemu *qemu, unsigned port, const char *const *words)
{
    char memory[120], image[40], bell[60], console[60];
    snprintf(memory, sizeof(memory),
             "memory-backend-file,id=ram,share=on,size=%lluM,mem-path=/proc/self/fd/%d",
             (unsigned long long)(qemu->ram_bytes / MIB), qemu->ram_fd);
    snprintf(image, sizeof(image), "/proc/self/fd/%d", qemu->image_fd);
    snprintf(bell, sizeof(bell), "file,id=bell,path=/proc/self/fd/%d", qemu->bell[1]);
    snprintf(console, sizeof(console), "isa-debugcon,chardev=bell,iobase=%#x", port);
    /* Some hosts' KVM reports ARCH_CAPABILITIES and then refuses them. */
    /* clang-format off */
    const char *argv[QEMU_WORDS_MAX + 24] = {
        "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-no-reboot",
        "-display", "none",
        "-accel", "kvm",
        "-cpu", "host,arch-capabilities=off",
        "-object", memory,
        "-kernel", image,
        "-chardev", bell,
        "-device", console};
    /* clang-format on */
    size_t count = 0;
    while (argv[count])
        count++;
    while (*words && count < ARRAY_COUNT(argv) - 1)
        argv[count++] = *words++;
    return spawn(qemu, (char *const *)argv);
}

static void end_process(struct qemu *qemu)
{
    if (!qemu->pid)
        return;
    kill(qemu->pid, SIGKILL);
    waitpid(qemu->pid, NULL, 0);
    qemu->pid = 0;
}

bool qemu_give_up(struct qemu *qemu, const char *text, const char **reason)
{
    snprintf(qemu->reason, sizeof(qemu->reason), "%.150s", text);
    qemu->has_failed = true;
    end_process(qemu);
    *reason = qemu->reason;
    return false;
}

/* The last thing that QEMU has said, where it has ended by itself. */
static bool give_up_quoting(struct qemu *qemu, const char **reason)
{
    char said[1200] = "", text[160], *line = said;
    ssize_t len = pread(qemu->message_fd, said, sizeof(said) - 1, 0);
    while (len > 0 && said[len - 1] == '\n')
        len--;
    said[len > 0 ? len : 0] = 0;
    if (strrchr(said, '\n'))
        line = strrchr(said, '\n') + 1;
    snprintf(text, sizeof(text), "QEMU ends: %.140s", *line ? line : "it does not say why");
    return qemu_give_up(qemu, text, reason);
}

bool qemu_wait(struct qemu *qemu, unsigned seconds, const char **reason)
{
    struct pollfd bell = {.fd = qemu->bell[0], .events = POLLIN};
    uint64_t until_ns = bench_now_ns() + seconds * 1000000000ull;
    char byte;
    int ready;
    do
        ready = poll(&bell, 1, 1000);
    while ((!ready || (ready < 0 && errno == EINTR)) && bench_now_ns() < until_ns && !bench_is_interrupted());
    if (ready <= 0)
        return qemu_give_up(qemu, "QEMU's guest does not come back", reason);
    if (read(qemu->bell[0], &byte, 1) != 1)
        return give_up_quoting(qemu, reason);
    kill(qemu->pid, SIGSTOP);
    return true;
}

void qemu_go_on(struct qemu *qemu)
{
    kill(qemu->pid, SIGCONT);
}

void qemu_clear(struct qemu *qemu)
{
    end_process(qemu);
    if (qemu->ram != MAP_FAILED)
        munmap(qemu->ram, qemu->ram_bytes);
    int fds[] = {qemu->ram_fd, qemu->image_fd, qemu->message_fd, qemu->bell[0], qemu->bell[1]};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *qemu = qemu_nothing;
}
