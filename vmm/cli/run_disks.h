/* SPDX-License-Identifier: MIT
 *
 * The disks that `vmm run` is asked for: --disk, from its text to the machine.
 */
#ifndef VMM_CLI_RUN_DISKS_H
#define VMM_CLI_RUN_DISKS_H

#include "vmm/cli/cli.h"

#define DISK_LIMIT 16

struct run_disks {
    struct vmm_disk_config configs[DISK_LIMIT];
    char *arguments[DISK_LIMIT]; /* in which the strings stand */
    unsigned count;
};

/* "path=FILE,KEY=VALUE,..." or "FILE", which *disks owns from now on. False, with a message, where it is not
 * understood. */
bool run_disk_parse(struct run_disks *disks, char *argument);

int run_disks_add(const struct run_disks *disks, struct vmm *machine, struct vmm_error *error);

void run_disks_fini(struct run_disks *disks);

#endif
