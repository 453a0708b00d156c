/* SPDX-License-Identifier: MIT
 *
 * PVH: the segments at their physical addresses, the entry point from the note, ebx pointing to the start
 * info.
 */
#include "boot/pvh.h"

#include <string.h>

#include "boot/cpu_state.h"
#include "boot/linux.h"

#define START_INFO_MAGIC 0x336ec578 /* "xEn3" with the top bit of the E */

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules_gpa;
    uint64_t cmdline_gpa;
    uint64_t rsdp_gpa;
    uint64_t memory_map_gpa; /* from here on: version 1 */
    uint32_t memory_map_count;
    uint32_t reserved;
};

struct start_module {
    uint64_t gpa;
    uint64_t len;
    uint64_t cmdline_gpa;
    uint64_t reserved;
};

struct start_memory {
    uint64_t gpa;
    uint64_t len;
    uint32_t kind;
    uint32_t reserved;
};

_Static_assert(sizeof(struct start_info) == 56 && sizeof(struct start_module) == 32 &&
                   sizeof(struct start_memory) == 24,
               "the layouts are an ABI");

uint64_t start_info_size(const struct loader *loader)
{
    const struct boot_config *config = loader->config;
    uint64_t size = tables_size(sizeof(struct start_info)) + strings_size(config->cmdline, NULL) +
                    loader->map.count * sizeof(struct start_memory) +
                    config->module_count * sizeof(struct start_module);
    for (size_t i = 0; i < config->module_count; i++)
        if (config->modules[i].cmdline)
            size += strings_size(config->modules[i].cmdline, NULL);
    return size;
}

static void put_memory_map(const struct loader *loader, struct boot_tables *tables, struct start_info *info)
{
    struct start_memory *to = tables_take(tables, loader->map.count * sizeof(struct start_memory),
                                          &info->memory_map_gpa);
    info->memory_map_count = loader->map.count;
    for (size_t i = 0; i < loader->map.count; i++) {
        const struct memory_map_entry *entry = &loader->map.entries[i];
        to[i] = (struct start_memory){.gpa = entry->gpa, .len = entry->len, .kind = entry->kind};
    }
}

static void put_module_list(const struct loader *loader, struct boot_tables *tables, struct start_info *info)
{
    const struct boot_config *config = loader->config;
    info->module_count = config->module_count;
    if (!config->module_count)
        return;
    struct start_module *to = tables_take(tables, config->module_count * sizeof(struct start_module),
                                          &info->modules_gpa);
    for (size_t i = 0; i < config->module_count; i++) {
        const struct boot_module *module = &config->modules[i];
        to[i] = (struct start_module){.gpa = loader->module_gpa[i], .len = module->image.len};
        if (module->cmdline)
            to[i].cmdline_gpa = tables_put_strings(tables, module->cmdline, NULL);
    }
}

gpa_t start_info_put(struct loader *loader, struct boot_tables *tables)
{
    gpa_t gpa;
    struct start_info *info = tables_take(tables, sizeof(*info), &gpa);
    *info = (struct start_info){
        .magic = START_INFO_MAGIC,
        .version = 1,
        .rsdp_gpa = loader->config->rsdp_gpa,
    };
    put_memory_map(loader, tables, info);
    put_module_list(loader, tables, info);
    info->cmdline_gpa = tables_put_strings(tables, loader->config->cmdline, NULL);
    loader_tell_cmdline(loader, info->cmdline_gpa);
    return gpa;
}

/* PVH has no limit, but Linux has, and cuts off the rest. */
static int check_cmdline(const struct loader *loader, const struct elf_file *file)
{
    const char *cmdline = loader->config->cmdline;
    size_t len = cmdline ? strlen(cmdline) : 0;
    if (len <= LINUX_CMDLINE_MAX || !linux_is_vmlinux(loader->image, file))
        return 0;
    return error_set(loader->error, -EINVAL,
                     "%s: its command line has %zu bytes; this kernel takes at most %d", loader->image->name,
                     len, LINUX_CMDLINE_MAX);
}

int pvh_load(struct loader *loader, const struct elf_file *file)
{
    struct boot_tables tables;
    int result = check_cmdline(loader, file);
    if (!result)
        result = loader_put_elf(loader, file);
    if (!result)
        result = loader_enter(loader, file->pvh_entry, 4 * GIB);
    if (!result)
        result = loader_put_modules(loader);
    if (!result)
        result = tables_create(loader, GDT_BYTES + start_info_size(loader), &tables);
    if (result)
        return result;
    state_prot32(loader->state, &tables, SELECTORS_OWN);
    loader->state->rbx = start_info_put(loader, &tables);
    loader->state->protocol_name = "PVH";
    return 0;
}
