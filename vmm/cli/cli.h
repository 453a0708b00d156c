/* SPDX-License-Identifier: MIT
 *
 * What the program's commands have in common: exit statuses, messages, options. The program is libvmm's first
 * user; it has no back door.
 */
#ifndef VMM_CLI_CLI_H
#define VMM_CLI_CLI_H

#include <popt.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/types.h"
#include "include/libvmm.h"

/* Exit statuses of `vmm`. The guest's own, through the debug-exit port, are all odd, so ours are even. */
enum cli_status {
    CLI_OK = 0,            /* the guest switched itself off or asked for a reset; other commands: done */
    CLI_FAILED = 1,        /* commands but `run`: done, and the answer is no */
    CLI_USAGE = 2,         /* the command line was not understood */
    CLI_HOST = 4,          /* the host: no KVM, no memory, an unreadable or damaged image */
    CLI_TRIPLE_FAULT = 6,  /* the guest died of a triple fault */
    CLI_HALTED = 8,        /* the guest halted, and nothing could wake it */
    CLI_NOT_EXECUTED = 10, /* KVM could not execute the guest's instruction, or not enter it */
    CLI_STOPPED = 12,      /* the user left with Ctrl-A x */
    CLI_PANIC = 14,        /* the guest said that it has panicked */
    CLI_TIMEOUT = 124,     /* --timeout, the number that timeout(1) has too */
};

#define RAM_BYTES_MIN (64 << 10)
#define RAM_UNIT      4096

/* A message on standard error, behind the program's name. */
void cli_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, with the word "warning" before it: what the command does goes on. */
void cli_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a command line that was not understood, with where help is. Returns CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From now on cli_usage ends with the message: the words are not the user's own. */
void cli_leave_out_hint(void);

/* The word of the NULL-ended list nearest to `word`, or NULL where none is near. */
const char *cli_nearest(const char *word, const char *const *words);

/* The message for what poptGetNextOpt returned below -1: an unknown option is answered with the nearest of
 * `options`. Returns CLI_USAGE. */
int cli_bad_option(const char *command, poptContext context, int code, const struct poptOption *options);

/* The index of `text` in the NULL-ended list. False, with a message about `run`'s option, where it is not
 * there. */
bool cli_choose(const char *option, const char *text, const char *const *names, unsigned *choice);

/* "64K", "128M", "1.5G", "4096": bytes. False where it is not a size. */
bool cli_parse_size(const char *text, uint64_t *bytes);

/* "1500ms", "10s", "2m", "10" (seconds): milliseconds, from 1. False where it is not a time. */
bool cli_parse_time(const char *text, uint64_t *ms);

/* The commands: argv[0] is the command's name. They return an exit status. */
int cmd_run(int argc, const char **argv);
/* The same; where the image cannot be loaded, the message begins with these words. */
int run_as(int argc, const char **argv, const char *not_loaded);
/* As the program qemu-system-x86_64, whose command line it takes. */
int cmd_qemu_compat(int argc, const char **argv);
int cmd_decode(int argc, const char **argv);
int cmd_doctor(int argc, const char **argv);
int cmd_trace(int argc, const char **argv);
int cmd_bench(int argc, const char **argv); /* where the benchmarks are built in */

#endif
