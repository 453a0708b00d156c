/* SPDX-License-Identifier: MIT
 *
 * --disk.
 */
#include "vmm/cli/run_disks.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/cli/keys.h"

static const char *const caches[] = {
    [VMM_DISK_CACHE_WRITEBACK] = "writeback", [VMM_DISK_CACHE_NONE] = "none", NULL};
static const char *const aios[] = {
    [VMM_DISK_AIO_AUTO] = "auto", [VMM_DISK_AIO_URING] = "uring", [VMM_DISK_AIO_THREADS] = "threads", NULL};
static const char *const formats[] = {"raw", NULL};

/* What is read as text or as a number of any size. */
struct disk_words {
    const char *overlay;
    uint64_t queues, block_size;
    unsigned format;
};

static bool apply(struct vmm_disk_config *disk, const struct disk_words *words)
{
    disk->overlay_memory = words->overlay && strcmp(words->overlay, "memory") == 0;
    disk->overlay_path = disk->overlay_memory ? NULL : words->overlay;
    if (words->queues > VMM_DISK_QUEUES_MAX || words->block_size > 64 << 10) {
        cli_usage("run", "--disk: queues=N is up to %d, block-size=BYTES up to 64K", VMM_DISK_QUEUES_MAX);
        return false;
    }
    disk->queue_count = (unsigned)words->queues;
    disk->block_size = (uint32_t)words->block_size;
    if (!disk->path || !*disk->path) {
        cli_usage("run", "--disk: which file? Write path=FILE");
        return false;
    }
    return true;
}

static bool parse(struct vmm_disk_config *disk, char *argument)
{
    struct disk_words words = {0};
    const struct device_key keys[] = {{"path", KEY_TEXT, &disk->path},
                                      {"format", KEY_CHOICE, &words.format, formats},
                                      {"readonly", KEY_SWITCH, &disk->read_only},
                                      {"overlay", KEY_TEXT, &words.overlay},
                                      {"cache", KEY_CHOICE, &disk->cache, caches},
                                      {"aio", KEY_CHOICE, &disk->aio, aios},
                                      {"pin", KEY_SWITCH, &disk->pin},
                                      {"transport", KEY_CHOICE, &disk->transport, keys_transports},
                                      {"queues", KEY_SIZE, &words.queues},
                                      {"block-size", KEY_SIZE, &words.block_size},
                                      {"serial", KEY_TEXT, &disk->serial},
                                      {"iops", KEY_SIZE, &disk->operations_limit},
                                      {"bandwidth", KEY_SIZE, &disk->bytes_limit}};
    char *rest = argument;
    /* A first word that is no key is the path. */
    if (!memchr(argument, '=', strcspn(argument, ",")))
        disk->path = strsep(&rest, ",");
    return keys_parse("disk", "a disk", rest, keys, ARRAY_COUNT(keys)) && apply(disk, &words);
}

bool run_disk_parse(struct run_disks *disks, char *argument)
{
    if (disks->count == DISK_LIMIT) {
        cli_usage("run", "--disk: at most %d disks", DISK_LIMIT);
        free(argument);
        return false;
    }
    disks->arguments[disks->count] = argument;
    return parse(&disks->configs[disks->count++], argument);
}

int run_disks_add(const struct run_disks *disks, struct vmm *machine, struct vmm_error *error)
{
    int result = 0;
    for (unsigned i = 0; !result && i < disks->count; i++)
        result = vmm_add_disk(machine, &disks->configs[i], error);
    return result;
}

void run_disks_fini(struct run_disks *disks)
{
    for (unsigned i = 0; i < disks->count; i++)
        free(disks->arguments[i]);
}
