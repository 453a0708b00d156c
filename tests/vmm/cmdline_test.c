/* SPDX-License-Identifier: MIT
 *
 * What the machine adds to a Linux kernel's command line.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"
#include "vmm/machine.h"

static struct vmm machine; /* zeros, but for what each test sets */

static void add_devices(unsigned count)
{
    machine.virtio_mmio_count = count;
    for (unsigned i = 0; i < count; i++)
        machine.virtio_mmios[i] = (struct acpi_virtio_mmio){
            .base = VIRTIO_MMIO_GPA + i * PAGE_BYTES, .len = PAGE_BYTES, .gsi = VIRTIO_MMIO_GSI + i};
    machine_use_pic_for_virtio(&machine, true);
}

static void check(const char *given, const char *expected)
{
    char *cmdline;
    ck_assert_int_eq(machine_linux_cmdline(&machine, given, &cmdline, NULL), 0);
    ck_assert_str_eq(cmdline, expected);
    free(cmdline);
}

#define FIRST "virtio_mmio.device=4K@0xdff00000:5"

START_TEST(words_go_behind_the_kernels_and_before_the_inits)
{
    static const char *const cases[][2] = {
        {NULL, FIRST},
        {"", FIRST},
        {"quiet", "quiet " FIRST},
        {"quiet  ", "quiet " FIRST "  "},
        {"quiet -- single", "quiet " FIRST " -- single"},
        {"-- single", FIRST " -- single"},
        {"quiet --", "quiet " FIRST " --"},
        {"a=--x --b c-- d", "a=--x --b c-- d " FIRST},
    };
    add_devices(1);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        check(cases[i][0], cases[i][1]);
}
END_TEST

START_TEST(every_device_has_a_page_and_an_irq_of_its_own)
{
    static char long_text[8000];
    char *cmdline;
    add_devices(2);
    check("quiet", "quiet " FIRST " virtio_mmio.device=4K@0xdff01000:9");
    add_devices(VIRTIO_MMIO_LIMIT);
    for (unsigned i = 0; i < VIRTIO_MMIO_LIMIT; i++) {
        ck_assert_uint_lt(machine.virtio_mmios[i].gsi, 16);
        for (unsigned j = 0; j < i; j++)
            ck_assert_uint_ne(machine.virtio_mmios[i].gsi, machine.virtio_mmios[j].gsi);
    }
    memset(long_text, 'x', sizeof(long_text) - 1);
    ck_assert_int_eq(machine_linux_cmdline(&machine, long_text, &cmdline, NULL), 0);
    ck_assert_ptr_nonnull(strstr(cmdline, " virtio_mmio.device=4K@0xdff07000:10"));
    ck_assert_int_eq(memcmp(cmdline, long_text, sizeof(long_text) - 1), 0);
    free(cmdline);
}
END_TEST

/* PCI has IRQ 10. */
START_TEST(pcis_irqs_are_not_taken)
{
    static char some;
    machine.pci = (struct pci *)&some;
    add_devices(VIRTIO_MMIO_LIMIT);
    machine.pci = NULL;
    for (unsigned i = 0; i < VIRTIO_MMIO_LIMIT; i++)
        ck_assert(machine.virtio_mmios[i].gsi != 10 && machine.virtio_mmios[i].gsi != 11);
    ck_assert_uint_eq(machine.virtio_mmios[VIRTIO_MMIO_LIMIT - 1].gsi, 13);
}
END_TEST

/* The next image is perhaps none of Linux's. */
START_TEST(gsis_of_the_ioapic_come_back)
{
    add_devices(VIRTIO_MMIO_LIMIT);
    machine_use_pic_for_virtio(&machine, false);
    for (unsigned i = 0; i < VIRTIO_MMIO_LIMIT; i++)
        ck_assert_uint_eq(machine.virtio_mmios[i].gsi, VIRTIO_MMIO_GSI + i);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, pcis_irqs_are_not_taken);
    test_add(suite, gsis_of_the_ioapic_come_back);
    test_add(suite, words_go_behind_the_kernels_and_before_the_inits);
    test_add(suite, every_device_has_a_page_and_an_irq_of_its_own);
}
