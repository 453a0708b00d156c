/* SPDX-License-Identifier: MIT
 *
 * --device and --fw-cfg. A device is a name, the keys that it understands with where their values go, and
 * what has to be true in the end.
 */
#include "vmm/cli/run_devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/keys.h"
#include "vmm/cli/read_file.h"

#define DEBUG_EXIT_PORT       0xf4
#define DEBUG_EXIT_PORT_COUNT 4

const char *const run_engine_names[] = {
    [VMM_MMIO_AUTO] = "auto", [VMM_MMIO_KVM] = "kvm", [VMM_MMIO_TRAP] = "trap", NULL};

static bool parse_scratch(struct run_devices *devices, char *rest)
{
    if (devices->scratch_count == SCRATCH_LIMIT) {
        cli_usage("run", "--device: at most %d of scratch", SCRATCH_LIMIT);
        return false;
    }
    struct vmm_scratch_config *scratch = &devices->scratches[devices->scratch_count++];
    const struct device_key keys[] = {{"addr", KEY_SIZE, &scratch->base},
                                      {"size", KEY_SIZE, &scratch->len},
                                      {"engine", KEY_CHOICE, &scratch->engine, run_engine_names},
                                      {"coalesce", KEY_SWITCH, &scratch->coalesce},
                                      {"direct", KEY_SWITCH, &scratch->direct}};
    if (!keys_parse("device", "scratch", rest, keys, ARRAY_COUNT(keys)))
        return false;
    if (scratch->base && scratch->len)
        return true;
    cli_usage("run", "--device: scratch needs addr=ADDRESS and size=SIZE");
    return false;
}

static bool parse_testdev(struct run_devices *devices, char *rest)
{
    const struct device_key keys[] = {{"engine", KEY_CHOICE, &devices->testdev_engine, run_engine_names}};
    devices->has_testdev = true;
    return keys_parse("device", "testdev", rest, keys, ARRAY_COUNT(keys));
}

static bool parse_debug_exit(struct run_devices *devices, char *rest)
{
    if (devices->debug_exit_count == DEBUG_EXIT_LIMIT) {
        cli_usage("run", "--device: at most %d of debug-exit", DEBUG_EXIT_LIMIT);
        return false;
    }
    struct run_debug_exit *ports = &devices->debug_exits[devices->debug_exit_count++];
    const struct device_key keys[] = {{"iobase", KEY_SIZE, &ports->port},
                                      {"iosize", KEY_SIZE, &ports->count}};
    *ports = (struct run_debug_exit){.port = DEBUG_EXIT_PORT, .count = DEBUG_EXIT_PORT_COUNT};
    if (!keys_parse("device", "debug-exit", rest, keys, ARRAY_COUNT(keys)))
        return false;
    if (ports->port <= 0xffff && ports->count && ports->count <= 0x10000 - ports->port)
        return true;
    cli_usage("run",
              "--device: debug-exit has ports from iobase=PORT on, iosize=COUNT of them, up to 0xffff");
    return false;
}

static bool parse_console(struct run_devices *devices, char *rest)
{
    return run_console_parse(&devices->consoles, rest);
}

static bool parse_rng(struct run_devices *devices, char *rest)
{
    return run_rng_parse(&devices->consoles, rest);
}

static const struct device_kind {
    const char *name;
    bool (*parse)(struct run_devices *devices, char *rest);
} kinds[] = {{"scratch", parse_scratch},
             {"testdev", parse_testdev},
             {"debug-exit", parse_debug_exit},
             {"virtio-console", parse_console},
             {"virtio-rng", parse_rng}};

static bool parse_device(struct run_devices *devices, char *argument)
{
    const char *names[ARRAY_COUNT(kinds) + 1] = {NULL};
    char *rest = argument, *name = strsep(&rest, ",");
    unsigned choice;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        names[i] = kinds[i].name;
    return cli_choose("device", name, names, &choice) && kinds[choice].parse(devices, rest);
}

bool run_device_parse(struct run_devices *devices, char *argument)
{
    bool is_understood = parse_device(devices, argument);
    free(argument);
    return is_understood;
}

static bool unknown_word(char *argument, const char *word)
{
    cli_usage("run", "--fw-cfg: there is no '%s'; there are name=NAME, file=PATH, and last string=TEXT",
              word);
    free(argument);
    return false;
}

/* A text may have commas, so it is the last. */
bool run_fwcfg_parse(struct run_devices *devices, char *argument)
{
    struct run_fwcfg_file file = {.argument = argument};
    for (char *rest = argument; rest;) {
        if (strncmp(rest, "string=", 7) == 0) {
            file.text = rest + 7;
            break;
        }
        char *word = strsep(&rest, ",");
        if (strncmp(word, "name=", 5) == 0)
            file.name = word + 5;
        else if (strncmp(word, "file=", 5) == 0)
            file.path = word + 5;
        else if (!file.name && !strchr(word, '=')) /* as QEMU has it */
            file.name = word;
        else
            return unknown_word(argument, word);
    }
    if (!file.name || !file.path == !file.text || devices->file_count == FWCFG_FILE_LIMIT) {
        cli_usage("run", "--fw-cfg: write name=NAME,file=PATH or name=NAME,string=TEXT, at most %d of them",
                  FWCFG_FILE_LIMIT);
        free(argument);
        return false;
    }
    devices->files[devices->file_count++] = file;
    return true;
}

void run_devices_fini(struct run_devices *devices)
{
    for (unsigned i = 0; i < devices->file_count; i++)
        free(devices->files[i].argument);
    run_consoles_fini(&devices->consoles);
}

static int add_file(struct vmm *machine, const struct run_fwcfg_file *file, struct vmm_error *error)
{
    char *bytes;
    size_t len;
    if (file->text)
        return vmm_add_fwcfg_file(machine, file->name, file->text, strlen(file->text), error);
    int result = read_file(file->path, &bytes, &len, error);
    if (!result)
        result = vmm_add_fwcfg_file(machine, file->name, bytes, len, error);
    free(bytes);
    return result;
}

int run_devices_add(struct run_devices *devices, struct vmm *machine, struct vmm_error *error)
{
    int result = devices->debug_exit_count ? 0 : vmm_add_debug_exit(machine, DEBUG_EXIT_PORT, error);
    for (unsigned i = 0; !result && i < devices->debug_exit_count; i++)
        result = vmm_add_debug_exit_ports(machine, (uint16_t)devices->debug_exits[i].port,
                                          (unsigned)devices->debug_exits[i].count, error);
    for (unsigned i = 0; !result && i < devices->scratch_count; i++)
        result = vmm_add_scratch(machine, &devices->scratches[i], error);
    if (!result && devices->has_testdev)
        result = vmm_add_testdev(machine, devices->testdev_engine, error);
    for (unsigned i = 0; !result && i < devices->file_count; i++)
        result = add_file(machine, &devices->files[i], error);
    if (!result)
        result = run_consoles_add(&devices->consoles, machine, error);
    return result;
}
