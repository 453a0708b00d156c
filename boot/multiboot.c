/* SPDX-License-Identifier: MIT
 *
 * Multiboot 1: eax has the magic number, ebx points to the information structure. Its command line begins
 * with the image's name, and so does each module's string with the module's.
 */
#include "boot/multiboot.h"

#include <string.h>

#include "base/bytes.h"
#include "boot/cpu_state.h"

#define HEADER_MAGIC     0x1badb002
#define LOADED_MAGIC     0x2badb002
#define SEARCH_BYTES     8192
#define HEADER_ADDRESSES (1u << 16)
#define BOOT_DEVICE_NONE 0x8000ffff /* what QEMU says: the first hard disk, no partition */

/* What an image may demand of its loader (the low 16 flags): aligned modules and memory sizes it gets anyway,
 * a video mode it does not, as under QEMU. */
#define KNOWN_DEMANDS 0x7

enum {
    INFO_MEMORY = 1 << 0,
    INFO_BOOT_DEVICE = 1 << 1,
    INFO_CMDLINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MEMORY_MAP = 1 << 6,
    INFO_LOADER_NAME = 1 << 9,
};

struct multiboot_info {
    uint32_t flags;
    uint32_t lower_kib, upper_kib;
    uint32_t boot_device;
    uint32_t cmdline_gpa;
    uint32_t module_count, modules_gpa;
    uint32_t symbols[4];
    uint32_t memory_map_len, memory_map_gpa;
    uint32_t drives_len, drives_gpa;
    uint32_t config_gpa;
    uint32_t loader_name_gpa;
    uint32_t apm_gpa;
    uint32_t video[4];
};

struct multiboot_module {
    uint32_t gpa, end_gpa;
    uint32_t cmdline_gpa;
    uint32_t reserved;
};

struct multiboot_memory {
    uint32_t size; /* of what follows */
    uint64_t gpa;
    uint64_t len;
    uint32_t kind;
} __attribute__((packed));

_Static_assert(sizeof(struct multiboot_info) == 88 && sizeof(struct multiboot_module) == 16 &&
                   sizeof(struct multiboot_memory) == 24,
               "the layouts are an ABI");

static bool read_header(const struct boot_image *image, size_t offset, struct multiboot_header *header)
{
    const uint8_t *at = image->bytes + offset;
    if (load_le32(at) != HEADER_MAGIC || load_le32(at) + load_le32(at + 4) + load_le32(at + 8) != 0)
        return false;
    *header = (struct multiboot_header){.offset = offset, .flags = load_le32(at + 4)};
    header->has_addresses = header->flags & HEADER_ADDRESSES;
    if (!header->has_addresses)
        return true;
    if (!range_inside(offset, 32, 0, image->len))
        return false;
    header->header_gpa = load_le32(at + 12);
    header->load_gpa = load_le32(at + 16);
    header->load_end_gpa = load_le32(at + 20);
    header->bss_end_gpa = load_le32(at + 24);
    header->entry_gpa = load_le32(at + 28);
    return true;
}

bool multiboot_find(const struct boot_image *image, struct multiboot_header *header)
{
    size_t end = image->len < SEARCH_BYTES ? image->len : SEARCH_BYTES;
    for (size_t offset = 0; offset + 12 <= end; offset += 4)
        if (read_header(image, offset, header))
            return true;
    return false;
}

/* The addresses of the header: where it lies itself tells which part of the file is loaded. */
static int put_by_addresses(struct loader *loader, const struct multiboot_header *header)
{
    const struct boot_image *image = loader->image;
    uint32_t before = header->header_gpa - header->load_gpa;
    if (header->header_gpa < header->load_gpa || before > header->offset)
        return error_set(
            loader->error, -ENOEXEC,
            "%s: its multiboot header at offset %#zx says that it goes to %#x and loading begins at "
            "%#x, which does not lie in the file",
            image->name, header->offset, header->header_gpa, header->load_gpa);
    uint64_t offset = header->offset - before;
    uint64_t file_len = image->len - offset;
    if (header->load_end_gpa && header->load_end_gpa <= header->load_gpa)
        return error_set(loader->error, -ENOEXEC, "%s: its multiboot header loads from %#x to %#x",
                         image->name, header->load_gpa, header->load_end_gpa);
    if (header->load_end_gpa && header->load_end_gpa - header->load_gpa > file_len)
        return error_set(
            loader->error, -ENOEXEC,
            "%s: is truncated: its multiboot header loads %#x bytes from offset %#llx, the file has "
            "%#zx",
            image->name, header->load_end_gpa - header->load_gpa, (unsigned long long)offset, image->len);
    if (header->load_end_gpa)
        file_len = header->load_end_gpa - header->load_gpa;
    uint64_t load_end = header->load_gpa + file_len;
    if (header->bss_end_gpa && header->bss_end_gpa < load_end)
        return error_set(
            loader->error, -ENOEXEC,
            "%s: its multiboot header ends the .bss at %#x, before the end of what it loads (%#llx)",
            image->name, header->bss_end_gpa, (unsigned long long)load_end);
    uint64_t len = header->bss_end_gpa ? header->bss_end_gpa - header->load_gpa : file_len;
    return loader_put(loader, &(struct loader_part){.what = "the image",
                                                    .gpa = header->load_gpa,
                                                    .len = len,
                                                    .offset = offset,
                                                    .file_len = file_len});
}

static int put_image(struct loader *loader, const struct multiboot_header *header,
                     const struct elf_file *file)
{
    const char *name = loader->image->name;
    uint32_t unknown = header->flags & 0xffff & ~KNOWN_DEMANDS;
    if (unknown)
        return error_set(loader->error, -ENOEXEC,
                         "%s: its multiboot header demands what is not known here (flags %#x)", name,
                         unknown);
    if (!header->has_addresses && !file)
        return error_set(
            loader->error, -ENOEXEC,
            "%s: has a multiboot header without load addresses (flag 16), and is no ELF file either", name);
    int result = header->has_addresses ? put_by_addresses(loader, header) : loader_put_elf(loader, file);
    if (result)
        return result;
    return loader_enter(loader, header->has_addresses ? header->entry_gpa : elf_physical_entry(file),
                        4 * GIB);
}

static const char loader_name[] = "vmm";

static uint64_t info_size(const struct loader *loader)
{
    const struct boot_config *config = loader->config;
    uint64_t size = tables_size(sizeof(struct multiboot_info)) +
                    loader->map.count * sizeof(struct multiboot_memory) +
                    config->module_count * sizeof(struct multiboot_module) +
                    strings_size(loader->image->name, config->cmdline ? config->cmdline : "") +
                    strings_size(loader_name, NULL);
    for (size_t i = 0; i < config->module_count; i++)
        size += strings_size(config->modules[i].image.name, config->modules[i].cmdline);
    return size;
}

static void put_memory_map(const struct loader *loader, struct boot_tables *tables,
                           struct multiboot_info *info)
{
    gpa_t gpa;
    uint64_t len = loader->map.count * sizeof(struct multiboot_memory);
    struct multiboot_memory *to = tables_take(tables, len, &gpa);
    for (size_t i = 0; i < loader->map.count; i++) {
        const struct memory_map_entry *entry = &loader->map.entries[i];
        to[i] = (struct multiboot_memory){.size = sizeof(*to) - sizeof(to->size),
                                          .gpa = entry->gpa,
                                          .len = entry->len,
                                          .kind = entry->kind};
    }
    info->memory_map_gpa = gpa;
    info->memory_map_len = len;
    /* The BIOS's figures: whole KiB below the EBDA, and from 1 MiB to the first hole. */
    uint64_t lower = memory_map_ram_from(&loader->map, 0), upper = memory_map_ram_from(&loader->map, MIB);
    info->lower_kib = lower / KIB;
    info->upper_kib = upper / KIB;
}

static void put_module_list(const struct loader *loader, struct boot_tables *tables,
                            struct multiboot_info *info)
{
    gpa_t gpa;
    const struct boot_config *config = loader->config;
    struct multiboot_module *to = tables_take(tables, config->module_count * sizeof(struct multiboot_module),
                                              &gpa);
    info->module_count = config->module_count;
    info->modules_gpa = gpa;
    for (size_t i = 0; i < config->module_count; i++) {
        const struct boot_module *module = &config->modules[i];
        to[i].gpa = loader->module_gpa[i];
        to[i].end_gpa = loader->module_gpa[i] + module->image.len;
        to[i].cmdline_gpa = tables_put_strings(tables, module->image.name, module->cmdline);
    }
}

static gpa_t put_info(struct loader *loader, struct boot_tables *tables)
{
    gpa_t gpa;
    const char *cmdline = loader->config->cmdline ? loader->config->cmdline : "";
    struct multiboot_info *info = tables_take(tables, sizeof(*info), &gpa);
    info->flags = INFO_MEMORY | INFO_BOOT_DEVICE | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP |
                  INFO_LOADER_NAME;
    info->boot_device = BOOT_DEVICE_NONE;
    put_memory_map(loader, tables, info);
    put_module_list(loader, tables, info);
    info->cmdline_gpa = tables_put_strings(tables, loader->image->name, cmdline);
    loader_tell_cmdline(loader, info->cmdline_gpa + strlen(loader->image->name) + 1);
    info->loader_name_gpa = tables_put_strings(tables, loader_name, NULL);
    return gpa;
}

int multiboot_load(struct loader *loader, const struct multiboot_header *header, const struct elf_file *file)
{
    struct boot_tables tables;
    int result = put_image(loader, header, file);
    if (!result)
        result = loader_put_modules(loader);
    if (!result)
        result = tables_create(loader, GDT_BYTES + info_size(loader), &tables);
    if (result)
        return result;
    state_prot32(loader->state, &tables, SELECTORS_OWN);
    loader->state->rax = LOADED_MAGIC;
    loader->state->rbx = put_info(loader, &tables);
    loader->state->protocol_name = "multiboot";
    return 0;
}
