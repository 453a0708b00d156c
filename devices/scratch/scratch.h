/* SPDX-License-Identifier: MIT
 *
 * The scratch device: a region that only remembers what was written to it. For test guests and measurements:
 * it shows what an access costs and nothing else. How many accesses of which width it saw is counted by the
 * bus.
 */
#ifndef DEVICES_SCRATCH_SCRATCH_H
#define DEVICES_SCRATCH_SCRATCH_H

#include "mmio/bus.h"

struct scratch_config {
    gpa_t base;
    uint64_t len; /* up to SCRATCH_BYTES_MAX */
    enum bus_engine engine;
    bool coalesce, direct;
};

#define SCRATCH_BYTES_MAX (1ull << 32)

struct scratch;

int scratch_create(const struct scratch_config *config, struct scratch **scratch, struct vmm_error *error);
void scratch_destroy(struct scratch *scratch);
struct bus_region *scratch_region(struct scratch *scratch);

#endif
