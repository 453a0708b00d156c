/* SPDX-License-Identifier: MIT
 *
 * An image is loaded where something is in guest memory by then, of another one that has failed or of the
 * program: the guest finds nothing of it where the image wants zeros.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/api/guests.h"

#define IMAGE_GPA  0x100000u
#define BSS_BYTES  0x2000u
#define TABLES_GPA 0xe0000u /* of ACPI's */

/* 32 bytes that are a multiboot header and an image with a .bss (0.6.96, 3.1.3). */
static const uint32_t multiboot[] = {0x1badb002,
                                     1 << 16,
                                     -(0x1badb002u + (1 << 16)),
                                     IMAGE_GPA,
                                     IMAGE_GPA,
                                     IMAGE_GPA + sizeof(uint32_t[8]),
                                     IMAGE_GPA + BSS_BYTES,
                                     IMAGE_GPA};
static const struct vmm_image multiboot_image = {.bytes = multiboot, .len = sizeof(multiboot)};

static struct vmm *create(enum vmm_mem_backing backing)
{
    const struct vmm_config config = {.ram_bytes = 4 << 20, .mem_backing = backing};
    struct vmm *machine;
    ck_assert_int_eq(vmm_create(&config, &machine, NULL), 0);
    return machine;
}

/* Loads as far as it gets with a module that is larger than RAM. */
static void fail_to_load(struct vmm *machine, struct vmm_image image)
{
    struct vmm_error error = {0};
    char path[32];
    int fd = memfd_create("module", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 8 << 20), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const struct vmm_module module = {.path = path};
    image.modules = &module;
    image.module_count = 1;
    int result = vmm_load(machine, &image, &error);
    ck_assert_msg(result == -ENOSPC, "%d: %s", result, error.message);
    close(fd);
}

static void check_bss(struct vmm *machine)
{
    static uint8_t found[BSS_BYTES];
    struct vmm_error error = {0};
    ck_assert_msg(vmm_load(machine, &multiboot_image, &error) == 0, "%s", error.message);
    ck_assert_int_eq(vmm_mem_read(machine, IMAGE_GPA, found, sizeof(found)), 0);
    ck_assert_mem_eq(found, multiboot, sizeof(multiboot));
    for (unsigned i = sizeof(multiboot); i < sizeof(found); i++)
        ck_assert_msg(found[i] == 0, "%#x at %#x of the .bss", found[i], i);
}

START_TEST(bss_is_zero_after_a_load_that_failed)
{
    test_need_kvm();
    static uint8_t dirt[4 * BSS_BYTES], found[BSS_BYTES];
    struct vmm *machine = create(VMM_MEM_ANONYMOUS);
    memset(dirt, 0xaa, sizeof(dirt));
    fail_to_load(machine, (struct vmm_image){.bytes = dirt, .len = sizeof(dirt), .flat = VMM_FLAT_PROT32});
    ck_assert_int_eq(vmm_mem_read(machine, IMAGE_GPA, found, sizeof(found)), 0);
    ck_assert_mem_eq(found, dirt, sizeof(found));
    check_bss(machine);
    vmm_destroy(machine);
}
END_TEST

START_TEST(bss_is_zero_where_the_program_has_written)
{
    test_need_kvm();
    static uint8_t dirt[BSS_BYTES];
    struct vmm *machine = create(VMM_MEM_ANONYMOUS);
    memset(dirt, 0xaa, sizeof(dirt));
    ck_assert_int_eq(vmm_mem_write(machine, IMAGE_GPA, dirt, sizeof(dirt)), 0);
    check_bss(machine);
    vmm_destroy(machine);
    machine = create(VMM_MEM_SHARED);
    ck_assert_int_eq(pwrite(vmm_mem_fd(machine), dirt, sizeof(dirt), IMAGE_GPA), sizeof(dirt));
    check_bss(machine);
    vmm_destroy(machine);
}
END_TEST

/* A flat image is given no ACPI tables, so there are none that it could find. */
START_TEST(tables_go_with_the_image_that_failed)
{
    test_need_kvm();
    static const uint8_t zeros[4096];
    static uint8_t found[4096];
    struct vmm_error error = {0};
    struct vmm *machine = create(VMM_MEM_ANONYMOUS);
    ck_assert_int_eq(vmm_add_acpi(machine, NULL), 0);
    fail_to_load(machine, multiboot_image);
    const struct vmm_image flat = {.bytes = DEBUG_EXIT("\x05"), .len = 4, .flat = VMM_FLAT_REAL16};
    ck_assert_msg(vmm_load(machine, &flat, &error) == 0, "%s", error.message);
    ck_assert_int_eq(vmm_mem_read(machine, TABLES_GPA, found, sizeof(found)), 0);
    ck_assert_mem_eq(found, zeros, sizeof(found));
    ck_assert_int_eq(vmm_dump_acpi(machine, "/tmp", &error), -ENOENT);
    vmm_destroy(machine);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, bss_is_zero_after_a_load_that_failed);
    test_add(suite, bss_is_zero_where_the_program_has_written);
    test_add(suite, tables_go_with_the_image_that_failed);
}
