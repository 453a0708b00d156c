/* SPDX-License-Identifier: MIT
 *
 * Words: those for `vmm run`, and those inside of the values of QEMU's options.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/qemu_compat.h"

void compat_add(struct compat *compat, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (compat->count < COMPAT_WORD_LIMIT && vasprintf(&compat->words[compat->count], format, arguments) >= 0)
        compat->count++;
    else
        compat->is_full = true;
    va_end(arguments);
}

bool compat_refuse(struct compat *compat, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cli_message("-%s: %s", compat->option, text);
    compat->status = CLI_USAGE;
    return false;
}

bool compat_warn(struct compat *compat, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cli_warning("-%s: %s", compat->option, text);
    return true;
}

char *compat_next_word(char **rest)
{
    char *word = *rest, *to = word, *from = word;
    if (!word)
        return NULL;
    for (; *from && (*from != ',' || from[1] == ','); from++) {
        from += *from == ',';
        *to++ = *from;
    }
    *rest = *from ? from + 1 : NULL;
    *to = 0;
    return word;
}

const char *compat_value_of(const char *word, const char *key)
{
    size_t len = strlen(key);
    return strncmp(word, key, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

bool compat_is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

bool compat_is_on(const char *value)
{
    static const char *const yes[] = {"on", "yes", "true", "y", NULL};
    return compat_is_one_of(value, yes);
}

bool compat_is_off(const char *value)
{
    static const char *const no[] = {"off", "no", "false", "n", NULL};
    return compat_is_one_of(value, no);
}
