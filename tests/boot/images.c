/* SPDX-License-Identifier: MIT
 *
 * The builders write field by field through the structs of <elf.h>.
 */
#include "tests/boot/images.h"

#include <elf.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/linux.h"

void images_put_multiboot(uint8_t *at, uint32_t flags)
{
    store_le32(at, 0x1badb002);
    store_le32(at + 4, flags);
    store_le32(at + 8, -(0x1badb002u + flags));
}

struct test_elf images_default_elf(bool is_64bit, bool has_multiboot, bool has_pvh)
{
    return (struct test_elf){
        .is_64bit = is_64bit,
        .has_multiboot = has_multiboot,
        .has_pvh = has_pvh,
        .entry = 0x10100010,
        .pvh_entry = 0x100020,
        .segment_count = 2,
        .segments = {{0x100000, 0x10100000, 0xc0, 0xc0, 0x90}, {0x101000, 0x10101000, 0x40, 0x3000, 0xda}},
    };
}

static void put_program_header(uint8_t *bytes, bool is_64bit, size_t index, Elf64_Phdr header)
{
    Elf32_Phdr narrow = {
        .p_type = header.p_type,
        .p_flags = header.p_flags,
        .p_offset = header.p_offset,
        .p_vaddr = header.p_vaddr,
        .p_paddr = header.p_paddr,
        .p_filesz = header.p_filesz,
        .p_memsz = header.p_memsz,
        .p_align = header.p_align,
    };
    if (is_64bit)
        memcpy(bytes + AT_PROGRAM_HEADERS + index * sizeof(header), &header, sizeof(header));
    else
        memcpy(bytes + AT_PROGRAM_HEADERS + index * sizeof(narrow), &narrow, sizeof(narrow));
}

static void put_header(uint8_t *bytes, const struct test_elf *elf, unsigned header_count)
{
    Elf64_Ehdr wide = {
        .e_ident = {0x7f, 'E', 'L', 'F', elf->is_64bit ? ELFCLASS64 : ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = elf->entry,
        .e_phoff = AT_PROGRAM_HEADERS,
        .e_ehsize = sizeof(wide),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = header_count,
    };
    Elf32_Ehdr narrow = {
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_entry = elf->entry,
        .e_phoff = AT_PROGRAM_HEADERS,
        .e_ehsize = sizeof(narrow),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = header_count,
    };
    memcpy(narrow.e_ident, wide.e_ident, sizeof(narrow.e_ident));
    if (elf->is_64bit)
        memcpy(bytes, &wide, sizeof(wide));
    else
        memcpy(bytes, &narrow, sizeof(narrow));
}

static void put_note(uint8_t *bytes, const struct test_elf *elf)
{
    uint32_t len = elf->is_64bit ? 8 : 4;
    store_le32(bytes + AT_NOTE, 4);
    store_le32(bytes + AT_NOTE + 4, len);
    store_le32(bytes + AT_NOTE + 8, 18);
    memcpy(bytes + AT_NOTE + 12, "Xen", 4);
    store_le(bytes + AT_NOTE + 16, elf->pvh_entry, len);
}

size_t images_elf(const struct test_elf *elf, uint8_t *bytes)
{
    size_t end = AT_CODE;
    memset(bytes, 0, IMAGE_LIMIT);
    put_header(bytes, elf, elf->segment_count + elf->has_pvh);
    for (size_t i = 0; i < elf->segment_count; i++) {
        const struct test_segment *segment = &elf->segments[i];
        put_program_header(bytes, elf->is_64bit, i,
                           (Elf64_Phdr){.p_type = PT_LOAD,
                                        .p_flags = PF_R | PF_W | PF_X,
                                        .p_offset = end,
                                        .p_vaddr = segment->gva,
                                        .p_paddr = segment->gpa,
                                        .p_filesz = segment->file_len,
                                        .p_memsz = segment->len,
                                        .p_align = 4});
        memset(bytes + end, segment->fill, segment->file_len);
        end += segment->file_len;
    }
    if (elf->has_multiboot)
        images_put_multiboot(bytes + AT_MULTIBOOT, elf->multiboot_flags);
    if (elf->has_pvh) {
        put_note(bytes, elf);
        put_program_header(
            bytes, elf->is_64bit, elf->segment_count,
            (Elf64_Phdr){
                .p_type = PT_NOTE, .p_offset = AT_NOTE, .p_filesz = elf->is_64bit ? 24 : 20, .p_align = 4});
    }
    return end;
}

size_t images_multiboot(const uint32_t addresses[5], uint8_t *bytes)
{
    memset(bytes, 0, IMAGE_LIMIT);
    memset(bytes, 0x90, 0x100);
    images_put_multiboot(bytes + 0x20, 0x10000);
    for (size_t i = 0; i < 5; i++)
        store_le32(bytes + 0x2c + 4 * i, addresses[i]);
    return 0x100;
}

size_t images_linux(uint8_t *bytes)
{
    memset(bytes, 0, IMAGE_LIMIT);
    memset(bytes + 0x400, 0x90, 0x300);
    bytes[LINUX_SETUP_SECTS] = 1;
    bytes[LINUX_JUMP_LEN] = 0x6a;
    bytes[LINUX_LOADFLAGS] = 1;
    bytes[LINUX_RELOCATABLE] = 1;
    memcpy(bytes + LINUX_MAGIC, "HdrS", 4);
    store_le16(bytes + LINUX_BOOT_FLAG, 0xaa55);
    store_le16(bytes + LINUX_VERSION, 0x20f);
    store_le16(bytes + LINUX_XLOADFLAGS, 3);
    store_le32(bytes + LINUX_SYSSIZE, 0x30);
    store_le32(bytes + LINUX_CODE32_START, 0x100000);
    store_le32(bytes + LINUX_INITRD_ADDR_MAX, 0x7fffffff);
    store_le32(bytes + LINUX_KERNEL_ALIGNMENT, 0x10000);
    store_le32(bytes + LINUX_CMDLINE_SIZE, 2047);
    store_le32(bytes + LINUX_INIT_SIZE, 0x20000);
    store_le64(bytes + LINUX_PREF_ADDRESS, 0x200000);
    return 0x700;
}
