/* SPDX-License-Identifier: MIT
 *
 * A distribution's kernel as the guest: Debian's cloud kernel, with an initramfs of busybox and a script made
 * here, from its boot to its end. In the nested lane only, where the kernel runs at full speed: that lane's
 * own kernel, as the file vmlinuz in the current directory or where VMM_TEST_KERNEL says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/libvmm.h"
#include "tests/harness.h"
#include "tests/mmio_way.h"

#define BUSYBOX       "/bin/busybox"
#define MODULES       "modules"
#define RUN_LIMIT_MS  120000
#define INITRD_BYTES  (8u << 20)
#define CONSOLE_BYTES (1u << 20)

/* What every guest does first; the line read from the console is the command with which it ends. */
static const char script_begin[] =
    "#!/bin/busybox sh\n"
    "/bin/outb 1287 1\n" /* the mark of user space, before anything is mounted */
    "/bin/busybox --install -s /bin\n"
    "mount -t proc proc /proc\n"
    "mount -t sysfs sysfs /sys\n"
    "mount -t devtmpfs devtmpfs /dev\n"
    "echo \"USER cpus=$(nproc) clock=$(cat "
    "/sys/devices/system/clocksource/clocksource0/current_clocksource)\"\n"
    "grep MemTotal /proc/meminfo\n"
    "grep LOC: /proc/interrupts\n"
    "cd /sys/devices/system/cpu\n"
    "echo CORES $(cat cpu[0-9]*/topology/core_id | sort -u | wc -l) SOCKETS $(cat "
    "cpu[0-9]*/topology/physical_package_id | sort -u | wc -l) SIBLINGS $(cat "
    "cpu[0-9]*/topology/thread_siblings_list | grep -c '[-,]')\n"
    "grep -q -w -e svm -e vmx -e sgx /proc/cpuinfo || echo NOT NESTED\n"
    "dd if=/dev/random of=/dev/null bs=64 count=1 2>/dev/null && echo RANDOM\n";
static const char script_end[] = "echo COMMAND?\n"
                                 "read command\n"
                                 "echo \"HEARD $command\"\n"
                                 "$command\n";

struct typist;

struct linux_run {
    struct vmm_config config;
    const char *input;
    const char *script;  /* more for the guest to do, or NULL */
    const char *cmdline; /* more for its command line, or NULL */
    const char *fw_cfg;  /* the content of the file opt/test in fw_cfg, or NULL */
    const char *disk;    /* a disk's image, or NULL; then the kernel's modules are needed */
    const char
        *agent; /* what a console's port "agent" writes to, or NULL: no console, and no entropy device */
    enum vmm_transport transport;
    bool no_acpi;
    bool wants_modules; /* also without a disk or a console */
    struct typist *typist;
    struct vmm_end end;
    uint64_t entry_ns, serial_ns, user_space_ns;
    struct vmm_virtio_stat virtios[3]; /* of the entropy device and two consoles */
    char log[8192];
    char *console;
};

static void need_lane(char *kernel, size_t len)
{
    const char *lane = getenv("VMM_TEST_LANE"), *path = getenv("VMM_TEST_KERNEL");
    if (!lane || strcmp(lane, "nested"))
        test_skip("only in the nested lane, where a kernel's ring 0 is not interpreted");
    test_need_kvm();
    snprintf(kernel, len, "%s", path ? path : "vmlinuz");
    if (access(kernel, R_OK))
        test_skip("the lane has no kernel to boot: scripts/nested/run --file build/nested/vmlinuz");
    if (access(BUSYBOX, R_OK))
        test_skip("there is no " BUSYBOX);
}

/* A member of a cpio archive in the format "newc": a header of hexadecimal numbers, name and content, both
 * padded to 4 bytes. Returns the archive's new length. */
static size_t cpio_add(char *archive, size_t at, const char *name, unsigned mode, const void *bytes,
                       size_t len)
{
    int header = snprintf(archive + at, INITRD_BYTES - at,
                          "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x%s", 0, mode, 0, 0, 1,
                          0, len, 0, 0, 0, 0, strlen(name) + 1, 0, name);
    at = (at + (size_t)header + 1 + 3) & ~(size_t)3;
    ck_assert_uint_lt(at + len + 512, INITRD_BYTES);
    if (len)
        memcpy(archive + at, bytes, len);
    return (at + len + 3) & ~(size_t)3;
}

static size_t cpio_add_file(char *archive, size_t at, const char *name, const char *path, unsigned mode)
{
    static char bytes[INITRD_BYTES / 2];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, bytes, sizeof(bytes));
    ck_assert_msg(len > 0 && len < (ssize_t)sizeof(bytes), "%s", path);
    close(fd);
    return cpio_add(archive, at, name, mode, bytes, (size_t)len);
}

static size_t cpio_add_modules(char *archive, size_t at)
{
    char path[300];
    struct dirent *entry;
    DIR *folder = opendir(MODULES);
    if (!folder)
        test_skip("the lane has no modules for the guest: scripts/nested/run --file build/nested/modules");
    while ((entry = readdir(folder)))
        if (strstr(entry->d_name, ".ko")) {
            snprintf(path, sizeof(path), MODULES "/%s", entry->d_name);
            at = cpio_add_file(archive, at, path, path, 0100644);
        }
    closedir(folder);
    return at;
}

/* Where vmm_load finds it. */
static void make_initrd(const struct linux_run *run, const char *path)
{
    static char archive[INITRD_BYTES], script[4096];
    static const char *const folders[] = {"bin", "proc", "sys", "dev", MODULES};
    size_t at = 0;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        at = cpio_add(archive, at, folders[i], 0040755, NULL, 0);
    at = cpio_add_file(archive, at, "bin/busybox", BUSYBOX, 0100755);
    at = cpio_add_file(archive, at, "bin/outb", VMM_GUEST_DIR "/outb", 0100755);
    if (run->disk || run->agent || run->wants_modules)
        at = cpio_add_modules(archive, at);
    snprintf(script, sizeof(script), "%s%s%s", script_begin, run->script ? run->script : "", script_end);
    at = cpio_add(archive, at, "init", 0100755, script, strlen(script));
    at = cpio_add(archive, at, "TRAILER!!!", 0, NULL, 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(write(fd, archive, at), (ssize_t)at);
    close(fd);
}

/* Presses the power button when the guest asks for that, and types the input when it asks for that: what
 * comes before the kernel has set up its serial port is lost, as on a PC. */
struct typist {
    pthread_t thread;
    struct vmm *machine;
    const char *input;
    int output_fd, input_fd;
    atomic_bool is_over;
};

static void *type_when_asked(void *argument)
{
    static char text[CONSOLE_BYTES];
    struct typist *typist = argument;
    bool is_pressed = false;
    for (bool is_asked = false; !is_asked && !typist->is_over; usleep(50000)) {
        ssize_t len = pread(typist->output_fd, text, sizeof(text) - 1, 0);
        text[len > 0 ? len : 0] = 0;
        is_asked = strstr(text, "COMMAND?");
        if (!is_pressed && strstr(text, "BUTTON?")) {
            vmm_press_power_button(typist->machine);
            is_pressed = true;
        }
    }
    ssize_t len = (ssize_t)strlen(typist->input);
    return write(typist->input_fd, typist->input, (size_t)len) == len ? typist : NULL;
}

static void log_line(void *context, enum vmm_log_level level, const char *line)
{
    struct linux_run *run = context;
    size_t len = strlen(run->log);
    (void)level;
    snprintf(run->log + len, sizeof(run->log) - len, "%s\n", line);
}

/* An entropy device, and a console of two ports, of which the guest's terminal leads nowhere. */
static int add_console(const struct linux_run *run, struct vmm *machine, struct vmm_error *error)
{
    const struct vmm_console_port ports[] = {
        {.is_console = true}, {.name = "agent", .where = {.kind = VMM_SERIAL_FILE, .path = run->agent}}};
    const struct vmm_console_config two = {.ports = ports, .port_count = 2, .transport = run->transport};
    const struct vmm_console_config one = {.ports = ports, .port_count = 1, .transport = run->transport};
    int result = vmm_add_rng(machine, run->transport, error);
    if (!result)
        result = vmm_add_console(machine, &one, error);
    if (!result)
        result = vmm_resize_console(machine, 0, 132, 43, error);
    return result ? result : vmm_add_console(machine, &two, error);
}

static int run_with_typist(struct linux_run *run, struct vmm *machine, struct vmm_error *error)
{
    struct typist *typist = run->typist;
    typist->machine = machine;
    ck_assert_int_eq(pthread_create(&typist->thread, NULL, type_when_asked, typist), 0);
    int result = vmm_run(machine, &run->end, error);
    typist->is_over = true;
    pthread_join(typist->thread, NULL);
    return result;
}

static int run_machine(struct linux_run *run, const struct vmm_serial_config *serial, const char *kernel,
                       const char *initrd, struct vmm_error *error)
{
    struct vmm *machine = NULL;
    char cmdline[200];
    const struct vmm_disk_config disk = {.path = run->disk, .transport = run->transport};
    const struct vmm_module module = {.path = initrd};
    const struct vmm_image image = {
        .path = kernel, .cmdline = cmdline, .modules = &module, .module_count = 1};
    snprintf(cmdline, sizeof(cmdline), "console=ttyS0 panic=-1 quiet %s", run->cmdline ? run->cmdline : "");
    struct vmm_config config = test_mmio_config(run->config);
    int result = vmm_create(&config, &machine, error);
    if (!result)
        result = vmm_add_serial(machine, serial, error);
    if (!result)
        result = vmm_add_legacy(machine, error);
    if (!result)
        result = vmm_add_progress(machine, error);
    if (!result && run->fw_cfg)
        result = vmm_add_fwcfg_file(machine, "opt/test", run->fw_cfg, strlen(run->fw_cfg), error);
    if (!result && run->disk)
        result = vmm_add_disk(machine, &disk, error);
    if (!result && run->agent)
        result = add_console(run, machine, error);
    if (!result && !run->no_acpi)
        result = vmm_add_acpi(machine, error);
    if (!result)
        result = vmm_load(machine, &image, error);
    if (!result)
        result = run_with_typist(run, machine, error);
    if (!result) {
        run->entry_ns = vmm_stats_mark(machine, VMM_MARK_ENTRY);
        run->serial_ns = vmm_stats_mark(machine, VMM_MARK_SERIAL);
        run->user_space_ns = vmm_stats_mark(machine, VMM_MARK_USER_SPACE);
        vmm_stats_virtio(machine, run->virtios, 3);
    }
    vmm_destroy(machine);
    return result;
}

static void linux_run(struct linux_run *run)
{
    static char console[CONSOLE_BYTES];
    char kernel[1024], initrd[64];
    struct vmm_error error = {0};
    need_lane(kernel, sizeof(kernel));
    snprintf(initrd, sizeof(initrd), "/tmp/linux-test-%d.cpio", (int)getpid());
    make_initrd(run, initrd);
    int input[2], output = memfd_create("console", MFD_CLOEXEC);
    ck_assert_int_eq(pipe(input), 0);
    struct typist typist = {.input = run->input, .output_fd = output, .input_fd = input[1]};
    run->typist = &typist;
    const struct vmm_serial_config serial = {
        .kind = VMM_SERIAL_DESCRIPTORS, .in_fd = input[0], .out_fd = output};
    run->config.ram_bytes = 256u << 20;
    run->config.timeout_ms = RUN_LIMIT_MS;
    run->config.log = log_line;
    run->config.log_context = run;
    int result = run_machine(run, &serial, kernel, initrd, &error);
    unlink(initrd);
    ssize_t len = pread(output, console, sizeof(console) - 1, 0);
    console[len > 0 ? len : 0] = 0;
    run->console = console;
    ck_assert_msg(result == 0, "%s\n%s", error.message, console);
}

static void must_say(const struct linux_run *run, const char *text)
{
    ck_assert_msg(strstr(run->console, text) != NULL, "the guest does not say '%s': %s\n%s", text,
                  run->console, run->log);
}

/* Every CPU has had local timer interrupts. */
static void check_interrupts(const struct linux_run *run, unsigned cpu_count)
{
    const char *line = strstr(run->console, "LOC:");
    ck_assert_msg(line != NULL, "%s", run->console);
    line += 4;
    for (unsigned i = 0; i < cpu_count; i++) {
        char *end;
        ck_assert_msg(strtoul(line, &end, 10) > 0 && end != line, "CPU %u: %.80s", i, line);
        line = end;
    }
}

static void boot_with(const struct vmm_config *config)
{
    struct linux_run run = {.config = *config, .input = "poweroff -f\n"};
    unsigned cpu_count = config->cpu_count;
    char text[64];
    linux_run(&run);
    snprintf(text, sizeof(text), "USER cpus=%u clock=kvm-clock", cpu_count);
    must_say(&run, text);
    snprintf(text, sizeof(text), "CORES %u SOCKETS 1 SIBLINGS 0", cpu_count);
    must_say(&run, text);
    must_say(&run, "NOT NESTED");
    must_say(&run, "RANDOM");
    must_say(&run, "HEARD poweroff -f");
    check_interrupts(&run, cpu_count);
    ck_assert_msg(run.entry_ns && run.entry_ns < run.serial_ns && run.serial_ns < run.user_space_ns,
                  "the boot's marks: %llu, %llu, %llu ns", (unsigned long long)run.entry_ns,
                  (unsigned long long)run.serial_ns, (unsigned long long)run.user_space_ns);
    ck_assert_msg(run.end.reason == VMM_END_POWER_OFF, "%s", vmm_end_name(run.end.reason));
}

START_TEST(linux_reaches_user_space)
{
    boot_with(&(struct vmm_config){
        .cpu_count = 1, .irqchip = VMM_IRQCHIP_KERNEL, .mmio_engine = VMM_MMIO_KVM, .no_run_ahead = true});
}
END_TEST

START_TEST(linux_uses_four_cpus)
{
    boot_with(&(struct vmm_config){.cpu_count = 4, .irqchip = VMM_IRQCHIP_KERNEL});
}
END_TEST

START_TEST(linux_uses_eight_cpus)
{
    boot_with(&(struct vmm_config){.cpu_count = 8, .irqchip = VMM_IRQCHIP_KERNEL});
}
END_TEST

/* The IOAPIC outside is device memory: by each engine, and running ahead or not. */
START_TEST(linux_runs_with_the_ioapic_outside)
{
    boot_with(&(struct vmm_config){
        .cpu_count = 2, .irqchip = VMM_IRQCHIP_SPLIT, .mmio_engine = VMM_MMIO_KVM, .no_run_ahead = true});
}
END_TEST

START_TEST(linux_runs_with_a_trapped_ioapic)
{
    boot_with(
        &(struct vmm_config){.cpu_count = 1, .irqchip = VMM_IRQCHIP_SPLIT, .mmio_engine = VMM_MMIO_TRAP});
}
END_TEST

START_TEST(linux_reboots)
{
    struct linux_run run = {.input = "reboot -f\n"};
    linux_run(&run);
    must_say(&run, "HEARD reboot -f");
    ck_assert_msg(run.end.reason == VMM_END_RESET, "%s", vmm_end_name(run.end.reason));
}
END_TEST

/* Loads the drivers, says what the PCI bus shows of the disk, and reads from it past the page cache, before
 * and after its BARs have moved. */
static const char pci_script[] =
    "for module in /modules/*; do insmod $module; done\n"
    "cd /sys/bus/pci/devices\n"
    "for d in *; do echo PCI $d $(cat $d/vendor $d/device $d/class); done\n"
    "readlink 0000:00:01.0/driver\n"
    "dd if=/dev/vda bs=4k count=64 iflag=direct 2>/dev/null | md5sum\n"
    "before=$(head -n 1 0000:00:01.0/resource)\n"
    "echo 1 >0000:00:01.0/remove; echo 1 >../rescan\n" /* after which the kernel finds a better place */
    "[ \"$before\" = \"$(head -n 1 0000:00:01.0/resource)\" ] || echo MOVED\n"
    "echo AGAIN $(dd if=/dev/vda bs=4k count=64 iflag=direct 2>/dev/null | md5sum)\n"
    "grep virtio /proc/interrupts\n"
    "dmesg | grep -E 'MMCONFIG|root bus resource|1af4'\n";

#define DISK_BYTES (1u << 20)

/* An image whose first 256 KiB are the alphabet over and over. */
static void make_disk(const char *path)
{
    static char bytes[DISK_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 26);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, bytes, sizeof(bytes)), DISK_BYTES);
    close(fd);
}

/* How often the interrupt came whose line ends like this. */
static unsigned long interrupt_count(const struct linux_run *run, const char *end)
{
    const char *at = strstr(run->console, end);
    ck_assert_msg(at != NULL, "no interrupt '%s': %s", end, run->console);
    while (at > run->console && at[-1] != '\n')
        at--;
    at = strchr(at, ':');
    return strtoul(at + 1, NULL, 10);
}

static void run_with_disk(struct linux_run *run, enum vmm_irqchip irqchip, const char *cmdline)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/linux-test-%d.img", (int)getpid());
    make_disk(path);
    *run = (struct linux_run){.config = {.irqchip = irqchip},
                              .input = "poweroff -f\n",
                              .script = pci_script,
                              .cmdline = cmdline,
                              .disk = path};
    linux_run(run);
    unlink(path);
    must_say(run, "PCI 0000:00:00.0 0x1b36 0x0008 0x060000");
    must_say(run, "PCI 0000:00:01.0 0x1af4 0x1042 0x018000");
    must_say(run, "bus/pci/drivers/virtio-pci");
    must_say(run, "d5ef82f3fc46e755ae51c14d83ab52d4");
    must_say(run, "MOVED");
    must_say(run, "AGAIN d5ef82f3fc46e755ae51c14d83ab52d4");
    must_say(run, "MMCONFIG at [mem 0xf0000000-0xf00fffff] reserved");
    must_say(run, "root bus resource [mem 0xe0000000-0xefffffff window]");
    ck_assert_msg(run->end.reason == VMM_END_POWER_OFF, "%s", vmm_end_name(run->end.reason));
}

START_TEST(linux_uses_a_pci_disk_by_msix)
{
    struct linux_run run;
    run_with_disk(&run, VMM_IRQCHIP_KERNEL, NULL);
    ck_assert_uint_ge(interrupt_count(&run, "virtio0-req"), 64);
}
END_TEST

START_TEST(linux_uses_a_pci_disk_by_intx)
{
    struct linux_run run;
    run_with_disk(&run, VMM_IRQCHIP_KERNEL, "pci=nomsi");
    ck_assert_uint_ge(interrupt_count(&run, "11-fasteoi   virtio0"), 64);
}
END_TEST

START_TEST(linux_uses_a_pci_disk_with_the_ioapic_outside)
{
    struct linux_run run;
    run_with_disk(&run, VMM_IRQCHIP_SPLIT, "pci=nomsi");
    ck_assert_uint_ge(interrupt_count(&run, "11-fasteoi   virtio0"), 64);
    run_with_disk(&run, VMM_IRQCHIP_SPLIT, NULL);
    ck_assert_uint_ge(interrupt_count(&run, "virtio0-req"), 64);
}
END_TEST

static const char console_script[] =
    "for module in /modules/*; do insmod $module; done\n"
    "sleep 1\n"
    "echo RNG $(cat /sys/class/misc/hw_random/rng_current) $(dd if=/dev/hwrng bs=1000 count=1 2>/dev/null | "
    "wc -c)\n"
    "echo text >/dev/hvc0 && echo WRITTEN && sleep 1\n"
    "echo HVC $(stty size </dev/hvc0)\n"
    "for p in /sys/class/virtio-ports/*; do [ \"$(cat $p/name 2>/dev/null)\" = agent ] && "
    "echo from the guest >/dev/${p##*/}; done\n"

    "grep virtio /proc/interrupts\n";

/* The names live as long as the machine only. */
static void check_counts(const struct vmm_virtio_stat virtios[3])
{
    const struct vmm_virtio_stat *rng = &virtios[0], *console = &virtios[1], *agent = &virtios[2];
    ck_assert_uint_ge(rng->guest_in_bytes, 1000);
    ck_assert_uint_eq(rng->guest_out_bytes, 0);
    ck_assert_uint_ge(console->guest_out_bytes, sizeof("text\r\n") - 1);
    ck_assert_uint_ge(agent->guest_out_bytes, sizeof("from the guest\n") - 1);
    ck_assert_uint_gt(agent->guest_in_bytes, 0); /* control messages */
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_gt(virtios[i].request_count, 0);
        ck_assert_uint_gt(virtios[i].doorbell_count + virtios[i].notify_count, 0);
        ck_assert_uint_gt(virtios[i].interrupt_count, 0);
    }
}

static void check_console(enum vmm_transport transport)
{
    char agent[64], text[64] = "";
    snprintf(agent, sizeof(agent), "/tmp/linux-test-%d.agent", (int)getpid());
    struct linux_run run = {
        .input = "poweroff -f\n", .script = console_script, .agent = agent, .transport = transport};
    linux_run(&run);
    must_say(&run, "RNG virtio_rng.0 1000");
    must_say(&run, "HVC 43 132");
    must_say(&run, "WRITTEN");
    int fd = open(agent, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    close(fd);
    unlink(agent);
    ck_assert_str_eq(text, "from the guest\n");
    check_counts(run.virtios);
}

START_TEST(linux_has_consoles_and_entropy_by_pci)
{
    check_console(VMM_TRANSPORT_PCI);
}
END_TEST

START_TEST(linux_has_consoles_and_entropy_by_mmio)
{
    check_console(VMM_TRANSPORT_MMIO);
}
END_TEST

/* What the button's driver has to say comes as an input event, 24 bytes for the key. Then the guest does what
 * its user wants. */
static const char button_script[] =
    "for module in /modules/*; do insmod $module; done\n"
    "dmesg | grep 'Power Button'\n"
    "event=$(grep -l 'Power Button' /sys/class/input/event*/device/name | cut -d/ -f5)\n"
    "echo IS $(cat /sys/class/input/$event/device/phys)\n"
    "exec 3</dev/input/$event\n" /* what comes before is lost */
    "echo \"BUTTON? $event\"\n"
    "dd bs=24 count=1 <&3 2>/dev/null | hexdump -v -e '1/2 \"%u \"'\n"
    "grep -w -e acpi -e ACPI:Ged /proc/interrupts\n"
    "poweroff -f\n";

static void check_button(enum vmm_irqchip irqchip)
{
    struct linux_run run = {
        .config = {.irqchip = irqchip}, .input = "", .script = button_script, .wants_modules = true};
    linux_run(&run);
    must_say(&run, "Power Button [PWRB]");
    must_say(&run, "IS PNP0C0C/button/input0"); /* a fixed one is LNXPWRBN */
    must_say(&run, "BUTTON? event0");
    must_say(&run, " 1 116 1 0 "); /* EV_KEY, KEY_POWER, down */
    ck_assert_uint_eq(interrupt_count(&run, "5-fasteoi   ACPI:Ged"), 1);
    ck_assert_uint_eq(interrupt_count(&run, "9-fasteoi   acpi"), 0);
    ck_assert_msg(run.end.reason == VMM_END_POWER_OFF, "%s", vmm_end_name(run.end.reason));
}

START_TEST(linux_hears_the_power_button)
{
    check_button(VMM_IRQCHIP_KERNEL);
    check_button(VMM_IRQCHIP_SPLIT);
}
END_TEST

START_TEST(linux_reads_fw_cfg)
{
    struct linux_run run = {.input = "poweroff -f\n",
                            .script = "for module in /modules/*; do insmod $module; done\n"
                                      "cd /sys/firmware/qemu_fw_cfg\n"
                                      "echo REV $(cat rev) FILE $(cat by_name/opt/test/raw)\n",
                            .fw_cfg = "what the host has to say",
                            .wants_modules = true};
    linux_run(&run);
    must_say(&run, "REV 3 FILE what the host has to say");
}
END_TEST

/* Its interrupts are the PIC's, and it resets by the keyboard controller. Where its devices are it reads, but
 * does not understand: Debian has that switched off. */
START_TEST(linux_runs_without_acpi_and_is_told_of_mmio_devices)
{
    struct linux_run run = {.input = "reboot -f\n",
                            .script = "echo TOLD $(cat /proc/cmdline)\n",
                            .agent = "/dev/null",
                            .transport = VMM_TRANSPORT_MMIO,
                            .no_acpi = true};
    linux_run(&run);
    must_say(&run, "USER cpus=1 clock=kvm-clock");
    must_say(&run, "quiet virtio_mmio.device=4K@0xdff00000:5 virtio_mmio.device=4K@0xdff01000:9 "
                   "virtio_mmio.device=4K@0xdff02000:7\r\n");
    ck_assert_msg(run.end.reason == VMM_END_RESET, "%s", vmm_end_name(run.end.reason));
}
END_TEST

#define EXT4 "ext4"

/* What is read back comes from the disk again, behind a new mount. */
static const char ext4_script[] = "for module in /modules/*; do insmod $module; done\n"
                                  "mkdir /mnt && mount -t ext4 /dev/vda /mnt && echo MOUNTED\n"
                                  "dd if=/dev/urandom of=/mnt/a bs=64k count=64 2>/dev/null\n"
                                  "cp /mnt/a /mnt/b && sync\n"
                                  "before=$(md5sum </mnt/a)\n"
                                  "umount /mnt && mount -t ext4 /dev/vda /mnt\n"
                                  "[ \"$before\" = \"$(md5sum </mnt/a)\" ] && echo SAME A\n"
                                  "[ \"$before\" = \"$(md5sum </mnt/b)\" ] && echo SAME B\n"
                                  "rm /mnt/b && sync && fstrim -v /mnt\n"
                                  "echo kept >/mnt/c\n"
                                  "umount /mnt && echo UNMOUNTED\n";

static void run_with_ext4(enum vmm_transport transport, unsigned cpus)
{
    char path[64], command[200];
    struct linux_run run = {.config = {.cpu_count = cpus},
                            .input = "poweroff -f\n",
                            .script = ext4_script,
                            .transport = transport,
                            .disk = path};
    if (access(EXT4 "/e2fsck", X_OK))
        test_skip("the lane has no file system: scripts/nested/run --file build/nested/ext4");
    snprintf(path, sizeof(path), "/tmp/linux-test-%d.img", (int)getpid());
    snprintf(command, sizeof(command), "gunzip -c " EXT4 "/disk.img.gz >%s", path);
    ck_assert_int_eq(system(command), 0);
    linux_run(&run);
    must_say(&run, "MOUNTED");
    must_say(&run, "SAME A");
    must_say(&run, "SAME B");
    must_say(&run, "bytes trimmed");
    must_say(&run, "UNMOUNTED");
    ck_assert_msg(run.end.reason == VMM_END_POWER_OFF, "%s", vmm_end_name(run.end.reason));
    snprintf(command, sizeof(command), EXT4 "/e2fsck -f -n %s", path);
    ck_assert_int_eq(system(command), 0);
    unlink(path);
}

START_TEST(linux_keeps_files_on_a_pci_disk)
{
    run_with_ext4(VMM_TRANSPORT_PCI, 2);
}
END_TEST

START_TEST(linux_keeps_files_on_an_mmio_disk)
{
    run_with_ext4(VMM_TRANSPORT_MMIO, 1);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, linux_reaches_user_space, 150);
    test_add_slow(suite, linux_uses_four_cpus, 150);
    test_add_slow(suite, linux_uses_eight_cpus, 150);
    test_add_slow(suite, linux_runs_with_the_ioapic_outside, 150);
    test_add_slow(suite, linux_runs_with_a_trapped_ioapic, 150);
    test_add_slow(suite, linux_reboots, 150);
    test_add_slow(suite, linux_uses_a_pci_disk_by_msix, 150);
    test_add_slow(suite, linux_uses_a_pci_disk_by_intx, 150);
    test_add_slow(suite, linux_uses_a_pci_disk_with_the_ioapic_outside, 300);
    test_add_slow(suite, linux_has_consoles_and_entropy_by_pci, 150);
    test_add_slow(suite, linux_has_consoles_and_entropy_by_mmio, 150);
    test_add_slow(suite, linux_hears_the_power_button, 300);
    test_add_slow(suite, linux_reads_fw_cfg, 150);
    test_add_slow(suite, linux_runs_without_acpi_and_is_told_of_mmio_devices, 150);
    test_add_slow(suite, linux_keeps_files_on_a_pci_disk, 150);
    test_add_slow(suite, linux_keeps_files_on_an_mmio_disk, 150);
}
