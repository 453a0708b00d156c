/* SPDX-License-Identifier: MIT
 *
 * The scratch device. Its bytes are pages of their own, so that they can be mapped into the guest.
 */
#include "devices/scratch/scratch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

struct scratch {
    struct bus_region region;
    struct lock lock;
    uint8_t *bytes;
    uint64_t mapped_bytes;
};

static uint64_t scratch_read(void *device, uint64_t offset, unsigned size)
{
    struct scratch *scratch = device;
    return load_le(scratch->bytes + offset, size);
}

static void scratch_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct scratch *scratch = device;
    store_le(scratch->bytes + offset, value, size);
}

static void scratch_read_block(void *device, uint64_t offset, unsigned size, size_t count, void *to)
{
    struct scratch *scratch = device;
    memcpy(to, scratch->bytes + offset, size * count);
}

static void scratch_write_block(void *device, uint64_t offset, unsigned size, size_t count, const void *from)
{
    struct scratch *scratch = device;
    memcpy(scratch->bytes + offset, from, size * count);
}

static const struct bus_ops scratch_ops = {.read = scratch_read,
                                           .write = scratch_write,
                                           .read_block = scratch_read_block,
                                           .write_block = scratch_write_block};

static int check_config(const struct scratch_config *config, struct vmm_error *error)
{
    if (!config->len || config->len > SCRATCH_BYTES_MAX)
        return error_set(error, -EINVAL, "scratch: a size of %#llx bytes is not from 1 to 4G",
                         (unsigned long long)config->len);
    if (config->direct && (config->base % PAGE_BYTES || config->len % PAGE_BYTES))
        return error_set(error, -EINVAL, "scratch: only whole pages can be direct, not %#llx bytes at %#llx",
                         (unsigned long long)config->len, (unsigned long long)config->base);
    return 0;
}

int scratch_create(const struct scratch_config *config, struct scratch **out, struct vmm_error *error)
{
    int result = check_config(config, error);
    struct scratch *scratch = result ? NULL : calloc(1, sizeof(*scratch));
    if (!scratch)
        return result ? result : error_set(error, -ENOMEM, "scratch: out of memory");
    scratch->mapped_bytes = align_up(config->len, PAGE_BYTES);
    scratch->bytes = mmap(NULL, scratch->mapped_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch->bytes == MAP_FAILED) {
        free(scratch);
        return error_set_errno(error, -errno, "scratch: cannot map %#llx bytes",
                               (unsigned long long)config->len);
    }
    scratch->region = (struct bus_region){.name = "scratch",
                                          .base = config->base,
                                          .len = config->len,
                                          .ops = &scratch_ops,
                                          .device = scratch,
                                          .lock = &scratch->lock,
                                          .engine = config->engine,
                                          .coalesce = config->coalesce,
                                          .direct = config->direct ? scratch->bytes : NULL};
    *out = scratch;
    return 0;
}

void scratch_destroy(struct scratch *scratch)
{
    if (!scratch)
        return;
    munmap(scratch->bytes, scratch->mapped_bytes);
    free(scratch);
}

struct bus_region *scratch_region(struct scratch *scratch)
{
    return &scratch->region;
}
