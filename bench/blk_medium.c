/* SPDX-License-Identifier: MIT
 *
 * See blk_medium.h.
 */
#include "bench/blk_medium.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/types.h"

#define MAGIC_XFS 0x58465342u
#define MAGIC_ZFS 0x2fc12fc1u

static const char *kind_of(int fd)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } kinds[] = {{TMPFS_MAGIC, "tmpfs"},     {RAMFS_MAGIC, "ramfs"},
                 {EXT4_SUPER_MAGIC, "ext4"}, {MAGIC_XFS, "xfs"},
                 {MAGIC_ZFS, "zfs"},         {BTRFS_SUPER_MAGIC, "btrfs"},
                 {F2FS_SUPER_MAGIC, "f2fs"}, {OVERLAYFS_SUPER_MAGIC, "overlay"},
                 {NFS_SUPER_MAGIC, "nfs"}};
    struct statfs info;
    if (!fstatfs(fd, &info))
        for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
            if ((uint32_t)info.f_type == kinds[i].magic)
                return kinds[i].name;
    return "file";
}

/* No hole and no zeroes, for what a file system does without those is not what is to be measured. */
static int fill(int fd, uint64_t bytes)
{
    const size_t len = 1 * MIB;
    uint8_t *buffer = malloc(len);
    int result = buffer ? 0 : -ENOMEM;
    if (buffer)
        memset(buffer, 0x5a, len);
    for (uint64_t done = 0; !result && done < bytes; done += len) {
        size_t part = bytes - done < len ? (size_t)(bytes - done) : len;
        ssize_t written = write(fd, buffer, part);
        if (written != (ssize_t)part)
            result = written < 0 ? -errno : -ENOSPC;
    }
    free(buffer);
    return result ? result : fsync(fd) ? -errno : 0;
}

/* Without a name, so that nothing is left behind however this ends. */
static int make_scratch(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    char path[4096];
    snprintf(path, sizeof(path), "%.4000s/vmm-bench-XXXXXX", directory);
    fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int open_scratch(const char *path, uint64_t bytes, struct blk_medium *medium, struct vmm_error *error)
{
    medium->fd = make_scratch(path);
    if (medium->fd < 0)
        return error_set(error, -errno, "%s: no scratch file can be made there: %s", path, strerror(errno));
    int result = fill(medium->fd, bytes);
    if (result) {
        blk_medium_close(medium);
        return error_set(error, result, "%s: no room for a scratch file of %llu MiB: %s; choose a --size",
                         path, (unsigned long long)(bytes / MIB), strerror(-result));
    }
    medium->bytes = bytes;
    snprintf(medium->kind, sizeof(medium->kind), "%s", kind_of(medium->fd));
    snprintf(medium->path, sizeof(medium->path), "/proc/self/fd/%d", medium->fd);
    return 0;
}

static int open_given(const char *path, bool will_write, struct blk_medium *medium, struct vmm_error *error)
{
    struct stat info;
    int fd = open(path, (will_write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, -errno, "%s: cannot be opened: %s", path, strerror(errno));
    off_t end = lseek(fd, 0, SEEK_END);
    bool is_device = !fstat(fd, &info) && S_ISBLK(info.st_mode);
    snprintf(medium->kind, sizeof(medium->kind), "%s", is_device ? "device" : kind_of(fd));
    close(fd);
    if (end < (off_t)BLK_MEDIUM_BYTES_MIN)
        return error_set(error, -EINVAL, "%s: is too small: %lld bytes, and %u are needed", path,
                         (long long)end, BLK_MEDIUM_BYTES_MIN);
    medium->bytes = (uint64_t)end;
    snprintf(medium->path, sizeof(medium->path), "%s", path);
    return 0;
}

int blk_medium_open(const char *path, uint64_t bytes, bool will_write, struct blk_medium *medium,
                    struct vmm_error *error)
{
    struct stat info;
    *medium = (struct blk_medium){.fd = -1};
    if (stat(path, &info))
        return error_set(error, -errno,
                         "%s: %s; name a directory, for a scratch file in it, or a file or block device",
                         path, strerror(errno));
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return error_set(error, -EINVAL, "%s: is neither a directory, nor a file, nor a block device", path);
    int result = S_ISDIR(info.st_mode) ? open_scratch(path, bytes, medium, error)
                                       : open_given(path, will_write, medium, error);
    if (result)
        return result;
    int fd = open(medium->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    medium->has_direct = fd >= 0;
    if (fd >= 0)
        close(fd);
    return 0;
}

void blk_medium_close(struct blk_medium *medium)
{
    if (medium->fd >= 0)
        close(medium->fd);
    medium->fd = -1;
}
