/* SPDX-License-Identifier: MIT
 *
 * `vmm trace`: reads what `vmm run --trace` has written. Converts it, or says what it means.
 */
#include "vmm/cli/trace.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/trace_filter.h"
#include "vmm/cli/cli.h"

enum { OPTION_HELP = 1 };

static struct {
    const char *to, *output, *filter, *symbols, *rows_text;
    unsigned rows;
    bool is_report;
} options;

#define COMMON_OPTIONS                                                                                       \
    {"filter", 0, POPT_ARG_STRING, &options.filter, 0, "only records for which this is true", "EXPR"},       \
        {"symbols",                                                                                          \
         0,                                                                                                  \
         POPT_ARG_STRING,                                                                                    \
         &options.symbols,                                                                                   \
         0,                                                                                                  \
         "names for addresses: the guest's ELF file or System.map",                                          \
         "FILE"},                                                                                            \
        {"output", 'o', POPT_ARG_STRING, &options.output, 0, "write to this file (default standard output)", \
         "FILE"},                                                                                            \
        {"help", 'h', POPT_ARG_NONE, NULL, OPTION_HELP, "show this help", NULL}, POPT_TABLEEND

static const struct poptOption convert_table[] = {
    {"to", 0, POPT_ARG_STRING, &options.to, 0,
     "perfetto (JSON for ui.perfetto.dev and chrome://tracing), text, csv", "FORMAT"},
    COMMON_OPTIONS};

static const struct poptOption report_table[] = {
    {"rows", 'n', POPT_ARG_STRING, &options.rows_text, 0, "instructions to list (default 10)", "N"},
    COMMON_OPTIONS};

static void print_help(void)
{
    fputs("Usage: vmm trace convert --to perfetto|text|csv [OPTION...] FILE\n"
          "       vmm trace report [OPTION...] FILE\n"
          "\n"
          "Reads what 'vmm run --trace FILE' has written. 'vmm trace convert --help' and\n"
          "'vmm trace report --help' list the options; trace.md in share/doc/vmm\n"
          "explains both.\n"
          "\n"
          "Examples:\n"
          "  vmm run --trace boot.trace guest.img\n"
          "  vmm trace report --symbols guest.elf boot.trace\n"
          "  vmm trace convert --to perfetto -o boot.json boot.trace\n",
          stdout);
}

/* Keeps the records that the filter lets pass. */
static int apply_filter(struct trace_file *file, struct vmm_error *error)
{
    struct trace_filter *filter;
    size_t kept = 0;
    int result = trace_filter_create(options.filter, &file->names, &filter, error);
    if (result)
        return result;
    for (size_t i = 0; i < file->item_count; i++)
        if (trace_filter_match(filter, file->tracks[file->items[i].track].vcpu, &file->items[i].record))
            file->items[kept++] = file->items[i];
    file->item_count = kept;
    trace_filter_destroy(filter);
    return 0;
}

static int print_view(const struct trace_view *view)
{
    if (options.is_report)
        return trace_print_report(view, options.rows);
    if (strcmp(options.to, "text") == 0)
        return trace_print_text(view);
    return strcmp(options.to, "csv") == 0 ? trace_print_csv(view) : trace_print_perfetto(view);
}

static int write_view(struct trace_view *view)
{
    if (options.output)
        view->out = fopen(options.output, "we");
    if (!view->out) {
        cli_message("%s: cannot open: %m", options.output);
        return CLI_HOST;
    }
    int result = print_view(view);
    if (options.output && fclose(view->out) && !result)
        result = -EIO;
    if (!result)
        return CLI_OK;
    if (!options.output && result != -ENOMEM)
        return CLI_HOST; /* main says it */
    cli_message("%s: %s", options.output ? options.output : "standard output",
                result == -ENOMEM ? "out of memory" : "cannot write");
    return CLI_HOST;
}

static int open_trace(const char *path, struct trace_file **file, struct vmm_error *error)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return error_set(error, -EISDIR, "%s: is a directory; name the file that --trace has written", path);
    return trace_file_open(path, file, error);
}

/* A damaged file is shown as far as it goes, and answered by status 1. */
static int show(const char *path)
{
    struct vmm_error error;
    struct trace_file *file = NULL;
    struct symbols *symbols = NULL;
    int status = CLI_HOST, result = open_trace(path, &file, &error);
    if (!result && options.symbols)
        result = symbols_open(options.symbols, &symbols, &error);
    if (!result && options.filter && (result = apply_filter(file, &error)) == -EINVAL)
        status = CLI_USAGE;
    if (result) {
        cli_message("%s", error.message);
    } else {
        struct trace_view view = {.file = file, .symbols = symbols, .out = stdout};
        status = write_view(&view);
        if (*file->damage)
            cli_message("%s: %s; %zu record%s before that could be read", path, file->damage,
                        file->item_count, file->item_count == 1 ? "" : "s");
        if (*file->damage && status == CLI_OK)
            status = CLI_FAILED;
    }
    symbols_close(symbols);
    trace_file_destroy(file);
    return status;
}

static bool is_format(const char *word)
{
    return strcmp(word, "perfetto") == 0 || strcmp(word, "text") == 0 || strcmp(word, "csv") == 0;
}

static bool parse_rows(void)
{
    uint64_t rows = 10;
    if (options.rows_text && (!cli_parse_size(options.rows_text, &rows) || !rows || rows > UINT_MAX))
        return false;
    options.rows = (unsigned)rows;
    return true;
}

static int parse(poptContext context, const char *command, const struct poptOption *table)
{
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        if (code == OPTION_HELP) {
            poptPrintHelp(context, stdout, 0);
            return CLI_OK;
        }
    }
    if (code < -1)
        return cli_bad_option(command, context, code, table);
    const char *path = poptGetArg(context);
    if (!path)
        return cli_usage(command, "which trace? No file was given");
    if (poptPeekArg(context))
        return cli_usage(command, "one trace at a time: '%s' is one too many", poptPeekArg(context));
    if (!options.is_report && (!options.to || !is_format(options.to)))
        return cli_usage(command, "--to: choose from perfetto, text, csv");
    if (!parse_rows())
        return cli_usage(command, "--rows: '%s' is not a number from 1 on", options.rows_text);
    return show(path);
}

int cmd_trace(int argc, const char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return CLI_OK;
    }
    options.is_report = strcmp(word, "report") == 0;
    if (!options.is_report && strcmp(word, "convert"))
        return cli_usage("trace",
                         *word ? "there is no '%s'; there are convert and report"
                               : "what is to be done? There are convert and report%s",
                         word);
    const struct poptOption *table = options.is_report ? report_table : convert_table;
    const char *title = options.is_report ? "vmm trace report" : "vmm trace convert";
    argv[1] = title;
    poptContext context = poptGetContext(title, argc - 1, argv + 1, table, 0);
    poptSetOtherOptionHelp(context, "[OPTION...] FILE");
    int status = parse(context, title + 4, table);
    poptFreeContext(context);
    return status;
}
