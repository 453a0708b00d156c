/* SPDX-License-Identifier: MIT
 *
 * The command line of `vmm run`.
 */
#ifndef VMM_CLI_RUN_OPTIONS_H
#define VMM_CLI_RUN_OPTIONS_H

#include "vmm/cli/cli.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_disks.h"
#include "vmm/cli/trace_options.h"

#define MODULE_LIMIT 16

/* The command line as popt leaves it, and what it means. */
struct run_options {
    const char *mem, *mem_backing, *serial, *irqchip, *flat, *timeout, *stats_file, *mmio_engine, *cpus;
    const char *cmdline, *dump_acpi, *cpu, *ring0_engine;
    int verbose, stats_text, stats_json, no_run_ahead, no_acpi, pci;
    const char *on_reboot, *on_triple_fault;
    const char *not_loaded; /* what a message about the image begins with, or NULL */
    bool restarts, triple_fault_reboots;
    uint64_t timeout_ms; /* of all starts together */
    bool is_misused;     /* what --trace-* say makes no sense */
    int signal;          /* that has ended the run; 0: none */
    struct vmm_config config;
    struct vmm_serial_config serial_config;
    struct vmm_image image;
    struct vmm_module modules[MODULE_LIMIT];
    struct run_devices devices;
    struct run_disks disks;
    poptContext context;
};

/* Reads the command line into the process's one struct of options, and trace_options. NULL where the command
 * ends here, with *status: help was printed, or a message about what was not understood. */
struct run_options *run_options_parse(int argc, const char **argv, int *status);

/* Frees what the strings of the options stand in. */
void run_options_fini(void);

#endif
