/* SPDX-License-Identifier: MIT
 *
 * Opening a trace file, and what is asked of it once it is read.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trace_file.h"
#include "base/types.h"

/* Up to `len` bytes, fewer where the file has become shorter; -1 with errno. */
static ssize_t read_bytes(int fd, uint8_t *bytes, size_t len)
{
    size_t done = 0;
    ssize_t count;
    while ((count = read(fd, bytes + done, len - done)) != 0) {
        if (count < 0 && errno != EINTR)
            return -1;
        done += count > 0 ? (size_t)count : 0;
    }
    return (ssize_t)done;
}

/* Into memory: a file that is mapped, and emptied by a run that makes it anew, kills who reads there. */
static int read_file(int fd, const char *path, struct trace_file **file, struct vmm_error *error)
{
    struct stat status;
    struct vmm_error inner;
    char magic[sizeof(TRACE_FILE_MAGIC) - 1];
    if (fstat(fd, &status))
        return error_set_errno(error, -errno, "%s: cannot open", path);
    if (!status.st_size)
        return error_set(error, -EINVAL, "%s: is empty", path);
    size_t len = (size_t)status.st_size;
    if (pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && memcmp(magic, TRACE_FILE_MAGIC, sizeof(magic)))
        len = sizeof(magic); /* a disk, say: no need for all of it */
    uint8_t *bytes = malloc(len);
    ssize_t count = bytes ? read_bytes(fd, bytes, len) : -1;
    int result = count < 0 ? error_set_errno(error, -errno, "%s: cannot read", path)
                           : trace_file_parse(bytes, (size_t)count, file, &inner);
    free(bytes);
    return count >= 0 && result ? error_set(error, result, "%s: %s", path, inner.message) : result;
}

int trace_file_open(const char *path, struct trace_file **file, struct vmm_error *error)
{
    *file = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(error, -errno, "%s: cannot open", path);
    int result = read_file(fd, path, file, error);
    close(fd);
    return result;
}

double trace_file_span_ns(const struct trace_file *file, uint64_t ticks)
{
    return (double)ticks * file->ns_per_tick;
}

double trace_file_ns(const struct trace_file *file, uint64_t time)
{
    return (double)(int64_t)(time - file->first_ticks) * file->ns_per_tick;
}

/* By rip; the code that was met first comes first. */
const struct trace_record *trace_file_code(const struct trace_file *file, uint64_t rip)
{
    unsigned low = 0, high = file->code_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (file->codes[middle].rip < rip)
            low = middle + 1;
        else
            high = middle;
    }
    return low < file->code_count && file->codes[low].rip == rip ? &file->codes[low] : NULL;
}

const struct trace_region *trace_file_region(const struct trace_file *file, char space, uint64_t address)
{
    for (unsigned i = 0; i < file->region_count; i++) {
        const struct trace_region *region = &file->regions[i];
        if (region->space == space && range_inside(address, 1, region->base, region->len))
            return region;
    }
    return NULL;
}
