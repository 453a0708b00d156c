/* SPDX-License-Identifier: MIT
 *
 * What a multiboot kernel finds, by the offsets of the Multiboot Specification 3.3.
 */
#include "tests/boot/fixture.h"

static const uint8_t module_bytes[5000] = {[0] = 0x11, [4999] = 0x22};

static void init_elf(struct fixture *fixture, uint64_t ram_bytes, const struct test_elf *elf)
{
    fixture_init(fixture, ram_bytes);
    fixture->image.len = images_elf(elf, fixture->bytes);
}

START_TEST(the_processor_is_in_flat_32_bit_mode)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    const struct boot_state *state = &fixture.state;
    ck_assert_int_eq(state->mode, BOOT_CPU_PROT32);
    ck_assert_uint_eq(state->rax, 0x2badb002);
    ck_assert_uint_eq(state->rip, 0x100010); /* e_entry is virtual */
    ck_assert_uint_eq(state->cr0 & 0x80000001, 1);
    ck_assert_uint_eq(state->rflags & 0x20200, 0);
    ck_assert(state->cs.size32 && state->cs.base == 0 && state->cs.limit == 0xffffffff &&
              state->cs.type == 11);
    ck_assert(state->ss.size32 && state->ss.base == 0 && state->ss.limit == 0xffffffff &&
              state->ss.type == 3);
    ck_assert_str_eq(state->protocol_name, "multiboot");
    ck_assert_uint_eq(state->image_gpa, 0x100000);
    ck_assert_uint_eq(state->image_end_gpa, 0x104000);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(segments_are_where_they_belong)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, 0x100000, 1), 0x90);
    ck_assert_uint_eq(fixture_read(&fixture, 0x1000bf, 2), 0x0090);
    ck_assert_uint_eq(fixture_read(&fixture, 0x10103f, 2), 0x00da);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_information_is_what_qemu_gives)
{
    struct fixture fixture;
    struct boot_module module = {{module_bytes, sizeof(module_bytes), "initrd"}, "a b"};
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 16 * MIB, &elf);
    fixture.config.cmdline = "one two";
    fixture.config.modules = &module;
    fixture.config.module_count = 1;
    fixture_must_load(&fixture);
    gpa_t info = fixture.state.rbx;
    ck_assert_uint_eq(fixture_read(&fixture, info, 4), 0x24f);
    ck_assert_uint_eq(fixture_read(&fixture, info + 4, 4), 639);
    ck_assert_uint_eq(fixture_read(&fixture, info + 8, 4), 15 * 1024);
    ck_assert_uint_eq(fixture_read(&fixture, info + 12, 4), 0x8000ffff);
    fixture_check_string(&fixture, fixture_read(&fixture, info + 16, 4), "test.img one two");
    fixture_check_string(&fixture, fixture_read(&fixture, info + 64, 4), "vmm");
    ck_assert_uint_eq(fixture_read(&fixture, info + 20, 4), 1);
    gpa_t list = fixture_read(&fixture, info + 24, 4);
    gpa_t start = fixture_read(&fixture, list, 4), end = fixture_read(&fixture, list + 4, 4);
    ck_assert_uint_eq(start, 0x104000); /* the first page behind the image */
    ck_assert_uint_eq(end - start, sizeof(module_bytes));
    ck_assert_uint_eq(fixture_read(&fixture, start, 1), 0x11);
    ck_assert_uint_eq(fixture_read(&fixture, end - 1, 1), 0x22);
    fixture_check_string(&fixture, fixture_read(&fixture, list + 8, 4), "initrd a b");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_command_line_is_never_absent)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    fixture_check_string(&fixture, fixture_read(&fixture, fixture.state.rbx + 16, 4), "test.img ");
    ck_assert_uint_eq(fixture_read(&fixture, fixture.state.rbx + 20, 4), 0);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_memory_map_has_sizes_and_high_memory)
{
    static const uint64_t want[][3] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {0x100000, 3 * GIB - 0x100000, 1}, {4 * GIB, 2 * GIB, 1}};
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 5 * GIB, &elf);
    fixture_must_load(&fixture);
    gpa_t info = fixture.state.rbx, map = fixture_read(&fixture, info + 48, 4);
    ck_assert_uint_eq(fixture_read(&fixture, info + 44, 4), sizeof(want) / 24 * 24);
    ck_assert_uint_eq(fixture_read(&fixture, info + 8, 4), 3 * 1024 * 1024 - 1024);
    for (size_t i = 0; i < ARRAY_COUNT(want); i++) {
        ck_assert_uint_eq(fixture_read(&fixture, map, 4), 20);
        ck_assert_uint_eq(fixture_read(&fixture, map + 4, 8), want[i][0]);
        ck_assert_uint_eq(fixture_read(&fixture, map + 12, 8), want[i][1]);
        ck_assert_uint_eq(fixture_read(&fixture, map + 20, 4), want[i][2]);
        map += fixture_read(&fixture, map, 4) + 4;
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(headers_in_the_page_below_1_mib_are_loaded)
{
    /* As `ld -Ttext=0x100000` links. The memory map still says that the page is the firmware's. */
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    elf.segments[0] = (struct test_segment){0xff000, 0xff000, 0x40, 0x40, 0x55};
    elf.entry = 0x10101000;
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, 0xff000, 1), 0x55);
    ck_assert_uint_eq(fixture_read(&fixture, fixture.state.rbx + 4, 4), 639);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(elf64_is_loaded_by_multiboot_too)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(true, true, false);
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    ck_assert_str_eq(fixture.state.protocol_name, "multiboot");
    ck_assert_uint_eq(fixture.state.rip, 0x100010);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_entry_point_is_translated_by_executable_segments)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    elf.segments[1].gva = elf.segments[0].gva; /* both hold the address */
    init_elf(&fixture, 16 * MIB, &elf);
    fixture.bytes[AT_PROGRAM_HEADERS + 24] = 6; /* the first may not be executed */
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0x101010);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_addresses_of_the_header_come_first)
{
    /* From the header's own place in the file follows that loading begins at offset 0x10. */
    static const uint32_t addresses[5] = {0x200010, 0x200000, 0x200080, 0x203000, 0x200004};
    struct fixture fixture;
    fixture_init(&fixture, 16 * MIB);
    fixture.image.len = images_multiboot(addresses, fixture.bytes);
    fixture.bytes[0x10] = 0xaa;
    fixture.bytes[0x8f] = 0xbb;
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0x200004);
    ck_assert_uint_eq(fixture_read(&fixture, 0x200000, 1), 0xaa);
    ck_assert_uint_eq(fixture_read(&fixture, 0x20007f, 2), 0x00bb);
    ck_assert_uint_eq(fixture.state.image_end_gpa, 0x203000);
    /* An ELF file whose multiboot header has addresses is loaded by them. */
    struct test_elf elf = images_default_elf(false, true, false);
    elf.multiboot_flags = 0x10000;
    fixture.image.len = images_elf(&elf, fixture.bytes);
    const uint32_t in_elf[5] = {0x300000 + AT_MULTIBOOT, 0x300000, 0, 0, 0x300000 + AT_CODE};
    for (size_t i = 0; i < 5; i++)
        store_le32(fixture.bytes + AT_MULTIBOOT + 12 + 4 * i, in_elf[i]);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0x300000 + AT_CODE);
    ck_assert_uint_eq(fixture_read(&fixture, 0x300000, 4), 0x464c457f);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_header_is_found_in_the_first_8_kib_only)
{
    static uint8_t bytes[0x4000];
    static const size_t inside[] = {0, 4, 0x1000, 8192 - 32}, outside[] = {2, 8192 - 8, 8192};
    struct fixture fixture;
    fixture_init(&fixture, 16 * MIB);
    fixture.image = (struct boot_image){.bytes = bytes, .len = sizeof(bytes), .name = "test.img"};
    for (size_t i = 0; i < ARRAY_COUNT(inside); i++) {
        memset(bytes, 0, sizeof(bytes));
        images_put_multiboot(bytes + inside[i], 0x10000);
        store_le32(bytes + inside[i] + 12, 0x100000 + inside[i]);
        store_le32(bytes + inside[i] + 16, 0x100000);
        store_le32(bytes + inside[i] + 28, 0x100000);
        fixture_must_load(&fixture);
    }
    for (size_t i = 0; i < ARRAY_COUNT(outside); i++) {
        memset(bytes, 0, sizeof(bytes));
        images_put_multiboot(bytes + outside[i], 0x10000);
        fixture_must_refuse(&fixture, -ENOEXEC, "nor has a multiboot header");
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(tables_stay_out_of_the_way)
{
    /* Off page 0, off an image that loads at 0x8000, off the low pages where processors are started, and off
     * the end of low memory, where others have their trampolines. */
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    elf.segments[0].gpa = 0x8000;
    elf.entry = 0x10100000;
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    ck_assert_uint_ge(fixture.state.rbx, 0x10000);
    ck_assert_uint_lt(fixture.state.rbx, 0x80000);
    ck_assert_uint_ge(fixture.state.gdt.base, 0x10000);
    /* Behind an image that goes further, and where it leaves only the end, there. */
    elf.segments[0].len = 0x20000;
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    ck_assert_uint_ge(fixture.state.rbx, 0x28000);
    ck_assert_uint_lt(fixture.state.rbx, 0x80000);
    elf.segments[0].len = 0x80000;
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    ck_assert_uint_ge(fixture.state.rbx, 0x88000);
    ck_assert_uint_lt(fixture.state.rbx, 0x9fc00);
    /* Where the image has all of the low memory, they follow it. */
    elf.segments[0] = (struct test_segment){0, 0x10100000, 0xc0, 0x9fc00, 0x90};
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    ck_assert_uint_ge(fixture.state.rbx, 0x104000);
    /* Page 0 stays free even if that and one more would do. */
    elf.segments[0] = (struct test_segment){0x2000, 0x10100000, 0xc0, 0x9dc00, 0x90};
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    ck_assert_uint_ge(fixture.state.rbx, 0x104000);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_bios_data_says_where_low_memory_ends)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, 0x40e, 2), 0x9fc0);
    ck_assert_uint_eq(fixture_read(&fixture, 0x413, 2), 639);
    ck_assert_uint_eq(fixture_read(&fixture, 0x9fc00, 1), 1);
    for (unsigned vector = 0; vector < 256; vector++) /* every software interrupt returns, with carry */
        ck_assert_uint_eq(fixture_read(&fixture, 4 * vector, 4), 0x4f0);
    ck_assert_uint_eq(fixture_read(&fixture, 0x4f0, 4), 0x0002caf9);
    fixture_fini(&fixture);
    elf.segments[0].gpa = 0; /* an image that has page 0 keeps what is in it */
    elf.segments[0].len = 0x1000;
    elf.entry = 0x10100000;
    init_elf(&fixture, 16 * MIB, &elf);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, 0x40e, 2), 0);
    ck_assert_uint_eq(fixture_read(&fixture, 0x413, 2), 0);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(modules_are_above_1_mib_if_possible)
{
    struct boot_module module = {{module_bytes, sizeof(module_bytes), "initrd"}, NULL};
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    elf.entry = 0x10100000;
    elf.segments[0].gpa = 0x8000;
    elf.segments[1].gpa = 0xa000;
    init_elf(&fixture, 16 * MIB, &elf);
    fixture.config.modules = &module;
    fixture.config.module_count = 1;
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, fixture_read(&fixture, fixture.state.rbx + 24, 4), 4), MIB);
    fixture_fini(&fixture);
    init_elf(&fixture, 256 * KIB, &elf);
    fixture.config.modules = &module;
    fixture.config.module_count = 1;
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, fixture_read(&fixture, fixture.state.rbx + 24, 4), 4), 0xd000);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(used_ram_is_cleared_on_request)
{
    struct fixture fixture;
    struct test_elf elf = images_default_elf(false, true, false);
    init_elf(&fixture, 2 * MIB, &elf);
    ck_assert_int_eq(guest_mem_fill(fixture.memory, 0, 0xee, 2 * MIB), 0);
    fixture.config.ram_dirty = true;
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, 0x101040, 8), 0);
    ck_assert_uint_eq(fixture_read(&fixture, 0x103ff8, 8), 0);
    ck_assert_uint_eq(fixture_read(&fixture, 0x104000, 1), 0xee);
    ck_assert_uint_eq(fixture_read(&fixture, fixture.state.rbx + 28, 8), 0); /* symbols */
    fixture_check_string(&fixture, fixture_read(&fixture, fixture.state.rbx + 16, 4), "test.img ");
    fixture_fini(&fixture);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_processor_is_in_flat_32_bit_mode);
    test_add(suite, segments_are_where_they_belong);
    test_add(suite, the_information_is_what_qemu_gives);
    test_add(suite, the_command_line_is_never_absent);
    test_add(suite, the_memory_map_has_sizes_and_high_memory);
    test_add(suite, headers_in_the_page_below_1_mib_are_loaded);
    test_add(suite, elf64_is_loaded_by_multiboot_too);
    test_add(suite, the_entry_point_is_translated_by_executable_segments);
    test_add(suite, the_addresses_of_the_header_come_first);
    test_add(suite, the_header_is_found_in_the_first_8_kib_only);
    test_add(suite, tables_stay_out_of_the_way);
    test_add(suite, the_bios_data_says_where_low_memory_ends);
    test_add(suite, modules_are_above_1_mib_if_possible);
    test_add(suite, used_ram_is_cleared_on_request);
}
