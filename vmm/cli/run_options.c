/* SPDX-License-Identifier: MIT
 *
 * The command line of `vmm run`: what popt finds in it, and what that means.
 */
#include "vmm/cli/run_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* popt wants the addresses of what it fills in before it is called, so this is filled and then copied. */
static struct run_options options;

enum { OPTION_HELP = 1, OPTION_INITRD, OPTION_DISK, OPTION_DEVICE, OPTION_FW_CFG };

static const struct poptOption option_table[] = {
    {"mem", 'm', POPT_ARG_STRING, &options.mem, 0, "guest RAM, from 64K (default 128M)", "SIZE"},
    {"mem-backing", 0, POPT_ARG_STRING, &options.mem_backing, 0,
     "what backs it: anonymous (default), huge (the host's pool of huge pages), shared (a memory file)",
     "KIND"},
    {"cpus", 'c', POPT_ARG_STRING, &options.cpus, 0, "number of virtual CPUs (default 1)", "N"},
    {"cpu", 0, POPT_ARG_STRING, &options.cpu, 0,
     "features that the guest is not to have, as -avx512f,-xsave (most names of /proc/cpuinfo)",
     "-FEATURE,..."},
    {"irqchip", 0, POPT_ARG_STRING, &options.irqchip, 0,
     "interrupt controllers: kernel, split, none, or auto (default: none for one CPU with --flat, else "
     "kernel)",
     "KIND"},
    {"cmdline", 'a', POPT_ARG_STRING, &options.cmdline, 0, "the guest's command line", "TEXT"},
    {"initrd", 'i', POPT_ARG_STRING, NULL, OPTION_INITRD,
     "a file for the guest: a bzImage's initrd, any other image's module, which may have a command line; "
     "may be repeated",
     "FILE[ TEXT]"},
    {"flat", 0, POPT_ARG_STRING, &options.flat, 0,
     "the image is plain code for real16 (at 0x7c00), prot32 or long64 (at 0x100000) mode", "MODE[@ADDRESS]"},
    {"serial", 's', POPT_ARG_STRING, &options.serial, 0,
     "the first serial port: stdio (default; Ctrl-A x ends the guest), none, pty, file:PATH, unix:PATH",
     "WHERE"},
    {"disk", 'D', POPT_ARG_STRING, NULL, OPTION_DISK, "a virtio disk, see below; may be repeated", "DISK"},
    {"device", 'd', POPT_ARG_STRING, NULL, OPTION_DEVICE, "a further device, see below; may be repeated",
     "DEVICE"},
    {"fw-cfg", 0, POPT_ARG_STRING, NULL, OPTION_FW_CFG,
     "a file that the guest finds in fw_cfg: name=NAME,file=PATH or name=NAME,string=TEXT; may be repeated",
     "FILE"},
    {"pci", 0, POPT_ARG_NONE, &options.pci, 0, "a PCI bus, even without a device on it", NULL},
    {"no-acpi", 0, POPT_ARG_NONE, &options.no_acpi, 0,
     "no ACPI tables, and none of their devices: power management, power button, reset port 0xcf9, pvpanic",
     NULL},
    {"dump-acpi", 0, POPT_ARG_STRING, &options.dump_acpi, 0,
     "write the ACPI tables to files in this directory", "DIRECTORY"},
    {"mmio-engine", 0, POPT_ARG_STRING, &options.mmio_engine, 0,
     "who decodes accesses to device memory: kvm, trap (vmm does), auto (default: what the device asks for)",
     "ENGINE"},
    {"no-run-ahead", 0, POPT_ARG_NONE, &options.no_run_ahead, 0,
     "never go on in software behind an access to trapped memory", NULL},
    {"ring0-engine", 0, POPT_ARG_STRING, &options.ring0_engine, 0,
     "who executes all but ring 3 in long mode: kvm, software (vmm does), auto (default: kvm, but software "
     "for "
     "Linux, and with testdev, where KVM has no hardware virtualization)",
     "ENGINE"},
    {"on-reboot", 0, POPT_ARG_STRING, &options.on_reboot, 0,
     "when the guest asks for a reset: exit (default), or restart the machine from its image; consoles stay "
     "connected",
     "ACTION"},
    {"on-triple-fault", 0, POPT_ARG_STRING, &options.on_triple_fault, 0,
     "report (default) the triple fault and end, or take it for a reset: reboot", "ACTION"},
    {"timeout", 't', POPT_ARG_STRING, &options.timeout, 0, "end the guest after 500ms, 10s, 2m", "TIME"},
    {"stats", 0, POPT_ARG_NONE, &options.stats_text, 0, "say at the end what the run cost, on standard error",
     NULL},
    {"stats-json", 0, POPT_ARG_NONE, &options.stats_json, 0, "the same as one JSON object", NULL},
    {"stats-file", 0, POPT_ARG_STRING, &options.stats_file, 0, "write that to this file", "FILE"},
    {"verbose", 'v', POPT_ARG_NONE, &options.verbose, 0, "more messages", NULL},
    {"help", 'h', POPT_ARG_NONE, NULL, OPTION_HELP, "show this help", NULL},
    {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)trace_option_table, 0, "Tracing:", NULL},
    POPT_TABLEEND};

static const char help_parts[] =
    "\n"
    "DISK is path=FILE, or FILE alone, a raw image or a block device, and any of:\n"
    "  readonly=on                  the guest cannot write\n"
    "  overlay=FILE|memory          writes go there; the image is only read\n"
    "  cache=writeback|none         by the host's page cache (default), or past it\n"
    "  aio=auto|uring|threads       by io_uring where it is to be had (default); an overlay is by threads\n"
    "  transport=pci|mmio           how the guest finds it (default pci)\n"
    "  queues=N                     default one for each CPU\n"
    "  block-size=BYTES             what the guest is told; default the medium's\n"
    "  serial=TEXT                  up to 20 characters\n"
    "  iops=N, bandwidth=BYTES      limits for each second\n"
    "  pin=on                       keep the guest's memory in place for io_uring\n"
    "  format=raw                   the only one there is\n"
    "\n"
    "DEVICE is one of:\n"
    "  virtio-console[,transport=pci|mmio][,hvc=WHERE][,port=NAME:WHERE]...\n"
    "                               consoles (hvc0, ...) and named ports, WHERE as with --serial\n"
    "  virtio-rng[,transport=pci|mmio]\n"
    "                               random bytes\n"
    "  debug-exit[,iobase=PORT][,iosize=COUNT]\n"
    "                               where its ports are; default four from 0xf4 on\n"
    "  testdev[,engine=trap|kvm]    QEMU's pc-testdev\n"
    "  scratch,addr=ADDRESS,size=SIZE[,engine=kvm|trap|auto][,coalesce=on][,direct=on]\n"
    "                               memory that remembers what was written to it, and counts accesses\n";

static const char help_tail[] =
    "\n"
    "IMAGE is a Linux kernel (bzImage or vmlinux), an ELF file with a multiboot 1 header or a PVH note,\n"
    "another file whose multiboot 1 header says where it is loaded, or with --flat plain code.\n"
    "\n"
    "Exit status:\n"
    "  odd   what the guest wrote to the debug-exit port 0xf4, as (value << 1) | 1\n"
    "  0     the guest switched itself off or asked for a reset (with --on-triple-fault\n"
    "        reboot also by a triple fault)\n"
    "  2     the command line was not understood\n"
    "  4     the host: no KVM, no memory, an unreadable or damaged image; or the value of an\n"
    "        option that only the machine can judge\n"
    "  6     triple fault\n"
    "  8     the guest halted and nothing could wake it\n"
    "  10    KVM could not execute the guest's instruction, or could not enter the guest\n"
    "  12    Ctrl-A x\n"
    "  14    the guest said that it has panicked\n"
    "  124   --timeout\n"
    "\n"
    "Examples:\n"
    "  vmm run guest.img\n"
    "  vmm run --mem 1G --cpus 4 --cmdline 'tests=smp-ipi,smp-tsc' --stats guest.img\n"
    "  vmm run --flat real16 --serial none boot.bin\n"
    "  vmm run --mem 512M --initrd initrd.img --cmdline console=ttyS0 --disk disk.img vmlinuz\n";

static bool parse_memory(void)
{
    static const char *const backings[] = {
        [VMM_MEM_ANONYMOUS] = "anonymous", [VMM_MEM_HUGE] = "huge", [VMM_MEM_SHARED] = "shared", NULL};
    unsigned choice;
    if (options.mem &&
        (!cli_parse_size(options.mem, &options.config.ram_bytes) || !options.config.ram_bytes)) {
        cli_usage("run", "--mem: '%s' is not a size; write 64K, 512M or 4G", options.mem);
        return false;
    }
    if (options.mem && (options.config.ram_bytes < RAM_BYTES_MIN || options.config.ram_bytes % RAM_UNIT)) {
        cli_usage("run", "--mem: %s is no size of guest RAM: give a multiple of 4K, from 64K on",
                  options.mem);
        return false;
    }
    if (!options.mem_backing)
        return true;
    if (!cli_choose("mem-backing", options.mem_backing, backings, &choice))
        return false;
    options.config.mem_backing = choice;
    return true;
}

/* Two readers of one input would each have half of it. */
static bool parse_serial(void)
{
    const char *text = options.serial ? options.serial : "stdio";
    if (!run_parse_where("serial", text, &options.serial_config))
        return false;
    unsigned count = run_consoles_count(&options.devices.consoles, VMM_SERIAL_DESCRIPTORS);
    if (count > 1) {
        cli_usage("run",
                  "--device: virtio-console: %u ports on stdio, which is for one: give the others "
                  "none, pty, file:PATH or unix:PATH",
                  count);
        return false;
    }
    if (options.serial_config.kind != VMM_SERIAL_DESCRIPTORS || !count)
        return true;
    cli_usage("run", "--device: virtio-console on stdio, which is the serial port's: add --serial none");
    return false;
}

/* MODE[@ADDRESS] */
static bool parse_flat(void)
{
    static const char *const modes[] = {"real16", "prot32", "long64", NULL};
    char mode[16] = "";
    unsigned choice;
    if (!options.flat)
        return true;
    size_t len = strcspn(options.flat, "@");
    memcpy(mode, options.flat, len < sizeof(mode) ? len : sizeof(mode) - 1);
    if (!cli_choose("flat", mode, modes, &choice))
        return false;
    options.image.flat = VMM_FLAT_REAL16 + choice;
    options.image.has_flat_address = options.flat[len] == '@';
    if (options.image.has_flat_address &&
        !cli_parse_size(options.flat + len + 1, &options.image.flat_address)) {
        cli_usage("run", "--flat: '%s' is not an address; write 0x7c00 or 1M", options.flat + len + 1);
        return false;
    }
    return true;
}

static bool parse_cpus(void)
{
    char *end;
    struct vmm_error error;
    if (options.cpu && vmm_check_cpu_features(options.cpu, &error)) {
        cli_usage("run", "--cpu: %s", error.message);
        return false;
    }
    if (!options.cpus)
        return true;
    unsigned long count = strtoul(options.cpus, &end, 10);
    if (*options.cpus < '0' || *options.cpus > '9' || *end || !count || count > UINT32_MAX) {
        cli_usage("run", "--cpus: '%s' is not a number of CPUs; write 1, 2, 4 ...", options.cpus);
        return false;
    }
    options.config.cpu_count = (unsigned)count;
    if (count == 1 || options.config.irqchip != VMM_IRQCHIP_NONE)
        return true;
    cli_usage("run", "--cpus: %lu CPUs need interrupt controllers: --irqchip kernel or split", count);
    return false;
}

static bool parse_reboot(void)
{
    static const char *const actions[] = {"exit", "restart", NULL}, *const faults[] = {"report", "reboot",
                                                                                       NULL};
    unsigned choice = 0;
    if (options.on_reboot && !cli_choose("on-reboot", options.on_reboot, actions, &choice))
        return false;
    options.restarts = choice;
    choice = 0;
    if (options.on_triple_fault && !cli_choose("on-triple-fault", options.on_triple_fault, faults, &choice))
        return false;
    options.triple_fault_reboots = choice;
    return true;
}

static bool parse_rest(void)
{
    static const char *const irqchips[] = {[VMM_IRQCHIP_AUTO] = "auto",
                                           [VMM_IRQCHIP_KERNEL] = "kernel",
                                           [VMM_IRQCHIP_SPLIT] = "split",
                                           [VMM_IRQCHIP_NONE] = "none",
                                           NULL};
    static const char *const ring0_engines[] = {
        [VMM_RING0_AUTO] = "auto", [VMM_RING0_KVM] = "kvm", [VMM_RING0_SOFTWARE] = "software", NULL};
    unsigned choice;
    if (options.irqchip) {
        if (!cli_choose("irqchip", options.irqchip, irqchips, &choice))
            return false;
        options.config.irqchip = choice;
    }
    if (options.mmio_engine) {
        if (!cli_choose("mmio-engine", options.mmio_engine, run_engine_names, &choice))
            return false;
        options.config.mmio_engine = choice;
    }
    if (options.ring0_engine) {
        if (!cli_choose("ring0-engine", options.ring0_engine, ring0_engines, &choice))
            return false;
        options.config.ring0_engine = choice;
    }
    if (!parse_reboot())
        return false;
    if (options.stats_file && !options.stats_json)
        options.stats_text = true;
    if (options.timeout && !cli_parse_time(options.timeout, &options.config.timeout_ms)) {
        cli_usage("run", "--timeout: '%s' is not a time; write 500ms, 10s or 2m", options.timeout);
        return false;
    }
    return parse_cpus();
}

/* "FILE TEXT": the text behind the first space is the module's command line, unless there is a file of all
 * that name. The options own the argument. */
static bool add_module(char *argument)
{
    if (options.image.module_count == MODULE_LIMIT) {
        cli_usage("run", "--initrd: at most %d modules", MODULE_LIMIT);
        free(argument);
        return false;
    }
    char *space = access(argument, F_OK) ? strchr(argument, ' ') : NULL;
    if (space)
        *space++ = 0;
    options.modules[options.image.module_count++] = (struct vmm_module){.path = argument, .cmdline = space};
    options.image.modules = options.modules;
    return true;
}

/* Words for the kernel that were not quoted look like this. */
static int one_too_many(const char *word)
{
    if (strchr(word, '='))
        return cli_usage("run",
                         "one image at a time: '%s' is one too many; words for the guest go into "
                         "--cmdline 'TEXT'",
                         word);
    return cli_usage("run", "one image at a time: '%s' is one too many", word);
}

/* CLI_OK, or another status where the command ends here; *is_help where it was all that was asked for. */
static int parse(poptContext context, bool *is_help)
{
    int code;
    while ((code = poptGetNextOpt(context)) > 0) {
        char *argument = poptGetOptArg(context);
        switch (code) {
        case OPTION_HELP:
            *is_help = true;
            return CLI_OK;
        case OPTION_INITRD:
            if (!add_module(argument))
                return CLI_USAGE;
            break;
        case OPTION_DISK:
            if (!run_disk_parse(&options.disks, argument))
                return CLI_USAGE;
            break;
        case OPTION_DEVICE:
            if (!run_device_parse(&options.devices, argument))
                return CLI_USAGE;
            break;
        case OPTION_FW_CFG:
            if (!run_fwcfg_parse(&options.devices, argument))
                return CLI_USAGE;
            break;
        case OPTION_TRACE_BUFFER:
            if (!trace_options_add_buffer(argument))
                return CLI_USAGE;
            break;
        }
    }
    if (code < -1)
        return cli_bad_option("run", context, code, option_table);
    /* First the values: one may be the image, behind an option that was given none. */
    if (!parse_memory() || !parse_serial() || !parse_flat() || !parse_rest() || !trace_options_parse())
        return CLI_USAGE;
    options.image.path = poptGetArg(context);
    options.image.cmdline = options.cmdline;
    if (!options.image.path || !*options.image.path)
        return cli_usage("run", "which image? None was given");
    return poptPeekArg(context) ? one_too_many(poptPeekArg(context)) : CLI_OK;
}

struct run_options *run_options_parse(int argc, const char **argv, int *status)
{
    bool is_help = false;
    options.context = poptGetContext("vmm run", argc, argv, option_table, 0);
    poptSetOtherOptionHelp(options.context, "[OPTION...] IMAGE");
    *status = parse(options.context, &is_help);
    if (is_help) {
        poptPrintHelp(options.context, stdout, 0);
        fputs(help_parts, stdout);
        fputs(help_tail, stdout);
    }
    if (!is_help && *status == CLI_OK)
        return &options;
    run_options_fini();
    return NULL;
}

void run_options_fini(void)
{
    for (size_t i = 0; i < options.image.module_count; i++)
        free((void *)options.modules[i].path);
    vmm_serial_peer_destroy(options.serial_config.peer);
    run_disks_fini(&options.disks);
    run_devices_fini(&options.devices);
    trace_options_fini();
    poptFreeContext(options.context);
}
