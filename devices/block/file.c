/* SPDX-License-Identifier: MIT
 *
 * A raw image: a regular file or a block device, and what can be wrong with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "devices/block/internal.h"

#define SEGMENTS_AT_ONCE 64

/* ---- Transfers ---- */

/* Some segments, of which `skip` bytes are done already. */
static unsigned rest_of(struct iovec *rest, const struct iovec *segments, unsigned count, size_t skip)
{
    unsigned used = 0;
    for (unsigned i = 0; i < count && used < SEGMENTS_AT_ONCE; i++) {
        if (skip >= segments[i].iov_len) {
            skip -= segments[i].iov_len;
            continue;
        }
        rest[used++] = (struct iovec){.iov_base = (char *)segments[i].iov_base + skip,
                                      .iov_len = segments[i].iov_len - skip};
        skip = 0;
    }
    return used;
}

static ssize_t transfer_some(int fd, const struct iovec *rest, unsigned count, uint64_t offset, int flags)
{
    return flags < 0 ? preadv(fd, rest, (int)count, (off_t)offset)
                     : pwritev2(fd, rest, (int)count, (off_t)offset, flags);
}

/* `flags`: -1 for a read. */
static int transfer(int fd, const struct iovec *segments, unsigned count, uint64_t offset, int flags)
{
    struct iovec rest[SEGMENTS_AT_ONCE];
    size_t done = 0;
    for (;;) {
        unsigned used = rest_of(rest, segments, count, done);
        if (!used)
            return 0;
        ssize_t moved = transfer_some(fd, rest, used, offset + done, flags);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved <= 0)
            return moved ? -errno : -EIO; /* the file is shorter than it was */
        done += (size_t)moved;
    }
}

int file_read(int fd, const struct iovec *segments, unsigned count, uint64_t offset)
{
    return transfer(fd, segments, count, offset, -1);
}

int file_write(int fd, const struct iovec *segments, unsigned count, uint64_t offset, bool is_stable)
{
    return transfer(fd, segments, count, offset, is_stable ? RWF_DSYNC : 0);
}

/* O_DIRECT wants the file's offset and every buffer aligned. */
static bool is_aligned(const struct block_request *request, uint32_t align)
{
    uint64_t bits = request->offset;
    for (unsigned i = 0; i < request->segment_count; i++)
        bits |= (uintptr_t)request->segments[i].iov_base | request->segments[i].iov_len;
    return !(bits & (align - 1));
}

int file_store_fd(const struct file_store *file, const struct block_request *request)
{
    return file->direct_fd >= 0 && is_aligned(request, file->direct_align) ? file->direct_fd : file->fd;
}

/* Zeroes by the file system, or by writing them where it cannot. */
static int write_zeroes(const struct file_store *file, const struct block_request *request)
{
    static const uint8_t zeroes[64 * KIB];
    int mode = request->may_unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                  : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    if (!fallocate(file->fd, mode, (off_t)request->offset, (off_t)request->len))
        return request->is_stable && fdatasync(file->fd) ? -errno : 0;
    for (uint64_t done = 0; done < request->len;) {
        uint64_t len = request->len - done < sizeof(zeroes) ? request->len - done : sizeof(zeroes);
        const struct iovec segment = {.iov_base = (void *)zeroes, .iov_len = len};
        int result = file_write(file->fd, &segment, 1, request->offset + done, request->is_stable);
        if (result)
            return result;
        done += len;
    }
    return 0;
}

/* A hint: a file system that cannot give space back keeps it. */
static int discard(const struct file_store *file, const struct block_request *request)
{
    uint64_t range[2] = {request->offset, request->len};
    int result = file->is_device ? ioctl(file->fd, BLKDISCARD, range)
                                 : fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                             (off_t)request->offset, (off_t)request->len);
    return result && errno != EOPNOTSUPP && errno != ENOTTY ? -errno : 0;
}

static int file_run(void *self, const struct block_request *request)
{
    const struct file_store *file = self;
    switch (request->operation) {
    case BLOCK_READ:
        return file_read(file_store_fd(file, request), request->segments, request->segment_count,
                         request->offset);
    case BLOCK_WRITE:
        return file_write(file_store_fd(file, request), request->segments, request->segment_count,
                          request->offset, request->is_stable);
    case BLOCK_FLUSH:
        return fdatasync(file->fd) ? -errno : 0;
    case BLOCK_DISCARD:
        return discard(file, request);
    case BLOCK_WRITE_ZEROES:
        return write_zeroes(file, request);
    case BLOCK_OPERATION_COUNT:
        break;
    }
    return -ENOTSUP;
}

static int file_size(int fd, bool is_device, uint64_t *bytes)
{
    struct stat status;
    if (is_device)
        return ioctl(fd, BLKGETSIZE64, bytes) ? -errno : 0;
    if (fstat(fd, &status))
        return -errno;
    *bytes = (uint64_t)status.st_size;
    return 0;
}

static int file_resize(void *self, uint64_t bytes, struct vmm_error *error)
{
    struct file_store *file = self;
    uint64_t actual;
    if (bytes % BLOCK_SECTOR)
        return error_set(error, -EINVAL, "disk: a size of %llu bytes is no multiple of %u",
                         (unsigned long long)bytes, BLOCK_SECTOR);
    if (bytes && (file->is_device || file->store.info.read_only))
        return error_set(error, -EINVAL, "disk: only a regular file that may be written can be resized");
    if (bytes && ftruncate(file->fd, (off_t)bytes))
        return error_set_errno(error, -errno, "disk: cannot resize to %llu bytes", (unsigned long long)bytes);
    int result = file_size(file->fd, file->is_device, &actual);
    if (result)
        return error_set_errno(error, result, "disk: cannot find its size");
    if (actual < BLOCK_SECTOR)
        return error_set(error, -EINVAL, "disk: the file is empty now");
    file->store.info.bytes = actual - actual % BLOCK_SECTOR;
    return 0;
}

static void file_close(void *self)
{
    struct file_store *file = self;
    if (file->direct_fd >= 0)
        close(file->direct_fd);
    if (file->fd >= 0)
        close(file->fd);
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    free(file);
}

static const struct store_ops file_ops = {.run = file_run, .resize = file_resize, .close = file_close};

/* ---- What can be wrong with it ---- */

int file_lock(int fd, const char *path, bool is_writer, struct vmm_error *error)
{
    struct flock lock = {.l_type = is_writer ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    if (!fcntl(fd, F_OFD_SETLK, &lock))
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return 0; /* a file system without locks */
    return error_set(error, -EBUSY,
                     "%s: in use by another disk or process that %s it: use an overlay to share it", path,
                     is_writer ? "reads or writes" : "writes");
}

/* Formats that are no raw image: a guest would overwrite them. */
static int check_format(int fd, const char *path, struct vmm_error *error)
{
    static const struct {
        const char *magic, *name;
        unsigned len;
    } formats[] = {{"QFI\xfb", "qcow2", 4}, {"KDMV", "vmdk", 4},       {"vhdxfile", "vhdx", 8},
                   {"conectix", "vhd", 8},  {"<<< Oracle", "vdi", 10}, {"QED\0", "qed", 4}};
    char start[16] = {0};
    if (pread(fd, start, sizeof(start), 0) < (ssize_t)sizeof(start))
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++)
        if (!memcmp(start, formats[i].magic, formats[i].len))
            return error_set(error, -EINVAL,
                             "%s: a %s image; only raw ones can be used: qemu-img convert -O raw makes one",
                             path, formats[i].name);
    return 0;
}

static int check_size(const char *path, uint64_t bytes, struct vmm_error *error)
{
    if (!bytes)
        return error_set(error, -EINVAL,
                         "%s: is empty: make it as large as the disk is to be (truncate -s 1G)", path);
    if (bytes % BLOCK_SECTOR)
        return error_set(error, -EINVAL,
                         "%s: %llu bytes are no whole sectors of %u: an image that was cut short?", path,
                         (unsigned long long)bytes, BLOCK_SECTOR);
    return 0;
}

static int open_fd(const struct block_config *config, struct file_store *file, struct vmm_error *error)
{
    struct stat status;
    int mode = config->read_only ? O_RDONLY : O_RDWR;
    /* Not to wait for the other end of a FIFO. */
    file->fd = open(config->path, mode | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0 && errno == EISDIR)
        return error_set(error, -EISDIR, "%s: is a directory, not a disk image", config->path);
    if (file->fd < 0 && !config->read_only && (errno == EACCES || errno == EROFS))
        return error_set_errno(
            error, -errno,
            "%s: cannot open for writing (a read-only disk or an overlay needs no more than reading)",
            config->path);
    if (file->fd < 0)
        return error_set_errno(error, -errno, "%s: cannot open", config->path);
    if (fstat(file->fd, &status))
        return error_set_errno(error, -errno, "%s", config->path);
    if (S_ISDIR(status.st_mode))
        return error_set(error, -EISDIR, "%s: is a directory, not a disk image", config->path);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(error, -EINVAL, "%s: neither a regular file nor a block device", config->path);
    file->is_device = S_ISBLK(status.st_mode);
    /* io_uring would refuse, not wait, where the file system cannot do without. */
    if (fcntl(file->fd, F_SETFL, 0))
        return error_set_errno(error, -errno, "%s", config->path);
    return 0;
}

/* What O_DIRECT wants of offsets and buffers: as the file system says (statx(2), since Linux 6.1), else its
 * block size, which is more than enough. */
static uint32_t find_direct_align(int fd)
{
    struct stat status;
#ifdef STATX_DIOALIGN
    struct statx detail;
    if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &detail) && detail.stx_mask & STATX_DIOALIGN &&
        detail.stx_dio_offset_align)
        return detail.stx_dio_offset_align > detail.stx_dio_mem_align ? detail.stx_dio_offset_align
                                                                      : detail.stx_dio_mem_align;
#endif
    if (!fstat(fd, &status) && status.st_blksize > 0 && !(status.st_blksize & (status.st_blksize - 1)))
        return (uint32_t)status.st_blksize;
    return 4096;
}

/* What the file's medium is made of; a regular file is served in any sector. */
static void find_geometry(struct file_store *file)
{
    struct block_info *info = &file->store.info;
    int size;
    info->logical_block_size = BLOCK_SECTOR;
    info->physical_block_size = 4096;
    if (file->is_device && !ioctl(file->fd, BLKSSZGET, &size) && size >= (int)BLOCK_SECTOR)
        info->logical_block_size = (uint32_t)size;
    if (file->is_device && !ioctl(file->fd, BLKPBSZGET, &size) && size >= (int)BLOCK_SECTOR)
        info->physical_block_size = (uint32_t)size;
    file->direct_align = file->is_device ? info->logical_block_size : find_direct_align(file->fd);
}

/* What is not aligned still goes by the page cache, which the kernel keeps the same. */
static int open_direct(const struct block_config *config, struct file_store *file, struct vmm_error *error)
{
    if (config->cache != BLOCK_CACHE_NONE)
        return 0;
    file->direct_fd = open(config->path, (config->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT);
    if (file->direct_fd < 0)
        return error_set_errno(error, -errno, "%s: its file system has no O_DIRECT: use the cache writeback",
                               config->path);
    return 0;
}

/* By a descriptor of its own: io_uring keeps the others for a while after a process has ended. */
static int lock_file(const struct block_config *config, struct file_store *file, struct vmm_error *error)
{
    file->lock_fd = open(config->path, (config->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (file->lock_fd < 0)
        return error_set_errno(error, -errno, "%s: cannot open", config->path);
    return file_lock(file->lock_fd, config->path, !config->read_only, error);
}

static int open_checked(const struct block_config *config, struct file_store *file, struct vmm_error *error)
{
    int result = open_fd(config, file, error);
    if (!result)
        result = file_size(file->fd, file->is_device, &file->store.info.bytes);
    if (!result)
        result = check_size(config->path, file->store.info.bytes, error);
    if (!result)
        result = check_format(file->fd, config->path, error);
    if (!result)
        result = lock_file(config, file, error);
    if (!result)
        result = open_direct(config, file, error);
    return result;
}

int file_store_open(const struct block_config *config, struct file_store **out, struct vmm_error *error)
{
    struct file_store *file = calloc(1, sizeof(*file));
    if (!file)
        return error_set(error, -ENOMEM, "%s: out of memory", config->path);
    *file = (struct file_store){
        .store = {.ops = &file_ops, .self = file}, .fd = -1, .direct_fd = -1, .lock_fd = -1};
    int result = open_checked(config, file, error);
    if (result) {
        file_close(file);
        return result;
    }
    find_geometry(file);
    file->store.info.read_only = config->read_only;
    file->store.info.can_discard = !config->read_only;
    *out = file;
    return 0;
}
