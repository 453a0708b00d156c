/* SPDX-License-Identifier: MIT
 *
 * One port of one byte, which reads 0.
 */
#include "devices/progress/progress.h"

#include <stdlib.h>

struct progress {
    struct bus_region region;
    struct progress_config config;
};

static uint64_t progress_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0;
}

static void progress_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct progress *progress = device;
    (void)offset, (void)size;
    if (value == PROGRESS_USER_SPACE)
        progress->config.user_space(progress->config.owner);
}

static const struct bus_ops progress_ops = {.read = progress_read, .write = progress_write};

int progress_create(const struct progress_config *config, struct progress **out, struct vmm_error *error)
{
    struct progress *progress = calloc(1, sizeof(*progress));
    if (!progress)
        return error_set(error, -ENOMEM, "progress: out of memory");
    progress->config = *config;
    progress->region = (struct bus_region){.name = "progress",
                                           .base = PROGRESS_PORT,
                                           .len = 1,
                                           .size_min = 1,
                                           .size_max = 1,
                                           .ops = &progress_ops,
                                           .device = progress};
    *out = progress;
    return 0;
}

void progress_destroy(struct progress *progress)
{
    free(progress);
}

struct bus_region *progress_region(struct progress *progress)
{
    return &progress->region;
}
