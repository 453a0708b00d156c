/* SPDX-License-Identifier: MIT
 *
 * `vmm run`: from the command line to a machine, and from the machine's end to an exit status. What the
 * machine consists of is read in compose().
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "vmm/cli/resize.h"
#include "vmm/cli/run_files.h"
#include "vmm/cli/run_options.h"
#include "vmm/cli/stats.h"
#include "vmm/cli/stop.h"
#include "vmm/cli/terminal.h"

#define CPUS_USUALLY_ALLOWED 512

/* Whether what the guest writes and our messages are seen in one place. */
static bool is_seen_together(void)
{
    struct stat out, err;
    if (fstat(STDOUT_FILENO, &out) || fstat(STDERR_FILENO, &err))
        return false;
    return (out.st_dev == err.st_dev && out.st_ino == err.st_ino) ||
           (S_ISFIFO(out.st_mode) && isatty(STDERR_FILENO));
}

/* Before a message: the guest may be somewhere in a line. */
static void begin_line(struct vmm *machine)
{
    if (machine && vmm_break_line(machine) && is_seen_together())
        fputc('\n', stderr);
}

static void log_to_stderr(void *context, enum vmm_log_level level, const char *line)
{
    begin_line(*(struct vmm **)context);
    if (level == VMM_LOG_WARNING)
        cli_warning("%s", line);
    else
        cli_message("%s", line);
}

static void on_escape(void *context)
{
    vmm_stop(*(struct vmm **)context);
}

static bool wants_stats(const struct run_options *options)
{
    return options->stats_text || options->stats_json;
}

static int load(const struct run_options *options, struct vmm *machine, struct vmm_error *error)
{
    int result = vmm_load(machine, &options->image, error);
    if (result && options->not_loaded) {
        const struct vmm_error cause = *error;
        error_set(error, result, "%s: %s", options->not_loaded, cause.message);
    }
    return result;
}

/* What the machine consists of, in the order in which it is put together. */
static int compose(struct run_options *options, struct vmm **machine, struct vmm_error *error)
{
    options->config.log = log_to_stderr;
    options->config.log_context = machine;
    bool has_pty = options->serial_config.kind == VMM_SERIAL_PTY ||
                   run_consoles_count(&options->devices.consoles, VMM_SERIAL_PTY);
    options->config.log_level = options->verbose ? VMM_LOG_INFO : VMM_LOG_WARNING;
    if (has_pty)
        options->config.log_level = VMM_LOG_INFO; /* where the terminal is has to be said */
    /* With -v there is a report all the same, and then it is we who take it for a reset. */
    options->config.triple_fault_resets = options->triple_fault_reboots && !options->verbose;
    options->config.cpu_features = options->cpu;
    options->config.no_run_ahead = options->no_run_ahead;
    options->config.measure_time = wants_stats(options);
    if (options->serial_config.kind == VMM_SERIAL_DESCRIPTORS && isatty(STDIN_FILENO)) {
        options->serial_config.on_escape = on_escape;
        options->serial_config.escape_context = machine;
    }
    run_consoles_set_escape(&options->devices.consoles, on_escape, machine);
    int result = vmm_create(&options->config, machine, error);
    if (!result)
        result = vmm_add_serial(*machine, &options->serial_config, error);
    if (!result)
        result = vmm_add_legacy(*machine, error);
    if (!result)
        result = vmm_add_progress(*machine, error);
    if (!result && options->pci)
        result = vmm_add_pci(*machine, error);
    if (!result && !options->no_acpi)
        result = vmm_add_acpi(*machine, error);
    if (!result)
        result = run_devices_add(&options->devices, *machine, error);
    if (!result)
        result = run_disks_add(&options->disks, *machine, error);
    if (!result && trace_options.config.path) {
        result = vmm_add_trace(*machine, &trace_options.config, error);
        options->is_misused = result == -EINVAL;
    }
    if (!result)
        result = load(options, *machine, error);
    if (!result && options->dump_acpi)
        result = vmm_dump_acpi(*machine, options->dump_acpi, error);
    return result;
}

/* Says why the guest was ended, where that was not its own doing. */
static void say_end(const struct run_options *options, struct vmm *machine, const struct vmm_end *end)
{
    char text[100] = "the guest has panicked";
    switch (end->reason) {
    case VMM_END_PANIC:
        break;
    case VMM_END_STOPPED:
        snprintf(text, sizeof(text), "the guest was ended by %s%s", options->signal ? "SIG" : "Ctrl-A x",
                 options->signal ? sigabbrev_np(options->signal) : "");
        break;
    case VMM_END_TIMEOUT:
        snprintf(text, sizeof(text), "the guest was ended after its time of %s", options->timeout);
        break;
    case VMM_END_POWER_OFF:
    case VMM_END_RESET:
    case VMM_END_DEBUG_EXIT:
    case VMM_END_HALTED:
    case VMM_END_TRIPLE_FAULT:
    case VMM_END_NOT_EXECUTED:
        return;
    }
    begin_line(machine);
    cli_message("%s", text);
}

static int status_of(const struct vmm_end *end)
{
    switch (end->reason) {
    case VMM_END_POWER_OFF:
    case VMM_END_RESET:
        return CLI_OK;
    case VMM_END_DEBUG_EXIT:
        return (int)(end->value << 1 | 1) & 0xff;
    case VMM_END_PANIC:
        return CLI_PANIC;
    case VMM_END_STOPPED:
        return CLI_STOPPED;
    case VMM_END_TIMEOUT:
        return CLI_TIMEOUT;
    case VMM_END_HALTED:
        return CLI_HALTED;
    case VMM_END_TRIPLE_FAULT:
        return CLI_TRIPLE_FAULT;
    case VMM_END_NOT_EXECUTED:
        return CLI_NOT_EXECUTED;
    }
    return CLI_HOST;
}

/* Where statistics are to go is found out before a run that may take hours. False, with a message, where it
 * cannot be. */
static bool open_stats(const struct run_options *options, struct run_stats **stats, FILE **file)
{
    *stats = NULL;
    *file = stderr;
    if (!wants_stats(options))
        return true;
    if (options->stats_file)
        *file = fopen(options->stats_file, "we");
    if (!*file) {
        cli_message("%s: cannot open: %m", options->stats_file);
        return false;
    }
    *stats = calloc(1, sizeof(**stats));
    if (!*stats)
        cli_message("statistics: out of memory");
    return *stats;
}

/* `end` is NULL where there was no run to speak of. */
static int close_stats(const struct run_options *options, struct run_stats *stats, FILE *file,
                       const struct vmm_end *end)
{
    if (stats && end && options->stats_json)
        stats_print_json(file, stats, end);
    else if (stats && end)
        stats_print_text(file, stats, end);
    free(stats);
    if (file == stderr || fclose(file) == 0)
        return CLI_OK;
    cli_message("%s: cannot write: %m", options->stats_file);
    return CLI_HOST;
}

/* Each CPU is a descriptor, and 1,024 are usual for a process that has not asked for more. */
static void allow_descriptors(unsigned cpu_count)
{
    struct rlimit limit;
    if (cpu_count <= CPUS_USUALLY_ALLOWED || getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* One machine, from its making to its end. *machine is the caller's to destroy, also where it is an error. */
static int run_once(struct run_options *options, struct run_stats *stats, struct vmm **machine,
                    struct vmm_end *end, struct vmm_error *error)
{
    int result = compose(options, machine, error);
    if (!result) {
        if (options->serial_config.kind == VMM_SERIAL_DESCRIPTORS ||
            run_consoles_count(&options->devices.consoles, VMM_SERIAL_DESCRIPTORS))
            terminal_make_raw(STDIN_FILENO);
        struct resize_watch window = {0};
        unsigned console;
        if (run_consoles_find_terminal(&options->devices.consoles, &console))
            resize_watch_start(&window, *machine, console);
        struct stop_watch signals = {.machine = NULL};
        if (trace_options.config.path || stats)
            stop_watch_start(&signals, *machine);
        result = vmm_run(*machine, end, error);
        if (!result && end->reason == VMM_END_TRIPLE_FAULT && options->triple_fault_reboots)
            end->reason = VMM_END_RESET; /* with -v it comes with a report, but is none the less one */
        stop_watch_end(&signals);
        options->signal = signals.number;
        resize_watch_stop(&window);
        terminal_restore();
        trace_options_conclude(*machine);
    }
    if (!result && stats)
        stats_add(stats, *machine);
    return result;
}

/* A guest that is started again finds its terminals and sockets as they were. */
static int keep_peers(struct run_options *options, struct vmm_error *error)
{
    if (!options->restarts)
        return 0;
    int result = vmm_serial_peer_create(&options->serial_config.peer, error);
    return result ? result : run_consoles_keep(&options->devices.consoles, error);
}

static uint64_t now_ms(void)
{
    return (uint64_t)clock_read_ns(CLOCK_MONOTONIC) / 1000000;
}

/* Whether the guest's end is its reboot: then the machine starts again from its image, everything in it new.
 * --timeout is for all starts together. */
static bool starts_again(struct run_options *options, struct vmm_end *end, uint64_t since_ms)
{
    if (end->reason != VMM_END_RESET || !options->restarts)
        return false;
    uint64_t passed_ms = options->timeout ? now_ms() - since_ms : 0;
    if (options->timeout && passed_ms >= options->timeout_ms) {
        end->reason = VMM_END_TIMEOUT;
        return false;
    }
    if (options->timeout)
        options->config.timeout_ms = options->timeout_ms - passed_ms;
    options->serial_config.append = true;
    run_consoles_append(&options->devices.consoles);
    trace_options_restart();
    return true;
}

/* For a destroy: no message goes by way of a machine that is on its way out. */
static struct vmm *let_go(struct vmm **machine)
{
    struct vmm *old = *machine;
    *machine = NULL;
    return old;
}

/* What is said of the end, or of the `error` where there is one; the exit status. */
static int conclude(const struct run_options *options, struct vmm *machine, const struct vmm_end *end,
                    const struct vmm_error *error)
{
    if (!error) {
        say_end(options, machine, end);
        return status_of(end);
    }
    begin_line(machine);
    cli_message("%s", error->message);
    return options->is_misused ? CLI_USAGE : CLI_HOST;
}

static int run_machine(struct run_options *options)
{
    struct run_stats *stats;
    struct vmm_error error;
    struct vmm_end end;
    FILE *stats_file;
    uint64_t since_ms = options->timeout ? now_ms() : 0;
    int refused = run_files_check(options);
    if (refused)
        return refused;
    if (!open_stats(options, &stats, &stats_file))
        return CLI_HOST;
    options->timeout_ms = options->config.timeout_ms;
    allow_descriptors(options->config.cpu_count);
    /* A reader of the guest's output that goes away is an error of that write, not the end of the guest. */
    signal(SIGPIPE, SIG_IGN);
    int result = keep_peers(options, &error);
    struct vmm *machine = NULL;
    for (bool starts = !result; starts; starts = !result && starts_again(options, &end, since_ms)) {
        vmm_destroy(let_go(&machine));
        result = run_once(options, stats, &machine, &end, &error);
    }
    int status = conclude(options, machine, &end, result ? &error : NULL);
    if (stats && stats_file == stderr)
        begin_line(machine);
    vmm_destroy_at_exit(let_go(&machine));
    return close_stats(options, stats, stats_file, result ? NULL : &end) ? CLI_HOST : status;
}

int run_as(int argc, const char **argv, const char *not_loaded)
{
    int status;
    struct run_options *options = run_options_parse(argc, argv, &status);
    if (!options)
        return status;
    options->not_loaded = not_loaded;
    status = run_machine(options);
    run_options_fini();
    if (options->signal) {
        fflush(NULL);
        signal(options->signal, SIG_DFL);
        raise(options->signal); /* that is how the run has ended */
    }
    return status;
}

int cmd_run(int argc, const char **argv)
{
    return run_as(argc, argv, NULL);
}
