/* SPDX-License-Identifier: MIT
 *
 * What a PVH kernel finds: the processor of Xen's "x86/HVM direct boot ABI", and the start info by its
 * offsets.
 */
#include "tests/boot/fixture.h"

static void init_pvh(struct fixture *fixture, bool is_64bit, uint64_t ram_bytes)
{
    struct test_elf elf = images_default_elf(is_64bit, false, true);
    fixture_init(fixture, ram_bytes);
    fixture->image.len = images_elf(&elf, fixture->bytes);
}

START_TEST(the_processor_is_as_the_abi_says)
{
    for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
        struct fixture fixture;
        init_pvh(&fixture, is_64bit, 16 * MIB);
        fixture_must_load(&fixture);
        const struct boot_state *state = &fixture.state;
        ck_assert_int_eq(state->mode, BOOT_CPU_PROT32);
        ck_assert_uint_eq(state->rip, 0x100020); /* of the note, which is physical */
        ck_assert_uint_eq(state->cr0 & ~0x10u, 1);
        ck_assert_uint_eq(state->cr4 | state->efer | state->cr3, 0);
        ck_assert_uint_eq(state->rflags, 2);
        ck_assert(state->cs.present && state->cs.size32 && state->cs.type == 11 && !state->cs.base);
        ck_assert_uint_eq(state->cs.limit, 0xffffffff);
        ck_assert(state->ds.present && state->ds.size32 && state->ds.type == 3 && !state->ds.base);
        ck_assert_mem_eq(&state->es, &state->ds, sizeof(state->ds));
        ck_assert(state->tr.type == 11 && state->tr.limit == 0x67 && !state->tr.base &&
                  !state->tr.code_or_data);
        ck_assert_str_eq(state->protocol_name, "PVH");
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(the_gdt_holds_what_the_registers_hold)
{
    struct fixture fixture;
    init_pvh(&fixture, true, 16 * MIB);
    fixture_must_load(&fixture);
    const struct boot_state *state = &fixture.state;
    ck_assert_uint_eq(state->gdt.limit, 47);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base, 8), 0);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + state->cs.selector, 8), 0x00cf9b000000ffff);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + state->ds.selector, 8), 0x00cf93000000ffff);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + 0x18, 8), 0x00af9b000000ffff);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + state->tr.selector, 8), 0x00008b0000000067);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_start_info_is_version_1)
{
    static const uint8_t module_bytes[100] = {0x77};
    struct boot_module modules[] = {{{module_bytes, 100, "first"}, "for first"},
                                    {{module_bytes, 50, "second"}, NULL}};
    struct fixture fixture;
    init_pvh(&fixture, true, 16 * MIB);
    fixture.config.cmdline = "console=ttyS0";
    fixture.config.rsdp_gpa = 0xe0000;
    fixture.config.modules = modules;
    fixture.config.module_count = 2;
    fixture_must_load(&fixture);
    gpa_t info = fixture.state.rbx;
    ck_assert_uint_eq(fixture_read(&fixture, info, 4), 0x336ec578);
    ck_assert_uint_eq(fixture_read(&fixture, info + 4, 4), 1);
    ck_assert_uint_eq(fixture_read(&fixture, info + 8, 4), 0);
    ck_assert_uint_eq(fixture_read(&fixture, info + 12, 4), 2);
    fixture_check_string(&fixture, fixture_read(&fixture, info + 24, 8), "console=ttyS0");
    ck_assert_uint_eq(fixture_read(&fixture, info + 32, 8), 0xe0000);
    gpa_t list = fixture_read(&fixture, info + 16, 8);
    ck_assert_uint_eq(fixture_read(&fixture, list, 8), 0x104000);
    ck_assert_uint_eq(fixture_read(&fixture, list + 8, 8), 100);
    fixture_check_string(&fixture, fixture_read(&fixture, list + 16, 8), "for first");
    ck_assert_uint_eq(fixture_read(&fixture, list + 32, 8), 0x105000);
    ck_assert_uint_eq(fixture_read(&fixture, list + 40, 8), 50);
    ck_assert_uint_eq(fixture_read(&fixture, list + 48, 8), 0);
    ck_assert_uint_eq(fixture_read(&fixture, 0x105000, 1), 0x77);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_memory_map_has_what_the_machine_reserves)
{
    static const struct memory_map_entry reserved[] = {{0x1f0000, 0x10000, MEMORY_KIND_ACPI},
                                                       {0xb0000000, 0x10000000, MEMORY_KIND_RESERVED}};
    static const uint64_t want[][3] = {{0, 0x9fc00, 1},
                                       {0x9fc00, 0x60400, 2},
                                       {0x100000, 0xf0000, 1},
                                       {0x1f0000, 0x10000, 3},
                                       {0xb0000000, 0x10000000, 2}};
    struct fixture fixture;
    init_pvh(&fixture, true, 2 * MIB);
    fixture.config.reserved = reserved;
    fixture.config.reserved_count = ARRAY_COUNT(reserved);
    fixture_must_load(&fixture);
    gpa_t info = fixture.state.rbx, map = fixture_read(&fixture, info + 40, 8);
    ck_assert_uint_eq(fixture_read(&fixture, info + 48, 4), ARRAY_COUNT(want));
    for (size_t i = 0; i < ARRAY_COUNT(want); i++) {
        ck_assert_uint_eq(fixture_read(&fixture, map + 24 * i, 8), want[i][0]);
        ck_assert_uint_eq(fixture_read(&fixture, map + 24 * i + 8, 8), want[i][1]);
        ck_assert_uint_eq(fixture_read(&fixture, map + 24 * i + 16, 8), want[i][2]);
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(of_both_protocols_the_class_decides)
{
    for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
        struct fixture fixture;
        struct test_elf elf = images_default_elf(is_64bit, true, true);
        fixture_init(&fixture, 16 * MIB);
        fixture.image.len = images_elf(&elf, fixture.bytes);
        fixture_must_load(&fixture);
        ck_assert_str_eq(fixture.state.protocol_name, is_64bit ? "PVH" : "multiboot");
        fixture.config.protocol = BOOT_PVH;
        fixture_must_load(&fixture);
        ck_assert_str_eq(fixture.state.protocol_name, "PVH");
        fixture.config.protocol = BOOT_MULTIBOOT;
        fixture_must_load(&fixture);
        ck_assert_str_eq(fixture.state.protocol_name, "multiboot");
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(the_note_is_found_behind_others)
{
    struct fixture fixture;
    init_pvh(&fixture, true, 16 * MIB);
    /* The note moves behind one of 3 + 5 bytes, padded to 4 + 8: 24 bytes. */
    memmove(fixture.bytes + AT_NOTE + 24, fixture.bytes + AT_NOTE, 24);
    memset(fixture.bytes + AT_NOTE, 0, 24);
    store_le32(fixture.bytes + AT_NOTE, 3);
    store_le32(fixture.bytes + AT_NOTE + 4, 5);
    store_le64(fixture.bytes + AT_PROGRAM_HEADERS + 2 * 56 + 32, 48);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0x100020);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(notes_are_padded_to_8_where_their_segment_is)
{
    struct fixture fixture;
    init_pvh(&fixture, true, 16 * MIB);
    /* First a note of 4 + 4 bytes, whose descriptor begins at 16 and ends at 20: 24 with its padding. */
    memmove(fixture.bytes + AT_NOTE + 24, fixture.bytes + AT_NOTE, 24);
    memset(fixture.bytes + AT_NOTE, 0, 24);
    store_le32(fixture.bytes + AT_NOTE, 4);
    store_le32(fixture.bytes + AT_NOTE + 4, 4);
    store_le64(fixture.bytes + AT_PROGRAM_HEADERS + 2 * 56 + 32, 48);
    fixture_must_refuse(&fixture, -ENOEXEC, "reaches past the segment's end"); /* by fours it is no note */
    store_le64(fixture.bytes + AT_PROGRAM_HEADERS + 2 * 56 + 48, 8);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0x100020);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(segments_above_4_gib_are_loaded)
{
    struct fixture fixture;
    fixture_init(&fixture, 5 * GIB);
    struct test_elf elf = images_default_elf(true, false, true);
    elf.segments[1].gpa = 5 * GIB;
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(fixture_read(&fixture, 5 * GIB, 1), 0xda);
    fixture_fini(&fixture);
}
END_TEST

/* Linux cuts off what is longer, wherever it came from. */
START_TEST(a_linux_kernel_has_a_limit_for_its_command_line)
{
    static char text[3000];
    struct fixture fixture;
    init_pvh(&fixture, true, 16 * MIB);
    memset(text, 'x', 2048);
    fixture.config.cmdline = text;
    fixture_must_load(&fixture);
    memcpy(fixture.bytes + AT_MULTIBOOT, "Linux version 6", 15);
    fixture_must_refuse(&fixture, -EINVAL, "its command line has 2048 bytes; this kernel takes at most 2047");
    text[2047] = 0;
    fixture_must_load(&fixture);
    fixture_fini(&fixture);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_processor_is_as_the_abi_says);
    test_add(suite, the_gdt_holds_what_the_registers_hold);
    test_add(suite, the_start_info_is_version_1);
    test_add(suite, the_memory_map_has_what_the_machine_reserves);
    test_add(suite, of_both_protocols_the_class_decides);
    test_add(suite, the_note_is_found_behind_others);
    test_add(suite, notes_are_padded_to_8_where_their_segment_is);
    test_add(suite, segments_above_4_gib_are_loaded);
    test_add(suite, a_linux_kernel_has_a_limit_for_its_command_line);
}
