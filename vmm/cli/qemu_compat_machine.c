/* SPDX-License-Identifier: MIT
 *
 * QEMU's options for what the machine is: memory, number of CPUs, accelerator, machine type.
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
    char text[40];
    uint64_t bytes;
    snprintf(text, sizeof(text), "%s%s", size, size[digits] ? "" : "M");
    if (!cli_parse_size(text, &bytes) || bytes < RAM_BYTES_MIN || bytes % RAM_UNIT)
        return compat_refuse(compat, "'%s' is no size of guest RAM; write 512 (MiB), 512M or 4G", size);
    compat_add(compat, "--mem");
    compat_add(compat, "%s", text);
    return true;
}

#define CPUS_LIMIT 65536

/* N or cpus=N, and the topology, which `vmm run` derives from N: one thread a core, one socket. */
bool compat_read_cpus(struct compat *compat, char *value)
{
    static const char *const shapes[] = {"sockets", "dies", "clusters", "threads", "cores", "maxcpus", NULL};
    unsigned long count = 0, product = 1, most = 0;
    bool is_shaped = false;
    for (char *word; (word = compat_next_word(&value));) {
        char *number = strchr(word, '=');
        if (number)
            *number++ = 0;
        char *end = (char *)"";
        unsigned long parsed = strtoul(number ? number : word, &end, 10);
        if (*end || !parsed || parsed > CPUS_LIMIT)
            return compat_refuse(compat, "'%s' is not a number of CPUs", number ? number : word);
        if (!number || strcmp(word, "cpus") == 0)
            count = parsed;
        else if (!compat_is_one_of(word, shapes))
            return compat_refuse(compat, "there is no '%s'", word);
        else if (strcmp(word, "maxcpus") == 0)
            most = parsed;
        else
            product = product * parsed < CPUS_LIMIT ? product * parsed : CPUS_LIMIT;
        is_shaped |= number && parsed > 1 && *word != 'm' && strcmp(word, "cpus") && strcmp(word, "cores");
    }
    count = count ? count : product;
    if (is_shaped)
        compat_warn(compat, "the topology is not kept: every CPU is a core of one socket");
    if (most > count)
        compat_warn(compat, "maxcpus=%lu: CPUs cannot be added later; there are %lu", most, count);
    compat_add(compat, "--cpus");
    compat_add(compat, "%lu", count);
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

/* "kvm:tcg", as "-accel kvm -accel tcg", lets QEMU choose: the first that is here. */
static void read_accelerators(struct compat *compat, const char *list)
{
    for (size_t len; *list; list += len + (list[len] == ':')) {
        len = strcspn(list, ":");
        if (len == 3 && strncmp(list, "kvm", 3) == 0)
            compat->has_kvm = true;
        else
            compat->has_other_accelerator = true;
    }
}

/* A property of an accelerator, of which no guest sees more than the interrupt controllers. */
static bool read_accel_word(struct compat *compat, char *word)
{
    static const char *const unseen[] = {"dirty-ring-size", "kvm-shadow-mem",  "notify-vmexit",
                                         "notify-window",   "thread",          "tb-size",
                                         "split-wx",        "one-insn-per-tb", NULL};
    const char *irqchip = compat_value_of(word, "kernel-irqchip");
    if (irqchip)
        return read_irqchip(compat, irqchip);
    char key[40];
    snprintf(key, sizeof(key), "%.*s", (int)strcspn(word, "="), word);
    return compat_is_one_of(key, unseen) || compat_refuse(compat, "there is no '%s'; leave it out", word);
}

bool compat_read_accel(struct compat *compat, char *value)
{
    char *word = compat_next_word(&value);
    if (strcmp(word, "help") == 0 || strcmp(word, "?") == 0) {
        printf("Accelerators supported in QEMU binary:\nkvm\n");
        return false;
    }
    read_accelerators(compat, compat_value_of(word, "accel") ? compat_value_of(word, "accel") : word);
    while ((word = compat_next_word(&value)))
        if (!read_accel_word(compat, word))
            return false;
    return true;
}

/* A switch of QEMU's machines: of what is always here, of what never is, or of what no guest sees. */
static bool read_switch(struct compat *compat, const char *word)
{
    static const char *const present[] = {"pit", "pic", "i8042", "rtc", "isa-serial", NULL};
    static const char *const absent[] = {"vmport", "smm", "usb", "hpet", "pcie", "nvdimm", NULL};
    static const char *const unseen[] = {"graphics",      "mem-merge", "dump-guest-core",
                                         "smbus",         "sata",      "auto-kernel-cmdline",
                                         "x-option-roms", "type",      NULL};
    char key[40];
    size_t len = strcspn(word, "=");
    const char *value = word + len + (word[len] == '=');
    bool is_on = compat_is_on(value);
    snprintf(key, sizeof(key), "%.*s", (int)len, word);
    if (compat_is_one_of(key, unseen))
        return true;
    if (!is_on && !compat_is_off(value) && strcmp(value, "auto"))
        return compat_refuse(compat, "there is no '%s'; leave it out", word);
    if (compat_is_one_of(key, present))
        return is_on || compat_warn(compat, "%s has no effect: it is always there", word);
    if (compat_is_one_of(key, absent))
        return !is_on || compat_warn(compat, "%s has no effect: there is none", word);
    return compat_refuse(compat, "there is no '%s'; leave it out", word);
}

/* [type=]TYPE,KEY=VALUE...: the type does not matter. */
static bool read_machine_word(struct compat *compat, const char *word)
{
    const char *accel = compat_value_of(word, "accel"), *acpi = compat_value_of(word, "acpi");
    const char *irqchip = compat_value_of(word, "kernel_irqchip");
    if (!irqchip)
        irqchip = compat_value_of(word, "kernel-irqchip");
    if (irqchip)
        return read_irqchip(compat, irqchip);
    if (accel)
        read_accelerators(compat, accel);
    if (acpi && compat_is_off(acpi))
        compat_add(compat, "--no-acpi");
    else if (acpi && !compat_is_on(acpi) && strcmp(acpi, "auto"))
        return compat_refuse(compat, "'%s': write acpi=on or acpi=off", word);
    return accel || acpi || !strchr(word, '=') || read_switch(compat, word);
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
