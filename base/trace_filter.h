/* SPDX-License-Identifier: MIT
 *
 * The expressions that say which records are wanted, in the manner of the Linux kernel's event filters:
 *
 *     addr >= 0x3f8 && addr < 0x400 && write
 *     (pio || mmio) && device ~ "virtio*" && !(vcpu == 0)
 *     exit && duration > 100us
 *
 * An event's or a direction's name is true for those records. A comparison with a field that the record does
 * not have is false. docs/trace.md lists the fields.
 *
 * Threads: compiled by one; matched by any.
 */
#ifndef BASE_TRACE_FILTER_H
#define BASE_TRACE_FILTER_H

#include "base/trace_names.h"

struct trace_filter;

/* -EINVAL, with the column, for what is no expression. The caller owns *filter. `text` is not kept. */
int trace_filter_create(const char *text, const struct trace_names *names, struct trace_filter **filter,
                        struct vmm_error *error);
void trace_filter_destroy(struct trace_filter *filter);

/* `vcpu` is -1 on a thread that is none's. */
bool trace_filter_match(const struct trace_filter *filter, int vcpu, const struct trace_record *record);

/* Ticks of the TSC in a second, found once by waiting 2 ms where the kernel does not say. */
uint64_t trace_measure_tsc(void);

#endif
