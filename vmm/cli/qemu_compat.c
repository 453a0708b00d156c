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

/* Runners compare the number: this is the QEMU whose behaviour is followed. */
static void print_version(void)
{
    printf("QEMU emulator version 7.2.0 (vmm %s)\n", vmm_version());
}

static bool read_version(struct compat *compat, char *value)
{
    (void)compat, (void)value;
    print_version();
    return false;
}

static bool read_help(struct compat *compat, char *value);

static bool read_display(struct compat *compat, char *value)
{
    if (strcmp(value, "none") == 0)
        return true;
    return compat_refuse(compat, "'%s': there is no display; write none", value);
}

static bool read_enable_kvm(struct compat *compat, char *value)
{
    (void)value;
    compat->has_kvm = true;
    return true;
}

/* How KVM's PIT catches up is the host's business; other properties could be anything. */
static bool read_global(struct compat *compat, char *value)
{
    if (strncmp(value, "kvm-pit.", 8) == 0)
        return true;
    return compat_warn(compat, "'%s' has no effect here", value);
}

/* base=utc and clock=host are what there is. */
static bool read_rtc(struct compat *compat, char *value)
{
    static const char *const same[] = {"base=utc", "utc", "clock=host", "clock=rt", NULL};
    for (char *word; (word = compat_next_word(&value));)
        if (!compat_is_one_of(word, same) && !compat_value_of(word, "driftfix"))
            compat_warn(compat, "'%s' has no effect: the clock is the host's, in UTC", word);
    return true;
}

static bool warn(struct compat *compat, char *value)
{
    (void)value;
    return compat_warn(compat, "has no effect: %s", compat->what);
}

static bool refuse(struct compat *compat, char *value)
{
    (void)value;
    return compat_refuse(compat, "%s", compat->what);
}

#define NO_DISK     "there are no disks of QEMU's: give the image to 'vmm run' with --disk path=FILE"
#define NO_DEBUGGER "there is no debugger's stub; 'vmm run --trace' shows what a guest does"
#define NO_SOFTWARE "there is no software CPU, only KVM; leave it out"
#define NO_FIRMWARE "there is no firmware: give a kernel with -kernel"
#define NO_DISPLAY  "there is no display; write -display none"
#define NO_STATE    "a machine's state cannot be saved or sent"
#define NO_OBJECT \
    "there are no objects of QEMU's; what is to be connected is named by -serial or 'vmm run --device'"
#define NO_USB    "there is no USB"
#define NO_FOLDER "there are no shared folders; give files with -initrd or -fw_cfg"

static const struct compat_option {
    const char *name;
    bool takes_value;
    bool (*read)(struct compat *compat, char *value); /* false: the command ends here */
    const char *what;                                 /* for the help; of warn and refuse, the reason */
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
    {"enable-kvm", false, read_enable_kvm, "as it is"},
    {"serial", true, compat_read_serial, "--serial: stdio, mon:stdio, none, null, pty, file:PATH, unix:PATH"},
    {"nographic", false, compat_read_nographic, "--serial stdio, unless -serial says otherwise"},
    {"device", true, compat_read_device,
     "pc-testdev, isa-debug-exit,iobase=PORT,iosize=COUNT, pvpanic, virtio-rng-pci"},
    {"fw_cfg", true, compat_read_fw_cfg, "--fw-cfg"},
    {"no-reboot", false, read_no_reboot, "a reset ends the run; without, the machine starts again"},
    {"action", true, read_action, "reboot=shutdown|reset, shutdown=poweroff"},
    {"no-acpi", false, read_no_acpi, "--no-acpi"},
    {"display", true, read_display, "none"},
    {"vnc", true, read_display, "none"},
    {"vga", true, read_display, "none"},
    {"monitor", true, read_none, "none"},
    {"qmp", true, read_none, "none"},
    {"parallel", true, read_none, "none"},
    {"debugcon", true, read_none, "none"},
    {"net", true, read_nic, "none"},
    {"nic", true, read_nic, "none"},
    {"netdev", true, read_nic, "none"},
    {"version", false, read_version, "the version of QEMU that is followed"},
    {"help", false, read_help, "this"},
    {"h", false, read_help, "this"},
    {"nodefaults", false, ignore, NULL},
    {"no-user-config", false, ignore, NULL},
    {"nodefconfig", false, ignore, NULL},
    {"no-hpet", false, ignore, NULL},
    {"no-fd-bootchk", false, ignore, NULL},
    {"no-kvm-pit-reinjection", false, ignore, NULL},
    {"name", true, ignore, NULL},
    {"boot", true, ignore, NULL},
    {"msg", true, ignore, NULL},
    {"L", true, ignore, NULL},
    {"k", true, ignore, NULL},
    {"sandbox", true, ignore, NULL},
    {"overcommit", true, ignore, NULL},
    {"mem-prealloc", false, ignore, NULL},
    {"rtc", true, read_rtc, "base=utc, clock=host|rt, driftfix=WHAT; others have no effect"},
    {"global", true, read_global, "kvm-pit.PROPERTY=VALUE; others have no effect"},
    {"uuid", true, warn, "the guest's is all zeros"},
    {"no-shutdown", false, warn, "a guest that switches itself off ends the run"},
    {"d", true, warn, "'vmm run --trace' shows what a guest does"},
    {"D", true, warn, "nothing is logged"},
    {"drive", true, refuse, NO_DISK},
    {"blockdev", true, refuse, NO_DISK},
    {"hda", true, refuse, NO_DISK},
    {"hdb", true, refuse, NO_DISK},
    {"hdc", true, refuse, NO_DISK},
    {"hdd", true, refuse, NO_DISK},
    {"fda", true, refuse, NO_DISK},
    {"fdb", true, refuse, NO_DISK},
    {"sd", true, refuse, NO_DISK},
    {"cdrom", true, refuse, NO_DISK},
    {"snapshot", false, refuse, NO_DISK},
    {"s", false, refuse, NO_DEBUGGER},
    {"S", false, refuse, NO_DEBUGGER},
    {"gdb", true, refuse, NO_DEBUGGER},
    {"trace", true, refuse, NO_DEBUGGER},
    {"icount", true, refuse, NO_SOFTWARE},
    {"singlestep", false, refuse, NO_SOFTWARE},
    {"plugin", true, refuse, NO_SOFTWARE},
    {"bios", true, refuse, NO_FIRMWARE},
    {"pflash", true, refuse, NO_FIRMWARE},
    {"acpitable", true, refuse,
     "there are no tables but the machine's own ('vmm run --dump-acpi' shows them)"},
    {"smbios", true, refuse, "there are no SMBIOS tables"},
    {"dtb", true, refuse, "a PC has no device tree"},
    {"incoming", true, refuse, NO_STATE},
    {"loadvm", true, refuse, NO_STATE},
    {"object", true, refuse, NO_OBJECT},
    {"chardev", true, refuse, NO_OBJECT},
    {"mon", true, refuse, "there is no monitor; leave it out"},
    {"curses", false, refuse, NO_DISPLAY},
    {"spice", true, refuse, NO_DISPLAY},
    {"usb", false, refuse, NO_USB},
    {"usbdevice", true, refuse, NO_USB},
    {"soundhw", true, refuse, "there is no sound"},
    {"audiodev", true, refuse, "there is no sound"},
    {"virtfs", true, refuse, NO_FOLDER},
    {"fsdev", true, refuse, NO_FOLDER},
    {"numa", true, refuse, "there is one node; leave it out"},
    {"mem-path", true, refuse, "'vmm run --mem-backing' says what backs the memory"},
    {"daemonize", false, refuse, "the program stays in the foreground"},
    {"pidfile", true, refuse, "no such file is written"},
    {"watchdog", true, refuse, "there is none"},
};

#define OPTION_COUNT ARRAY_COUNT(compat_options)

/* The first line is the version, as QEMU's is: runners read it there. */
static bool read_help(struct compat *compat, char *value)
{
    (void)compat, (void)value;
    print_version();
    printf(
        "Usage: vmm qemu-compat OPTION...\n\n"
        "Takes the command line of qemu-system-x86_64, as runners of test kernels write it, and does what\n"
        "'vmm run' does. What each option means there:\n\n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (compat_options[i].what && compat_options[i].read != warn && compat_options[i].read != refuse)
            printf("  -%-12s %s\n", compat_options[i].name, compat_options[i].what);
    printf("\nWithout effect here:");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (compat_options[i].read == ignore || compat_options[i].read == warn)
            printf(" -%s", compat_options[i].name);
    printf("\nOthers are refused by name. The program does the same under the name qemu-system-x86_64.\n");
    return false;
}

static bool unknown_option(struct compat *compat, const char *word)
{
    const char *names[OPTION_COUNT + 1] = {NULL};
    for (size_t i = 0, count = 0; i < OPTION_COUNT; i++)
        if (compat_options[i].read != refuse)
            names[count++] = compat_options[i].name;
    const char *nearest = cli_nearest(word, names);
    if (nearest)
        return compat_refuse(compat, "QEMU's option is not known here; did you mean -%s?", nearest);
    return compat_refuse(compat,
                         "QEMU's option is not known here; leave it out ('vmm qemu-compat -help' lists "
                         "those that are)");
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
    compat->what = option->what;
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
            cli_message("'%s' would be a disk: " NO_DISK, word);
            compat->status = CLI_USAGE;
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
        compat_add_serial(compat, compat->is_nographic ? "stdio" : "none");
    compat_add(compat, "--on-reboot");
    compat_add(compat, "%s", compat->no_reboot ? "exit" : "restart");
    compat_add(compat, "--on-triple-fault");
    compat_add(compat, "reboot");
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

/* Whether the options make a whole. */
static bool check(struct compat *compat)
{
    compat->option = "accel";
    if (compat->has_other_accelerator && !compat->has_kvm)
        return compat_refuse(compat, "there is no other accelerator than kvm");
    compat->option = "kernel";
    if (!compat->kernel)
        return compat_refuse(compat, "there is no firmware and no disk to boot from; give a kernel");
    return true;
}

static int run(struct compat *compat, const char **argv)
{
    compat_add(compat, "vmm run");
    if (!read_options(compat, argv + 1) || !check(compat))
        return compat->status;
    complete(compat);
    if (compat->is_full) {
        cli_message("these are more options than %d words of 'vmm run'", COMPAT_WORD_LIMIT);
        return CLI_USAGE;
    }
    const char *words[COMPAT_WORD_LIMIT + 1];
    memcpy(words, compat->words, sizeof(words));
    cli_leave_out_hint();
    /* By these words runners see that it is the kernel that is missing, and not what they asked for. */
    return run_as(compat->count, words, "could not load kernel");
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
