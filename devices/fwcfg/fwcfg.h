/* SPDX-License-Identifier: MIT
 *
 * QEMU's firmware configuration device as far as a guest without firmware asks it: how many CPUs, how much
 * memory. A selector at port 0x510, a data port at 0x511; no DMA interface, and the file directory is empty.
 */
#ifndef DEVICES_FWCFG_FWCFG_H
#define DEVICES_FWCFG_FWCFG_H

#include "mmio/bus.h"

#define FWCFG_PORT 0x510u

struct fwcfg_config {
    uint64_t ram_bytes;
    unsigned cpu_count, cpu_count_max; /* 0 means 1, and cpu_count */
};

struct fwcfg;

int fwcfg_create(const struct fwcfg_config *config, struct fwcfg **fwcfg, struct vmm_error *error);
void fwcfg_destroy(struct fwcfg *fwcfg);
struct bus_region *fwcfg_region(struct fwcfg *fwcfg);

#endif
