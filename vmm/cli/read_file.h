/* SPDX-License-Identifier: MIT
 *
 * A file as the program's commands take one that is not libvmm's to open.
 */
#ifndef VMM_CLI_READ_FILE_H
#define VMM_CLI_READ_FILE_H

#include <stddef.h>

#include "include/libvmm.h"

/* All of it, up to its end: a pipe, or a file of /proc whose size nobody knows, will do. A copy, since a file
 * that is mapped, and cut short by somebody, kills who reads there. The caller frees *bytes, also where it
 * fails; a 0 follows the last. A negative errno where it cannot be read. */
int read_file(const char *path, char **bytes, size_t *len, struct vmm_error *error);

#endif
