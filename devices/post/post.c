/* SPDX-License-Identifier: MIT
 *
 * One byte that remembers. It needs no lock: a store of a byte is whole.
 */
#include "devices/post/post.h"

#include <stdlib.h>

#define POST_NO_CODE -1

struct post {
    struct bus_region region;
    int code;
};

static uint64_t post_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset, (void)size;
    int code = post_code(device);
    return code == POST_NO_CODE ? 0xff : (uint64_t)code;
}

static void post_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct post *post = device;
    (void)offset, (void)size;
    __atomic_store_n(&post->code, (int)value, __ATOMIC_RELAXED);
}

static const struct bus_ops post_ops = {.read = post_read, .write = post_write};

int post_create(const struct post_config *config, struct post **out, struct vmm_error *error)
{
    struct post *post = calloc(1, sizeof(*post));
    if (!post)
        return error_set(error, -ENOMEM, "post: out of memory");
    post->code = POST_NO_CODE;
    post->region = (struct bus_region){.name = "post",
                                       .base = config->base,
                                       .len = 1,
                                       .size_min = 1,
                                       .size_max = 1,
                                       .ops = &post_ops,
                                       .device = post};
    *out = post;
    return 0;
}

void post_destroy(struct post *post)
{
    free(post);
}

struct bus_region *post_region(struct post *post)
{
    return &post->region;
}

int post_code(const struct post *post)
{
    return __atomic_load_n(&post->code, __ATOMIC_RELAXED);
}
