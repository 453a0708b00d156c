/* SPDX-License-Identifier: MIT
 *
 * What `vmm bench blk` measures on: a scratch file that has no name and goes with the program, or a file or
 * block device of the user's.
 */
#ifndef BENCH_BLK_MEDIUM_H
#define BENCH_BLK_MEDIUM_H

#include <stdbool.h>
#include <stdint.h>

#include "include/libvmm.h"

struct blk_medium {
    char path[64 + 4096]; /* for open(), here and in a child */
    char kind[16];        /* of its file system: "tmpfs", "ext4"; "device" */
    int fd;               /* of a scratch file; -1: none */
    uint64_t bytes;
    bool has_direct; /* O_DIRECT is to be had */
};

#define BLK_MEDIUM_BYTES_MIN (4u << 20) /* 32 blocks of 128 KiB */

/* `path`: a directory, for a scratch file of `bytes` in it, or a file or device. 0 or a negative errno with a
 * message. */
int blk_medium_open(const char *path, uint64_t bytes, bool will_write, struct blk_medium *medium,
                    struct vmm_error *error);
void blk_medium_close(struct blk_medium *medium);

#endif
