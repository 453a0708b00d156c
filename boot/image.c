/* SPDX-License-Identifier: MIT
 *
 * Image files. A small one is read, which costs less than mapping it and cannot change afterwards; a large
 * one is mapped for a look at its headers, and what goes into the guest is read from it straight to there:
 * that takes half the time of a copy out of the mapping, whose every page would be a fault first.
 */
#include "boot/boot.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_LIMIT (64 * KIB) /* up to this a file is read */
#define FILE_LIMIT (64 * GIB)

/* What a file is that is none, and what to do. */
static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory; give the image file in it";
    if (S_ISBLK(mode))
        return "a block device; it is a disk, not something to boot directly; give the kernel that is on it";
    if (S_ISFIFO(mode) || S_ISSOCK(mode))
        return "a pipe or socket; write what comes out of it to a file first, and give that";
    return "a device; give an image file";
}

static int check_file(const char *path, const struct stat *status, struct vmm_error *error)
{
    if (!S_ISREG(status->st_mode))
        return error_set(error, S_ISDIR(status->st_mode) ? -EISDIR : -EINVAL, "%s: is %s", path,
                         kind_of(status->st_mode));
    if (!status->st_size)
        return error_set(error, -ENOEXEC, "%s: is empty", path);
    if ((uint64_t)status->st_size > FILE_LIMIT)
        return error_set(error, -EFBIG, "%s: has %lld bytes; an image has at most %llu GiB", path,
                         (long long)status->st_size, FILE_LIMIT / GIB);
    return 0;
}

static int read_file(int fd, const char *path, size_t len, struct boot_image *image, struct vmm_error *error)
{
    uint8_t *bytes = malloc(len);
    if (!bytes)
        return error_set(error, -ENOMEM, "%s: out of memory for %zu bytes", path, len);
    size_t done = 0;
    ssize_t got = 1;
    while (done < len && got) {
        got = read(fd, bytes + done, len - done);
        if (got < 0 && errno != EINTR) {
            int result = error_set_errno(error, -errno, "%s: cannot read", path);
            free(bytes);
            return result;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    *image = (struct boot_image){.bytes = bytes, .len = done, .name = path};
    return 0;
}

static int map_file(int fd, const char *path, size_t len, struct boot_image *image, struct vmm_error *error)
{
    void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_set_errno(error, -errno, "%s: cannot map %zu bytes", path, len);
    *image = (struct boot_image){.bytes = bytes, .len = len, .name = path, .has_file = true, .fd = fd};
    return 0;
}

int boot_image_open(const char *path, struct boot_image *image, struct vmm_error *error)
{
    /* A pipe without a writer would block the open. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0)
        return error_set_errno(error, -errno, "%s: cannot open", path);
    int result = fstat(fd, &status) ? error_set_errno(error, -errno, "%s: cannot stat", path)
                                    : check_file(path, &status, error);
    if (!result && (uint64_t)status.st_size <= READ_LIMIT)
        result = read_file(fd, path, status.st_size, image, error);
    else if (!result)
        result = map_file(fd, path, status.st_size, image, error);
    if (result || !image->has_file)
        close(fd);
    return result;
}

void boot_image_close(struct boot_image *image)
{
    if (image->has_file) {
        munmap((void *)image->bytes, image->len);
        close(image->fd);
    } else {
        free((void *)image->bytes);
    }
    *image = (struct boot_image){0};
}
