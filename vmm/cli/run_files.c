/* SPDX-License-Identifier: MIT
 *
 * What a run reads and what it writes: that no file is both, under whatever names.
 */
#include "vmm/cli/run_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX (1 + MODULE_LIMIT + 2 * DISK_LIMIT + FWCFG_FILE_LIMIT)
#define PORTS_MAX (CONSOLE_LIMIT * CONSOLE_PORTS_LIMIT)
#define COUNT_MAX (FILES_MAX > 3 + PORTS_MAX ? FILES_MAX : 3 + PORTS_MAX)

struct file_list {
    struct {
        const char *what, *path; /* of a file that is written, the option */
    } files[COUNT_MAX];
    size_t count;
};

/* NULL is no file. */
static void add(struct file_list *list, const char *what, const char *path)
{
    if (!path)
        return;
    list->files[list->count].what = what;
    list->files[list->count++].path = path;
}

static void list_read(const struct run_options *options, struct file_list *list)
{
    list->count = 0;
    add(list, "the image", options->image.path);
    for (size_t i = 0; i < options->image.module_count; i++)
        add(list, "an initrd", options->modules[i].path);
    for (unsigned i = 0; i < options->devices.file_count; i++)
        add(list, "a file of --fw-cfg", options->devices.files[i].path);
    for (unsigned i = 0; i < options->disks.count; i++) {
        add(list, "a disk", options->disks.configs[i].path);
        add(list, "a disk's overlay", options->disks.configs[i].overlay_path);
    }
}

static void list_written(const struct run_options *options, struct file_list *list)
{
    const struct run_consoles *consoles = &options->devices.consoles;
    list->count = 0;
    add(list, "stats-file", options->stats_file);
    add(list, "trace", trace_options.config.path);
    if (options->serial_config.kind == VMM_SERIAL_FILE)
        add(list, "serial", options->serial_config.path);
    for (unsigned i = 0; i < consoles->console_count; i++)
        for (size_t j = 0; j < consoles->consoles[i].config.port_count; j++)
            if (consoles->consoles[i].ports[j].where.kind == VMM_SERIAL_FILE)
                add(list, "device: virtio-console", consoles->consoles[i].ports[j].where.path);
}

/* Terminals and /dev/null may be both. */
static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino && !S_ISCHR(one->st_mode);
}

/* The number in the list; its length where it is not there. */
static size_t find(const struct file_list *list, const char *path)
{
    struct stat wanted, status;
    size_t i = 0;
    if (stat(path, &wanted))
        return list->count;
    while (i < list->count && !(stat(list->files[i].path, &status) == 0 && is_same(&status, &wanted)))
        i++;
    return i;
}

/* The message that loading it would give. */
static int check_image(const struct run_options *options)
{
    const char *path = options->image.path, *before = options->not_loaded;
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
        return CLI_OK;
    cli_message("%s%s%s: cannot open: %s", before ? before : "", before ? ": " : "", path, strerror(errno));
    return CLI_HOST;
}

int run_files_check(const struct run_options *options)
{
    struct file_list read, written;
    list_written(options, &written);
    if (!written.count)
        return CLI_OK;
    list_read(options, &read);
    for (size_t i = 0; i < written.count; i++) {
        size_t at = find(&read, written.files[i].path);
        if (at < read.count)
            return cli_usage("run", "--%s: %s is %s, too, and would be lost: give another file",
                             written.files[i].what, written.files[i].path, read.files[at].what);
    }
    return check_image(options);
}
