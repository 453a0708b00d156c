/* SPDX-License-Identifier: MIT
 *
 * QEMU's firmware configuration device: named items that the machine has for its guest. How many CPUs and how
 * much memory, where the image, its initrd and its command line are, and files that the user gives. A
 * selector at port 0x510, a data port at 0x511, and the DMA interface at 0x514. Items are read-only.
 *
 * Threads: the accesses from any; the rest before the guest runs.
 */
#ifndef DEVICES_FWCFG_FWCFG_H
#define DEVICES_FWCFG_FWCFG_H

#include "ept/memory.h"
#include "mmio/bus.h"

#define FWCFG_PORT       0x510u
#define FWCFG_FILE_LIMIT 64
#define FWCFG_NAME_BYTES 56 /* with the final 0 */

struct fwcfg_config {
    uint64_t ram_bytes;
    unsigned cpu_count, cpu_count_max; /* 0 means 1, and cpu_count */
    const struct guest_memory *memory; /* a borrow; NULL: no DMA, and nothing of fwcfg_image */
};

/* A part of guest memory that an item shows: as it is when the guest reads the item. */
struct fwcfg_range {
    gpa_t gpa;
    uint64_t len; /* 0: there is none */
};

/* What was loaded. */
struct fwcfg_image {
    struct fwcfg_range kernel, initrd, cmdline; /* the command line without the final 0 */
    gpa_t entry;
};

struct fwcfg;

int fwcfg_create(const struct fwcfg_config *config, struct fwcfg **fwcfg, struct vmm_error *error);
void fwcfg_destroy(struct fwcfg *fwcfg);
struct bus_region *fwcfg_region(struct fwcfg *fwcfg);

void fwcfg_set_image(struct fwcfg *fwcfg, const struct fwcfg_image *image);

/* A file of the directory; the bytes are copied. -EINVAL for a name that is empty or too long, -EEXIST where
 * there is such a file, -ENOSPC where there are FWCFG_FILE_LIMIT. */
int fwcfg_add_file(struct fwcfg *fwcfg, const char *name, const void *bytes, size_t len,
                   struct vmm_error *error);

#endif
