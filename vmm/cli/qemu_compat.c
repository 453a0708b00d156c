/* SPDX-License-Identifier: MIT
 *
 * `vmm qemu-compat`: the command line of qemu-system-x86_64, as the runners of test kernels write it, put
 * into words of `vmm run`. Every option is in the table below: put into words, without an effect here, or
 * refused by name with what to do instead. Nothing is dropped silently that would change what the guest sees.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/cli.h"

#define WORD_LIMIT 256

/* What was read so far, and the words of `vmm run` that came of it. The words are ours, and so are the
 * values, copies that are taken apart in place. */
struct compat {
    char *words[WORD_LIMIT + 1], *values[WORD_LIMIT];
    int count, value_count;
    bool has_serial, has_testdev, no_reboot;
    char *kernel, *append;
    char cpu[512];      /* for --cpu */
    const char *option; /* the one that is being read, for messages */
    int status;         /* where the command ends with an option */
};

static void add_word(struct compat *compat, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(struct compat *compat, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_word(struct compat *compat, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (compat->count < WORD_LIMIT && vasprintf(&compat->words[compat->count], format, arguments) >= 0)
        compat->count++;
    va_end(arguments);
}

static bool refuse(struct compat *compat, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    compat->status = cli_usage("qemu-compat", "-%s: %s", compat->option, text);
    return false;
}

/* Takes the next of QEMU's comma-separated words off *rest, in which ",," is a comma. */
static char *next_word(char **rest)
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

/* The value of KEY=VALUE where the word has that key, else NULL. */
static const char *value_of(const char *word, const char *key)
{
    size_t len = strlen(key);
    return strncmp(word, key, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static bool is_on(const char *value)
{
    static const char *const yes[] = {"on", "yes", "true", "y", NULL};
    return is_one_of(value, yes);
}

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
    for (char *word; (word = next_word(&value));) {
        add_word(compat, "--initrd");
        add_word(compat, "%s", word);
    }
    return true;
}

/* SIZE or size=SIZE, in MiB without a suffix. */
static bool read_memory(struct compat *compat, char *value)
{
    char *word = next_word(&value);
    const char *size = value_of(word, "size") ? value_of(word, "size") : word;
    if (value)
        return refuse(compat, "'%s': memory slots for hotplug are not there; give the size alone", value);
    size_t digits = strspn(size, "0123456789");
    if (!digits)
        return refuse(compat, "'%s' is not a size; write 512 (MiB), 512M or 4G", size);
    add_word(compat, "--mem");
    add_word(compat, "%s%s", size, size[digits] ? "" : "M");
    return true;
}

/* N or cpus=N, and the topology, which `vmm run` derives from N: one thread a core, one socket. */
static bool read_cpus(struct compat *compat, char *value)
{
    static const char *const shapes[] = {"sockets", "dies", "clusters", "cores", "threads", "maxcpus", NULL};
    unsigned long count = 0, product = 1;
    for (char *word; (word = next_word(&value));) {
        char *number = strchr(word, '=');
        if (number)
            *number++ = 0;
        char *end = (char *)"";
        unsigned long parsed = strtoul(number ? number : word, &end, 10);
        if (*end || !parsed || parsed > 65536)
            return refuse(compat, "'%s' is not a number of CPUs", number ? number : word);
        if (!number || strcmp(word, "cpus") == 0)
            count = parsed;
        else if (!is_one_of(word, shapes))
            return refuse(compat, "there is no '%s'", word);
        else if (strcmp(word, "maxcpus"))
            product *= parsed;
    }
    add_word(compat, "--cpus");
    add_word(compat, "%lu", count ? count : product < 65536 ? product : 65536);
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
    if (*word != '-' && (!value || is_on(value) || strcmp(value, "off")))
        return;
    size_t len = strlen(compat->cpu);
    snprintf(compat->cpu + len, sizeof(compat->cpu) - len, "%s-%s", len ? "," : "", name);
}

/* Any model is the host's CPU: KVM runs no other. */
static bool read_cpu(struct compat *compat, char *value)
{
    char *model = next_word(&value);
    if (strcmp(model, "help") == 0 || strcmp(model, "?") == 0) {
        printf("Available CPUs:\n  host, max (the same; other names are taken for it)\n");
        return false;
    }
    for (char *word; (word = next_word(&value));)
        read_feature(compat, word);
    return true;
}

static bool read_irqchip(struct compat *compat, const char *value)
{
    if (strcmp(value, "split") == 0) {
        add_word(compat, "--irqchip");
        add_word(compat, "split");
    } else if (!is_on(value)) {
        return refuse(compat, "kernel-irqchip=%s: interrupt controllers are KVM's; write on or split", value);
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
    return refuse(compat, "there is no other accelerator than kvm");
}

static bool read_accel(struct compat *compat, char *value)
{
    char *word = next_word(&value);
    if (strcmp(word, "help") == 0 || strcmp(word, "?") == 0) {
        printf("Accelerators supported in QEMU binary:\nkvm\n");
        return false;
    }
    if (!read_accelerators(compat, value_of(word, "accel") ? value_of(word, "accel") : word))
        return false;
    while ((word = next_word(&value))) {
        const char *irqchip = value_of(word, "kernel-irqchip");
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
    const char *accel = value_of(word, "accel"), *acpi = value_of(word, "acpi");
    const char *irqchip = value_of(word, "kernel_irqchip");
    if (!irqchip)
        irqchip = value_of(word, "kernel-irqchip");
    snprintf(key, sizeof(key), "%.*s", (int)strcspn(word, "="), word);
    if (accel)
        return read_accelerators(compat, accel);
    if (irqchip)
        return read_irqchip(compat, irqchip);
    if (acpi && !is_on(acpi))
        add_word(compat, "--no-acpi");
    if (acpi || !strchr(word, '=') || is_one_of(key, harmless))
        return true;
    return refuse(compat, "there is no '%s'; leave it out", word);
}

static bool read_machine(struct compat *compat, char *value)
{
    if (strcmp(value, "help") == 0 || strcmp(value, "?") == 0) {
        printf("Supported machines are:\nq35, pc, microvm (the same machine)\n");
        return false;
    }
    for (char *word; (word = next_word(&value));)
        if (!read_machine_word(compat, word))
            return false;
    return true;
}

static bool add_serial(struct compat *compat, const char *where)
{
    if (compat->has_serial && strcmp(where, "none") == 0)
        return true;
    if (compat->has_serial)
        return refuse(compat, "'%s': there is one serial port", where);
    compat->has_serial = true;
    add_word(compat, "--serial");
    add_word(compat, "%s", where);
    return true;
}

static bool read_serial(struct compat *compat, char *value)
{
    char *word = next_word(&value);
    if (strcmp(word, "mon:stdio") == 0)
        return add_serial(compat, "stdio");
    if (strcmp(word, "null") == 0)
        return add_serial(compat, "none");
    if (strcmp(word, "stdio") == 0 || strcmp(word, "none") == 0 || strcmp(word, "pty") == 0 ||
        strncmp(word, "file:", 5) == 0 || strncmp(word, "unix:", 5) == 0)
        return add_serial(compat, word);
    return refuse(compat, "'%s' is none of stdio, mon:stdio, none, null, pty, file:PATH, unix:PATH", word);
}

static bool read_nographic(struct compat *compat, char *value)
{
    (void)value;
    return compat->has_serial || add_serial(compat, "stdio");
}

/* The monitor and its like, which are not there. */
static bool read_none(struct compat *compat, char *value)
{
    if (strcmp(value, "none") == 0 || strcmp(value, "null") == 0)
        return true;
    return refuse(compat, "'%s': there is none here; write none, or leave it out", value);
}

static bool read_nic(struct compat *compat, char *value)
{
    if (strcmp(value, "none") == 0)
        return true;
    return refuse(compat, "'%s': there are no network cards; write none, or leave it out", value);
}

static bool read_no_acpi(struct compat *compat, char *value)
{
    (void)value;
    add_word(compat, "--no-acpi");
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
        return refuse(compat, "'%s' is none of reboot=shutdown, reboot=reset, shutdown=poweroff", value);
    return true;
}

static bool add_debug_exit(struct compat *compat, char *rest)
{
    const char *base = "0x501", *size = "2"; /* QEMU's defaults */
    for (char *word; (word = next_word(&rest));) {
        if (value_of(word, "iobase"))
            base = value_of(word, "iobase");
        else if (value_of(word, "iosize"))
            size = value_of(word, "iosize");
        else
            return refuse(compat, "isa-debug-exit has no '%s'; it has iobase, iosize", word);
    }
    add_word(compat, "--device");
    add_word(compat, "debug-exit,iobase=%s,iosize=%s", base, size);
    return true;
}

static void list_devices(void)
{
    printf("name \"isa-debug-exit\", bus ISA\nname \"pc-testdev\", bus ISA\nname \"pvpanic\", bus ISA\n");
}

/* Some are always there; others are absent, which the test kernels that look for them report themselves. */
static bool read_device(struct compat *compat, char *value)
{
    static const char *const present[] = {"pvpanic", "isa-pvpanic", "isa-serial", NULL};
    static const char *const absent[] = {"pci-testdev", "edu", "hyperv-testdev", NULL};
    char *name = next_word(&value);
    if (strcmp(name, "help") == 0 || strcmp(name, "?") == 0) {
        list_devices();
        return false;
    }
    if (strcmp(name, "isa-debug-exit") == 0)
        return add_debug_exit(compat, value);
    if (strcmp(name, "pc-testdev") == 0 || strcmp(name, "testdev") == 0) {
        if (!compat->has_testdev) {
            add_word(compat, "--device");
            add_word(compat, "testdev");
        }
        compat->has_testdev = true;
        return true;
    }
    if (is_one_of(name, absent))
        cli_message("-device %s: is not there; the guest goes on without it", name);
    if (is_one_of(name, absent) || is_one_of(name, present))
        return true;
    return refuse(compat, "there is no '%s'; give what 'vmm run --help' has to vmm run", name);
}

static bool read_fw_cfg(struct compat *compat, char *value)
{
    char *name = NULL, *from = NULL;
    for (char *word; (word = next_word(&value));) {
        if (value_of(word, "name"))
            name = (char *)value_of(word, "name");
        else if (value_of(word, "file") || value_of(word, "string"))
            from = word;
        else if (!name)
            name = word;
    }
    if (!name || !from)
        return refuse(compat, "write name=NAME,file=PATH or name=NAME,string=TEXT");
    add_word(compat, "--fw-cfg");
    add_word(compat, "name=%s,%s", name, from);
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
    return refuse(compat, "disks are given to 'vmm run', see its --help");
}

static bool refuse_debugger(struct compat *compat, char *value)
{
    (void)value;
    return refuse(compat, "a debugger is asked for by 'vmm run', see its --help");
}

static bool refuse_firmware(struct compat *compat, char *value)
{
    (void)value;
    return refuse(compat, "there is no firmware: give a kernel with -kernel");
}

static bool refuse_migration(struct compat *compat, char *value)
{
    (void)value;
    return refuse(compat, "there is no live migration");
}

static bool refuse_display(struct compat *compat, char *value)
{
    if (strncmp(value, "none", 4) == 0)
        return true;
    return refuse(compat, "'%s': there is no display; write none", value);
}

static bool refuse_object(struct compat *compat, char *value)
{
    return refuse(compat, "'%s': objects are not there", value);
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
    {"m", true, read_memory, "--mem, in MiB without a suffix"},
    {"smp", true, read_cpus, "--cpus"},
    {"cpu", true, read_cpu, "--cpu with what is switched off; the model is the host's"},
    {"machine", true, read_machine, "accel=kvm, kernel_irqchip=on|split, acpi=on|off"},
    {"M", true, read_machine, "the same"},
    {"accel", true, read_accel, "kvm[,kernel-irqchip=on|split]"},
    {"enable-kvm", false, ignore, "as it is"},
    {"serial", true, read_serial, "--serial: stdio, mon:stdio, none, null, pty, file:PATH, unix:PATH"},
    {"nographic", false, read_nographic, "--serial stdio"},
    {"device", true, read_device, "pc-testdev, isa-debug-exit,iobase=PORT,iosize=COUNT, pvpanic"},
    {"fw_cfg", true, read_fw_cfg, "--fw-cfg"},
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
        return refuse(compat, "needs a value");
    char *copy = compat->value_count < WORD_LIMIT ? strdup(value) : NULL;
    if (!copy)
        return refuse(compat, "is one option too many");
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
        add_serial(compat, "none");
    add_word(compat, "--on-reboot");
    add_word(compat, "%s", compat->no_reboot ? "exit" : "restart");
    if (*compat->cpu) {
        add_word(compat, "--cpu");
        add_word(compat, "%s", compat->cpu);
    }
    if (compat->append) {
        add_word(compat, "--cmdline");
        add_word(compat, "%s", compat->append);
    }
    add_word(compat, "%s", compat->kernel);
}

static int run(struct compat *compat, const char **argv)
{
    add_word(compat, "vmm run");
    if (!read_options(compat, argv + 1))
        return compat->status;
    if (!compat->kernel)
        return cli_usage("qemu-compat",
                         "-kernel: there is no firmware and no disk to boot from; give a kernel");
    complete(compat);
    const char *words[WORD_LIMIT + 1];
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
