/* SPDX-License-Identifier: MIT
 *
 * QEMU's options for what the machine is: memory, CPUs, accelerator, machine type.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/qemu_compat.h"

/* SIZE or size=SIZE, in MiB without a suffix. */
bool compat_read_memory(struct compat *compat, char *value)
{
    char *word = compat_next_word(&value);
    const char *size = compat_value_of(word, "size") ? compat_value_of(word, "size") : word;
    if (value)
        return compat_refuse(compat, "'%s': memory slots for hotplug are not there; give the size alone",
                             value);
    size_t digits = strspn(size, "0123456789");
    if (!digits)
        return compat_refuse(compat, "'%s' is not a size; write 512 (MiB), 512M or 4G", size);
    compat_add(compat, "--mem");
    compat_add(compat, "%s%s", size, size[digits] ? "" : "M");
    return true;
}

/* N or cpus=N, and the topology, which `vmm run` derives from N: one thread a core, one socket. */
bool compat_read_cpus(struct compat *compat, char *value)
{
    static const char *const shapes[] = {"sockets", "dies", "clusters", "cores", "threads", "maxcpus", NULL};
    unsigned long count = 0, product = 1;
    for (char *word; (word = compat_next_word(&value));) {
        char *number = strchr(word, '=');
        if (number)
            *number++ = 0;
        char *end = (char *)"";
        unsigned long parsed = strtoul(number ? number : word, &end, 10);
        if (*end || !parsed || parsed > 65536)
            return compat_refuse(compat, "'%s' is not a number of CPUs", number ? number : word);
        if (!number || strcmp(word, "cpus") == 0)
            count = parsed;
        else if (!compat_is_one_of(word, shapes))
            return compat_refuse(compat, "there is no '%s'", word);
        else if (strcmp(word, "maxcpus"))
            product *= parsed;
    }
    compat_add(compat, "--cpus");
    compat_add(compat, "%lu", count ? count : product < 65536 ? product : 65536);
    return true;
}

/* What of a CPU's features "+x", "x=on", "-x" and "x=off" say. What is on, KVM's CPU has already, or cannot
 * have; what is off is taken out. */
static void read_feature(struct compat *compat, char *word)
{
    char *value = strchr(word, '=');
    const char *name = *word == '-' ? word + 1 : word;
    if (value)
        *value++ = 0;
    if (*word != '-' && (!value || compat_is_on(value) || strcmp(value, "off")))
        return;
    size_t len = strlen(compat->cpu);
    snprintf(compat->cpu + len, sizeof(compat->cpu) - len, "%s-%s", len ? "," : "", name);
}

/* Any model is the host's CPU: KVM runs no other. */
bool compat_read_cpu(struct compat *compat, char *value)
{
    char *model = compat_next_word(&value);
    if (strcmp(model, "help") == 0 || strcmp(model, "?") == 0) {
        printf("Available CPUs:\n  host, max (the same; other names are taken for it)\n");
        return false;
    }
    for (char *word; (word = compat_next_word(&value));)
        read_feature(compat, word);
    return true;
}

static bool read_irqchip(struct compat *compat, const char *value)
{
    if (strcmp(value, "split") == 0) {
        compat_add(compat, "--irqchip");
        compat_add(compat, "split");
    } else if (!compat_is_on(value)) {
        return compat_refuse(compat, "kernel-irqchip=%s: interrupt controllers are KVM's; write on or split",
                             value);
    }
    return true;
}

/* "kvm:tcg" lets QEMU choose: the first that is here. */
static bool read_accelerators(struct compat *compat, const char *list)
{
    for (size_t len; *list; list += len + (list[len] == ':')) {
        len = strcspn(list, ":");
        if (len == 3 && strncmp(list, "kvm", 3) == 0)
            return true;
    }
    return compat_refuse(compat, "there is no other accelerator than kvm");
}

bool compat_read_accel(struct compat *compat, char *value)
{
    char *word = compat_next_word(&value);
    if (strcmp(word, "help") == 0 || strcmp(word, "?") == 0) {
        printf("Accelerators supported in QEMU binary:\nkvm\n");
        return false;
    }
    if (!read_accelerators(compat, compat_value_of(word, "accel") ? compat_value_of(word, "accel") : word))
        return false;
    while ((word = compat_next_word(&value))) {
        const char *irqchip = compat_value_of(word, "kernel-irqchip");
        if (irqchip && !read_irqchip(compat, irqchip))
            return false;
    }
    return true;
}

/* [type=]TYPE,KEY=VALUE...: the type does not matter, and of the keys only two do. */
static bool read_machine_word(struct compat *compat, const char *word)
{
    static const char *const harmless[] = {
        "type", "vmport", "smm", "graphics",        "usb", "hpet", "mem-merge", "i8042", "smbus",
        "sata", "pit",    "pic", "dump-guest-core", NULL};
    char key[40];
    const char *accel = compat_value_of(word, "accel"), *acpi = compat_value_of(word, "acpi");
    const char *irqchip = compat_value_of(word, "kernel_irqchip");
    if (!irqchip)
        irqchip = compat_value_of(word, "kernel-irqchip");
    snprintf(key, sizeof(key), "%.*s", (int)strcspn(word, "="), word);
    if (accel)
        return read_accelerators(compat, accel);
    if (irqchip)
        return read_irqchip(compat, irqchip);
    if (acpi && !compat_is_on(acpi))
        compat_add(compat, "--no-acpi");
    if (acpi || !strchr(word, '=') || compat_is_one_of(key, harmless))
        return true;
    return compat_refuse(compat, "there is no '%s'; leave it out", word);
}

bool compat_read_machine(struct compat *compat, char *value)
{
    if (strcmp(value, "help") == 0 || strcmp(value, "?") == 0) {
        printf("Supported machines are:\nq35, pc, microvm (the same machine)\n");
        return false;
    }
    for (char *word; (word = compat_next_word(&value));)
        if (!read_machine_word(compat, word))
            return false;
    return true;
}
