/* SPDX-License-Identifier: MIT
 *
 * `vmm bench`: which benchmark, how long, and in what form its figures are given. What is measured is in
 * bench/.
 */
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/baseline.h"
#include "bench/benches.h"
#include "bench/report.h"
#include "vmm/cli/cli.h"

/* The command line as popt leaves it. */
static struct {
    const char *seconds, *plot, *baseline, *only, *against, *pin, *size, *from, *batches, *ring;
    const char **disks;
    int is_json, is_markdown, is_quick, is_help, is_overwrite, is_polled, is_packed;
} given;

static const struct poptOption common_options[] = {
    {"json", 0, POPT_ARG_NONE, &given.is_json, 0, "one JSON object instead of the table", NULL},
    {"markdown", 0, POPT_ARG_NONE, &given.is_markdown, 0, "the table as Markdown", NULL},
    {"plot", 0, POPT_ARG_STRING, &given.plot, 0, "also draw the figures, with gnuplot", "FILE.svg"},
    {"baseline", 0, POPT_ARG_STRING, &given.baseline, 0,
     "also say what moved beyond noise since this file, which --json made", "FILE"},
    {"from", 0, POPT_ARG_STRING, &given.from, 0,
     "measure nothing: print, draw or compare what is in this file, which --json made", "FILE"},
    {"only", 0, POPT_ARG_STRING, &given.only, 0, "only the operations whose name contains this", "TEXT"},
    {"batches", 0, POPT_ARG_STRING, &given.batches, 0, "batches of each operation, at most (default 101)",
     "N"},
    {"time", 0, POPT_ARG_STRING, &given.seconds, 0,
     "time for all batches of one operation, at most (default 3s)", "TIME"},
    {"quick", 0, POPT_ARG_NONE, &given.is_quick, 0, "a trial that takes seconds; its figures mean little",
     NULL},
    {"pin", 0, POPT_ARG_STRING, &given.pin, 0,
     "the CPU to stay on, and one for an operation's second thread, or 'no' (default: the last two that are "
     "allowed; with 'boot' and 'blk' no)",
     "CPU[,CPU]"},
    {"help", 'h', POPT_ARG_NONE, &given.is_help, 0, "show this help", NULL},
    POPT_TABLEEND};

#define COMMON_OPTIONS                                                                                  \
    {                                                                                                   \
        NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)common_options, 0, "Options of every benchmark:", NULL \
    }

#define RING_OPTION                                                               \
    {                                                                             \
        "ring", 0, POPT_ARG_STRING, &given.ring, 0,                               \
            "only operations in ring 0 or 3 of the guest (default: both)", "RING" \
    }

static const struct poptOption exit_options[] = {
    {"against", 0, POPT_ARG_STRING, &given.against, 0,
     "the same guest under this rival, too, for what it can answer: qemu", "RIVAL"},
    RING_OPTION,
    COMMON_OPTIONS,
    POPT_TABLEEND};

static const struct poptOption ring_options[] = {RING_OPTION, COMMON_OPTIONS, POPT_TABLEEND};

static const struct poptOption boot_options[] = {COMMON_OPTIONS, POPT_TABLEEND};

static const struct poptOption blk_options[] = {
    {"against", 0, POPT_ARG_STRING, &given.against, 0,
     "the same guest under this rival, too, on the same file: qemu", "RIVAL"},
    {"disk", 0, POPT_ARG_ARGV, &given.disks, 0,
     "where to measure: a directory, for a scratch file in it, or a file or block device, which is only "
     "read; "
     "can be repeated (default: /dev/shm and /var/tmp)",
     "PATH"},
    {"size", 0, POPT_ARG_STRING, &given.size, 0, "of a scratch file (default 64M)", "SIZE"},
    {"overwrite", 0, POPT_ARG_NONE, &given.is_overwrite, 0,
     "measure writes on a --disk that is a file or device, too: what is in it is LOST", NULL},
    {"packed", 0, POPT_ARG_NONE, &given.is_packed, 0, "a packed ring (default: a split one)", NULL},
    {"polled", 0, POPT_ARG_NONE, &given.is_polled, 0,
     "the guest watches the ring (default: it sleeps until an interrupt)", NULL},
    COMMON_OPTIONS,
    POPT_TABLEEND};

static const char blk_about[] =
    "\n"
    "The loads are reads and writes of 4 KiB at random places and of 128 KiB one after the other, one "
    "request\n"
    "at a time and 32 at once, by the host's page cache and past it (O_DIRECT). They are done in turns by\n"
    "  floor  a plain io_uring program: the least that the host takes for them;\n"
    "  vmm    a guest with a virtio disk and a driver of its own; no Linux is needed;\n"
    "  qemu   the same guest under QEMU with the same KVM, where --against=qemu asks for it.\n";

static const struct subcommand {
    const char *name, *title;
    int (*run)(struct bench_report *report, const struct bench_options *options, struct vmm_error *error);
    const char *summary;
    const struct poptOption *options;
    bool uses_threads;      /* or processes, that are to have every CPU */
    const char *about;      /* more for --help */
    bool has_second_thread; /* in some operations, which gets a CPU of its own */
} subcommands[] = {
    {"exits", "vmm bench exits", bench_exits, "every kind of exit, against the least that it can cost",
     exit_options, .has_second_thread = true},
    {"mmio", "vmm bench mmio", bench_mmio, "a memory operation on a device, with each engine", ring_options},
    {"blk", "vmm bench blk", bench_blk,
     "disk requests of a guest, against a plain program's on the same file", blk_options, true, blk_about},
    {"trace", "vmm bench trace", bench_trace,
     "a trace point and the dispatch of exits, with tracing off and on", ring_options},
    {"boot", "vmm bench boot", bench_boot,
     "processes of vmm from their start to their exit, and their phases", boot_options, true},
};

#define SUBCOMMAND_COUNT ARRAY_COUNT(subcommands)

static const char help_tail[] =
    "\n"
    "Each operation is done in many short batches; its different ways take turns, batch by batch, so that "
    "all of\n"
    "them see the same noise. A figure is the median of the batches with an interval that holds the true "
    "median\n"
    "with 95 % probability; a ratio is the median of the ratios of neighbouring batches. Batches during "
    "which the\n"
    "kernel took the CPU away are left out and counted. Where the spread is too large, the line says so.\n"
    "\n"
    "Ctrl-C ends the measuring; what there is until then is printed.\n"
    "\n"
    "Exit status: 0; 2 for a command line that was not understood; 4 where this host cannot do it, or a "
    "file\n"
    "cannot be read or written.\n";

/* What cli_usage names, for its --help. */
static const char *words_of(const struct subcommand *command)
{
    return command->title + strlen("vmm ");
}

static void print_help(void)
{
    puts("Usage: vmm bench SUBCOMMAND [OPTION...]\n\nSubcommands:");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        printf("  %-6s %s\n", subcommands[i].name, subcommands[i].summary);
    puts("\n'vmm bench SUBCOMMAND --help' lists the options.");
}

static void print_sub_help(poptContext context, const struct subcommand *command)
{
    printf("Measures %s.\n%s", command->summary, command->about ? command->about : "");
    poptPrintHelp(context, stdout, 0);
    fputs(help_tail, stdout);
}

static const struct subcommand *find_subcommand(const char *word, int *status)
{
    const char *names[SUBCOMMAND_COUNT + 1] = {NULL};
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        names[i] = subcommands[i].name;
        if (strcmp(word, names[i]) == 0)
            return &subcommands[i];
    }
    const char *nearest = cli_nearest(word, names);
    *status = nearest ? cli_usage("bench", "bench: there is no '%s'; did you mean '%s'?", word, nearest)
                      : cli_usage("bench", "bench: there is no '%s'", word);
    return NULL;
}

/* Ctrl-C: the second one ends the program as usual. */
static void on_interrupt(int number)
{
    bench_interrupt();
    signal(number, SIG_DFL);
}

/* That the program keeps to; -1: none. */
struct cpus {
    int first, second;
};

static const struct cpus no_cpus = {-1, -1};

static bool refuse(const struct subcommand *command, const char *option, const char *text, const char *what)
{
    cli_usage(words_of(command), "--%s: '%s' is %s", option, text, what);
    return false;
}

/* The last of the allowed CPUs below `limit`, or -1. */
static int last_below(const cpu_set_t *allowed, int limit)
{
    while (limit-- > 0)
        if (CPU_ISSET(limit, allowed))
            return limit;
    return -1;
}

/* The CPU at *text, which moves behind it. */
static bool read_cpu(const cpu_set_t *allowed, const char **text, int *cpu)
{
    char *end;
    long number = strtol(*text, &end, 10);
    bool is_allowed = end != *text && number >= 0 && number < CPU_SETSIZE && CPU_ISSET(number, allowed);
    *text = end;
    *cpu = (int)number;
    return is_allowed;
}

/* One or two; the second is -1 where there is none of its own. */
static bool choose_cpus(const cpu_set_t *allowed, const char *text, struct cpus *cpus)
{
    *cpus = (struct cpus){.first = last_below(allowed, CPU_SETSIZE)};
    cpus->second = last_below(allowed, cpus->first);
    if (!text)
        return true;
    cpus->second = -1;
    if (!read_cpu(allowed, &text, &cpus->first))
        return false;
    if (*text == ',' && (text++, !read_cpu(allowed, &text, &cpus->second)))
        return false;
    if (cpus->second == cpus->first)
        cpus->second = -1;
    return !*text;
}

/* The CPUs that the program keeps to from now on; a message where they were asked for in vain. */
static bool pin(const struct subcommand *command, struct cpus *cpus)
{
    cpu_set_t allowed, one;
    *cpus = no_cpus;
    if (given.pin ? strcmp(given.pin, "no") == 0 : command->uses_threads)
        return true;
    if (sched_getaffinity(0, sizeof(allowed), &allowed))
        return true;
    if (!choose_cpus(&allowed, given.pin, cpus))
        return refuse(command, "pin", given.pin, "not a CPU, or two, that this program may use");
    if (!command->has_second_thread)
        cpus->second = -1;
    CPU_ZERO(&one);
    CPU_SET(cpus->first, &one);
    if (sched_setaffinity(0, sizeof(one), &one))
        *cpus = no_cpus;
    return true;
}

/* A number of the command line, or -1 where none was given. */
static bool read_number(const char *text, int *number)
{
    uint64_t value;
    *number = -1;
    if (!text)
        return true;
    if (!cli_parse_size(text, &value) || value > INT_MAX)
        return false;
    *number = (int)value;
    return true;
}

static bool read_limits(const struct subcommand *command, struct bench_limits *limits)
{
    uint64_t ms = 0;
    int batches;
    char what[40];
    if (given.seconds && !cli_parse_time(given.seconds, &ms))
        return refuse(command, "time", given.seconds, "not a time; write 500ms or 10s");
    if (!read_number(given.batches, &batches) || !batches || batches > (int)SAMPLE_LIMIT - 3) {
        snprintf(what, sizeof(what), "not a number from 1 to %u", SAMPLE_LIMIT - 3);
        return refuse(command, "batches", given.batches, what);
    }
    *limits = (struct bench_limits){.batches = batches < 0 ? 0 : (unsigned)batches,
                                    .operation_seconds = (double)ms / 1000,
                                    .quick = given.is_quick,
                                    .show_progress = isatty(STDERR_FILENO)};
    return true;
}

static bool read_blk(const struct subcommand *command, struct bench_blk_options *blk)
{
    struct vmm_error error;
    *blk = (struct bench_blk_options){.paths = given.disks,
                                      .will_write = given.is_overwrite,
                                      .is_polled = given.is_polled,
                                      .is_packed = given.is_packed};
    if (given.size && (!cli_parse_size(given.size, &blk->bytes) || !blk->bytes))
        return refuse(command, "size", given.size, "not a size; write 256M or 1G");
    while (given.disks && given.disks[blk->path_count])
        blk->path_count++;
    if (!bench_blk_check(blk, &error))
        return true;
    cli_usage(words_of(command), "%s", error.message);
    return false;
}

static bool read_options(const struct subcommand *command, struct bench_options *options)
{
    *options = (struct bench_options){
        .only = given.only, .against_qemu = given.against, .vmm = "/proc/self/exe"};
    if (given.is_json && given.is_markdown) {
        cli_usage(words_of(command), "--json and --markdown: choose one");
        return false;
    }
    if (given.against && strcmp(given.against, "qemu")) {
        cli_usage(words_of(command), "--against: there is no rival '%s'; there is: qemu", given.against);
        return false;
    }
    if (!read_number(given.ring, &options->ring) ||
        (options->ring != -1 && options->ring != 0 && options->ring != 3))
        return refuse(command, "ring", given.ring, "neither 0 nor 3");
    return read_limits(command, &options->limits) && read_blk(command, &options->blk);
}

/* What the figures are to become, asked before they are measured, which may take minutes. */
static int open_outputs(const struct subcommand *command, struct baseline **baseline)
{
    struct vmm_error error;
    *baseline = NULL;
    if (given.plot && report_check_plot(given.plot, &error)) {
        cli_message("%s", error.message);
        return CLI_HOST;
    }
    if (given.baseline && baseline_open(given.baseline, command->name, baseline, &error)) {
        cli_message("%s", error.message);
        return CLI_HOST;
    }
    return CLI_OK;
}

static int print_report(const struct bench_report *report, const struct bench_facts *facts,
                        const struct baseline *baseline)
{
    struct vmm_error error;
    if (given.is_json)
        report_print_json(stdout, report, facts);
    else if (given.is_markdown)
        report_print_markdown(stdout, report, facts);
    else
        report_print_table(stdout, report, facts);
    fflush(stdout);
    if (baseline)
        baseline_compare(given.is_json ? stderr : stdout, baseline, report, facts);
    if (!given.plot || !report_plot(report, given.plot, &error))
        return CLI_OK;
    cli_message("%s", error.message);
    return CLI_HOST;
}

static int no_operation_is_left(const struct subcommand *command)
{
    return cli_usage(words_of(command), "--only, --ring: no operation is left");
}

static int print_earlier(const struct subcommand *command, const struct bench_options *options,
                         const struct baseline *baseline)
{
    struct bench_report report;
    struct bench_facts facts;
    struct vmm_error error;
    if (report_load(given.from, command->name, &report, &facts, &error)) {
        cli_message("%s", error.message);
        return CLI_HOST;
    }
    bool had_some = report.count;
    bench_select(&report, options);
    int status = had_some && !report.count ? no_operation_is_left(command)
                                           : print_report(&report, &facts, baseline);
    bench_report_fini(&report);
    return status;
}

static bool has_figures(const struct bench_report *report)
{
    for (unsigned i = 0; i < report->count; i++)
        if (!*report->results[i].reason)
            return true;
    return false;
}

/* What was measured before something failed is what there is. */
static int measure_and_print(const struct subcommand *command, const struct bench_options *options,
                             const struct cpus *cpus, const struct baseline *baseline)
{
    struct bench_report report = {.bench = command->name};
    struct bench_facts facts;
    struct vmm_error error;
    int status = CLI_OK;
    bench_facts_gather(&facts, cpus->first, cpus->second, options->against_qemu);
    if (command->run(&report, options, &error)) {
        cli_message("%s", error.message);
        status = CLI_HOST;
    } else if (!report.count && !report.interrupted) {
        status = no_operation_is_left(command);
    } else if (!has_figures(&report) && !report.interrupted) {
        cli_message("%s: nothing could be measured here: each line says why", words_of(command));
        status = CLI_HOST;
    }
    bench_facts_conclude(&facts);
    if (report.count || status == CLI_OK) {
        int printed = print_report(&report, &facts, baseline);
        status = status ? status : printed;
    }
    bench_report_fini(&report);
    return status;
}

static int measure(const struct subcommand *command)
{
    struct bench_options options;
    struct baseline *baseline;
    struct cpus cpus;
    if (!read_options(command, &options))
        return CLI_USAGE;
    int status = open_outputs(command, &baseline);
    if (status)
        return status;
    status = CLI_USAGE;
    if (given.from) {
        status = print_earlier(command, &options, baseline);
    } else if (pin(command, &cpus)) {
        if (cpus.second >= 0)
            options.second_cpu = &cpus.second;
        signal(SIGINT, on_interrupt);
        status = measure_and_print(command, &options, &cpus, baseline);
    }
    baseline_close(baseline);
    return status;
}

int cmd_bench(int argc, const char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    int status;
    if (!word)
        return cli_usage("bench", "bench: which benchmark? None was given");
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return CLI_OK;
    }
    const struct subcommand *command = find_subcommand(word, &status);
    if (!command)
        return status;
    argv[1] = command->title;
    poptContext context = poptGetContext(command->title, argc - 1, argv + 1, command->options, 0);
    int code = poptGetNextOpt(context);
    if (code < -1)
        status = cli_bad_option(words_of(command), context, code, command->options);
    else if (poptPeekArg(context))
        status = cli_usage(words_of(command), "bench: '%s' is one argument too many", poptPeekArg(context));
    else if (given.is_help)
        print_sub_help(context, command), status = CLI_OK;
    else
        status = measure(command);
    poptFreeContext(context);
    return status;
}
