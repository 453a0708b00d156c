/* SPDX-License-Identifier: MIT
 *
 * A copy-on-write overlay: many guests share a base that is only read, each writes to a file, or to memory,
 * of its own. docs/disk.md has the format.
 *
 *   0          4 KiB         data_offset                                       (multiples of the cluster)
 *   | header   | bitmap, one bit for each cluster | cluster 0 | cluster 1 | ...  sparse
 *
 * A cluster is copied whole when it is first written, and its bit is set in memory. A flush makes the
 * clusters stable first, then the bits: after a crash a bit that is set stands before data that is there, and
 * a bit that is not leads to the base, which loses only what was not flushed. So after a sync that failed,
 * which leaves no clue to what is missing, no bit is written any more.
 *
 * Threads: run by several at once; one lock is held while bits change, none while a cluster that is there is
 * read or written.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "devices/block/internal.h"

#define CLUSTER_BYTES (64 * KIB)
#define HEADER_BYTES  4096u
#define PAGE          4096u

/* The header: magic, le32 version, le32 cluster_bytes, le64 disk_bytes; the rest is zero. */
static const char magic[8] = "VMMCOW1\n";
#define HEADER_VERSION 8
#define HEADER_CLUSTER 12
#define HEADER_DISK    16
#define FORMAT_VERSION 1u

struct overlay {
    struct store store;
    struct file_store *base;
    int fd;
    bool is_memory; /* nothing has to be stable */
    bool is_lost;   /* a sync failed; the host tells only once, so a later one that succeeds means nothing */
    uint64_t data_offset, bitmap_bytes;
    uint8_t *bitmap;      /* in memory; what of it is in the file is behind by `dirty` */
    uint8_t *dirty;       /* a byte for each page of the bitmap */
    pthread_mutex_t lock; /* bitmap, dirty, and copying a cluster */
};

static bool has_cluster(const struct overlay *overlay, uint64_t cluster)
{
    return __atomic_load_n(&overlay->bitmap[cluster / 8], __ATOMIC_ACQUIRE) >> cluster % 8 & 1;
}

/* With the lock held; pairs with the acquire of has_cluster. */
static void mark_cluster(struct overlay *overlay, uint64_t cluster)
{
    uint8_t bits = overlay->bitmap[cluster / 8] | (uint8_t)(1u << cluster % 8);
    __atomic_store_n(&overlay->bitmap[cluster / 8], bits, __ATOMIC_RELEASE);
    overlay->dirty[cluster / 8 / PAGE] = 1;
}

static int write_bytes(int fd, const void *bytes, uint64_t len, uint64_t offset)
{
    const struct iovec segment = {.iov_base = (void *)bytes, .iov_len = len};
    return file_write(fd, &segment, 1, offset, false);
}

/* With the lock held. */
static int sync_locked(struct overlay *overlay)
{
    if (!fdatasync(overlay->fd))
        return 0;
    overlay->is_lost = true;
    return -errno;
}

/* Clusters, then bits. With the lock held, so that no bit is set behind a cluster that is not stable. */
static int flush_locked(struct overlay *overlay)
{
    bool any = false;
    if (overlay->is_memory)
        return 0;
    int result = overlay->is_lost ? -EIO : sync_locked(overlay);
    if (result)
        return result;
    for (uint64_t page = 0; page * PAGE < overlay->bitmap_bytes; page++) {
        if (!overlay->dirty[page])
            continue;
        result = write_bytes(overlay->fd, overlay->bitmap + page * PAGE, PAGE, HEADER_BYTES + page * PAGE);
        if (result)
            return result;
        any = true;
    }
    if (any)
        result = sync_locked(overlay);
    if (result)
        return result;
    memset(overlay->dirty, 0, align_up(overlay->bitmap_bytes, PAGE) / PAGE);
    return 0;
}

static int flush(struct overlay *overlay)
{
    pthread_mutex_lock(&overlay->lock);
    int result = flush_locked(overlay);
    pthread_mutex_unlock(&overlay->lock);
    return result;
}

/* Copies the base's cluster, whole but for what lies behind the end of the disk. With the lock held. */
static int copy_cluster(struct overlay *overlay, uint64_t cluster)
{
    uint64_t offset = cluster * CLUSTER_BYTES, end = overlay->base->store.info.bytes;
    uint64_t len = offset >= end ? 0 : end - offset < CLUSTER_BYTES ? end - offset : CLUSTER_BYTES;
    uint8_t *bytes = malloc(CLUSTER_BYTES);
    if (!bytes)
        return -ENOMEM;
    const struct iovec segment = {.iov_base = bytes, .iov_len = len};
    int result = len ? file_read(overlay->base->fd, &segment, 1, offset) : 0;
    if (!result)
        result = write_bytes(overlay->fd, bytes, len, overlay->data_offset + offset);
    free(bytes);
    return result;
}

/* Makes the overlay have the cluster. A write of all of it needs no copy, but its bit waits for the data. */
static int make_cluster(struct overlay *overlay, uint64_t cluster)
{
    int result = 0;
    if (has_cluster(overlay, cluster))
        return 0;
    pthread_mutex_lock(&overlay->lock);
    if (!has_cluster(overlay, cluster)) {
        result = copy_cluster(overlay, cluster);
        if (!result)
            mark_cluster(overlay, cluster);
    }
    pthread_mutex_unlock(&overlay->lock);
    return result;
}

/* The part of the request's segments from `skip` on, `len` bytes. Returns how many segments it has. */
static unsigned cut_segments(const struct block_request *request, uint64_t skip, uint64_t len,
                             struct iovec *cut)
{
    unsigned count = 0;
    for (unsigned i = 0; i < request->segment_count && len; i++) {
        uint64_t have = request->segments[i].iov_len;
        if (skip >= have) {
            skip -= have;
            continue;
        }
        uint64_t part = have - skip < len ? have - skip : len;
        cut[count++] = (struct iovec){.iov_base = (char *)request->segments[i].iov_base + skip,
                                      .iov_len = part};
        len -= part;
        skip = 0;
    }
    return count;
}

/* One piece, inside of one cluster. */
static int run_piece(struct overlay *overlay, const struct block_request *request, uint64_t done,
                     uint64_t len, struct iovec *cut)
{
    uint64_t offset = request->offset + done, cluster = offset / CLUSTER_BYTES;
    unsigned count = cut_segments(request, done, len, cut);
    if (request->operation == BLOCK_READ)
        return has_cluster(overlay, cluster)
                   ? file_read(overlay->fd, cut, count, overlay->data_offset + offset)
                   : file_read(overlay->base->fd, cut, count, offset);
    int result = make_cluster(overlay, cluster);
    return result ? result : file_write(overlay->fd, cut, count, overlay->data_offset + offset, false);
}

static int run_pieces(struct overlay *overlay, const struct block_request *request)
{
    struct iovec *cut = malloc((request->segment_count + 1) * sizeof(*cut));
    int result = cut ? 0 : -ENOMEM;
    for (uint64_t done = 0, len; !result && done < request->len; done += len) {
        uint64_t to_end = CLUSTER_BYTES - (request->offset + done) % CLUSTER_BYTES;
        len = request->len - done < to_end ? request->len - done : to_end;
        result = run_piece(overlay, request, done, len, cut);
    }
    free(cut);
    if (!result && request->operation == BLOCK_WRITE && request->is_stable)
        result = flush(overlay);
    return result;
}

/* As a write of zeroes, a cluster at a time; what the base has underneath must not show again. */
static int run_zeroes(struct overlay *overlay, const struct block_request *request)
{
    static const uint8_t zeroes[CLUSTER_BYTES];
    for (uint64_t done = 0, len; done < request->len; done += len) {
        uint64_t to_end = CLUSTER_BYTES - (request->offset + done) % CLUSTER_BYTES;
        len = request->len - done < to_end ? request->len - done : to_end;
        const struct iovec segment = {.iov_base = (void *)zeroes, .iov_len = len};
        const struct block_request piece = {.operation = BLOCK_WRITE,
                                            .offset = request->offset + done,
                                            .len = len,
                                            .segments = &segment,
                                            .segment_count = 1};
        int result = run_pieces(overlay, &piece);
        if (result)
            return result;
    }
    return request->is_stable ? flush(overlay) : 0;
}

static int overlay_run(void *self, const struct block_request *request)
{
    struct overlay *overlay = self;
    switch (request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        return run_pieces(overlay, request);
    case BLOCK_FLUSH:
        return flush(overlay);
    case BLOCK_WRITE_ZEROES:
        return run_zeroes(overlay, request);
    case BLOCK_DISCARD: /* a hint, which is not followed: the bytes stay */
        return 0;
    case BLOCK_OPERATION_COUNT:
        break;
    }
    return -ENOTSUP;
}

static int overlay_resize(void *self, uint64_t bytes, struct vmm_error *error)
{
    (void)self;
    (void)bytes;
    return error_set(error, -ENOTSUP, "disk: an overlay has its base's size and cannot be resized");
}

static void overlay_close(void *self)
{
    struct overlay *overlay = self;
    if (overlay->bitmap && overlay->fd >= 0)
        flush(overlay);
    if (overlay->base)
        overlay->base->store.ops->close(overlay->base);
    if (overlay->fd >= 0)
        close(overlay->fd);
    free(overlay->bitmap);
    free(overlay->dirty);
    pthread_mutex_destroy(&overlay->lock);
    free(overlay);
}

static const struct store_ops overlay_ops = {
    .run = overlay_run, .resize = overlay_resize, .close = overlay_close};

/* ---- Opening ---- */

/* A new file's name is stable when its folder is. */
static int sync_folder(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int result = fd < 0 || fsync(fd) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(copy);
    return result;
}

static int write_header(struct overlay *overlay, const char *path, struct vmm_error *error)
{
    uint8_t header[HEADER_BYTES] = {0};
    memcpy(header, magic, sizeof(magic));
    store_le32(header + HEADER_VERSION, FORMAT_VERSION);
    store_le32(header + HEADER_CLUSTER, CLUSTER_BYTES);
    store_le64(header + HEADER_DISK, overlay->store.info.bytes);
    /* Its whole length at once: the bitmap reads zero then. The header last, so that a file with one is one,
     * and one of this length without is unfinished. */
    if (ftruncate(overlay->fd, (off_t)(overlay->data_offset + overlay->store.info.bytes)))
        return error_set_errno(error, -errno, "%s: cannot make an overlay", path);
    /* The map's room now, where the file system can, so that a flush meets no full disk. */
    if (fallocate(overlay->fd, 0, HEADER_BYTES, (off_t)overlay->bitmap_bytes) && errno == ENOSPC)
        return error_set_errno(error, -ENOSPC, "%s: cannot make an overlay", path);
    int result = write_bytes(overlay->fd, header, sizeof(header), 0);
    if (!result && fsync(overlay->fd))
        result = -errno;
    if (!result)
        result = sync_folder(path);
    return result ? error_set_errno(error, result, "%s: cannot write", path) : 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

/* Of the length of an overlay for this base, and zeroes instead of a header and of bits: write_header did not
 * come to its end, and will now. */
static bool is_unfinished(const struct overlay *overlay, uint64_t bytes)
{
    uint8_t header[HEADER_BYTES];
    return bytes == overlay->data_offset + overlay->store.info.bytes &&
           pread(overlay->fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
           is_zero(header, sizeof(header)) &&
           pread(overlay->fd, overlay->bitmap, overlay->bitmap_bytes, HEADER_BYTES) ==
               (ssize_t)overlay->bitmap_bytes &&
           is_zero(overlay->bitmap, overlay->bitmap_bytes);
}

/* Bits that are set may be in the page cache only: whoever wrote them was told of a failed sync, and nobody
 * will be again. So the first flush writes them once more. */
static int read_bitmap(struct overlay *overlay, const char *path, struct vmm_error *error)
{
    const struct iovec segment = {.iov_base = overlay->bitmap, .iov_len = overlay->bitmap_bytes};
    int result = file_read(overlay->fd, &segment, 1, HEADER_BYTES);
    if (result)
        return error_set_errno(error, result, "%s: cannot read its bitmap", path);
    for (uint64_t page = 0; page * PAGE < overlay->bitmap_bytes; page++)
        overlay->dirty[page] = !is_zero(overlay->bitmap + page * PAGE, PAGE);
    return 0;
}

static int check_header(struct overlay *overlay, const char *path, uint64_t bytes, struct vmm_error *error)
{
    uint8_t header[HEADER_BYTES];
    if (pread(overlay->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header, magic, sizeof(magic)))
        return error_set(error, -EINVAL, "%s: exists and is no overlay of ours: name a new file", path);
    if (load_le32(header + HEADER_VERSION) != FORMAT_VERSION ||
        load_le32(header + HEADER_CLUSTER) != CLUSTER_BYTES)
        return error_set(error, -EINVAL, "%s: an overlay of version %u, which this program does not know",
                         path, load_le32(header + HEADER_VERSION));
    if (load_le64(header + HEADER_DISK) != overlay->store.info.bytes)
        return error_set(error, -EINVAL, "%s: belongs to a base of %llu bytes, not to one of %llu", path,
                         (unsigned long long)load_le64(header + HEADER_DISK),
                         (unsigned long long)overlay->store.info.bytes);
    if (bytes < overlay->data_offset + overlay->store.info.bytes)
        return error_set(error, -EINVAL, "%s: the overlay was cut short", path);
    return read_bitmap(overlay, path, error);
}

static int open_file(struct overlay *overlay, const char *path, struct vmm_error *error)
{
    struct stat status;
    overlay->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (overlay->fd < 0)
        return error_set_errno(error, -errno, "%s: cannot open for writing", path);
    if (fstat(overlay->fd, &status))
        return error_set_errno(error, -errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(error, -EINVAL, "%s: an overlay is a regular file", path);
    int result = file_lock(overlay->fd, path, true, error);
    if (result)
        return result;
    bool is_new = !status.st_size || is_unfinished(overlay, (uint64_t)status.st_size);
    return is_new ? write_header(overlay, path, error)
                  : check_header(overlay, path, (uint64_t)status.st_size, error);
}

static int open_memory(struct overlay *overlay, struct vmm_error *error)
{
    overlay->is_memory = true;
    overlay->fd = memfd_create("overlay", MFD_CLOEXEC);
    if (overlay->fd < 0 || ftruncate(overlay->fd, (off_t)(overlay->data_offset + overlay->store.info.bytes)))
        return error_set_errno(error, -errno, "overlay in memory: cannot make a memory file");
    return 0;
}

static int open_all(struct overlay *overlay, const struct block_config *config, struct vmm_error *error)
{
    struct block_config base = *config;
    base.read_only = true;
    base.cache = BLOCK_CACHE_WRITEBACK;
    if (config->cache == BLOCK_CACHE_NONE)
        return error_set(error, -EINVAL, "%s: an overlay uses the page cache: leave the cache at writeback",
                         config->path);
    int result = file_store_open(&base, &overlay->base, error);
    if (result)
        return result;
    overlay->store.info = overlay->base->store.info;
    overlay->store.info.read_only = config->read_only;
    overlay->store.info.can_discard = false;
    uint64_t clusters = (overlay->store.info.bytes + CLUSTER_BYTES - 1) / CLUSTER_BYTES;
    overlay->bitmap_bytes = align_up((clusters + 7) / 8, PAGE);
    overlay->data_offset = align_up(HEADER_BYTES + overlay->bitmap_bytes, CLUSTER_BYTES);
    overlay->bitmap = calloc(1, overlay->bitmap_bytes);
    overlay->dirty = calloc(1, overlay->bitmap_bytes / PAGE);
    if (!overlay->bitmap || !overlay->dirty)
        return error_set(error, -ENOMEM, "%s: out of memory", config->path);
    return config->overlay_memory ? open_memory(overlay, error)
                                  : open_file(overlay, config->overlay_path, error);
}

int overlay_store_open(const struct block_config *config, struct store **store, struct vmm_error *error)
{
    struct overlay *overlay = calloc(1, sizeof(*overlay));
    if (!overlay)
        return error_set(error, -ENOMEM, "%s: out of memory", config->path);
    overlay->store = (struct store){.ops = &overlay_ops, .self = overlay};
    overlay->fd = -1;
    pthread_mutex_init(&overlay->lock, NULL);
    int result = open_all(overlay, config, error);
    if (result) {
        free(overlay->bitmap); /* nothing of it may be written */
        overlay->bitmap = NULL;
        overlay_close(overlay);
        return result;
    }
    *store = &overlay->store;
    return 0;
}
