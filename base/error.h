/* SPDX-License-Identifier: MIT
 *
 * Filling a struct vmm_error: once, where the cause is known. For a failing host or a wrong configuration;
 * what a guest does wrong is behaviour, not an error.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <errno.h>

#include "include/libvmm.h"

/* Writes the sentence and returns `code`, a negative errno. `error` may be NULL. A sentence that does not
 * fit is cut. */
int error_set(struct vmm_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with ": " and the text of the errno behind it. */
int error_set_errno(struct vmm_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
