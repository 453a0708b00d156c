/* SPDX-License-Identifier: MIT
 *
 * The files of a run, before the first one is opened: writing begins by making a file empty.
 */
#ifndef VMM_CLI_RUN_FILES_H
#define VMM_CLI_RUN_FILES_H

#include "vmm/cli/run_options.h"

/* CLI_OK, or another status, with a message: a file is to be written that the guest is made of, or something
 * is to be written and the image cannot be read. */
int run_files_check(const struct run_options *options);

#endif
