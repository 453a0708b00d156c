/* SPDX-License-Identifier: MIT
 *
 * What libvmm refuses: values that make no sense, and calls that come too early or too late. Each is told by
 * its errno and a sentence, and leaves a machine that can be destroyed.
 */
#include <errno.h>

#include "tests/api/guests.h"

static uint64_t read_zero(void *context, uint64_t offset, unsigned size)
{
    (void)context, (void)offset, (void)size;
    return 0;
}

static const struct vmm_region_ops own_ops = {.read = read_zero};

START_TEST(regions_do_not_overlap)
{
    test_need_kvm();
    struct vmm_error error;
    struct vmm *machine = guest_create(NULL, DEBUG_EXIT("\x00"), 4);
    ck_assert_int_eq(vmm_add_region(machine, VMM_SPACE_PORTS, "own", 0xf6, 4, &own_ops, NULL, &error),
                     -EEXIST);
    ck_assert_ptr_nonnull(strstr(error.message, "own: 0x4 bytes at 0xf6 overlap"));
    ck_assert_int_eq(vmm_add_region(machine, VMM_SPACE_MEMORY, "own", 0xff000, 8192, &own_ops, NULL, &error),
                     -EEXIST);
    ck_assert_ptr_nonnull(strstr(error.message, "RAM"));
    vmm_destroy(machine);
}
END_TEST

/* Only KVM knows whether an access is the local APIC's; without one the page is like any other. */
START_TEST(no_region_lies_over_a_controller_of_kvms)
{
    test_need_kvm();
    static const struct {
        enum vmm_irqchip irqchip;
        uint64_t base;
        int result;
    } cases[] = {{VMM_IRQCHIP_KERNEL, 0xfee00ff8, -EEXIST},
                 {VMM_IRQCHIP_KERNEL, 0xfec00000, -EEXIST},
                 {VMM_IRQCHIP_KERNEL, 0xfec01000, 0},
                 {VMM_IRQCHIP_NONE, 0xfee00000, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct vmm_error error = {0};
        struct vmm_end end;
        struct vmm_config config = {.irqchip = cases[i].irqchip};
        struct vmm *machine = guest_create(&config, DEBUG_EXIT("\x00"), 4);
        ck_assert_int_eq(
            vmm_add_region(machine, VMM_SPACE_MEMORY, "own", cases[i].base, 8, &own_ops, NULL, &error), 0);
        int result = vmm_run(machine, &end, &error);
        ck_assert_msg(result == cases[i].result, "%zu: %d, %s", i, result, error.message);
        ck_assert(!result || strstr(error.message, "overlap KVM's interrupt controllers"));
        vmm_destroy(machine);
    }
}
END_TEST

START_TEST(bad_configurations_are_refused_with_a_reason)
{
    test_need_kvm();
    static const struct {
        struct vmm_config config;
        const char *message;
    } cases[] = {
        {{.ram_bytes = 4096}, "4096 bytes"},
        {{.ram_bytes = (1 << 20) + 1}, "1048577 bytes"},
        {{.cpu_count = 4, .irqchip = VMM_IRQCHIP_NONE}, "4 CPUs need interrupt controllers"},
        {{.cpu_count = 1000000}, "1000000 CPUs are more than"},
        {{.mem_backing = (enum vmm_mem_backing)7}, "no backing 7"},
        {{.kick_signal = 9999}, "kick signal 9999"},
        {{.irqchip = (enum vmm_irqchip)9}, "no interrupt controller 9"},
        {{.mmio_engine = (enum vmm_mmio_engine)9}, "no MMIO engine 9"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct vmm *machine = (struct vmm *)&cases;
        struct vmm_error error = {0};
        ck_assert_int_lt(vmm_create(&cases[i].config, &machine, &error), 0);
        ck_assert_ptr_null(machine);
        ck_assert_msg(strstr(error.message, cases[i].message) != NULL, "%s", error.message);
        ck_assert_int_lt(error.code, 0);
    }
}
END_TEST

START_TEST(what_is_missing_is_named)
{
    test_need_kvm();
    static const struct vmm_serial_config file = {.kind = VMM_SERIAL_FILE},
                                          odd = {.kind = (enum vmm_serial_kind)9};
    static const struct vmm_image nothing, odd_mode = {.path = "x", .flat = (enum vmm_flat_mode)9};
    struct vmm *machine;
    struct vmm_error error;
    ck_assert_int_eq(vmm_create(NULL, &machine, NULL), 0);
    ck_assert_int_eq(vmm_add_serial(machine, &file, &error), -EINVAL);
    ck_assert_str_eq(error.message, "serial: a file or a socket needs a path");
    ck_assert_int_eq(vmm_add_serial(machine, &odd, &error), -EINVAL);
    ck_assert_int_eq(vmm_add_region(machine, VMM_SPACE_PORTS, NULL, 0, 1, &own_ops, NULL, &error), -EINVAL);
    ck_assert_int_eq(vmm_add_region(machine, VMM_SPACE_PORTS, "own", 0, 1, NULL, NULL, &error), -EINVAL);
    ck_assert_str_eq(error.message, "own: a region needs a name and operations");
    ck_assert_int_eq(vmm_add_region(machine, (enum vmm_space)7, "own", 0, 1, &own_ops, NULL, &error),
                     -EINVAL);
    ck_assert_str_eq(error.message, "own: there is no address space 7");
    ck_assert_int_eq(vmm_add_rom(machine, NULL, 0x8000000, "", 4096, NULL, NULL, &error), -EINVAL);
    ck_assert_int_eq(vmm_add_rom(machine, "rom", 0x8000000, NULL, 4096, NULL, NULL, &error), -EINVAL);
    ck_assert_str_eq(error.message, "rom: a ROM needs a name and bytes");
    ck_assert_int_eq(vmm_add_debug_exit_ports(machine, 0xf4, 0, &error), -EINVAL);
    ck_assert_int_eq(vmm_load(machine, &nothing, &error), -EINVAL);
    ck_assert_str_eq(error.message, "image: needs a path or bytes");
    ck_assert_int_eq(vmm_load(machine, &odd_mode, &error), -EINVAL);
    vmm_destroy(machine);
}
END_TEST

START_TEST(regions_stay_inside_their_space)
{
    test_need_kvm();
    static const struct {
        enum vmm_space space;
        uint64_t base, len;
    } cases[] = {
        {VMM_SPACE_PORTS, 0xfff8, 16},
        {VMM_SPACE_PORTS, 0x10000, 1},
        {VMM_SPACE_PORTS, 0x100, 0},
        {VMM_SPACE_MEMORY, 0xd0000000, 0},
        {VMM_SPACE_MEMORY, UINT64_MAX - 4095, 8192},
        {VMM_SPACE_MEMORY, 1, UINT64_MAX},
    };
    struct vmm *machine = guest_create(NULL, DEBUG_EXIT("\x00"), 4);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct vmm_error error = {0};
        int result = vmm_add_region(machine, cases[i].space, "own", cases[i].base, cases[i].len, &own_ops,
                                    NULL, &error);
        ck_assert_msg(result < 0 && strstr(error.message, "own"), "case %zu: %d, %s", i, result,
                      error.message);
    }
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    vmm_destroy(machine);
}
END_TEST

START_TEST(a_machine_needs_an_image_and_runs_once)
{
    test_need_kvm();
    struct vmm *machine;
    struct vmm_end end;
    struct vmm_error error;
    ck_assert_int_eq(vmm_create(NULL, &machine, NULL), 0);
    ck_assert_int_eq(vmm_run(machine, &end, &error), -EINVAL);
    ck_assert_str_eq(error.message, "machine: there is no image to run: call vmm_load first");
    vmm_destroy(machine);
    machine = guest_create(NULL, DEBUG_EXIT("\x00"), 4);
    guest_run(machine);
    ck_assert_int_eq(vmm_run(machine, &end, &error), -EALREADY);
    vmm_destroy(machine);
}
END_TEST

START_TEST(a_feature_that_does_not_exist_is_refused)
{
    test_need_kvm();
    const struct vmm_config config = {.cpu_features = "-avx,-nonsense"};
    struct vmm *machine;
    struct vmm_error error;
    ck_assert_int_eq(vmm_create(&config, &machine, &error), -EINVAL);
    ck_assert_msg(strstr(error.message, "nonsense") != NULL, "%s", error.message);
    ck_assert_ptr_null(machine);
}
END_TEST

START_TEST(nothing_is_added_to_a_machine_that_has_run)
{
    test_need_kvm();
    static const struct vmm_serial_config serial = {.kind = VMM_SERIAL_NONE};
    static const struct vmm_scratch_config scratch = {.base = 0xd0000000, .len = 4096};
    static const struct vmm_trace_config trace = {.path = "/dev/null"};
    static const uint8_t rom[4096];
    struct vmm *machine = guest_create(NULL, DEBUG_EXIT("\x01"), 4);
    struct vmm_error error;
    ck_assert_int_eq(vmm_add_legacy(machine, NULL), 0);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    ck_assert_int_eq(vmm_add_serial(machine, &serial, &error), -EALREADY);
    ck_assert_str_eq(error.message, "machine: runs, or has run: nothing can be added to it");
    ck_assert_int_eq(vmm_add_debug_exit(machine, 0x600, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_testdev(machine, VMM_MMIO_AUTO, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_fwcfg_file(machine, "opt/a", "b", 1, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_progress(machine, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_scratch(machine, &scratch, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_region(machine, VMM_SPACE_PORTS, "own", 0x700, 4, &own_ops, NULL, NULL),
                     -EALREADY);
    ck_assert_int_eq(vmm_add_rom(machine, "rom", 0x100000, rom, sizeof(rom), NULL, NULL, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_trace(machine, &trace, NULL), -EALREADY);
    vmm_destroy(machine);
}
END_TEST

START_TEST(what_the_image_is_told_of_is_added_before_it)
{
    test_need_kvm();
    static const struct vmm_disk_config disk = {.path = "/dev/zero"};
    struct vmm *machine = guest_create(NULL, DEBUG_EXIT("\x01"), 4);
    struct vmm_error error;
    ck_assert_int_eq(vmm_add_acpi(machine, &error), -EALREADY);
    ck_assert_str_eq(error.message,
                     "ACPI: the image is told what is there when it is loaded: call vmm_load later");
    ck_assert_int_eq(vmm_add_pci(machine, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_rng(machine, VMM_TRANSPORT_PCI, NULL), -EALREADY);
    ck_assert_int_eq(vmm_add_rng(machine, VMM_TRANSPORT_MMIO, NULL), -EALREADY);
    ck_assert_int_lt(vmm_add_disk(machine, &disk, NULL), 0);
    ck_assert_int_eq(guest_run(machine).reason, VMM_END_DEBUG_EXIT);
    vmm_destroy(machine);
}
END_TEST

START_TEST(another_image_can_follow_one_that_is_refused)
{
    test_need_kvm();
    static const uint8_t bytes[1 << 17] = DEBUG_EXIT("\x05");
    const struct vmm_image none = {.bytes = bytes, .len = sizeof(bytes)},
                           large = {.bytes = bytes, .len = sizeof(bytes), .flat = VMM_FLAT_LONG64},
                           good = {.bytes = bytes, .len = 4096, .flat = VMM_FLAT_REAL16};
    const struct vmm_config config = {.ram_bytes = 1 << 20};
    struct vmm *machine;
    struct vmm_error error;
    ck_assert_int_eq(vmm_create(&config, &machine, NULL), 0);
    ck_assert_int_eq(vmm_add_debug_exit(machine, 0xf4, NULL), 0);
    ck_assert_int_eq(vmm_add_legacy(machine, NULL), 0);
    ck_assert_int_eq(vmm_add_acpi(machine, NULL), 0);
    ck_assert_int_eq(vmm_add_rng(machine, VMM_TRANSPORT_PCI, NULL), 0);
    ck_assert_int_eq(vmm_load(machine, &none, &error), -ENOEXEC);
    ck_assert_int_eq(vmm_load(machine, &large, &error), -ENOSPC);
    ck_assert_msg(vmm_load(machine, &good, &error) == 0, "%s", error.message);
    ck_assert_int_eq(vmm_load(machine, &good, &error), -EALREADY);
    ck_assert_uint_eq(guest_run(machine).value, 5);
    vmm_destroy(machine);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, regions_do_not_overlap);
    test_add(suite, no_region_lies_over_a_controller_of_kvms);
    test_add(suite, bad_configurations_are_refused_with_a_reason);
    test_add(suite, what_is_missing_is_named);
    test_add(suite, regions_stay_inside_their_space);
    test_add(suite, a_machine_needs_an_image_and_runs_once);
    test_add(suite, a_feature_that_does_not_exist_is_refused);
    test_add(suite, nothing_is_added_to_a_machine_that_has_run);
    test_add(suite, another_image_can_follow_one_that_is_refused);
    test_add(suite, what_the_image_is_told_of_is_added_before_it);
}
