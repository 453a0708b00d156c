/* SPDX-License-Identifier: MIT
 *
 * The one way for text out of the library: a line at a time to the callback of the configuration. Any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <pthread.h>

#include "include/libvmm.h"

struct log {
    vmm_log_fn *write; /* NULL: text is dropped */
    void *context;
    enum vmm_log_level level; /* lines above it are dropped */
    pthread_mutex_t lock;
};

void log_init(struct log *log, vmm_log_fn *write, void *context, enum vmm_log_level level);
void log_fini(struct log *log);

/* One line, cut at 1,000 characters. `log` may be NULL. */
void log_line(struct log *log, enum vmm_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
