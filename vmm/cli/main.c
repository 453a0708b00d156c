/* SPDX-License-Identifier: MIT
 *
 * The program: which command.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/cli.h"

static const struct command {
    const char *name, *title; /* popt's help wants the whole "vmm run" for a program's name */
    int (*run)(int argc, const char **argv);
    const char *summary;
} commands[] = {
    {"run", "vmm run", cmd_run, "boot an image"},
    {"qemu-compat", "vmm qemu-compat", cmd_qemu_compat, "the same, with QEMU's options"},
    {"decode", "vmm decode", cmd_decode, "say what the decoder sees in an instruction's bytes"},
    {"doctor", "vmm doctor", cmd_doctor, "say what this host's KVM can do"},
    {"trace", "vmm trace", cmd_trace, "convert a trace that vmm run --trace wrote, or say what it means"},
#ifdef VMM_HAVE_BENCH
    {"bench", "vmm bench", cmd_bench, "measure what exits, device accesses and start-up cost"},
#endif
};

#define COMMAND_COUNT ARRAY_COUNT(commands)

static void print_help(FILE *file)
{
    fprintf(file, "vmm %s: run x86 guests on Linux KVM\n\nUsage: vmm COMMAND [OPTION...]\n\nCommands:\n",
            vmm_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(file, "\n'vmm COMMAND --help' or 'vmm help COMMAND' explains a command, 'vmm --version' says\n"
                  "which one this is; the manual page is vmm(1).\n");
}

static int unknown_command(const char *word)
{
    static const char *const options[] = {"--help", "--version", NULL};
    const char *names[COMMAND_COUNT + 1] = {NULL};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    const char *kind = word[0] == '-' ? "option" : "command";
    const char *nearest = cli_nearest(word, word[0] == '-' ? options : names);
    if (nearest)
        return cli_usage("", "there is no %s '%s'; did you mean '%s'?", kind, word, nearest);
    return cli_usage("", "there is no %s '%s'", kind, word);
}

/* A program that was started without one of its three files would get /dev/kvm or guest RAM in its place, and
 * write messages there. */
static void open_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            _exit(CLI_HOST);
}

/* argv[0] is the command's name. */
static int run_named(int argc, const char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[0], commands[i].name))
            continue;
        argv[0] = commands[i].title;
        return commands[i].run(argc, argv);
    }
    return unknown_command(argv[0]);
}

/* "vmm help run" is "vmm run --help". */
static int help(int argc, const char **argv)
{
    const char *arguments[] = {argc > 1 ? argv[1] : NULL, "--help", NULL};
    if (arguments[0])
        return run_named(2, arguments);
    print_help(stdout);
    return CLI_OK;
}

static int run_command(int argc, const char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        print_help(stderr);
        return cli_usage("", "which command? None was given");
    }
    if (strcmp(word, "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(1, argv);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("vmm %s\n", vmm_version());
        return CLI_OK;
    }
    return run_named(argc - 1, argv + 1);
}

/* By a link with that name, so that a runner needs no change. */
static bool is_called_qemu(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    return name && strcmp(name, "qemu-system-x86_64") == 0;
}

/* What was printed and could not be written is a failure, too. */
int main(int argc, char **argv)
{
    open_standard_files();
    int status = is_called_qemu(argv[0]) ? cmd_qemu_compat(argc, (const char **)argv)
                                         : run_command(argc, (const char **)argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    cli_message("standard output: cannot write: %m");
    return status ? status : CLI_HOST;
}
