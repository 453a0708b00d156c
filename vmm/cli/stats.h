/* SPDX-License-Identifier: MIT
 *
 * What a run cost, for a person and for a program.
 */
#ifndef VMM_CLI_STATS_H
#define VMM_CLI_STATS_H

#include <stdio.h>

#include "include/libvmm.h"

void stats_print_text(FILE *file, struct vmm *machine, const struct vmm_end *end);

/* One JSON object on one line; docs/stats.md describes it. */
void stats_print_json(FILE *file, struct vmm *machine, const struct vmm_end *end);

#endif
