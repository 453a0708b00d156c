/* SPDX-License-Identifier: MIT
 *
 * The options of `vmm run` that begin with --trace.
 */
#ifndef VMM_CLI_TRACE_OPTIONS_H
#define VMM_CLI_TRACE_OPTIONS_H

#include "vmm/cli/cli.h"

#define TRACE_BUFFERS 8

/* As popt leaves them, and what they mean. */
struct trace_options {
    const char *path, *events, *filter, *mode, *full, *trigger, *marker;
    char *sizes[TRACE_BUFFERS]; /* every --trace-buffer; owned */
    unsigned size_count;
    struct vmm_trace_buffer buffers[TRACE_BUFFERS + 1]; /* first that of the plain options */
    struct vmm_trace_config config;
    unsigned restart_count;
    char restart_path[4096];
};

/* A process has one command line, and so one of these, which popt fills. */
extern struct trace_options trace_options;

/* A part of the table of `vmm run`. */
extern const struct poptOption trace_option_table[];

/* Called by popt's loop for a --trace-buffer, which it owns from then on. */
bool trace_options_add_buffer(char *argument);
#define OPTION_TRACE_BUFFER 1000 /* what poptGetNextOpt returns for it */

/* What popt found, for vmm_add_trace. False, with a message, where it is not understood. `config.path` is
 * NULL where nothing is to be traced. The strings are popt's. */
bool trace_options_parse(void);
void trace_options_fini(void);

/* Says where a run has ended without what was to be recorded. */
void trace_options_conclude(struct vmm *machine);

/* The machine starts again: its trace goes to FILE.2, then FILE.3, ... */
void trace_options_restart(void);

#endif
