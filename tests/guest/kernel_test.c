/* SPDX-License-Identifier: MIT
 *
 * The tiny kernel under libvmm: its own tests pass with one and several CPUs, by both boot protocols, with
 * every choice of interrupt controller, with little memory and with more than 4 GiB; and its exit values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/guest/machine.h"
#include "tests/harness.h"

#define RUN_BAD_WORD  101
#define RUN_EXCEPTION 102

/* The line that begins with `prefix`, cut at its end; NULL where there is none. */
static const char *find_line(const char *text, const char *prefix)
{
    static char line[200];
    for (; text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
        if (!strncmp(text, prefix, strlen(prefix))) {
            snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
            return line;
        }
    }
    return NULL;
}

static unsigned count_lines(const char *text, const char *prefix)
{
    unsigned count = 0;
    for (; text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
        count += !strncmp(text, prefix, strlen(prefix));
    return count;
}

/* The line before the first "not ok": what the kernel says is wrong. */
static const char *first_failure(const char *output)
{
    static char lines[400];
    const char *failure = strstr(output, "\nnot ok");
    if (!failure)
        return "";
    const char *reason = failure;
    while (reason > output && reason[-1] != '\n')
        reason--;
    snprintf(lines, sizeof(lines), "%.*s", (int)(failure - reason + 1 + (long)strcspn(failure + 1, "\n")),
             reason);
    return lines;
}

static struct guest_run run;

static void run_kernel(const char *image, const char *cmdline)
{
    run.image = (struct vmm_image){.path = image, .cmdline = cmdline};
    guest_run(&run);
}

static void must_end_with(unsigned value)
{
    ck_assert_msg(run.end.reason == VMM_END_DEBUG_EXIT && run.end.value == value,
                  "ended by %s, value %u: %s%s%s", vmm_end_name(run.end.reason), run.end.value,
                  first_failure(run.output), run.log, run.output[0] ? "" : " (and wrote nothing)");
}

/* Everything that was selected ran, and nothing failed. */
static void must_pass(void)
{
    unsigned plan = 0;
    must_end_with(0);
    const char *line = find_line(run.output, "1..");
    ck_assert(line && sscanf(line, "1..%u", &plan) == 1 && plan > 0);
    ck_assert_uint_eq(count_lines(run.output, "ok "), plan);
    ck_assert_uint_eq(count_lines(run.output, "not ok "), 0);
}

static void must_show(const char *text)
{
    ck_assert_msg(strstr(run.output, text), "\"%s\" is not in the output", text);
}

START_TEST(one_cpu)
{
    run_kernel("guest.img", NULL);
    must_pass();
    must_show("# boot: multiboot");
    ck_assert_uint_ge(count_lines(run.output, "ok "), 59);
}
END_TEST

START_TEST(one_cpu_by_pvh)
{
    run_kernel("guest-pvh.img", "all");
    must_pass();
    must_show("# boot: PVH, command line \"all\"");
}
END_TEST

START_TEST(elf64_with_both_headers)
{
    run_kernel("guest.elf", "mem-map");
    must_pass();
    must_show("# boot: PVH");
}
END_TEST

START_TEST(two_cpus)
{
    run.config.cpu_count = 2;
    run_kernel("guest.img", NULL);
    must_pass();
    must_show("# CPUs: 2 of 2");
    ck_assert(!strstr(run.output, "SKIP one CPU"));
}
END_TEST

START_TEST(four_cpus_by_x2apic)
{
    run.config.cpu_count = 4;
    run_kernel("guest-pvh.img", "x2apic");
    must_pass();
    must_show("# CPUs: 4 of 4");
}
END_TEST

#define DISK_TESTS                                                                                         \
    "tests=disk-size,disk-requests,disk-zeroes,disk-discard,disk-split,disk-packed,disk-chains,disk-msix," \
    "disk-pin,disk-msix-smp,disk-flood,disk-smp,disk-several,disk-reset,disk-hostile"

START_TEST(disks_by_a_driver_of_our_own)
{
    run.config.cpu_count = 2;
    run.disks = 2;
    run_kernel("guest.img", DISK_TESTS);
    must_pass();
    ck_assert_uint_eq(count_lines(run.output, "ok "), 15);
    ck_assert(!strstr(run.output, "SKIP"));
}
END_TEST

START_TEST(mmio_disks_by_a_driver_of_our_own)
{
    run.config.cpu_count = 2;
    run.disks = 2;
    run.transport = VMM_TRANSPORT_MMIO;
    run_kernel("guest.img",
               DISK_TESTS " virtio_mmio.device=4K@0xdff00000:16 virtio_mmio.device=4K@0xdff01000:17");
    must_pass();
    ck_assert_uint_eq(count_lines(run.output, "ok "), 15);
    must_show(" - disk-msix # SKIP no PCI device\n");
    must_show(" - disk-msix-smp # SKIP no PCI device\n");
    must_show("# 13 passed, 0 failed, 2 skipped\n");
}
END_TEST

START_TEST(no_disk_is_no_failure)
{
    run_kernel("guest.img", DISK_TESTS);
    must_pass();
    must_show("ok 1 - disk-size # SKIP no virtio disk\n");
}
END_TEST

START_TEST(pci_by_both_ways)
{
    run.disks = 1;
    run.has_acpi = true;
    run_kernel("guest.img", "tests=pci-ecam");
    must_pass();
    must_show("ok 1 - pci-ecam\n");
}
END_TEST

START_TEST(split_irqchip)
{
    run.config.cpu_count = 2;
    run.config.irqchip = VMM_IRQCHIP_SPLIT;
    run_kernel("guest.img", NULL);
    must_pass();
    must_show(" - irq-pit # SKIP no PIT\n");
    ck_assert(!strstr(run.output, "SKIP no I/O APIC"));
}
END_TEST

static void run_eight(enum vmm_irqchip irqchip)
{
    run.config.cpu_count = 8;
    run.config.irqchip = irqchip;
    run_kernel("guest.img", "tests=smp-alive,smp-state,smp-ipi,smp-nmi,smp-atomic,smp-shootdown");
    must_pass();
    must_show("# CPUs: 8 of 8");
}

START_TEST(eight_cpus)
{
    run_eight(VMM_IRQCHIP_KERNEL);
}
END_TEST

START_TEST(eight_cpus_with_split_irqchip)
{
    run_eight(VMM_IRQCHIP_SPLIT);
}
END_TEST

START_TEST(no_irqchip)
{
    run.config.irqchip = VMM_IRQCHIP_NONE;
    run_kernel("guest.img", NULL);
    must_pass();
    must_show(" - irq-self # SKIP no local APIC\n");
    ck_assert_uint_ge(count_lines(run.output, "ok "), 59);
}
END_TEST

START_TEST(little_memory)
{
    run.config.ram_bytes = 2 << 20;
    run_kernel("guest.img", NULL);
    must_pass();
}
END_TEST

START_TEST(memory_above_4_gib)
{
    run.config.ram_bytes = 5ull << 30;
    run_kernel("guest.img", NULL);
    must_pass();
    must_show(" - mem-high\n");
}
END_TEST

START_TEST(modules_are_told)
{
    static const char *const images[] = {"guest.img", "guest-pvh.img"};
    char path[40];
    int fd = memfd_create("module", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "hello module", 12), 12);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct vmm_module modules[2] = {{.path = path}, {.path = path, .cmdline = "with text"}};
    for (size_t i = 0; i < 2; i++) {
        run.image = (struct vmm_image){
            .path = images[i], .cmdline = "mem-pages mem-alloc", .modules = modules, .module_count = 2};
        guest_run(&run);
        ck_assert_uint_eq(count_lines(run.output, "# module: 12 bytes at 0x"), 2);
        must_pass();
    }
    close(fd);
}
END_TEST

START_TEST(rtc_tick)
{
    run_kernel("guest.img", "rtc-tick");
    must_pass();
}
END_TEST

START_TEST(the_list_names_every_test)
{
    run_kernel("guest.img", "list");
    must_end_with(0);
    must_show("# port-byte ");
    must_show("# kernel-popcnt ");
    must_show("1..0\n");
}
END_TEST

START_TEST(named_tests_run_alone)
{
    run_kernel("guest.img", "tests=mem-map,port-byte exc-divide");
    must_pass();
    must_show("1..3\nok 1 - port-byte\nok 2 - exc-divide\nok 3 - mem-map\n");
}
END_TEST

START_TEST(an_unknown_word_ends_the_run)
{
    run_kernel("guest.img", "tests=port-byte,port-bite");
    must_end_with(RUN_BAD_WORD);
    must_show("Bail out! nothing is called \"port-bite\"");
}
END_TEST

START_TEST(a_failed_test_is_counted)
{
    run_kernel("guest.img", "tests=fail,port-byte");
    must_end_with(1);
    must_show("1 + 1 is 0x2, not 0x3\nnot ok 2 - fail\n");
}
END_TEST

START_TEST(an_unexpected_exception_is_reported)
{
    run_kernel("guest.img", "unexpected");
    must_end_with(RUN_EXCEPTION);
    must_show("# unexpected exception on CPU 0: vector 14, error 0x2\n");
    must_show(" cr2 ffff800000000123 ");
}
END_TEST

/* What KVM's emulator does not know: where ring 0 is interpreted, the VMM has to finish it. */
static void run_unknown(const char *test)
{
    run_kernel("guest.img", test);
    must_pass();
}

/* A KVM without hardware virtualization lets SYSCALL arrive in ring 3, and makes #UD of INT n: there by our
 * emulator. */
static void run_user(const char *tests)
{
    struct vmm_host host;
    vmm_host_probe(&host);
    if (host.flavour == VMM_KVM_SOFTWARE)
        run.config.ring0_engine = VMM_RING0_SOFTWARE;
    run_kernel("guest.img", tests);
    must_pass();
}

START_TEST(ring_3_calls_its_kernel)
{
    run_user("tests=user-syscall,kernel-sysret,user-ports");
}
END_TEST

START_TEST(ring_3_interrupts_itself)
{
    /* QEMU 7.2's software CPU has another error code for a gate that does not allow it. */
    const char *lane = getenv("VMM_TEST_LANE");
    if (lane && strcmp(lane, "nested") == 0)
        test_skip("the lane's CPU has another error code");
    run_user("user-int-n");
}
END_TEST

START_TEST(kernel_int3)
{
    run_unknown("kernel-int3");
}
END_TEST

START_TEST(kernel_int_n)
{
    run_unknown("kernel-int-n");
}
END_TEST

START_TEST(kernel_popcnt)
{
    run_unknown("kernel-popcnt");
}
END_TEST

START_TEST(kernel_sse)
{
    run_unknown("kernel-sse");
}
END_TEST

START_TEST(kernel_avx_device)
{
    /* QEMU 7.2's software CPU has AVX, but not behind VMRUN. */
    const char *lane = getenv("VMM_TEST_LANE");
    if (lane && strcmp(lane, "nested") == 0)
        test_skip("the lane's CPU gives its guests no AVX");
    run_unknown("kernel-avx-device");
}
END_TEST

START_TEST(kernel_cmpxchg16b)
{
    run_unknown("kernel-cmpxchg16b");
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, one_cpu, 90);
    test_add_slow(suite, one_cpu_by_pvh, 90);
    test_add(suite, elf64_with_both_headers);
    test_add_slow(suite, two_cpus, 90);
    test_add_slow(suite, four_cpus_by_x2apic, 90);
    test_add_slow(suite, disks_by_a_driver_of_our_own, 120);
    test_add_slow(suite, mmio_disks_by_a_driver_of_our_own, 120);
    test_add(suite, no_disk_is_no_failure);
    test_add(suite, pci_by_both_ways);
    test_add_slow(suite, split_irqchip, 90);
    test_add_slow(suite, eight_cpus, 90);
    test_add_slow(suite, eight_cpus_with_split_irqchip, 90);
    test_add_slow(suite, no_irqchip, 90);
    test_add_slow(suite, little_memory, 90);
    test_add_slow(suite, memory_above_4_gib, 90);
    test_add(suite, modules_are_told);
    test_add(suite, rtc_tick);
    test_add(suite, the_list_names_every_test);
    test_add(suite, named_tests_run_alone);
    test_add(suite, an_unknown_word_ends_the_run);
    test_add(suite, a_failed_test_is_counted);
    test_add(suite, an_unexpected_exception_is_reported);
    test_add(suite, ring_3_calls_its_kernel);
    test_add(suite, ring_3_interrupts_itself);
    test_add(suite, kernel_int3);
    test_add(suite, kernel_int_n);
    test_add(suite, kernel_popcnt);
    test_add(suite, kernel_sse);
    test_add(suite, kernel_avx_device);
    test_add(suite, kernel_cmpxchg16b);
}
