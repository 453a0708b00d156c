/* SPDX-License-Identifier: MIT
 *
 * `vmm qemu-compat`: the command line of qemu-system-x86_64, as the runners of test kernels write it, put
 * into words of `vmm run`. Every option is in the table below: put into words, without an effect here, or
 * refused by name with what to do instead. Nothing is dropped silently that would change what the guest sees.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/qemu_compat.h"

static bool ignore(struct compat *compat, char *value)
{
    (void)compat, (void)value;
    return true;
}

static bool read_kernel(struct compat *compat, char *value)
{
    compat->kernel = value;
    return true;
}

static bool read_append(struct compat *compat, char *value)
{
    compat->append = value;
    return true;
}

/* A multiboot image takes FILE[ TEXT],FILE[ TEXT]...; runners give one. */
static bool read_initrd(struct compat *compat, char *value)
{
    for (char *word; (word = compat_next_word(&value));) {
        compat_add(compat, "--initrd");
        compat_add(compat, "%s", word);
    }
    return true;
}

/* The monitor and its like, which are not there. */
static bool read_none(struct compat *compat, char *value)
{
    if (strcmp(value, "none") == 0 || strcmp(value, "null") == 0)
        return true;
    return compat_refuse(compat, "'%s': there is none here; write none, or leave it out", value);
}

static bool read_nic(struct compat *compat, char *value)
{
    if (strcmp(value, "none") == 0)
        return true;
    return compat_refuse(compat, "'%s': there are no network cards; write none, or leave it out", value);
}

static bool read_no_acpi(struct compat *compat, char *value)
{
    (void)value;
    compat_add(compat, "--no-acpi");
    return true;
}

static bool read_no_reboot(struct compat *compat, char *value)
{
    (void)value;
    compat->no_reboot = true;
    return true;
}

static bool read_action(struct compat *compat, char *value)
{
    if (strcmp(value, "reboot=shutdown") == 0)
        compat->no_reboot = true;
    else if (strcmp(value, "reboot=reset") && strcmp(value, "shutdown=poweroff"))
        return compat_refuse(compat, "'%s' is none of reboot=shutdown, reboot=reset, shutdown=poweroff",
                             value);
    return true;
}

static bool read_version(struct compat *compat, char *value)
{
    (void)compat, (void)value;
    /* Runners compare the number: this is the QEMU whose behaviour is followed. */
    printf("QEMU emulator version 7.2.0 (vmm %s)\n", vmm_version());
    return false;
}

static bool read_help(struct compat *compat, char *value);

static bool refuse_disk(struct compat *compat, char *value)
{
    (void)value;
    return compat_refuse(compat, "disks are given to 'vmm run', see its --help");
}

static bool refuse_debugger(struct compat *compat, char *value)
{
    (void)value;
    return compat_refuse(compat, "a debugger is asked for by 'vmm run', see its --help");
}

static bool refuse_firmware(struct compat *compat, char *value)
{
    (void)value;
    return compat_refuse(compat, "there is no firmware: give a kernel with -kernel");
}

static bool refuse_migration(struct compat *compat, char *value)
{
    (void)value;
    return compat_refuse(compat, "there is no live migration");
}

static bool refuse_display(struct compat *compat, char *value)
{
    if (strncmp(value, "none", 4) == 0)
        return true;
    return compat_refuse(compat, "'%s': there is no display; write none", value);
}

static bool refuse_object(struct compat *compat, char *value)
{
    return compat_refuse(compat, "'%s': objects are not there", value);
}

static const struct compat_option {
    const char *name;
    bool takes_value;
    bool (*read)(struct compat *compat, char *value); /* false: the command ends here */
    const char *what;                                 /* for the help; NULL: without effect, or refused */
} compat_options[] = {
    {"kernel", true, read_kernel, "the image"},
    {"append", true, read_append, "--cmdline"},
    {"initrd", true, read_initrd, "--initrd"},
    {"m", true, compat_read_memory, "--mem, in MiB without a suffix"},
    {"smp", true, compat_read_cpus, "--cpus"},
    {"cpu", true, compat_read_cpu, "--cpu with what is switched off; the model is the host's"},
    {"machine", true, compat_read_machine, "accel=kvm, kernel_irqchip=on|split, acpi=on|off"},
    {"M", true, compat_read_machine, "the same"},
    {"accel", true, compat_read_accel, "kvm[,kernel-irqchip=on|split]"},
    {"enable-kvm", false, ignore, "as it is"},
    {"serial", true, compat_read_serial, "--serial: stdio, mon:stdio, none, null, pty, file:PATH, unix:PATH"},
    {"nographic", false, compat_read_nographic, "--serial stdio"},
    {"device", true, compat_read_device, "pc-testdev, isa-debug-exit,iobase=PORT,iosize=COUNT, pvpanic"},
    {"fw_cfg", true, compat_read_fw_cfg, "--fw-cfg"},
    {"no-reboot", false, read_no_reboot, "a reset ends the run; without, the machine starts again"},
    {"action", true, read_action, "reboot=shutdown|reset"},
    {"no-acpi", false, read_no_acpi, "--no-acpi"},
    {"display", true, refuse_display, NULL},
    {"vnc", true, refuse_display, NULL},
    {"vga", true, refuse_display, NULL},
    {"monitor", true, read_none, NULL},
    {"qmp", true, read_none, NULL},
    {"parallel", true, read_none, NULL},
    {"net", true, read_nic, NULL},
    {"nic", true, read_nic, NULL},
    {"netdev", true, read_nic, NULL},
    {"nodefaults", false, ignore, NULL},
    {"no-user-config", false, ignore, NULL},
    {"nodefconfig", false, ignore, NULL},
    {"no-hpet", false, ignore, NULL},
    {"no-fd-bootchk", false, ignore, NULL},
    {"no-kvm-pit-reinjection", false, ignore, NULL},
    {"name", true, ignore, NULL},
    {"uuid", true, ignore, NULL},
    {"boot", true, ignore, NULL},
    {"rtc", true, ignore, NULL},
    {"global", true, ignore, NULL},
    {"msg", true, ignore, NULL},
    {"L", true, ignore, NULL},
    {"sandbox", true, ignore, NULL},
    {"overcommit", true, ignore, NULL},
    {"version", false, read_version, NULL},
    {"help", false, read_help, NULL},
    {"h", false, read_help, NULL},
    {"drive", true, refuse_disk, NULL},
    {"blockdev", true, refuse_disk, NULL},
    {"hda", true, refuse_disk, NULL},
    {"cdrom", true, refuse_disk, NULL},
    {"s", false, refuse_debugger, NULL},
    {"S", false, refuse_debugger, NULL},
    {"gdb", true, refuse_debugger, NULL},
    {"bios", true, refuse_firmware, NULL},
    {"pflash", true, refuse_firmware, NULL},
    {"incoming", true, refuse_migration, NULL},
    {"object", true, refuse_object, NULL},
    {"chardev", true, refuse_object, NULL},
};

#define OPTION_COUNT (sizeof(compat_options) / sizeof(compat_options[0]))

static bool read_help(struct compat *compat, char *value)
{
    (void)compat, (void)value;
    printf(
        "Usage: vmm qemu-compat OPTION...\n\n"
        "Takes the command line of qemu-system-x86_64, as runners of test kernels write it, and does what\n"
        "'vmm run' does. What each option means there:\n\n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (compat_options[i].what)
            printf("  -%-12s %s\n", compat_options[i].name, compat_options[i].what);
    printf("\nWithout effect here:");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (compat_options[i].read == ignore && !compat_options[i].what)
            printf(" -%s", compat_options[i].name);
    printf("\nOthers are refused by name. The program does the same under the name qemu-system-x86_64.\n");
    return false;
}

static bool unknown_option(struct compat *compat, const char *word)
{
    const char *names[OPTION_COUNT + 1] = {NULL};
    for (size_t i = 0; i < OPTION_COUNT; i++)
        names[i] = compat_options[i].name;
    const char *nearest = cli_nearest(word, names);
    compat->status = cli_usage("qemu-compat", "QEMU's option -%s is not known here%s%s%s", word,
                               nearest ? "; did you mean -" : "", nearest ? nearest : "", nearest ? "?" : "");
    return false;
}

/* One option with its value; *argv is left at the last word that it took. */
static bool read_option(struct compat *compat, const char *word, const char ***argv)
{
    const struct compat_option *option = compat_options;
    while (option < compat_options + OPTION_COUNT && strcmp(option->name, word))
        option++;
    compat->option = word;
    if (option == compat_options + OPTION_COUNT)
        return unknown_option(compat, word);
    if (!option->takes_value)
        return option->read(compat, NULL);
    const char *value = *++*argv;
    if (!value)
        return compat_refuse(compat, "needs a value");
    char *copy = compat->value_count < COMPAT_WORD_LIMIT ? strdup(value) : NULL;
    if (!copy)
        return compat_refuse(compat, "is one option too many");
    compat->values[compat->value_count++] = copy;
    return option->read(compat, copy);
}

static bool read_options(struct compat *compat, const char **argv)
{
    for (; *argv; argv++) {
        const char *word = *argv;
        if (*word != '-') {
            compat->status = cli_usage("qemu-compat", "'%s' would be a disk: disks are given to 'vmm run'",
                                       word);
            return false;
        }
        word += 1 + (word[1] == '-');
        if (!read_option(compat, word, &argv))
            return false;
    }
    return true;
}

/* QEMU's defaults where they are not ours, and the image last. */
static void complete(struct compat *compat)
{
    if (!compat->has_serial)
        compat_add_serial(compat, "none");
    compat_add(compat, "--on-reboot");
    compat_add(compat, "%s", compat->no_reboot ? "exit" : "restart");
    if (*compat->cpu) {
        compat_add(compat, "--cpu");
        compat_add(compat, "%s", compat->cpu);
    }
    if (compat->append) {
        compat_add(compat, "--cmdline");
        compat_add(compat, "%s", compat->append);
    }
    compat_add(compat, "%s", compat->kernel);
}

static int run(struct compat *compat, const char **argv)
{
    compat_add(compat, "vmm run");
    if (!read_options(compat, argv + 1))
        return compat->status;
    if (!compat->kernel)
        return cli_usage("qemu-compat",
                         "-kernel: there is no firmware and no disk to boot from; give a kernel");
    complete(compat);
    const char *words[COMPAT_WORD_LIMIT + 1];
    memcpy(words, compat->words, sizeof(words));
    return cmd_run(compat->count, words);
}

int cmd_qemu_compat(int argc, const char **argv)
{
    struct compat compat = {0};
    (void)argc;
    int status = run(&compat, argv);
    while (compat.count)
        free(compat.words[--compat.count]);
    while (compat.value_count)
        free(compat.values[--compat.value_count]);
    return status;
}
