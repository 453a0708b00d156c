/* SPDX-License-Identifier: MIT
 *
 * Messages, options, sizes and times: what the commands have in common.
 */
#include "vmm/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

static void print_message(const char *kind, const char *format, va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "vmm: %s", kind);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void cli_message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message("", format, arguments);
    va_end(arguments);
}

void cli_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message("warning: ", format, arguments);
    va_end(arguments);
}

static bool is_hint_left_out;

void cli_leave_out_hint(void)
{
    is_hint_left_out = true;
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message("", format, arguments);
    va_end(arguments);
    if (!is_hint_left_out)
        fprintf(stderr, "Try 'vmm %s%s--help'.\n", command, *command ? " " : "");
    return CLI_USAGE;
}

#define WORD_LIMIT 40

const char *cli_nearest(const char *word, const char *const *words)
{
    return nearest_word(word, words);
}

#define OPTION_LIMIT 64

/* The long names of a table and of the tables it includes. */
static size_t collect_names(const struct poptOption *options, const char **names, size_t count)
{
    for (; options->longName || options->shortName || options->arg; options++) {
        if ((options->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE)
            count = collect_names(options->arg, names, count);
        else if (options->longName && count < OPTION_LIMIT - 1)
            names[count++] = options->longName;
    }
    names[count] = NULL;
    return count;
}

int cli_bad_option(const char *command, poptContext context, int code, const struct poptOption *options)
{
    const char *option = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    const char *names[OPTION_LIMIT];
    if (code != POPT_ERROR_BADOPT)
        return cli_usage(command, "%s: %s", option, poptStrerror(code));
    collect_names(options, names, 0);
    char word[WORD_LIMIT + 1];
    const char *bare = option + strspn(option, "-");
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(bare, "="), bare);
    const char *nearest = strncmp(option, "--", 2) == 0 ? cli_nearest(word, names) : NULL;
    if (nearest)
        return cli_usage(command, "there is no option %s; did you mean --%s?", option, nearest);
    return cli_usage(command, "there is no option %s", option);
}

/* A multiplier such as K, KiB, M, MB; false where it is none. */
static bool parse_unit(const char *text, uint64_t *unit)
{
    static const char letters[] = "KMGT";
    *unit = 1;
    const char *letter = isalpha((unsigned char)*text) ? strchr(letters, toupper((unsigned char)*text))
                                                       : NULL;
    if (letter) {
        *unit = 1ull << 10 * (letter - letters + 1);
        text++;
        if (*text == 'i')
            text++;
    }
    if (*text == 'B' || *text == 'b')
        text++;
    return !*text;
}

bool cli_parse_size(const char *text, uint64_t *bytes)
{
    char *end;
    uint64_t unit;
    if (*text < '0' || *text > '9')
        return false;
    bool is_hex = text[0] == '0' && (text[1] | 0x20) == 'x';
    errno = 0;
    long double value = is_hex ? (long double)strtoull(text, &end, 16) : strtold(text, &end);
    if (errno || !parse_unit(end, &unit))
        return false;
    value *= (long double)unit;
    if (!(value < 18446744073709551616.0L) || value != (long double)(uint64_t)value)
        return false;
    *bytes = (uint64_t)value;
    return true;
}

bool cli_parse_time(const char *text, uint64_t *ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    double value = strtod(text, &end);
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcmp(end, units[i].name))
            continue;
        value *= units[i].ms;
        if (!(value >= 1 && value < 1e15))
            return false;
        *ms = (uint64_t)value;
        return true;
    }
    return false;
}

bool cli_choose(const char *option, const char *text, const char *const *names, unsigned *choice)
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
