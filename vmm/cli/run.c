/* SPDX-License-Identifier: MIT
 *
 * `vmm run`: from the command line to a machine, and from the machine's end to an exit status. What the
 * machine consists of is read in compose().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/stats.h"
#include "vmm/cli/terminal.h"

#define DEBUG_EXIT_PORT 0xf4
#define MODULE_LIMIT    16

/* The command line as popt leaves it, and what it means. */
struct run_options {
    const char *mem, *mem_backing, *serial, *irqchip, *flat, *timeout, *stats_file;
    const char *cmdline;
    int cpus, verbosity, stats_text, stats_json;
    struct vmm_config config;
    struct vmm_serial_config serial_config;
    struct vmm_image image;
    struct vmm_module modules[MODULE_LIMIT];
    struct vmm *machine;
    bool escaped;
};

static struct run_options options;

enum { OPTION_HELP = 1, OPTION_INITRD, OPTION_VERBOSE };

static const struct poptOption option_table[] = {
    {"mem", 'm', POPT_ARG_STRING, &options.mem, 0, "guest RAM, from 64K (default 128M)", "SIZE"},
    {"mem-backing", 0, POPT_ARG_STRING, &options.mem_backing, 0,
     "what backs it: anonymous (default), huge (the host's pool of huge pages), shared (a memory file)",
     "KIND"},
    {"cpus", 'c', POPT_ARG_INT, &options.cpus, 0, "number of virtual CPUs (default 1)", "N"},
    {"cmdline", 'a', POPT_ARG_STRING, &options.cmdline, 0, "the guest's command line", "TEXT"},
    {"initrd", 'i', POPT_ARG_STRING, NULL, OPTION_INITRD,
     "a file for the guest, as its module; may be repeated", "FILE[ TEXT]"},
    {"flat", 0, POPT_ARG_STRING, &options.flat, 0,
     "the image is a flat binary: real16 (at 0x7c00), prot32 or long64 (at 0x100000)", "MODE[@ADDRESS]"},
    {"serial", 's', POPT_ARG_STRING, &options.serial, 0,
     "the first serial port: stdio (default; Ctrl-A x ends the guest), none, pty, file:PATH, unix:PATH",
     "WHERE"},
    {"irqchip", 0, POPT_ARG_STRING, &options.irqchip, 0,
     "interrupt controllers: kernel, split or none (default: none for one CPU with --flat, else kernel)",
     "KIND"},
    {"timeout", 't', POPT_ARG_STRING, &options.timeout, 0, "end the guest after 500ms, 10s, 2m", "TIME"},
    {"stats", 0, POPT_ARG_NONE, &options.stats_text, 0, "say at the end what the run cost, on standard error",
     NULL},
    {"stats-json", 0, POPT_ARG_NONE, &options.stats_json, 0, "the same as one JSON object", NULL},
    {"stats-file", 0, POPT_ARG_STRING, &options.stats_file, 0, "write that to this file", "FILE"},
    {"verbose", 'v', POPT_ARG_NONE, NULL, OPTION_VERBOSE, "more messages; twice for even more", NULL},
    {"help", 'h', POPT_ARG_NONE, NULL, OPTION_HELP, "show this help", NULL},
    POPT_TABLEEND};

static const char help_tail[] =
    "\n"
    "IMAGE is an ELF file with a multiboot 1 header or a PVH note, or with --flat plain code.\n"
    "\n"
    "Exit status:\n"
    "  odd   what the guest wrote to the debug-exit port 0xf4, as (value << 1) | 1\n"
    "  0     the guest switched itself off or asked for a reset\n"
    "  2     the command line was not understood\n"
    "  4     the host: no KVM, no memory, an unreadable or damaged image\n"
    "  6     triple fault\n"
    "  8     the guest halted and nothing could wake it\n"
    "  10    KVM could not execute the guest's instruction\n"
    "  12    Ctrl-A x\n"
    "  124   --timeout\n"
    "\n"
    "Examples:\n"
    "  vmm run guest.img\n"
    "  vmm run --mem 1G --cpus 4 --cmdline 'tests=smp' --stats guest.img\n"
    "  vmm run --flat real16 --serial none boot.bin\n";

static void log_to_stderr(void *context, enum vmm_log_level level, const char *line)
{
    (void)context;
    (void)level;
    cli_message("%s", line);
}

/* The index of `text` in the list. False, with a message, where it is not there. */
static bool choose(const char *option, const char *text, const char *const *names, unsigned *choice)
{
    for (*choice = 0; names[*choice]; ++*choice)
        if (strcmp(text, names[*choice]) == 0)
            return true;
    char list[200] = "";
    for (unsigned i = 0; names[i]; i++)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", names[i]);
    const char *nearest = cli_nearest(text, names);
    cli_usage("run", "--%s: there is no '%s'; choose from: %s%s%s%s", option, text, list,
              nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "");
    return false;
}

static bool parse_memory(void)
{
    static const char *const backings[] = {
        [VMM_MEM_ANONYMOUS] = "anonymous", [VMM_MEM_HUGE] = "huge", [VMM_MEM_SHARED] = "shared", NULL};
    unsigned choice;
    if (options.mem &&
        (!cli_parse_size(options.mem, &options.config.ram_bytes) || !options.config.ram_bytes)) {
        cli_usage("run", "--mem: '%s' is not a size; write 64K, 512M or 4G", options.mem);
        return false;
    }
    if (!options.mem_backing)
        return true;
    if (!choose("mem-backing", options.mem_backing, backings, &choice))
        return false;
    options.config.mem_backing = choice;
    return true;
}

static bool parse_serial(void)
{
    struct vmm_serial_config *serial = &options.serial_config;
    const char *text = options.serial ? options.serial : "stdio";
    *serial = (struct vmm_serial_config){.in_fd = -1, .out_fd = -1};
    if (strcmp(text, "stdio") == 0) {
        *serial = (struct vmm_serial_config){
            .kind = VMM_SERIAL_DESCRIPTORS, .in_fd = STDIN_FILENO, .out_fd = STDOUT_FILENO};
    } else if (strcmp(text, "none") == 0) {
        serial->kind = VMM_SERIAL_NONE;
    } else if (strcmp(text, "pty") == 0) {
        serial->kind = VMM_SERIAL_PTY;
    } else if (strncmp(text, "file:", 5) == 0 && text[5]) {
        serial->kind = VMM_SERIAL_FILE;
        serial->path = text + 5;
    } else if (strncmp(text, "unix:", 5) == 0 && text[5]) {
        serial->kind = VMM_SERIAL_SOCKET;
        serial->path = text + 5;
    } else {
        cli_usage("run", "--serial: '%s' is none of stdio, none, pty, file:PATH, unix:PATH", text);
        return false;
    }
    return true;
}

/* MODE[@ADDRESS] */
static bool parse_flat(void)
{
    static const char *const modes[] = {"real16", "prot32", "long64", NULL};
    char mode[16];
    unsigned choice;
    if (!options.flat)
        return true;
    size_t len = strcspn(options.flat, "@");
    snprintf(mode, sizeof(mode), "%.*s", (int)len, options.flat);
    if (!choose("flat", mode, modes, &choice))
        return false;
    options.image.flat = VMM_FLAT_REAL16 + choice;
    options.image.has_flat_address = options.flat[len] == '@';
    if (options.image.has_flat_address &&
        !cli_parse_size(options.flat + len + 1, &options.image.flat_address)) {
        cli_usage("run", "--flat: '%s' is not an address; write 0x7c00 or 1M", options.flat + len + 1);
        return false;
    }
    return true;
}

static bool parse_rest(void)
{
    static const char *const irqchips[] = {[VMM_IRQCHIP_AUTO] = "auto",
                                           [VMM_IRQCHIP_KERNEL] = "kernel",
                                           [VMM_IRQCHIP_SPLIT] = "split",
                                           [VMM_IRQCHIP_NONE] = "none",
                                           NULL};
    unsigned choice;
    if (options.irqchip) {
        if (!choose("irqchip", options.irqchip, irqchips, &choice))
            return false;
        options.config.irqchip = choice;
    }
    if (options.stats_file && !options.stats_json)
        options.stats_text = true;
    if (options.timeout && !cli_parse_time(options.timeout, &options.config.timeout_ms)) {
        cli_usage("run", "--timeout: '%s' is not a time; write 500ms, 10s or 2m", options.timeout);
        return false;
    }
    if (options.cpus < 0 || options.cpus > 4096) {
        cli_usage("run", "--cpus: %d is not a number of CPUs; write 1, 2, 4 ...", options.cpus);
        return false;
    }
    options.config.cpu_count = (unsigned)options.cpus;
    return true;
}

/* "FILE TEXT": the text behind the first space is the module's command line. */
static bool add_module(char *argument)
{
    if (options.image.module_count == MODULE_LIMIT) {
        cli_usage("run", "--initrd: at most %d modules", MODULE_LIMIT);
        return false;
    }
    char *space = strchr(argument, ' ');
    if (space)
        *space++ = 0;
    options.modules[options.image.module_count++] = (struct vmm_module){.path = argument, .cmdline = space};
    options.image.modules = options.modules;
    return true;
}

/* CLI_OK, or another status where the command ends here; *is_help where it was all that was asked for. */
static int parse(poptContext context, bool *is_help)
{
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        char *argument = poptGetOptArg(context);
        switch (code) {
        case OPTION_HELP:
            *is_help = true;
            return CLI_OK;
        case OPTION_INITRD:
            if (!add_module(argument))
                return CLI_USAGE;
            break;
        case OPTION_VERBOSE:
            options.verbosity++;
            break;
        }
    }
    if (code < -1)
        return cli_bad_option("run", context, code, option_table);
    options.image.path = poptGetArg(context);
    options.image.cmdline = options.cmdline;
    if (!options.image.path)
        return cli_usage("run", "which image? None was given");
    if (poptPeekArg(context))
        return cli_usage("run", "one image at a time: '%s' is one too many", poptPeekArg(context));
    return parse_memory() && parse_serial() && parse_flat() && parse_rest() ? CLI_OK : CLI_USAGE;
}

static void on_escape(void *context)
{
    struct run_options *run = context;
    run->escaped = true;
    vmm_stop(run->machine);
}

/* What the machine consists of, in the order in which it is put together. */
static int compose(struct vmm_error *error)
{
    options.config.log = log_to_stderr;
    options.config.log_level = VMM_LOG_WARNING + (unsigned)options.verbosity;
    options.config.measure_time = options.stats_text || options.stats_json;
    if (options.serial_config.kind == VMM_SERIAL_DESCRIPTORS && isatty(STDIN_FILENO)) {
        options.serial_config.on_escape = on_escape;
        options.serial_config.escape_context = &options;
    }
    int result = vmm_create(&options.config, &options.machine, error);
    if (!result)
        result = vmm_add_serial(options.machine, &options.serial_config, error);
    if (!result)
        result = vmm_add_debug_exit(options.machine, DEBUG_EXIT_PORT, error);
    if (!result)
        result = vmm_add_legacy(options.machine, error);
    return result ? result : vmm_load(options.machine, &options.image, error);
}

static int status_of(const struct vmm_end *end)
{
    switch (end->reason) {
    case VMM_END_POWER_OFF:
    case VMM_END_RESET:
        return CLI_OK;
    case VMM_END_DEBUG_EXIT:
        return (int)(end->value << 1 | 1) & 0xff;
    case VMM_END_STOPPED:
        return CLI_STOPPED;
    case VMM_END_TIMEOUT:
        cli_message("the guest was ended after its time of %s", options.timeout);
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

static int report_stats(const struct vmm_end *end)
{
    FILE *file = options.stats_file ? fopen(options.stats_file, "we") : stderr;
    if (!file) {
        cli_message("%s: cannot open: %m", options.stats_file);
        return CLI_HOST;
    }
    if (options.stats_json)
        stats_print_json(file, options.machine, end);
    else
        stats_print_text(file, options.machine, end);
    if (options.stats_file && fclose(file)) {
        cli_message("%s: cannot write: %m", options.stats_file);
        return CLI_HOST;
    }
    return CLI_OK;
}

static int run_machine(void)
{
    struct vmm_error error;
    struct vmm_end end;
    int result = compose(&error);
    if (!result) {
        if (options.serial_config.kind == VMM_SERIAL_DESCRIPTORS)
            terminal_make_raw(STDIN_FILENO);
        result = vmm_run(options.machine, &end, &error);
        terminal_restore();
    }
    int status = CLI_HOST;
    if (result)
        cli_message("%s", error.message);
    else
        status = status_of(&end);
    if (!result && (options.stats_text || options.stats_json) && report_stats(&end))
        status = CLI_HOST;
    vmm_destroy(options.machine);
    return status;
}

int cmd_run(int argc, const char **argv)
{
    bool is_help = false;
    poptContext context = poptGetContext("vmm run", argc, argv, option_table, 0);
    poptSetOtherOptionHelp(context, "[OPTION...] IMAGE");
    int status = parse(context, &is_help);
    if (is_help) {
        poptPrintHelp(context, stdout, 0);
        fputs(help_tail, stdout);
    } else if (status == CLI_OK) {
        status = run_machine();
    }
    poptFreeContext(context);
    return status;
}
