/* SPDX-License-Identifier: MIT
 *
 * libvmm: run an x86 guest on Linux KVM from inside another program.
 *
 * Functions return 0, or a negative errno and fill `error` (which may be NULL) with a sentence. The library
 * never exits, aborts or prints; text goes to the log callback of the configuration. Several machines may
 * live in one process. Which thread may call a function is said with it; where nothing is said, the thread
 * that created the machine, while the machine does not run.
 */
#ifndef LIBVMM_H
#define LIBVMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a call failed. `code` is the negative errno that the call returned; `message` names the thing, what
 * was wrong with it, and what to do, without a final newline. */
struct vmm_error {
    int code;
    char message[500];
};

enum vmm_log_level {
    VMM_LOG_ERROR,   /* the machine cannot go on as asked */
    VMM_LOG_WARNING, /* it goes on, but not as asked */
    VMM_LOG_INFO,
    VMM_LOG_DEBUG,
};

/* One line of text without its newline. Called from any thread of the library, never from two at once for
 * the same machine. */
typedef void vmm_log_fn(void *context, enum vmm_log_level level, const char *line);

#ifdef __cplusplus
}
#endif
#endif
