/* SPDX-License-Identifier: MIT
 *
 * Opening a trace file, and what is asked of it once it is read.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trace_file.h"
#include "base/types.h"

int trace_file_open(const char *path, struct trace_file **file, struct vmm_error *error)
{
    struct stat status;
    struct vmm_error inner;
    *file = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status)) {
        int result = error_set_errno(error, -errno, "%s: cannot open", path);
        if (fd >= 0)
            close(fd);
        return result;
    }
    size_t len = (size_t)status.st_size;
    void *bytes = len ? mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (bytes == MAP_FAILED)
        return len ? error_set_errno(error, -errno, "%s: cannot read", path)
                   : error_set(error, -EINVAL, "%s: is empty", path);
    int result = trace_file_parse(bytes, len, file, &inner);
    munmap(bytes, len);
    return result ? error_set(error, result, "%s: %s", path, inner.message) : 0;
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
