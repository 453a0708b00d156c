/* SPDX-License-Identifier: MIT
 *
 * bzImages: what goes where, what the boot parameters say, the state at the entry, and each refusal.
 */
#include "boot/linux.h"

#include "tests/boot/fixture.h"
#include "tests/boot/invariants.h"

static void linux_init(struct fixture *fixture, uint64_t ram_bytes)
{
    fixture_init(fixture, ram_bytes);
    fixture->image.len = images_linux(fixture->bytes);
}

static uint64_t param(const struct fixture *fixture, unsigned offset, unsigned size)
{
    return fixture_read(fixture, fixture->state.rsi + offset, size);
}

static void check_invariants(const struct fixture *fixture)
{
    const char *broken = boot_invariant_broken(&fixture->image, &fixture->config, fixture->memory,
                                               &fixture->state);
    ck_assert_msg(!broken, "it does not hold that %s", broken);
}

START_TEST(a_kernel_is_entered_in_64_bit_mode)
{
    struct fixture fixture;
    linux_init(&fixture, 16 * MIB);
    fixture.config.cmdline = "console=ttyS0";
    fixture.config.rsdp_gpa = 0xe0000;
    fixture_must_load(&fixture);
    check_invariants(&fixture);
    ck_assert(boot_is_linux(&fixture.image));
    const struct boot_state *state = &fixture.state;
    ck_assert_str_eq(state->protocol_name, "bzImage, 64-bit entry");
    ck_assert_uint_eq(state->mode, BOOT_CPU_LONG64);
    ck_assert_uint_eq(state->rip, 0x200200);
    ck_assert_uint_eq(state->image_end_gpa, 0x220000);
    ck_assert_uint_eq(state->rflags, 2);
    ck_assert_uint_eq(state->cs.selector, 0x10);
    ck_assert(state->cs.long_mode && !state->cs.size32);
    ck_assert_uint_eq(state->ds.selector, 0x18);
    ck_assert_uint_eq(state->ss.selector, 0x18);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + 0x10, 8), 0x00af9b000000ffff);
    ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + 0x18, 8), 0x00cf93000000ffff);
    ck_assert_uint_eq(state->cr3 % PAGE_BYTES, 0);
    ck_assert_uint_eq(param(&fixture, LINUX_TYPE_OF_LOADER, 1), 0xff);
    ck_assert_uint_eq(param(&fixture, LINUX_ACPI_RSDP, 8), 0xe0000);
    ck_assert_uint_eq(param(&fixture, LINUX_VERSION, 2), 0x20f);
    ck_assert_uint_eq(param(&fixture, LINUX_RAMDISK_SIZE, 4), 0);
    ck_assert_uint_eq(param(&fixture, LINUX_HEADER_END - 4, 4), 0);
    fixture_check_string(&fixture, param(&fixture, LINUX_CMD_LINE_PTR, 4), "console=ttyS0");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(without_a_64_bit_entry_it_is_the_32_bit_one)
{
    static const struct {
        unsigned version, xloadflags;
    } kernels[] = {{0x20f, 0}, {0x20f, 0x7e}, {0x20b, 1}};
    for (size_t i = 0; i < ARRAY_COUNT(kernels); i++) {
        struct fixture fixture;
        linux_init(&fixture, 16 * MIB);
        store_le16(fixture.bytes + LINUX_VERSION, kernels[i].version);
        store_le16(fixture.bytes + LINUX_XLOADFLAGS, kernels[i].xloadflags);
        fixture_must_load(&fixture);
        check_invariants(&fixture);
        const struct boot_state *state = &fixture.state;
        ck_assert_str_eq(state->protocol_name, "bzImage, 32-bit entry");
        ck_assert_uint_eq(state->mode, BOOT_CPU_PROT32);
        ck_assert_uint_eq(state->rip, 0x200000);
        ck_assert_uint_eq(state->cs.selector, 0x10);
        ck_assert(state->cs.size32 && !state->cs.long_mode);
        ck_assert_uint_eq(state->ds.selector, 0x18);
        ck_assert_uint_eq(state->rbx | state->rbp | state->rdi, 0);
        ck_assert_uint_eq(fixture_read(&fixture, state->gdt.base + 0x10, 8), 0x00cf9b000000ffff);
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(the_memory_map_is_the_machines)
{
    static const struct {
        uint64_t gpa, len;
        unsigned kind;
    } rows[] = {{0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {MIB, 3 * GIB - MIB, 1}, {4 * GIB, 2 * GIB, 1}};
    struct fixture fixture;
    linux_init(&fixture, 5 * GIB);
    fixture_must_load(&fixture);
    ck_assert_uint_eq(param(&fixture, LINUX_E820_COUNT, 1), ARRAY_COUNT(rows));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        unsigned at = LINUX_E820_TABLE + LINUX_E820_ENTRY * i;
        ck_assert_uint_eq(param(&fixture, at, 8), rows[i].gpa);
        ck_assert_uint_eq(param(&fixture, at + 8, 8), rows[i].len);
        ck_assert_uint_eq(param(&fixture, at + 16, 4), rows[i].kind);
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(the_initrd_goes_as_high_as_it_may)
{
    static const struct {
        unsigned version, xloadflags;
        uint64_t last, ram_bytes, gpa;
    } rows[] = {
        {0x20f, 3, 0x7fffffff, 16 * MIB, 16 * MIB - 0x2000},
        {0x20f, 3, 0x7fffffff, 5 * GIB, 0x7fffe000},
        {0x20f, 3, 0x2ffffff, 5 * GIB, 0x2ffe000},
        {0x202, 0, 0, 5 * GIB, 0x37ffe000},
        {0x20f, 3, 0x1fffff, 5 * GIB, 0x1fe000},
        {0x20f, 3, 0xfffff, 5 * GIB, 6 * GIB - 0x2000},
    };
    static const uint8_t content[0x1003] = "an archive";
    const struct boot_module module = {{content, sizeof(content), "initrd"}, NULL};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fixture fixture;
        linux_init(&fixture, rows[i].ram_bytes);
        store_le16(fixture.bytes + LINUX_VERSION, rows[i].version);
        store_le16(fixture.bytes + LINUX_XLOADFLAGS, rows[i].xloadflags);
        store_le32(fixture.bytes + LINUX_INITRD_ADDR_MAX, rows[i].last);
        fixture.config.modules = &module;
        fixture.config.module_count = 1;
        fixture_must_load(&fixture);
        check_invariants(&fixture);
        ck_assert_uint_eq(param(&fixture, LINUX_RAMDISK_IMAGE, 4), rows[i].gpa & 0xffffffff);
        ck_assert_uint_eq(param(&fixture, LINUX_EXT_RAMDISK_IMAGE, 4), rows[i].gpa >> 32);
        ck_assert_uint_eq(param(&fixture, LINUX_RAMDISK_SIZE, 4), sizeof(content));
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(several_files_are_one_initrd)
{
    static const uint8_t content[] = "abcdefg";
    const struct boot_module modules[] = {{{content, 5, "one"}, NULL}, {{content, 7, "two"}, NULL}};
    struct fixture fixture;
    linux_init(&fixture, 16 * MIB);
    /* RAM that was used before: the gap between the files has to be 0. */
    ck_assert_int_eq(guest_mem_fill(fixture.memory, 15 * MIB, 0xff, MIB), 0);
    fixture.config.ram_dirty = true;
    fixture.config.modules = modules;
    fixture.config.module_count = 2;
    fixture_must_load(&fixture);
    check_invariants(&fixture);
    gpa_t gpa = param(&fixture, LINUX_RAMDISK_IMAGE, 4);
    ck_assert_uint_eq(param(&fixture, LINUX_RAMDISK_SIZE, 4), 15);
    ck_assert_uint_eq(fixture_read(&fixture, gpa + 4, 8), 0x6463626100000065);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_kernel_that_can_moves_to_where_there_is_room)
{
    static const struct {
        uint64_t preferred, alignment, init_size;
        gpa_t taken, gpa;
    } rows[] = {
        {0x210000, 0x100000, 0x20000, 0, 0x300000},        /* aligned up */
        {0x210000, 0x100000, 0x20000, 0x301000, 0x400000}, /* its place is not free: the next above it */
        {0, 0x1000, 0x20000, 0, 0x100000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fixture fixture;
        linux_init(&fixture, 8 * MIB);
        store_le64(fixture.bytes + LINUX_PREF_ADDRESS, rows[i].preferred);
        store_le32(fixture.bytes + LINUX_KERNEL_ALIGNMENT, rows[i].alignment);
        store_le32(fixture.bytes + LINUX_INIT_SIZE, rows[i].init_size);
        const struct memory_map_entry taken = {rows[i].taken, 0x1000, MEMORY_KIND_RESERVED};
        fixture.config.reserved = &taken;
        fixture.config.reserved_count = rows[i].taken != 0;
        fixture_must_load(&fixture);
        check_invariants(&fixture);
        ck_assert_uint_eq(fixture.state.image_gpa, rows[i].gpa);
        ck_assert_uint_eq(param(&fixture, LINUX_CODE32_START, 4), rows[i].gpa);
        fixture_fini(&fixture);
    }
}
END_TEST

/* It would move itself up there, over whatever is in its way, or where no RAM is. */
START_TEST(no_kernel_is_put_below_the_place_that_it_prefers)
{
    struct fixture fixture;
    linux_init(&fixture, 8 * MIB);
    store_le64(fixture.bytes + LINUX_PREF_ADDRESS, 0x7f0000);
    store_le32(fixture.bytes + LINUX_KERNEL_ALIGNMENT, 0x1000);
    fixture_must_refuse(&fixture, -ENOSPC, "unpacks itself in 1 MiB in a row, from 0x7f0000 on, which");
    store_le64(fixture.bytes + LINUX_PREF_ADDRESS, 0x7e0000);
    fixture_must_load(&fixture);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_kernel_that_cannot_move_has_all_up_to_its_place)
{
    struct fixture fixture;
    linux_init(&fixture, 8 * MIB);
    fixture.bytes[LINUX_RELOCATABLE] = 0;
    store_le32(fixture.bytes + LINUX_KERNEL_ALIGNMENT, 3);
    fixture_must_load(&fixture);
    check_invariants(&fixture);
    ck_assert_uint_eq(fixture.state.rip, 0x100200);
    ck_assert_uint_eq(fixture.state.image_gpa, 0x100000);
    ck_assert_uint_eq(fixture.state.image_end_gpa, 0x220000);
    fixture_fini(&fixture);
}
END_TEST

static const struct {
    unsigned offset, size;
    uint64_t value;
    int code;
    const char *message;
} damages[] = {
    {LINUX_BOOT_FLAG, 2, 0xaa54, -ENOEXEC, "no signature 0xaa55"},
    {LINUX_VERSION, 2, 0x201, -ENOEXEC, "version 2.01 of the boot protocol; at least 2.02"},
    {LINUX_LOADFLAGS, 1, 0x80, -ENOEXEC, "a zImage"},
    {LINUX_SETUP_SECTS, 1, 0, -ENOEXEC, "truncated: its kernel begins at 0xa00, the file has 0x700 bytes"},
    {LINUX_SETUP_SECTS, 1, 4, -ENOEXEC, "truncated: its kernel begins at 0xa00"},
    {LINUX_SYSSIZE, 4, 0x31, -ENOEXEC, "truncated: its kernel has 0x310 bytes at offset 0x400"},
    {LINUX_JUMP_LEN, 1, 0x29, -ENOEXEC, "too short for a command line"},
    {LINUX_KERNEL_ALIGNMENT, 4, 0, -ENOEXEC, "aligned to 0, which is no power of two"},
    {LINUX_KERNEL_ALIGNMENT, 4, 0x180000, -ENOEXEC, "aligned to 0x180000, which is no power of two"},
    {LINUX_PREF_ADDRESS, 8, 0x100000000, -ENOEXEC, "wants to be at 0x100000000"},
    {LINUX_CMDLINE_SIZE, 4, 3, -EINVAL, "its command line has 4 bytes; this kernel takes at most 3"},
    {LINUX_INIT_SIZE, 4, 0x800001, -ENOSPC, "unpacks itself in 9 MiB in a row"},
    {LINUX_RELOCATABLE, 1, 0, -ENOSPC, NULL},
};

START_TEST(every_refusal_says_why)
{
    for (size_t i = 0; i < ARRAY_COUNT(damages); i++) {
        struct fixture fixture;
        linux_init(&fixture, 8 * MIB);
        fixture.config.cmdline = "four";
        store_le(fixture.bytes + damages[i].offset, damages[i].value, damages[i].size);
        if (damages[i].message) {
            fixture_must_refuse(&fixture, damages[i].code, damages[i].message);
        } else {
            store_le32(fixture.bytes + LINUX_PREF_ADDRESS, 0x7e1000);
            fixture_must_refuse(&fixture, damages[i].code, "the kernel (0x100000-0x800fff) lies outside");
        }
        fixture_fini(&fixture);
    }
}
END_TEST

START_TEST(the_command_line_fits_up_to_its_limit)
{
    struct fixture fixture;
    linux_init(&fixture, 8 * MIB);
    fixture.config.cmdline = "four";
    store_le32(fixture.bytes + LINUX_CMDLINE_SIZE, 4);
    fixture_must_load(&fixture);
    store_le16(fixture.bytes + LINUX_VERSION, 0x205); /* which has no such field: 255 */
    store_le32(fixture.bytes + LINUX_CMDLINE_SIZE, 0);
    fixture_must_load(&fixture);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(an_initrd_that_does_not_go_is_refused)
{
    static uint8_t content[8 * MIB];
    struct boot_module module = {{content, sizeof(content), "test.img.cpio"}, NULL};
    struct fixture fixture;
    linux_init(&fixture, 8 * MIB);
    fixture.config.modules = &module;
    fixture.config.module_count = 1;
    fixture_must_refuse(&fixture, -ENOSPC, "the initrd of 8388608 bytes does not fit");
    module.image.len = 0;
    fixture_must_refuse(&fixture, -EINVAL, "the initrd is empty");
    module.image.len = 1;
    module.cmdline = "text";
    fixture_must_refuse(&fixture, -EINVAL, "has no command line; leave \"text\" out");
    module.cmdline = NULL;
    module.image.len = MIB;
    memcpy(content + 0x202, "HdrS", 4);
    fixture_must_refuse(&fixture, -EINVAL, "is a Linux kernel, not an initrd");
    memcpy(content, "\177ELF", 4);
    memset(content + 0x202, 0, 4);
    fixture_must_refuse(&fixture, -EINVAL, "is an ELF file, not an initrd");
    memcpy(content, "0707", 4);
    fixture_must_load(&fixture);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(another_protocol_cannot_be_insisted_on)
{
    struct fixture fixture;
    linux_init(&fixture, 8 * MIB);
    fixture.config.protocol = BOOT_PVH;
    fixture_must_refuse(&fixture, -ENOEXEC, "is a bzImage, which has its own boot protocol, not PVH");
    fixture.config.protocol = BOOT_MULTIBOOT;
    fixture_must_refuse(&fixture, -ENOEXEC, "not multiboot");
    fixture.config.protocol = BOOT_AUTO;
    fixture.image.len = 0x28f;
    fixture_must_refuse(&fixture, -ENOEXEC, "truncated: a bzImage's header needs 0x290 bytes, the file has");
    fixture_fini(&fixture);
}
END_TEST

/* An ELF64 file that only its banner tells from any other. */
START_TEST(a_vmlinux_without_a_pvh_note_is_entered_in_64_bit_mode)
{
    static const uint8_t initrd[] = "initrd";
    const struct boot_module module = {{initrd, sizeof(initrd), "initrd"}, NULL};
    struct fixture fixture;
    fixture_init(&fixture, 16 * MIB);
    struct test_elf elf = images_default_elf(true, false, false);
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_refuse(&fixture, -ENOEXEC, "neither a multiboot header nor a PVH note");
    ck_assert(!boot_is_linux(&fixture.image));
    memcpy(fixture.bytes + AT_MULTIBOOT, "Linux version 6", 15);
    ck_assert(boot_is_linux(&fixture.image));
    fixture.config = (struct boot_config){.cmdline = "quiet", .modules = &module, .module_count = 1};
    fixture_must_load(&fixture);
    check_invariants(&fixture);
    ck_assert_str_eq(fixture.state.protocol_name, "vmlinux, 64-bit entry");
    ck_assert_uint_eq(fixture.state.mode, BOOT_CPU_LONG64);
    ck_assert_uint_eq(fixture.state.rip, 0x100010);
    ck_assert_uint_eq(param(&fixture, LINUX_MAGIC, 4), load_le32("HdrS"));
    ck_assert_uint_eq(param(&fixture, LINUX_BOOT_FLAG, 2), 0xaa55);
    ck_assert_uint_eq(param(&fixture, LINUX_RAMDISK_SIZE, 4), sizeof(initrd));
    fixture_check_string(&fixture, param(&fixture, LINUX_CMD_LINE_PTR, 4), "quiet");
    elf = images_default_elf(false, false, false); /* 32 bits: nothing is known of such a kernel */
    fixture.image.len = images_elf(&elf, fixture.bytes);
    memcpy(fixture.bytes + AT_MULTIBOOT, "Linux version 6", 15);
    fixture_must_refuse(&fixture, -ENOEXEC, "neither a multiboot header nor a PVH note");
    fixture_fini(&fixture);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_vmlinux_without_a_pvh_note_is_entered_in_64_bit_mode);
    test_add(suite, a_kernel_is_entered_in_64_bit_mode);
    test_add(suite, without_a_64_bit_entry_it_is_the_32_bit_one);
    test_add(suite, the_memory_map_is_the_machines);
    test_add(suite, the_initrd_goes_as_high_as_it_may);
    test_add(suite, several_files_are_one_initrd);
    test_add(suite, a_kernel_that_can_moves_to_where_there_is_room);
    test_add(suite, no_kernel_is_put_below_the_place_that_it_prefers);
    test_add(suite, a_kernel_that_cannot_move_has_all_up_to_its_place);
    test_add(suite, every_refusal_says_why);
    test_add(suite, the_command_line_fits_up_to_its_limit);
    test_add(suite, an_initrd_that_does_not_go_is_refused);
    test_add(suite, another_protocol_cannot_be_insisted_on);
}
