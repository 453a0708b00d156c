/* SPDX-License-Identifier: MIT
 *
 * Multiboot 0.6.96 (3.3, boot information) and PVH (hvm_start_info of Xen's public headers).
 */
#include "guest/boot_info.h"

#include "guest/layout.h"
#include "guest/run.h"

#define MULTIBOOT_HAS_CMDLINE (1u << 2)
#define MULTIBOOT_HAS_MODULES (1u << 3)
#define MULTIBOOT_HAS_MMAP    (1u << 6)

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr;
};

struct multiboot_module {
    uint32_t start, end, cmdline, reserved;
};

/* `size` does not count itself, and may be larger than what we know. */
struct multiboot_range {
    uint32_t size;
    uint64_t base, len;
    uint32_t kind;
} __attribute__((packed));

struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp;
    uint64_t memmap; /* from version 1 on */
    uint32_t memmap_count, reserved;
};

struct pvh_module {
    uint64_t base, len, cmdline, reserved;
};

struct pvh_range {
    uint64_t base, len;
    uint32_t kind, reserved;
};

struct boot_info boot_info;

static void range_add(uint64_t base, uint64_t len, uint32_t kind)
{
    if (boot_info.range_count == MEMORY_RANGES)
        boot_info.is_cut = true;
    else
        boot_info.ranges[boot_info.range_count++] = (struct memory_range){base, len, kind};
}

static void module_add(uint64_t base, uint64_t len)
{
    if (boot_info.module_count == MODULES)
        boot_info.is_cut = true;
    else
        boot_info.modules[boot_info.module_count++] = (struct boot_module){base, len};
}

static void cmdline_copy(const char *from)
{
    size_t len = 0;
    while (from[len] && len < CMDLINE_BYTES - 1) {
        boot_info.cmdline[len] = from[len];
        len++;
    }
    boot_info.is_cut |= from[len] != 0;
}

/* Behind the first word and its space where that is a file's name: no word of ours has a dot or a slash. */
static const char *skip_image_name(const char *cmdline)
{
    const char *end = cmdline;
    bool is_name = false;
    for (; *end && *end != ' '; end++)
        is_name |= *end == '.' || *end == '/';
    if (!is_name)
        return cmdline;
    return *end ? end + 1 : end;
}

static void multiboot_read(uint32_t address)
{
    const struct multiboot_info *info = (const void *)(uintptr_t)address;
    boot_info.protocol = "multiboot";
    if (info->flags & MULTIBOOT_HAS_CMDLINE)
        cmdline_copy(skip_image_name((const char *)(uintptr_t)info->cmdline));
    if (!(info->flags & MULTIBOOT_HAS_MMAP))
        panic("the multiboot loader gave no memory map");
    for (uint32_t at = 0; at < info->mmap_length;) {
        const struct multiboot_range *range = (const void *)(uintptr_t)(info->mmap_addr + at);
        range_add(range->base, range->len, range->kind);
        at += range->size + 4;
    }
    if (!(info->flags & MULTIBOOT_HAS_MODULES))
        return;
    const struct multiboot_module *modules = (const void *)(uintptr_t)info->mods_addr;
    for (uint32_t i = 0; i < info->mods_count; i++)
        module_add(modules[i].start, modules[i].end - modules[i].start);
}

static void pvh_read(uint32_t address)
{
    const struct pvh_start_info *info = (const void *)(uintptr_t)address;
    boot_info.protocol = "PVH";
    if (info->magic != BOOT_PVH)
        panic("the PVH start info has no magic number");
    if (info->version < 1 || !info->memmap)
        panic("the PVH loader gave no memory map");
    if (info->cmdline)
        cmdline_copy((const char *)info->cmdline);
    boot_info.rsdp = info->rsdp;
    const struct pvh_range *ranges = (const void *)info->memmap;
    for (uint32_t i = 0; i < info->memmap_count; i++)
        range_add(ranges[i].base, ranges[i].len, ranges[i].kind);
    const struct pvh_module *modules = (const void *)info->modules;
    for (uint32_t i = 0; i < info->module_count; i++)
        module_add(modules[i].base, modules[i].len);
}

void boot_info_read(uint32_t magic, uint32_t info)
{
    if (magic == BOOT_MULTIBOOT)
        multiboot_read(info);
    else if (magic == BOOT_PVH)
        pvh_read(info);
    else
        panic("neither multiboot nor PVH started this kernel");
}

uint64_t boot_info_ram_end(uint64_t limit)
{
    uint64_t end = 0;
    for (size_t i = 0; i < boot_info.range_count; i++) {
        const struct memory_range *range = boot_info.ranges + i;
        if (range->kind != MEMORY_KIND_RAM || range->base >= limit)
            continue;
        uint64_t range_end = range->base + range->len < limit ? range->base + range->len : limit;
        end = range_end > end ? range_end : end;
    }
    return end;
}
