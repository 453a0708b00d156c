/* SPDX-License-Identifier: MIT
 *
 * QEMU's options for what is in the machine: serial ports, devices, files of fw_cfg.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/cli/qemu_compat.h"

bool compat_add_serial(struct compat *compat, const char *where)
{
    if (compat->has_serial && strcmp(where, "none") == 0)
        return true;
    if (compat->has_serial)
        return compat_refuse(compat, "'%s': there is one serial port", where);
    compat->has_serial = true;
    compat_add(compat, "--serial");
    compat_add(compat, "%s", where);
    return true;
}

bool compat_read_serial(struct compat *compat, char *value)
{
    char *word = compat_next_word(&value);
    if (strcmp(word, "mon:stdio") == 0)
        return compat_add_serial(compat, "stdio");
    if (strcmp(word, "null") == 0)
        return compat_add_serial(compat, "none");
    if (strcmp(word, "stdio") == 0 || strcmp(word, "none") == 0 || strcmp(word, "pty") == 0 ||
        ((strncmp(word, "file:", 5) == 0 || strncmp(word, "unix:", 5) == 0) && word[5]))
        return compat_add_serial(compat, word);
    return compat_refuse(compat, "'%s' is none of stdio, mon:stdio, none, null, pty, file:PATH, unix:PATH",
                         word);
}

bool compat_read_nographic(struct compat *compat, char *value)
{
    (void)value;
    return compat->is_nographic = true;
}

static bool add_debug_exit(struct compat *compat, char *rest)
{
    const char *base = "0x501", *size = "2"; /* QEMU's defaults */
    for (char *word; (word = compat_next_word(&rest));) {
        if (compat_value_of(word, "iobase"))
            base = compat_value_of(word, "iobase");
        else if (compat_value_of(word, "iosize"))
            size = compat_value_of(word, "iosize");
        else
            return compat_refuse(compat, "isa-debug-exit has no '%s'; it has iobase, iosize", word);
    }
    uint64_t first, count;
    if (!cli_parse_size(base, &first) || !cli_parse_size(size, &count) || !count || first > 0xffff ||
        count > 0x10000 - first)
        return compat_refuse(compat, "isa-debug-exit: iobase=%s,iosize=%s are no ports up to 0xffff", base,
                             size);
    compat_add(compat, "--device");
    compat_add(compat, "debug-exit,iobase=%s,iosize=%s", base, size);
    return true;
}

/* A device's name in messages is all that it has of properties here. */
static bool read_no_keys(struct compat *compat, const char *name, char *rest)
{
    for (char *word; (word = compat_next_word(&rest));)
        if (!compat_value_of(word, "id"))
            return compat_refuse(compat, "%s has no '%s' here; leave it out", name, word);
    return true;
}

static void list_devices(void)
{
    printf("name \"isa-debug-exit\", bus ISA\nname \"pc-testdev\", bus ISA\nname \"pvpanic\", bus ISA\n"
           "name \"virtio-rng-pci\", bus PCI\n");
}

/* Some are always there; others are absent, which the test kernels that look for them report themselves. */
bool compat_read_device(struct compat *compat, char *value)
{
    static const char *const present[] = {"pvpanic", "isa-pvpanic", "isa-serial", NULL};
    static const char *const given[] = {"pc-testdev", "testdev", "virtio-rng-pci", NULL};
    static const char *const absent[] = {"pci-testdev", "edu", "hyperv-testdev", NULL};
    char *name = compat_next_word(&value);
    if (strcmp(name, "help") == 0 || strcmp(name, "?") == 0) {
        list_devices();
        return false;
    }
    if (strcmp(name, "isa-debug-exit") == 0)
        return add_debug_exit(compat, value);
    if (compat_is_one_of(name, absent))
        return compat_warn(compat, "%s is not there; the guest goes on without it", name);
    if ((compat_is_one_of(name, present) || compat_is_one_of(name, given)) &&
        !read_no_keys(compat, name, value))
        return false;
    if (strcmp(name, "pc-testdev") == 0 || strcmp(name, "testdev") == 0) {
        if (!compat->has_testdev) {
            compat_add(compat, "--device");
            compat_add(compat, "testdev");
        }
        compat->has_testdev = true;
        return true;
    }
    if (strcmp(name, "virtio-rng-pci") == 0) {
        compat_add(compat, "--device");
        compat_add(compat, "virtio-rng");
        return true;
    }
    if (compat_is_one_of(name, present))
        return true;
    return compat_refuse(
        compat, "there is no '%s'; '-device help' lists what there is, and 'vmm run' has more", name);
}

bool compat_read_fw_cfg(struct compat *compat, char *value)
{
    char *name = NULL, *from = NULL;
    for (char *word; (word = compat_next_word(&value));) {
        if (compat_value_of(word, "name"))
            name = (char *)compat_value_of(word, "name");
        else if (compat_value_of(word, "file") || compat_value_of(word, "string"))
            from = word;
        else if (!name && !strchr(word, '='))
            name = word;
        else
            return compat_refuse(compat, "there is no '%s'; there are name=NAME, file=PATH, string=TEXT",
                                 word);
    }
    if (!name || !from)
        return compat_refuse(compat, "write name=NAME,file=PATH or name=NAME,string=TEXT");
    compat_add(compat, "--fw-cfg");
    compat_add(compat, "name=%s,%s", name, from);
    return true;
}
