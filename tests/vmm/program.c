/* SPDX-License-Identifier: MIT
 *
 * Starting `vmm`, and waiting for it.
 */
#include "tests/vmm/program.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mmio_way.h"

#define WORD_LIMIT 40
#define WAY_WORDS  3

const char *program_path = VMM_PROGRAM;

/* The options for it: behind the others, so that those of a test count. Returns how many words. */
static int add_mmio_way(char **words)
{
    int count = 0;
    words[count++] = test_runs_ring0() ? "--ring0-engine" : "--mmio-engine";
    words[count++] = test_runs_ring0() ? "software" : "trap";
    if (test_steps_alone())
        words[count++] = "--no-run-ahead";
    return count;
}

_Noreturn void program_exec(const char *line)
{
    static char text[4096];
    char *words[WORD_LIMIT + WAY_WORDS] = {(char *)program_path}, *rest = text;
    int count = 1;
    snprintf(text, sizeof(text), "%s", line);
    /* `vmm run` is a machine, too */
    bool is_run = strncmp(line, "run ", 4) == 0;
    for (char *word; *line && (word = strsep(&rest, " ")) && count < WORD_LIMIT - 1; words[count++] = word)
        for (char *at = word; (at = strchr(at, '^'));)
            *at = ' ';
    if (is_run && *test_mmio_way())
        count += add_mmio_way(words + count);
    if (chdir(VMM_GUEST_DIR) == 0)
        execv(program_path, words);
    perror(program_path);
    _exit(127);
}

int program_wait(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static pid_t start(const char *line, int out, int err)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid)
        return pid;
    int in = memfd_create("in", MFD_CLOEXEC);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    program_exec(line);
}

pid_t program_start(const char *line, int fd)
{
    return start(line, fd, fd);
}

void program_read_file(int fd, char *text, size_t len)
{
    ssize_t got = pread(fd, text, len - 1, 0);
    ck_assert_int_ge(got, 0);
    text[got] = 0;
}

void program_run(const char *line, struct program_run *run)
{
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    ck_assert(out >= 0 && err >= 0);
    run->status = program_wait(start(line, out, err));
    program_read_file(out, run->out, sizeof(run->out));
    program_read_file(err, run->err, sizeof(run->err));
    close(out);
    close(err);
}
