/* SPDX-License-Identifier: MIT
 *
 * The devices that `vmm run` is asked for: --device and --fw-cfg, from their text to the machine. The table
 * in run_devices.c has a row for each device.
 */
#ifndef VMM_CLI_RUN_DEVICES_H
#define VMM_CLI_RUN_DEVICES_H

#include "vmm/cli/run_consoles.h"

#define DEBUG_EXIT_LIMIT 4
#define SCRATCH_LIMIT    16
#define FWCFG_FILE_LIMIT 64

/* A file for fw_cfg: from a path or a text. Both stand in `argument`, which is freed with the options. */
struct run_fwcfg_file {
    char *argument;
    const char *name, *path, *text;
};

struct run_debug_exit {
    uint64_t port, count; /* from that port on */
};

struct run_devices {
    struct vmm_scratch_config scratches[SCRATCH_LIMIT];
    unsigned scratch_count;
    bool has_testdev;
    enum vmm_mmio_engine testdev_engine;
    struct run_debug_exit debug_exits[DEBUG_EXIT_LIMIT];
    unsigned debug_exit_count; /* 0: there is one, where it is by default */
    struct run_fwcfg_file files[FWCFG_FILE_LIMIT];
    unsigned file_count;
    struct run_consoles consoles;
};

extern const char *const run_engine_names[];

/* "NAME,KEY=VALUE,...", which is freed. False, with a message, where it is not understood. */
bool run_device_parse(struct run_devices *devices, char *argument);

/* "name=NAME,file=PATH" or "name=NAME,string=TEXT", which *devices owns from now on. */
bool run_fwcfg_parse(struct run_devices *devices, char *argument);

int run_devices_add(struct run_devices *devices, struct vmm *machine, struct vmm_error *error);

void run_devices_fini(struct run_devices *devices);

#endif
