/* SPDX-License-Identifier: MIT
 *
 * The POST port 0x80: a latch for the code of what a guest is about to do. Its last value is for whoever
 * wants to know how far a dead guest came; kernels also write it to wait a microsecond.
 */
#ifndef DEVICES_POST_POST_H
#define DEVICES_POST_POST_H

#include "mmio/bus.h"

#define POST_PORT 0x80u

struct post_config {
    uint64_t base; /* its one port */
};

struct post;

int post_create(const struct post_config *config, struct post **post, struct vmm_error *error);
void post_destroy(struct post *post);
struct bus_region *post_region(struct post *post);

/* The code last written, 0 to 255, or -1 where none was. Any thread. */
int post_code(const struct post *post);

#endif
