/* SPDX-License-Identifier: MIT
 *
 * The program `vmm` as a user starts it: in the folder of the guests, with its output, messages and status
 * for the test to look at.
 */
#ifndef TESTS_VMM_PROGRAM_H
#define TESTS_VMM_PROGRAM_H

#include <sys/types.h>

#include "tests/harness.h"

#define PROGRAM_TEXT_BYTES 65536

struct program_run {
    int status; /* of exit, or 128 and the signal */
    char out[PROGRAM_TEXT_BYTES], err[PROGRAM_TEXT_BYTES];
};

/* What is started; `vmm` of the build unless a test says otherwise. */
extern const char *program_path;

/* In a child process: becomes `vmm` with the words of `line`, in which ^ stands for a space. */
_Noreturn void program_exec(const char *line);

/* Runs it to its end, with nothing to read. */
void program_run(const char *line, struct program_run *run);

/* What a shell would say: the status of exit, or 128 and the signal. */
int program_wait(pid_t pid);

/* Starts it with its messages, and output, in the file `fd`; the caller waits for it. */
pid_t program_start(const char *line, int fd);

/* What is in the file, from its beginning, as text. */
void program_read_file(int fd, char *text, size_t len);

#endif
