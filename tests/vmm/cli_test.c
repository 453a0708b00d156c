/* SPDX-License-Identifier: MIT
 *
 * What the program says to a command line: mistakes, with their status and message, and help; and what it
 * says where there is no KVM. None of it needs any.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/vmm/program.h"

static struct program_run run;

/* Status 2, nothing on standard output, this message, and where help is. */
static const struct {
    const char *line, *message;
} mistakes[] = {
    {"", "vmm: which command? None was given\nTry 'vmm --help'.\n"},
    {"ruin", "there is no command 'ruin'; did you mean 'run'?\nTry 'vmm --help'.\n"},
    {"zzzzzzzz", "there is no command 'zzzzzzzz'\n"},
    {"help ruin", "there is no command 'ruin'; did you mean 'run'?\n"},
    {"--hlep", "there is no option '--hlep'; did you mean '--help'?\n"},
    {"run", "which image? None was given\nTry 'vmm run --help'.\n"},
    {"run a b", "one image at a time: 'b' is one too many\n"},
    {"run vmlinuz console=ttyS0",
     "'console=ttyS0' is one too many; words for the guest go into --cmdline 'TEXT'\n"},
    {"run --cpsu 2 x", "there is no option --cpsu; did you mean --cpus?\n"},
    {"run --cpsu=2 x", "did you mean --cpus?\n"},
    {"run --timout 2 x", "did you mean --timeout?\n"},
    {"run --stat x", "did you mean --stats?\n"},
    {"run --qqqqqqqqqq x", "there is no option --qqqqqqqqqq\n"},
    {"run -Z x", "there is no option -Z\n"},
    {"run x --mem", "--mem: missing argument\n"},
    {"run --mem 0 x", "--mem: '0' is not a size; write 64K, 512M or 4G\n"},
    {"run --mem -5 x", "--mem: '-5' is not a size"},
    {"run --mem 12Q x", "--mem: '12Q' is not a size"},
    {"run --mem 1^ x", "--mem: '1 ' is not a size"},
    {"run --mem 1.5 x", "--mem: '1.5' is not a size"},
    {"run --mem 0x x", "--mem: '0x' is not a size"},
    {"run --mem nan x", "--mem: 'nan' is not a size"},
    {"run --mem 99999999999999999999 x", "is not a size"},
    {"run --mem 0x10000000000000000 x", "is not a size"},
    {"run --mem 16777216T x", "is not a size"},
    {"run --mem-backing hug x", "choose from: anonymous, huge, shared (did you mean huge?)\n"},
    {"run --cpus 0 x", "--cpus: '0' is not a number of CPUs"},
    {"run --cpus -1 x", "--cpus: '-1' is not a number of CPUs"},
    {"run --cpus two x", "--cpus: 'two' is not a number of CPUs"},
    {"run --cpus 2x x", "--cpus: '2x' is not a number of CPUs"},
    {"run --mem 63K x", "--mem: 63K is no size of guest RAM: give a multiple of 4K, from 64K on\n"},
    {"run --mem 65537 x", "--mem: 65537 is no size of guest RAM"},
    {"run --cpu=-nonsense x", "--cpu: there is no feature 'nonsense' to take out"},
    {"run --cpu avx x", "--cpu: 'avx' has no - before it"},
    {"run --cpus 2 --irqchip none x",
     "--cpus: 2 CPUs need interrupt controllers: --irqchip kernel or split\n"},
    {"run --flat x", "--flat: there is no 'x'; choose from: real16, prot32, long64\n"},
    {"run --mem x", "--mem: 'x' is not a size"},
    {"run --cpus 4294967297 x", "--cpus: '4294967297' is not a number of CPUs"},
    {"run --serial tty x", "--serial: 'tty' is none of stdio, none, pty, file:PATH, unix:PATH\n"},
    {"run --serial file: x", "--serial: 'file:' is none of"},
    {"run --serial unix: x", "--serial: 'unix:' is none of"},
    {"run --serial none --device virtio-console,hvc=stdio,port=a:stdio x",
     "virtio-console: 2 ports on stdio, which is for one: "},
    {"run --serial none --device virtio-console,hvc=stdio --device virtio-console,hvc=stdio x",
     "virtio-console: 2 ports on stdio, which is for one: "},
    {"run --irqchip kernl x",
     "there is no 'kernl'; choose from: auto, kernel, split, none (did you mean kernel?)\n"},
    {"run --flat real x", "choose from: real16, prot32, long64 (did you mean real16?)\n"},
    {"run --flat real166 x", "choose from: real16, prot32, long64 (did you mean real16?)\n"},
    {"run --flat @0x1000 x", "--flat: there is no ''; choose from: real16, prot32, long64\n"},
    {"run --flat real16@ x", "--flat: '' is not an address; write 0x7c00 or 1M\n"},
    {"run --flat real16@-1 x", "--flat: '-1' is not an address"},
    {"run --flat real16@0xg x", "--flat: '0xg' is not an address"},
    {"run --flat real16@1@2 x", "--flat: '1@2' is not an address"},
    {"run --flat long64@99999999999999999999 x", "--flat: '99999999999999999999' is not an address"},
    {"run --flat real16@zz x", "--flat: 'zz' is not an address; write 0x7c00 or 1M\n"},
    {"run --mmio-engine tarp x", "(did you mean trap?)\n"},
    {"run --ring0-engine softwear x", "(did you mean software?)\n"},
    {"run --timeout 0 x", "--timeout: '0' is not a time; write 500ms, 10s or 2m\n"},
    {"run --timeout 5x x", "--timeout: '5x' is not a time"},
    {"run --timeout -1 x", "--timeout: '-1' is not a time"},
    {"run --timeout inf x", "--timeout: 'inf' is not a time"},
    {"run --device scrath x", "--device: there is no 'scrath'; choose from: scratch, testdev, debug-exit, "
                              "virtio-console, virtio-rng (did you mean scratch?)\n"},
    {"run --device testdev,engine=no x", "--device: engine: there is no 'no'; choose from: auto, kvm, trap"},
    {"run --device debug-exit,iobase=70000 x", "debug-exit has ports from iobase=PORT on"},
    {"run --device debug-exit,iobase=0xffff,iosize=2 x", "debug-exit has ports from iobase=PORT on"},
    {"run --device debug-exit,iosize=0 x", "debug-exit has ports from iobase=PORT on"},
    {"run --fw-cfg name=opt/a x", "--fw-cfg: write name=NAME,file=PATH or name=NAME,string=TEXT"},
    {"run --fw-cfg string=a x", "--fw-cfg: write name=NAME"},
    {"run --fw-cfg name=a,file=b,string=c x", "--fw-cfg: write name=NAME"},
    {"run --fw-cfg name=a,file=b,foo=c x", "--fw-cfg: there is no 'foo=c'; there are name=NAME"},
    {"run --fw-cfg foo=a,file=b x", "--fw-cfg: there is no 'foo=a'"},
    {"run --fw-cfg a,b,file=c x", "--fw-cfg: there is no 'b'"},
    {"run --device scratch x", "--device: scratch needs addr=ADDRESS and size=SIZE\n"},
    {"run --device scratch,addr x", "--device: 'addr' has no value; write addr=VALUE\n"},
    {"run --device scratch,addr=zz,size=1 x", "addr=zz is not a number"},
    {"run --device scratch,colour=red x", "scratch has no 'colour'; it has addr, size"},
    {"run --device scratch,direct=yes x", "choose from: off, on"},
    {"run --on-reboot restrt x", "choose from: exit, restart (did you mean restart?)\n"},
    {"run --on-triple-fault x x", "choose from: report, reboot\n"},
    {"run --disk path=a,cahce=none x",
     "--disk: a disk has no 'cahce'; did you mean 'cache'? It has path, format"},
    {"run --disk path=a,cache=no x", "--disk: cache: there is no 'no'; choose from: writeback, none"},
    {"run --disk readonly=on x", "--disk: which file? Write path=FILE\n"},
    {"run --disk path=a,iops=many x", "--disk: iops=many is not a number"},
    {"run --trace t --trace-buffer name=a,mode=rin x", "--trace-buffer: mode: there is no 'rin'"},
    {"run --trace t --trace-buffer name=a,colour=red x",
     "--trace-buffer: a buffer has no 'colour'; it has name, size, mode, full, events, filter\n"},
    {"run --trace t --trace-buffer name=a,size=x x", "--trace-buffer: size=x is not a number"},
    {"run --trace t --trace-buffer filter=write,read x", "--trace-buffer: a buffer needs name=NAME\n"},
    {"run --trace t --trace-buffer name=a --trace-buffer name=b --trace-buffer name=a x",
     "--trace-buffer: there are two buffers 'a'; give each a name of its own\n"},
    {"run --trace t --trace-events exit --trace-buffer name=main x", "there are two buffers 'main'"},
    {"run --trace t --trace-mode ring --trace-buffer name=a --trace-buffer name=b --trace-buffer name=c "
     "--trace-buffer name=d --trace-buffer name=e --trace-buffer name=f --trace-buffer name=g "
     "--trace-buffer name=h x",
     "--trace-buffer: at most 8 buffers, with that of the plain options\n"},
    {"run --trace t --trace-mode snapshot x",
     "--trace-mode: snapshot needs a trigger that takes one: add --trace-trigger EXPR"},
    {"run --trace t --trace-mode snapshot --trace-trigger traceoff^if^write x", "snapshot needs a trigger"},
    {"run --trace t --trace-buffer name=a,mode=snapshot x", "snapshot needs a trigger"},
    /* Eight are taken: the complaint is the next. */
    {"run --trace t --trace-buffer name=a --trace-buffer name=b --trace-buffer name=c --trace-buffer "
     "name=d,mode=snapshot --trace-buffer name=e --trace-buffer name=f --trace-buffer name=g --trace-buffer "
     "name=h,events=exit+pio,filter=addr^>^1,2 --trace-trigger write x y",
     "one image at a time: 'y' is one too many\n"},
    {"doctor --jsn", "there is no option --jsn; did you mean --json?\nTry 'vmm doctor --help'.\n"},
    {"doctor all", "'all' is one argument too many\n"},
};

START_TEST(mistakes_are_named_with_what_to_do)
{
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
        program_run(mistakes[i].line, &run);
        ck_assert_msg(run.status == 2 && !run.out[0] && strstr(run.err, mistakes[i].message) &&
                          strstr(run.err, "--help'.\n"),
                      "vmm %s: status %d, said\n%s%s", mistakes[i].line, run.status, run.out, run.err);
    }
}
END_TEST

/* Runners show the last line: it is the reason. */
static const struct {
    const char *line, *message;
} refusals[] = {
    {"-m 64", "-kernel: there is no firmware and no disk to boot from; give a kernel\n"},
    {"x.img",
     "'x.img' would be a disk: there are no disks of QEMU's: give the image to 'vmm run' with --disk"},
    {"-kernle x", "-kernle: QEMU's option is not known here; did you mean -kernel?\n"},
    {"-frobnicate", "-frobnicate: QEMU's option is not known here; leave it out"},
    {"-x", "-x: QEMU's option is not known here; leave it out"},
    {"-kernel", "-kernel: needs a value\n"},
    {"-kernel x -m lots", "-m: 'lots' is not a size; write 512 (MiB), 512M or 4G\n"},
    {"-kernel x -m 1G,slots=2", "memory slots for hotplug are not there"},
    {"-kernel x -smp 0", "-smp: '0' is not a number of CPUs\n"},
    {"-kernel x -smp 2,colour=3", "-smp: there is no 'colour'\n"},
    {"-kernel x -accel tcg", "-accel: there is no other accelerator than kvm\n"},
    {"-kernel x -machine accel=tcg", "there is no other accelerator than kvm\n"},
    {"-kernel x -machine pc,kernel_irqchip=off", "interrupt controllers are KVM's; write on or split"},
    {"-kernel x -machine q35,cxl=on", "-machine: there is no 'cxl=on'; leave it out\n"},
    {"-kernel x -machine q35,acpi=maybe", "-machine: 'acpi=maybe': write acpi=on or acpi=off\n"},
    {"-kernel x -machine q35,pit=maybe", "-machine: there is no 'pit=maybe'; leave it out\n"},
    {"-kernel x -accel kvm,foo=bar", "-accel: there is no 'foo=bar'; leave it out\n"},
    {"-kernel x -device virtio-rng-pci,rng=foo", "-device: virtio-rng-pci has no 'rng=foo' here"},
    {"-kernel x -device pvpanic,foo=bar", "-device: pvpanic has no 'foo=bar' here"},
    {"-kernel x -device isa-debug-exit,iobase=70000", "isa-debug-exit: iobase=70000,iosize=2 are no ports"},
    {"-kernel x -device isa-debug-exit,iosize=zz", "isa-debug-exit: iobase=0x501,iosize=zz are no ports"},
    {"-kernel x -display nonesuch", "-display: 'nonesuch': there is no display; write none\n"},
    {"-kernel x -fw_cfg name=a,file=b,foo=c", "-fw_cfg: there is no 'foo=c'; there are name=NAME"},
    {"-kernel x -cpu host,-foobar", "-cpu: there is no feature 'foobar' to take out"},
    {"-kernel x -m 1Q", "-m: '1Q' is no size of guest RAM; write 512 (MiB), 512M or 4G\n"},
    {"-kernel x -m 0", "-m: '0' is no size of guest RAM"},
    {"-kernel x -serial file:", "-serial: 'file:' is none of stdio, mon:stdio"},
    {"-kernel x -device virtio-rng-pci -device virtio-rng-pci -device virtio-rng-pci -device virtio-rng-pci "
     "-device virtio-rng-pci",
     "at most 4 of virtio-rng\n"},
    {"-kernel x -device intel-iommu",
     "-device: there is no 'intel-iommu'; '-device help' lists what there is"},
    {"-kernel x -device isa-debug-exit,port=1", "isa-debug-exit has no 'port=1'; it has iobase, iosize"},
    {"-kernel x -serial tcp:1", "-serial: 'tcp:1' is none of stdio, mon:stdio"},
    {"-kernel x -display gtk", "there is no display; write none\n"},
    {"-kernel x -nic user", "there are no network cards"},
    {"-kernel x -drive file=a", "-drive: there are no disks of QEMU's: give the image to 'vmm run' with"},
    {"-kernel x -hda a", "-hda: there are no disks of QEMU's"},
    {"-kernel x -bios b", "there is no firmware: give a kernel with -kernel\n"},
    {"-kernel x -incoming tcp:0", "a machine's state cannot be saved or sent\n"},
    {"-kernel x -s", "there is no debugger's stub"},
    {"-kernel x -mon chardev=a", "-mon: there is no monitor; leave it out\n"},
    {"-kernel x -fw_cfg name=a", "write name=NAME,file=PATH or name=NAME,string=TEXT\n"},
};

START_TEST(what_qemu_has_and_we_do_not_is_refused_by_name)
{
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        char line[200];
        snprintf(line, sizeof(line), "qemu-compat %s", refusals[i].line);
        program_run(line, &run);
        const char *end = strchr(run.err, '\n');
        ck_assert_msg(run.status == 2 && !run.out[0] && strstr(run.err, refusals[i].message) && end &&
                          !end[1],
                      "vmm %s: status %d, said\n%s%s", line, run.status, run.out, run.err);
    }
}
END_TEST

/* Each line is a warning, by which runners know that it is no failure; the last option is refused, for that
 * ends the command. */
START_TEST(what_changes_the_guest_is_not_dropped_silently)
{
    static const struct {
        const char *line, *message;
    } dropped[] = {
        {"-device pci-testdev", "-device: pci-testdev is not there; the guest goes on without it"},
        {"-cpu max,vendor=GenuineIntel,pmu=off", "-cpu: vendor=GenuineIntel has no effect"},
        {"-cpu IvyBridge,phys-bits=36,host-phys-bits=off", "-cpu: phys_bits=36 has no effect"},
        {"-cpu max,+vmx", "-cpu: vmx has no effect: there is no nested virtualization"},
        {"-cpu host,hv_passthrough",
         "-cpu: hv_passthrough has no effect: there are no interfaces of Hyper-V's"},
        {"-cpu host,kvm=off", "-cpu: kvm=off has no effect: the guest sees KVM"},
        {"-smp 1,maxcpus=256", "-smp: maxcpus=256: CPUs cannot be added later; there are 1"},
        {"-smp 4,sockets=2,cores=2", "-smp: the topology is not kept"},
        {"-machine pit=off", "-machine: pit=off has no effect: it is always there"},
        {"-machine vmport=on", "-machine: vmport=on has no effect: there is none"},
        {"-global isa-debugcon.iobase=0x402", "-global: 'isa-debugcon.iobase=0x402' has no effect here"},
        {"-rtc base=localtime", "-rtc: 'base=localtime' has no effect: the clock is the host's, in UTC"},
        {"-no-shutdown", "-no-shutdown: has no effect: a guest that switches itself off ends the run"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(dropped); i++) {
        char line[200];
        snprintf(line, sizeof(line), "qemu-compat -kernel x %s -bios b", dropped[i].line);
        program_run(line, &run);
        ck_assert_msg(strncmp(run.err, "vmm: warning: ", 14) == 0 &&
                          strncmp(run.err + 14, dropped[i].message, strlen(dropped[i].message)) == 0 &&
                          strchr(run.err, '\n') == strstr(run.err, "\nvmm: -bios"),
                      "vmm %s: said\n%s", line, run.err);
    }
}
END_TEST

START_TEST(what_no_guest_sees_is_taken_without_a_word)
{
    program_run(
        "qemu-compat -kernel x -nodefaults -global kvm-pit.lost_tick_policy=discard -accel kvm -accel tcg "
        "-cpu max,host-phys-bits,migratable=no,-npt,-vmx-mbec,+x2apic,hv_time=off -name a,b -overcommit "
        "cpu-pm=on -rtc base=utc,driftfix=slew -M q35,smm=off,usb=off,graphics=off -vga none -nic none "
        "-boot d -smp cpus=4,sockets=1,cores=4,threads=1,maxcpus=4 -bios b",
        &run);
    ck_assert_msg(strncmp(run.err, "vmm: -bios", 10) == 0, "said\n%s", run.err);
}
END_TEST

/* scripts/arch-run.bash and x86/run of kvm-unit-tests look for these words, and read the version in that
 * place. */
START_TEST(runners_find_what_they_look_for)
{
    program_run("qemu-compat --help", &run);
    ck_assert_msg(strncmp(run.out, "QEMU emulator version 7.2.0 ", 28) == 0, "said\n%s", run.out);
    program_run("qemu-compat -device ?", &run);
    ck_assert_ptr_nonnull(strstr(run.out, "\"pc-testdev\""));
    ck_assert_ptr_null(strstr(run.out, "pci-testdev"));
}
END_TEST

START_TEST(help_is_asked_for_and_goes_to_standard_output)
{
    static const struct {
        const char *line, *part;
    } helps[] = {{"--help", "Commands:\n"},
                 {"-h", "Commands:\n"},
                 {"help", "Commands:\n"},
                 {"--version", "vmm "},
                 {"-V", "vmm "},
                 {"help run", "Usage: vmm run"},
                 {"help doctor", "Usage: vmm doctor"},
                 {"help trace", "Usage: vmm trace"},
                 {"help bench", "Usage: vmm bench"},
                 {"help qemu-compat", "Usage: vmm qemu-compat"},
                 {"run --help", "Exit status:\n"},
                 {"run -h --mem zz", "Exit status:\n"},
                 {"doctor --help", "Exit status: 0"},
                 {"decode --help", "Usage: vmm decode"}};
    for (size_t i = 0; i < ARRAY_COUNT(helps); i++) {
        program_run(helps[i].line, &run);
        ck_assert_msg(run.status == 0 && strstr(run.out, helps[i].part) && !run.err[0],
                      "vmm %s: status %d\n%s%s", helps[i].line, run.status, run.out, run.err);
    }
}
END_TEST

START_TEST(bytes_are_taken_as_they_are_pasted)
{
    static const struct {
        const char *line, *part;
        int status;
    } lines[] = {{"decode 48^8b^43^08", "488b4308 ", 0},
                 {"decode 0x488b4308", "488b4308 ", 0},
                 {"decode 0x48^0x8b^0x43^0x08^", "488b4308 ", 0},
                 {"decode --format json 0X90", "\"bytes\":\"90\"", 0},
                 {"decode 48z0", "error: column 3: 'z' is no hex digit: write 488b4308", 1},
                 {"decode --format json 48\"", "{\"error\":\"column 3: byte 0x22 is no hex digit", 1},
                 {"decode 48^8", "error: column 5: a byte has two hex digits", 1},
                 {"decode 4^88", "error: column 2: a byte has two hex digits", 1},
                 {"decode 0x", "error: column 2: 'x' is no hex digit", 1},
                 {"decode 900x90", "error: column 4: 'x' is no hex digit", 1},
                 {"decode ^", "error: the line is empty", 1}};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        program_run(lines[i].line, &run);
        ck_assert_msg(run.status == lines[i].status && strstr(run.out, lines[i].part) && !*run.err,
                      "vmm %s: status %d\n%s%s", lines[i].line, run.status, run.err, run.out);
    }
}
END_TEST

START_TEST(help_fits_a_window)
{
    static const char *const lines[] = {
        "help",       "help run",   "help doctor",         "help decode",
        "help trace", "help bench", "trace report --help", "bench blk --help"};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        program_run(lines[i], &run);
        for (const char *at = run.out; *at; at += strcspn(at, "\n") + 1)
            ck_assert_msg(strcspn(at, "\n") <= 112, "vmm %s: %.*s", lines[i], (int)strcspn(at, "\n"), at);
    }
}
END_TEST

START_TEST(output_that_cannot_be_written_is_a_failure)
{
    static const char *const lines[] = {"--help", "--version", "run --help", "doctor --help",
                                        "doctor --json"};
    int full = open("/dev/full", O_WRONLY);
    ck_assert_int_ge(full, 0);
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++)
        ck_assert_msg(program_wait(program_start(lines[i], full)) == 4, "vmm %s", lines[i]);
    close(full);
}
END_TEST

/* A file of the guest's is never one that the run would empty first, whatever its name there; nor is anything
 * written for a guest that is not there. */
START_TEST(what_is_read_is_not_written_over)
{
    static const struct {
        const char *options, *message; /* with the path for each % */
        int status;
    } cases[] = {
        {"--stats --stats-file % --flat real16 %", "--stats-file: %s is the image, too, and would be lost",
         2},
        {"--trace % %", "--trace: %s is the image, too", 2},
        {"--serial file:% %", "--serial: %s is the image, too", 2},
        {"--device virtio-console,hvc=file:% --flat real16 %", "virtio-console: %s is the image, too", 2},
        {"--trace % --initrd % no-file", "--trace: %s is an initrd, too", 2},
        {"--trace % --disk % no-file", "--trace: %s is a disk, too", 2},
        {"--trace % --disk path=no-file,overlay=% no-file", "--trace: %s is a disk's overlay, too", 2},
        {"--trace % --fw-cfg name=a,file=% no-file", "--trace: %s is a file of --fw-cfg, too", 2},
        {"--trace % no-file", "vmm: no-file: cannot open: No such file or directory\n", 4},
        {"--stats-file % no-file", "vmm: no-file: cannot open: No such file or directory\n", 4},
    };
    char path[] = "/tmp/vmm-files-XXXXXX", link_path[64], line[400], message[200], text[100];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "keep", 4), 4);
    snprintf(link_path, sizeof(link_path), "%s.link", path);
    ck_assert_int_eq(link(path, link_path), 0);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t len = (size_t)snprintf(line, sizeof(line), "run ");
        const char *name = path; /* and the second time the other */
        for (const char *at = cases[i].options; *at; at++) {
            len += (size_t)(*at == '%' ? snprintf(line + len, sizeof(line) - len, "%s", name)
                                       : snprintf(line + len, sizeof(line) - len, "%c", *at));
            name = *at == '%' ? link_path : name;
        }
        snprintf(message, sizeof(message), cases[i].message, path);
        program_run(line, &run);
        ck_assert_msg(run.status == cases[i].status && strstr(run.err, message),
                      "vmm %s: status %d, said\n%s", line, run.status, run.err);
        program_read_file(fd, text, sizeof(text));
        ck_assert_msg(strcmp(text, "keep") == 0, "vmm %s: it has '%s' now", line, text);
    }
    unlink(path);
    unlink(link_path);
    close(fd);
}
END_TEST

static bool write_map(const char *path, const char *text)
{
    FILE *map = fopen(path, "we");
    return map && fputs(text, map) >= 0 && fclose(map) == 0;
}

/* The same user in a namespace of its own, who can make files there. */
static int unshare_user(void)
{
    char users[40], groups[40];
    snprintf(users, sizeof(users), "%u %u 1\n", geteuid(), geteuid());
    snprintf(groups, sizeof(groups), "%u %u 1\n", getegid(), getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return -1;
    return write_map("/proc/self/setgroups", "deny") && write_map("/proc/self/uid_map", users) &&
                   write_map("/proc/self/gid_map", groups)
               ? 0
               : -1;
}

/* This process and its children get a /dev of their own; the test runs in a process of its own. */
static void leave_dev(void)
{
    if (unshare(CLONE_NEWNS) && unshare_user())
        test_skip("no mount namespace to hide /dev/kvm in: %s", strerror(errno));
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", "/dev", "tmpfs", 0, NULL))
        test_skip("/dev cannot be covered: %s", strerror(errno));
}

static void check_unusable(const char *message)
{
    static const char *const lines[] = {"run --flat real16 flat/real16-exit.bin", "doctor", "doctor --json"};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        program_run(lines[i], &run);
        ck_assert_msg(run.status == 4 && strstr(i ? run.out : run.err, message), "vmm %s: status %d\n%s%s",
                      lines[i], run.status, run.out, run.err);
    }
    ck_assert_ptr_nonnull(strstr(run.out, "\"usable\":false"));
}

START_TEST(a_host_without_kvm_is_told_what_to_do)
{
    leave_dev();
    check_unusable("/dev/kvm: there is none");
    ck_assert_ptr_nonnull(strstr(run.out, "\"kvm\":\"unknown\""));
    ck_assert_msg(strstr(run.out, "mknod /dev/kvm") || strstr(run.out, "modprobe kvm_") ||
                      strstr(run.out, "in the firmware"),
                  "%s", run.out);
    ck_assert_ptr_null(strstr(run.out, " \",\"kernel\"")); /* no blanks behind the processor's name */
    ck_assert_int_eq(close(creat("/dev/kvm", 0600)), 0);
    check_unusable("/dev/kvm: is not KVM's device");
    if (unlink("/dev/kvm") == 0 && mknod("/dev/kvm", S_IFCHR | 0600, makedev(10, 255)) == 0)
        check_unusable("/dev/kvm: has no driver");
    unlink("/dev/kvm");
    ck_assert_int_eq(close(creat("/dev/kvm", 0600)), 0);
    if (geteuid() == 0)
        return;
    ck_assert_int_eq(chmod("/dev/kvm", 0), 0);
    check_unusable("/dev/kvm: cannot open: Permission denied: become a member of its group");
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, mistakes_are_named_with_what_to_do, 120);
    test_add(suite, what_qemu_has_and_we_do_not_is_refused_by_name);
    test_add(suite, what_changes_the_guest_is_not_dropped_silently);
    test_add(suite, what_no_guest_sees_is_taken_without_a_word);
    test_add(suite, runners_find_what_they_look_for);
    test_add(suite, help_is_asked_for_and_goes_to_standard_output);
    test_add(suite, bytes_are_taken_as_they_are_pasted);
    test_add(suite, help_fits_a_window);
    test_add(suite, what_is_read_is_not_written_over);
    test_add(suite, output_that_cannot_be_written_is_a_failure);
    test_add(suite, a_host_without_kvm_is_told_what_to_do);
}
