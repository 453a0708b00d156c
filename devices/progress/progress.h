/* SPDX-License-Identifier: MIT
 *
 * The port through which a guest says how far its boot has come, for measurements: a write of 1 says that its
 * user space runs. Other values are for later, and do nothing.
 */
#ifndef DEVICES_PROGRESS_PROGRESS_H
#define DEVICES_PROGRESS_PROGRESS_H

#include "mmio/bus.h"

#define PROGRESS_PORT       0x507u
#define PROGRESS_USER_SPACE 1u

struct progress_config {
    void (*user_space)(void *owner); /* called with each such write, by a vCPU's thread */
    void *owner;
};

struct progress;

int progress_create(const struct progress_config *config, struct progress **progress,
                    struct vmm_error *error);
void progress_destroy(struct progress *progress);
struct bus_region *progress_region(struct progress *progress);

#endif
