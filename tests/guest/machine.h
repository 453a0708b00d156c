/* SPDX-License-Identifier: MIT
 *
 * A guest of guest/ run by libvmm to its end, with what it wrote on the serial line.
 */
#ifndef TESTS_GUEST_MACHINE_H
#define TESTS_GUEST_MACHINE_H

#include "include/libvmm.h"

#define GUEST_OUTPUT_BYTES 65536

struct guest_run {
    /* To be filled in; zeros are libvmm's defaults. */
    struct vmm_config config;
    struct vmm_image image; /* `path` below the folder of the guests */
    const char *input;      /* what comes in on the serial line */
    unsigned disks;         /* so many empty virtio disks of 8 MiB */
    enum vmm_transport transport;
    bool has_acpi;
    const struct vmm_scratch_config *scratch; /* NULL: none */

    struct vmm_end end;
    char output[GUEST_OUTPUT_BYTES]; /* of the serial line */
    char log[8192];                  /* of libvmm */
};

/* Skips the test where there is no KVM; fails it where the machine cannot be made or run. */
void guest_run(struct guest_run *run);

#endif
