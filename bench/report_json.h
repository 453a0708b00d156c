/* SPDX-License-Identifier: MIT
 *
 * JSON of an earlier run, for baseline.c and reload.c.
 */
#ifndef BENCH_REPORT_JSON_H
#define BENCH_REPORT_JSON_H

#include <jansson.h>

#include "bench/report.h"

/* A file that report_print_json has made, of the benchmark with that name; the caller's to json_decref. NULL
 * with a message where it is none. */
json_t *report_read_json(const char *path, const char *bench, struct vmm_error *error);

/* The number in a member of the object, or 0. */
double report_json_number(const json_t *object, const char *key);

#endif
