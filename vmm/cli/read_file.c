/* SPDX-License-Identifier: MIT
 *
 * Reading a whole file, of any length, into memory.
 */
#include "vmm/cli/read_file.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"

/* 0, or the negative errno of what could not be read or kept. */
static int copy(FILE *from, FILE *to)
{
    char part[1 << 16];
    size_t got;
    while ((got = fread(part, 1, sizeof(part), from)) > 0)
        if (fwrite(part, 1, got, to) != got)
            return -ENOMEM;
    return ferror(from) ? -errno : 0;
}

int read_file(const char *path, char **bytes, size_t *len, struct vmm_error *error)
{
    *bytes = NULL;
    *len = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_errno(error, -errno, "%s: cannot open", path);
    FILE *memory = open_memstream(bytes, len);
    int result = memory ? copy(file, memory) : -ENOMEM;
    if (memory && fclose(memory) && !result)
        result = -ENOMEM;
    fclose(file);
    return result ? error_set_errno(error, result, "%s: cannot read", path) : 0;
}
