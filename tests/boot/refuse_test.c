/* SPDX-License-Identifier: MIT
 *
 * Every refusal has a row: a sound image, the field that is damaged, and the words that the message must
 * have.
 */
#include <elf.h>
#include <stdlib.h>

#include "tests/boot/fixture.h"

#define HEADER(field) offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define SEGMENT(index, field)                                                        \
    AT_PROGRAM_HEADERS + (index) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field), \
        sizeof(((Elf64_Phdr *)0)->field)

struct damage {
    size_t offset;
    unsigned size;
    uint64_t value;
    const char *message;
    int code;
};

/* On an ELF64 file with a PVH note, in 2 MiB of RAM. */
static const struct damage elf_damages[] = {
    {EI_CLASS, 1, 3, "unknown class 3", -ENOEXEC},
    {EI_DATA, 1, ELFDATA2MSB, "big-endian", -ENOEXEC},
    {HEADER(e_machine), EM_AARCH64, "an ELF64 file for AArch64 (machine 183)", -ENOEXEC},
    {HEADER(e_machine), EM_386, "an ELF64 file for i386", -ENOEXEC},
    {HEADER(e_machine), 0xabcd, "another processor (machine 43981)", -ENOEXEC},
    {HEADER(e_type), ET_REL, "was not linked", -ENOEXEC},
    {HEADER(e_type), ET_CORE, "core dump", -ENOEXEC},
    {HEADER(e_type), 99, "type 99", -ENOEXEC},
    {HEADER(e_phnum), 0, "no program headers", -ENOEXEC},
    {HEADER(e_phnum), 2, "neither a multiboot header nor a PVH note", -ENOEXEC},
    {HEADER(e_phnum), 0xffff, "65535 program headers at offset 0x40 reach past the end", -ENOEXEC},
    {HEADER(e_phentsize), 32, "32 bytes each instead of 56", -ENOEXEC},
    {HEADER(e_phoff), 0x371, "reach past the end", -ENOEXEC},
    {HEADER(e_phoff), UINT64_MAX - 10, "reach past the end", -ENOEXEC},
    {SEGMENT(0, p_type), PT_INTERP, "outside of what it loads", -ENOEXEC},
    {SEGMENT(2, p_type), PT_INTERP, "program for an operating system", -ENOEXEC},
    {SEGMENT(0, p_offset), 0x301, "segment 0 needs 0xc0 bytes at offset 0x301, the file has 0x380", -ENOEXEC},
    {SEGMENT(0, p_offset), UINT64_MAX, "truncated", -ENOEXEC},
    {SEGMENT(0, p_filesz), 0xc1, "more bytes in the file (0xc1) than in memory (0xc0)", -ENOEXEC},
    {SEGMENT(1, p_memsz), 0x3f, "segment 1 has more bytes in the file", -ENOEXEC},
    {SEGMENT(1, p_memsz), UINT64_MAX, "segment 1 at 0x101000 with 0xffffffffffffffff bytes wraps", -ENOEXEC},
    {SEGMENT(1, p_paddr), 0x1fe000, "segment 1 (0x1fe000-0x200fff) lies outside of the guest's RAM", -ENOSPC},
    {SEGMENT(1, p_paddr), 0x80000000, "segment 1 (0x80000000-0x80002fff) lies outside of the guest's RAM",
     -ENOSPC},
    {SEGMENT(1, p_paddr), 0x180fff, "segment 1 (0x180fff-0x183ffe) lies in the reserved 0x181000-0x181fff",
     -ENOSPC},
    {SEGMENT(1, p_paddr), 0x1000bf, "segment 1 (0x1000bf-0x1030be) overlaps segment 0 (0x100000-0x1000bf)",
     -ENOEXEC},
    {SEGMENT(2, p_offset), 0x380, "segment 2 needs 0x18 bytes", -ENOEXEC},
    {SEGMENT(2, p_filesz), 23, "a note in segment 2 reaches past the segment's end", -ENOEXEC},
    {SEGMENT(2, p_filesz), 11, "neither a multiboot header nor a PVH note", -ENOEXEC},
    {AT_NOTE, 4, 0xffffffff, "a note in segment 2 reaches past", -ENOEXEC},
    {AT_NOTE + 4, 4, 0xffffffff, "a note in segment 2 reaches past", -ENOEXEC},
    {AT_NOTE + 4, 4, 6, "an entry point of 6 bytes", -ENOEXEC},
    {AT_NOTE + 8, 8, (uint64_t)0x554e47 << 32 | 1, "is a program for an operating system, not a kernel",
     -ENOEXEC},
    {AT_NOTE + 8, 4, 17, "nothing says how to enter it at 0x100010", -ENOEXEC},
    {AT_NOTE + 16, 8, 0x1000c0, "entry point 0x1000c0 lies outside of what it loads", -ENOEXEC},
    {AT_NOTE + 16, 8, 0x100100020, "entry point 0x100100020 lies outside of what it loads below 4 GiB",
     -ENOEXEC},
};

static void check_damage(struct fixture *fixture, const struct damage *damage)
{
    uint8_t sound[IMAGE_LIMIT];
    memcpy(sound, fixture->bytes, sizeof(sound));
    store_le(fixture->bytes + damage->offset, damage->value, damage->size);
    fixture_must_refuse(fixture, damage->code, damage->message);
    memcpy(fixture->bytes, sound, sizeof(sound));
}

START_TEST(a_damaged_elf_file_is_refused_precisely)
{
    static const struct memory_map_entry reserved = {0x181000, 0x1000, MEMORY_KIND_ACPI};
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    fixture.config.reserved = &reserved;
    fixture.config.reserved_count = 1;
    struct test_elf elf = images_default_elf(true, false, true);
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    for (size_t i = 0; i < ARRAY_COUNT(elf_damages); i++)
        check_damage(&fixture, &elf_damages[i]);
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_truncated_elf_file_is_refused_at_every_length)
{
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
        struct test_elf elf = images_default_elf(is_64bit, true, true);
        size_t len = images_elf(&elf, fixture.bytes);
        for (fixture.image.len = 0; fixture.image.len < len; fixture.image.len++)
            fixture_must_refuse(&fixture, -ENOEXEC,
                                fixture.image.len == 0  ? "is empty"
                                : fixture.image.len < 4 ? "neither an ELF file"
                                                        : "truncated");
        fixture_must_load(&fixture);
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(too_many_segments_are_refused)
{
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    struct test_elf elf = images_default_elf(true, false, false);
    fixture.image.len = images_elf(&elf, fixture.bytes);
    store_le16(fixture.bytes + offsetof(Elf64_Ehdr, e_phnum), 65);
    store_le64(fixture.bytes + offsetof(Elf64_Ehdr, e_phoff), 0x400);
    fixture.image.len = 0x400 + 65 * sizeof(Elf64_Phdr);
    for (uint64_t i = 0; i < 65; i++) {
        Elf64_Phdr segment = {.p_type = PT_LOAD, .p_paddr = 0x100000 + i * 0x1000, .p_memsz = 1};
        memcpy(fixture.bytes + 0x400 + i * sizeof(segment), &segment, sizeof(segment));
    }
    fixture_must_refuse(&fixture, -ENOEXEC, "more than 64 loadable segments");
    fixture_fini(&fixture);
}
END_TEST

/* On plain code with multiboot's addresses: header, load, load end, .bss end, entry; then flags and checksum.
 */
static const struct {
    uint32_t addresses[5];
    const char *message;
    int code;
} address_damages[] = {
    {{0x10001f, 0x100020, 0, 0, 0x100000}, "which does not lie in the file", -ENOEXEC},
    {{0x100021, 0x100000, 0, 0, 0x100000}, "at offset 0x20 says that it goes to 0x100021", -ENOEXEC},
    {{0x100020, 0x100000, 0xfffff, 0, 0x100000}, "loads from 0x100000 to 0xfffff", -ENOEXEC},
    {{0x100020, 0x100000, 0x100000, 0, 0x100000}, "loads from 0x100000 to 0x100000", -ENOEXEC},
    {{0x100020, 0x100000, 0x100101, 0, 0x100000},
     "loads 0x101 bytes from offset 0, the file has 0x100",
     -ENOEXEC},
    {{0x100020, 0x100000, 0, 0x1000ff, 0x100000}, "ends the .bss at 0x1000ff", -ENOEXEC},
    {{0x100020, 0x100000, 0, 0xf0000000, 0x100000}, "the image (0x100000-0xefffffff) lies outside", -ENOSPC},
    {{0x1ffff20, 0x1ffff00, 0, 0x2000001, 0x1ffff00}, "lies outside of the guest's RAM", -ENOSPC},
    {{0x100020, 0x100000, 0, 0, 0x100100}, "entry point 0x100100 lies outside", -ENOEXEC},
};

START_TEST(damaged_multiboot_addresses_are_refused_precisely)
{
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    for (size_t i = 0; i < ARRAY_COUNT(address_damages); i++) {
        fixture.image.len = images_multiboot(address_damages[i].addresses, fixture.bytes);
        fixture_must_refuse(&fixture, address_damages[i].code, address_damages[i].message);
    }
    static const uint32_t sound[5] = {0x100020, 0x100000, 0, 0, 0x100000};
    fixture.image.len = images_multiboot(sound, fixture.bytes);
    fixture_must_load(&fixture);
    fixture.config.protocol = BOOT_PVH;
    fixture_must_refuse(&fixture, -ENOEXEC, "is not an ELF file");
    fixture.config.protocol = BOOT_AUTO;
    images_put_multiboot(fixture.bytes + 0x20, 0x10018);
    fixture_must_refuse(&fixture, -ENOEXEC, "demands what is not known here (flags 0x18)");
    images_put_multiboot(fixture.bytes + 0x20, 0);
    fixture_must_refuse(&fixture, -ENOEXEC, "without load addresses");
    fixture.bytes[0x28] ^= 1;
    fixture_must_refuse(&fixture, -ENOEXEC, "neither an ELF file nor has a multiboot header");
    fixture_fini(&fixture);
}
END_TEST

static const struct {
    size_t offset;
    const char *magic;
    size_t len;
    const char *message;
} foreign[] = {
    {0x202, "HdrS", 4, "is a Linux kernel, but its boot sector has no signature"},
    {0x38, "ARM\x64", 4, "is a Linux kernel for arm64"},
    {0x38, "RSC\x05", 4, "is a Linux kernel for RISC-V"},
    {0, "\x1f\x8b\x08", 3, "is compressed with gzip; unpack it first"},
    {0, "\xfd\x37zXZ\0", 6, "is compressed with xz"},
    {0, "\x28\xb5\x2f\xfd", 4, "is compressed with zstd"},
    {0, "BZh9", 4, "is compressed with bzip2"},
    {0, "\x04\x22\x4d\x18", 4, "is compressed with lz4"},
    {0, "\x02\x21\x4c\x18", 4, "is compressed with lz4 (legacy)"},
    {0, "\x89LZO\0\r\n", 7, "is compressed with lzop"},
    {0, "\x5d\0\0\x80", 4, "is compressed with lzma"},
    {0, "QFI\xfb", 4, "is a qcow2 disk image; it is a disk"},
    {0, "KDMV", 4, "is a VMDK disk image"},
    {0, "vhdxfile", 8, "is a VHDX disk image"},
    {0x40, "\x7f\x10\xda\xbe", 4, "is a VDI disk image"},
    {0x8001, "CD001", 5, "is an ISO 9660 image"},
    {0x200, "EFI PART", 8, "GPT partition table"},
    {0, "conectix", 8, "is a VHD disk image"},
    {0, "hsqs", 4, "is a squashfs file system; it is a disk"},
    {0, "XFSB", 4, "is an XFS file system"},
    {0, "LUKS\xba\xbe", 6, "is an encrypted (LUKS) disk"},
    {0x400, "\xe2\xe1\xf5\xe0", 4, "is an EROFS file system"},
    {0x10040, "_BHRfS_M", 8, "is a btrfs file system"},
    {0x438, "\x53\xef", 2, "is an ext2, ext3 or ext4 file system"},
    {0, "\x27\x05\x19\x56", 4, "is a U-Boot image"},
    {0, "\xd0\x0d\xfe\xed", 4, "is a device tree"},
    {0x101, "ustar", 5, "is a tar archive"},
    {4, "zimg", 4, "is a compressed kernel for EFI (zboot)"},
    {0, "070701", 6, "is a cpio archive"},
    {0, "!<arch>\ndebian-binary", 21, "is a Debian package; unpack it"},
    {0, "\xed\xab\xee\xdb", 4, "is an RPM package"},
    {0, "PK\3\4", 4, "is a zip archive"},
    {0, "ANDROID!", 8, "is an Android boot image"},
    {0, "\xcf\xfa\xed\xfe", 4, "is a Mach-O file"},
    {0x24, "\x18\x28\x6f\x01", 4, "is a Linux kernel for 32-bit ARM"},
    {0, "!<arch>\n", 8, "is an archive of object files"},
    {0, "#!/bin/sh\n", 10, "is a script"},
    {0, "MZ", 2, "is a PE program"},
    {0x1fe, "\x55\xaa", 2, "load it as flat real16 code"},
    {0x100, "\xd6\x50\x52\xe8", 4, "has a multiboot 2 header only"},
    {0, "hello", 5, "is neither an ELF file nor has a multiboot header"},
};

START_TEST(foreign_formats_are_named)
{
    static uint8_t bytes[0x11000];
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    for (size_t i = 0; i < ARRAY_COUNT(foreign); i++) {
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes + foreign[i].offset, foreign[i].magic, foreign[i].len);
        fixture.image = (struct boot_image){.bytes = bytes, .len = sizeof(bytes), .name = "test.img"};
        fixture_must_refuse(&fixture, -ENOEXEC, foreign[i].message);
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_bzimage_is_one_whatever_its_payload_holds)
{
    static const uint32_t addresses[5] = {0x100020, 0x100000, 0, 0, 0x100000};
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    images_multiboot(addresses, fixture.bytes);
    fixture.image.len = IMAGE_LIMIT;
    fixture_must_load(&fixture);
    memcpy(fixture.bytes + 0x202, "HdrS", 4);
    fixture_must_refuse(&fixture, -ENOEXEC, "is a Linux kernel");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_multiboot_header_that_is_cut_short_is_none)
{
    static const uint32_t addresses[5] = {0x100020, 0x100000, 0, 0, 0x100000};
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    images_multiboot(addresses, fixture.bytes);
    for (size_t len = 0x20; len < 0x40; len++) {
        uint8_t *exact = malloc(len); /* so that a sanitizer sees a read behind it */
        memcpy(exact, fixture.bytes, len);
        fixture.image = (struct boot_image){.bytes = exact, .len = len, .name = "test.img"};
        fixture_must_refuse(&fixture, -ENOEXEC, "nor has a multiboot header");
        free(exact);
    }
    fixture_fini(&fixture);
}
END_TEST

START_TEST(tables_across_two_ranges_are_refused)
{
    static uint8_t more[4 * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    struct fixture fixture;
    fixture_init(&fixture, 64 * KIB);
    ck_assert_int_eq(guest_memory_add(fixture.memory, 64 * KIB, more, sizeof(more), false, NULL), 0);
    fixture.bytes[0] = 0xf4;
    fixture.image.len = 1;
    fixture.config.protocol = BOOT_FLAT_LONG64;
    fixture.config.has_flat_gpa = true;
    fixture.config.flat_gpa = 0x1000;
    fixture_must_refuse(&fixture, -ENOSPC, "do not lie in one range");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(a_protocol_that_the_image_lacks_is_refused)
{
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    struct test_elf elf = images_default_elf(true, false, false);
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_refuse(&fixture, -ENOEXEC, "as flat long64 code, at its address");
    fixture.config.protocol = BOOT_PVH;
    fixture_must_refuse(&fixture, -ENOEXEC, "has no PVH note");
    fixture.config.protocol = BOOT_MULTIBOOT;
    fixture_must_refuse(&fixture, -ENOEXEC, "has no multiboot header in its first 8 KiB");
    fixture.config.protocol = BOOT_FLAT_LONG64;
    fixture_must_refuse(&fixture, -EINVAL, "is an ELF file, not plain code");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(bad_modules_and_command_lines_are_refused)
{
    static char text[BOOT_CMDLINE_LIMIT + 2];
    static const uint8_t content[2 * MIB];
    struct boot_module modules[BOOT_MODULE_LIMIT + 1] = {
        {.image = {.bytes = content, .len = MIB, .name = "initrd"}}};
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    struct test_elf elf = images_default_elf(false, true, true);
    fixture.image.len = images_elf(&elf, fixture.bytes);
    memset(text, 'x', BOOT_CMDLINE_LIMIT + 1);
    fixture.config.cmdline = text;
    fixture_must_refuse(&fixture, -EINVAL, "its command line has 32768 bytes; at most 32767");
    text[BOOT_CMDLINE_LIMIT] = 0;
    fixture_must_load(&fixture);
    fixture.config.modules = modules;
    fixture.config.module_count = BOOT_MODULE_LIMIT + 1;
    fixture_must_refuse(&fixture, -EINVAL, "65 modules are too many");
    fixture.config.module_count = 1;
    fixture.image.name = "initrd"; /* the messages name the module */
    fixture_must_refuse(&fixture, -ENOSPC, "module 0 of 1048576 bytes does not fit");
    modules[0].image.len = 0;
    fixture_must_refuse(&fixture, -EINVAL, "the module is empty");
    fixture_fini(&fixture);
}
END_TEST

START_TEST(an_image_that_leaves_no_room_for_tables_is_refused)
{
    struct fixture fixture;
    fixture_init(&fixture, 64 * KIB);
    struct test_elf elf = images_default_elf(true, false, true);
    elf.pvh_entry = 0x1000;
    elf.segment_count = 1;
    elf.segments[0] = (struct test_segment){0x1000, 0x1000, 0x40, 0xf000, 0x90};
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_refuse(&fixture, -ENOSPC, "leaves no room below 4 GiB for the");
    elf.segments[0].len = 0xd000;
    fixture.image.len = images_elf(&elf, fixture.bytes);
    fixture_must_load(&fixture);
    fixture_fini(&fixture);
}
END_TEST

/* A PE header at 0x80 with two sections, of which the second is the kernel. */
START_TEST(a_unified_kernel_image_is_named)
{
    static uint8_t bytes[0x400] = "MZ";
    struct fixture fixture;
    fixture_init(&fixture, 2 * MIB);
    store_le32(bytes + 0x3c, 0x80);
    memcpy(bytes + 0x80, "PE\0", 4);
    store_le16(bytes + 0x86, 2);
    store_le16(bytes + 0x94, 0xf0);
    memcpy(bytes + 0x188 + 40, ".linux\0", 8);
    fixture.image = (struct boot_image){.bytes = bytes, .len = sizeof(bytes), .name = "test.img"};
    fixture_must_refuse(&fixture, -ENOEXEC, "is a unified kernel image for EFI; take its parts out");
    store_le16(bytes + 0x86, 1);
    fixture_must_refuse(&fixture, -ENOEXEC, "is a PE program");
    store_le16(bytes + 0x86, 0xffff);
    store_le32(bytes + 0x3c, 0xffffffff);
    fixture_must_refuse(&fixture, -ENOEXEC, "is a PE program");
    fixture_fini(&fixture);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, a_unified_kernel_image_is_named);
    test_add(suite, a_damaged_elf_file_is_refused_precisely);
    test_add(suite, a_truncated_elf_file_is_refused_at_every_length);
    test_add(suite, too_many_segments_are_refused);
    test_add(suite, damaged_multiboot_addresses_are_refused_precisely);
    test_add(suite, foreign_formats_are_named);
    test_add(suite, a_bzimage_is_one_whatever_its_payload_holds);
    test_add(suite, a_multiboot_header_that_is_cut_short_is_none);
    test_add(suite, tables_across_two_ranges_are_refused);
    test_add(suite, a_protocol_that_the_image_lacks_is_refused);
    test_add(suite, bad_modules_and_command_lines_are_refused);
    test_add(suite, an_image_that_leaves_no_room_for_tables_is_refused);
}
