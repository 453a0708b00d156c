/* SPDX-License-Identifier: MIT
 *
 * Lines of text to the callback of the configuration.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_init(struct log *log, vmm_log_fn *write, void *context, enum vmm_log_level level)
{
    *log = (struct log){.write = write, .context = context, .level = level};
    pthread_mutex_init(&log->lock, NULL);
}

void log_fini(struct log *log)
{
    pthread_mutex_destroy(&log->lock);
}

void log_line(struct log *log, enum vmm_log_level level, const char *format, ...)
{
    if (!log || !log->write || level > log->level)
        return;
    char line[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&log->lock);
    log->write(log->context, level, line);
    pthread_mutex_unlock(&log->lock);
}
