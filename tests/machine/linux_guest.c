/* SPDX-License-Identifier: MIT
 *
 * Makes the initramfs and the machine, types what the guest asks for, and checks what it reports.
 */
#include "tests/machine/linux_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/harness.h"
#include "tests/mmio_way.h"

#define KERNEL        "vmlinuz"
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

bool linux_is_interpreted(void)
{
    struct vmm_host host;
    vmm_host_probe(&host);
    return host.flavour == VMM_KVM_SOFTWARE;
}

void linux_enter_folder(void)
{
    const char *folder = getenv("VMM_TEST_LINUX");
    test_need_kvm();
    if (folder && chdir(folder))
        test_skip("VMM_TEST_LINUX: %s: %s", folder, strerror(errno));
    if (access(KERNEL, R_OK))
        test_skip("there is no kernel to boot: scripts/nested/fetch, and VMM_TEST_LINUX=build/nested");
}

void linux_need_speed(void)
{
    if (!getenv("VMM_TEST_SLOW") && linux_is_interpreted())
        test_skip("it takes a quarter of a minute without hardware virtualization: VMM_TEST_SLOW=1 runs it");
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
        test_skip("there are no modules for the guest: scripts/nested/run --file build/nested/modules");
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
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++)
        at = cpio_add(archive, at, folders[i], 0040755, NULL, 0);
    at = cpio_add_file(archive, at, "bin/busybox", access("busybox", R_OK) ? "/bin/busybox" : "busybox",
                       0100755);
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
    typist->machine = run->machine = machine;
    ck_assert_int_eq(pthread_create(&typist->thread, NULL, type_when_asked, typist), 0);
    int result = vmm_run(machine, &run->end, error);
    typist->is_over = true;
    pthread_join(typist->thread, NULL);
    return result;
}

static int run_machine(struct linux_run *run, const struct vmm_serial_config *serial, const char *initrd,
                       struct vmm_error *error)
{
    struct vmm *machine = NULL;
    char cmdline[200];
    const struct vmm_disk_config disk = {.path = run->disk, .transport = run->transport};
    const struct vmm_module module = {.path = initrd};
    const struct vmm_image image = {
        .path = KERNEL, .cmdline = cmdline, .modules = &module, .module_count = 1};
    /* whose ciphers test themselves with a billion instructions */
    snprintf(cmdline, sizeof(cmdline), "console=ttyS0 panic=-1%s quiet %s",
             linux_is_interpreted() ? " cryptomgr.notests" : "", run->cmdline ? run->cmdline : "");
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
        vmm_stats_get(machine, &run->stats);
    }
    vmm_destroy(machine);
    return result;
}

void linux_run(struct linux_run *run)
{
    static char console[CONSOLE_BYTES];
    char initrd[64];
    struct vmm_error error = {0};
    linux_enter_folder();
    snprintf(initrd, sizeof(initrd), "/tmp/linux-test-%d.cpio", (int)getpid());
    make_initrd(run, initrd);
    int input[2], output = memfd_create("console", MFD_CLOEXEC);
    ck_assert_int_eq(pipe(input), 0);
    struct typist typist = {.input = run->input, .output_fd = output, .input_fd = input[1]};
    run->typist = &typist;
    const struct vmm_serial_config serial = {
        .kind = VMM_SERIAL_DESCRIPTORS, .in_fd = input[0], .out_fd = output};
    run->config.ram_bytes = 256u << 20;
    if (!run->config.timeout_ms)
        run->config.timeout_ms = RUN_LIMIT_MS;
    run->config.log = log_line;
    run->config.log_context = run;
    int result = run_machine(run, &serial, initrd, &error);
    unlink(initrd);
    ssize_t len = pread(output, console, sizeof(console) - 1, 0);
    console[len > 0 ? len : 0] = 0;
    run->console = console;
    ck_assert_msg(result == 0, "%s\n%s", error.message, console);
}

void must_say(const struct linux_run *run, const char *text)
{
    if (strstr(run->console, text))
        return;
    printf("%s\n%s\n", run->console, run->log); /* too long for a message of Check's */
    fflush(stdout);
    ck_abort_msg("the guest does not say '%s' (%s)", text, vmm_end_name(run->end.reason));
}

/* What programs do with integers, floating point and vectors, with the output that they have elsewhere. */
const char linux_programs[] =
    "seq 1 60000 | md5sum # says 32e8d2bbb8984bd14d9ad0ccf2a33ea5\n"
    "seq 1 60000 | gzip | gunzip | sha256sum # says "
    "67235281ebbe500c400cb9fd79407125d547975f9fffe671917e0a8000df7dd3\n"
    "awk 'BEGIN { for (i = 0; i < 300000; i++) sum += i * 0.37 / (i + 1); printf \"%.9f\\n\", sum }' "
    "# says 110995.120160617\n"
    "head -c 6000000 /dev/zero | sha512sum # says a6158901e3c8bed21c8836cb984f19daf08102d2\n"
    "seq 1 20000 | sort -r | md5sum # says c7345da82422f5bbfb30e41a05540dc3\n";

void must_say_what_is_expected(const struct linux_run *run)
{
    const char mark[] = "# says ";
    for (const char *line = run->script ? strstr(run->script, mark) : NULL; line; line = strstr(line, mark)) {
        char said[100];
        line += strlen(mark);
        snprintf(said, sizeof(said), "%.*s", (int)strcspn(line, "\n"), line);
        must_say(run, said);
    }
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

/* KVM's, unless the TSC is as good in Linux's opinion: it never stops, as the host's. */
void check_clock(const struct linux_run *run)
{
    static char cpuinfo[65536];
    FILE *file = fopen("/proc/cpuinfo", "r");
    size_t len = file ? fread(cpuinfo, 1, sizeof(cpuinfo) - 1, file) : 0;
    cpuinfo[len] = 0;
    if (file)
        fclose(file);
    must_say(run, strstr(cpuinfo, " nonstop_tsc ") ? " clock=tsc" : " clock=kvm-clock");
}

void check_boot(const struct linux_run *run)
{
    unsigned cpu_count = run->config.cpu_count;
    char text[64];
    snprintf(text, sizeof(text), "USER cpus=%u clock=", cpu_count);
    must_say(run, text);
    check_clock(run);
    snprintf(text, sizeof(text), "CORES %u SOCKETS 1 SIBLINGS 0", cpu_count);
    must_say(run, text);
    must_say(run, "NOT NESTED");
    must_say(run, "RANDOM");
    must_say(run, "HEARD poweroff -f");
    check_interrupts(run, cpu_count);
    bool is_marked = run->is_unmarked || run->serial_ns < run->user_space_ns;
    ck_assert_msg(run->entry_ns && run->entry_ns < run->serial_ns && is_marked,
                  "the boot's marks: %llu, %llu, %llu ns", (unsigned long long)run->entry_ns,
                  (unsigned long long)run->serial_ns, (unsigned long long)run->user_space_ns);
    ck_assert_msg(run->end.reason == VMM_END_POWER_OFF, "%s", vmm_end_name(run->end.reason));
}

void boot_with(const struct vmm_config *config)
{
    struct linux_run run = {.config = *config, .input = "poweroff -f\n"};
    linux_run(&run);
    check_boot(&run);
}
