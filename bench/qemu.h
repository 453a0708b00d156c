/* SPDX-License-Identifier: MIT
 *
 * A guest of the benchmarks under qemu-system-x86_64 on the same KVM. Its RAM is a file that both processes
 * map, so orders and results go through a mailbox there; a debug console at the guest's port wakes this
 * process, which stops QEMU between batches (SIGSTOP).
 *
 * Threads: one at a time.
 */
#ifndef BENCH_QEMU_H
#define BENCH_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct qemu {
    int ram_fd, image_fd, message_fd;
    int bell[2]; /* a pipe: a byte each time the guest comes to its port */
    uint8_t *ram;
    size_t ram_bytes;
    pid_t pid; /* 0: not started */
    bool has_failed;
    char reason[160];
};

/* What is not open and not mapped. */
extern const struct qemu qemu_nothing;

/* What the guest's RAM is before it starts, all zeroes, and what it boots. -errno where it cannot be. */
int qemu_make_files(struct qemu *qemu, size_t ram_bytes, const uint8_t *image, size_t image_len);

#define QEMU_WORDS_MAX 20 /* of a command line's own */

/* Starts it with the words that all have, the bell at `port`, and `words` up to a NULL. "memory-backend-file"
 * of the RAM is the object `ram`. -errno. */
int qemu_start(struct qemu *qemu, unsigned port, const char *const *words);

/* Until the guest comes to its port; then it is stopped. False: not within that time, or QEMU has ended. */
bool qemu_wait(struct qemu *qemu, unsigned seconds, const char **reason);

/* Lets it run again. */
void qemu_go_on(struct qemu *qemu);

/* Ends it, for this reason. False. */
bool qemu_give_up(struct qemu *qemu, const char *text, const char **reason);

/* Ends it, if it runs, and closes everything. */
void qemu_clear(struct qemu *qemu);

#endif
