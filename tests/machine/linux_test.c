/* SPDX-License-Identifier: MIT
 *
 * A distribution's kernel as the guest: Debian's cloud kernel (linux_guest.h), from its boot to its end, and
 * what it makes of the devices.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/harness.h"
#include "tests/machine/linux_guest.h"

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
    linux_need_speed();
    boot_with(&(struct vmm_config){.cpu_count = 8, .irqchip = VMM_IRQCHIP_KERNEL});
}
END_TEST

/* The IOAPIC outside is device memory: by each engine, and running ahead or not. */
START_TEST(linux_runs_with_the_ioapic_outside)
{
    linux_need_speed();
    boot_with(&(struct vmm_config){
        .cpu_count = 2, .irqchip = VMM_IRQCHIP_SPLIT, .mmio_engine = VMM_MMIO_KVM, .no_run_ahead = true});
}
END_TEST

START_TEST(linux_runs_with_a_trapped_ioapic)
{
    linux_need_speed();
    boot_with(
        &(struct vmm_config){.cpu_count = 1, .irqchip = VMM_IRQCHIP_SPLIT, .mmio_engine = VMM_MMIO_TRAP});
}
END_TEST

/* Where there is no hardware virtualization all of their instructions are executed in software. */
START_TEST(linux_runs_programs)
{
    struct linux_run run = {.config = {.cpu_count = 2}, .input = "poweroff -f\n", .script = linux_programs};
    linux_need_speed();
    linux_run(&run);
    must_say_what_is_expected(&run);
    check_boot(&run);
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
    linux_need_speed();
    run_with_disk(&run, VMM_IRQCHIP_KERNEL, NULL);
    ck_assert_uint_ge(interrupt_count(&run, "virtio0-req"), 64);
}
END_TEST

START_TEST(linux_uses_a_pci_disk_by_intx)
{
    struct linux_run run;
    linux_need_speed();
    run_with_disk(&run, VMM_IRQCHIP_KERNEL, "pci=nomsi");
    ck_assert_uint_ge(interrupt_count(&run, "11-fasteoi   virtio0"), 64);
}
END_TEST

START_TEST(linux_uses_a_pci_disk_with_the_ioapic_outside)
{
    struct linux_run run;
    linux_need_speed();
    run_with_disk(&run, VMM_IRQCHIP_SPLIT, "pci=nomsi");
    ck_assert_uint_ge(interrupt_count(&run, "11-fasteoi   virtio0"), 64);
    run_with_disk(&run, VMM_IRQCHIP_SPLIT, NULL);
    ck_assert_uint_ge(interrupt_count(&run, "virtio0-req"), 64);
}
END_TEST

/* Names and sizes of ports come by control messages, when the guest gets to them. */
static const char console_script[] =
    "for module in /modules/*; do insmod $module; done\n"
    "for i in $(seq 60); do [ -c /dev/hwrng ] && [ -c /dev/hvc0 ] && cat /sys/class/virtio-ports/*/name | "
    "grep -q agent && break; sleep 0.5; done\n"
    "echo RNG $(cat /sys/class/misc/hw_random/rng_current) $(dd if=/dev/hwrng bs=1000 count=1 2>/dev/null | "
    "wc -c)\n"
    "echo text >/dev/hvc0 && echo WRITTEN\n"
    "for i in $(seq 60); do [ \"$(stty size </dev/hvc0)\" = '43 132' ] && break; sleep 0.5; done\n"
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
    linux_need_speed();
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
    linux_need_speed();
    check_button(VMM_IRQCHIP_KERNEL);
    check_button(VMM_IRQCHIP_SPLIT);
}
END_TEST

/* Its driver tells pvpanic; the kernel would stand there for ever. */
START_TEST(linux_says_that_it_panics)
{
    struct linux_run run = {.input = "",
                            .script = "for module in /modules/*; do insmod $module; done\n"
                                      "echo c >/proc/sysrq-trigger\n",
                            .wants_modules = true};
    linux_need_speed();
    linux_run(&run);
    must_say(&run, "Kernel panic - not syncing: sysrq triggered crash");
    ck_assert_msg(run.end.reason == VMM_END_PANIC, "%s", vmm_end_name(run.end.reason));
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
    linux_need_speed();
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
    linux_need_speed();
    linux_run(&run);
    must_say(&run, "USER cpus=1 clock=");
    check_clock(&run);
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
    linux_enter_folder();
    if (access(EXT4 "/e2fsck", X_OK))
        test_skip("there is no file system: scripts/nested/run --file build/nested/ext4");
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
    linux_need_speed();
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
    test_add_slow(suite, linux_runs_programs, 150);
    test_add_slow(suite, linux_reboots, 150);
    test_add_slow(suite, linux_uses_a_pci_disk_by_msix, 150);
    test_add_slow(suite, linux_uses_a_pci_disk_by_intx, 150);
    test_add_slow(suite, linux_uses_a_pci_disk_with_the_ioapic_outside, 300);
    test_add_slow(suite, linux_has_consoles_and_entropy_by_pci, 150);
    test_add_slow(suite, linux_has_consoles_and_entropy_by_mmio, 150);
    test_add_slow(suite, linux_hears_the_power_button, 300);
    test_add_slow(suite, linux_says_that_it_panics, 150);
    test_add_slow(suite, linux_reads_fw_cfg, 150);
    test_add_slow(suite, linux_runs_without_acpi_and_is_told_of_mmio_devices, 150);
    test_add_slow(suite, linux_keeps_files_on_a_pci_disk, 150);
    test_add_slow(suite, linux_keeps_files_on_an_mmio_disk, 150);
}
