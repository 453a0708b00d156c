/* SPDX-License-Identifier: MIT
 *
 * Placing and copying; no formats here.
 */
#include "boot/loader.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int loader_copy(struct loader *loader, const struct boot_image *from, gpa_t gpa, uint64_t offset,
                uint64_t len)
{
    guest_mem_expect(loader->memory, gpa, len);
    if (!from->has_file)
        return guest_mem_load(loader->memory, gpa, from->bytes + offset, len);
    int result = guest_mem_load_file(loader->memory, gpa, from->fd, offset, len);
    return result ? error_set_errno(loader->error, result, "%s: cannot read", from->name) : 0;
}

int loader_put(struct loader *loader, const struct loader_part *part)
{
    struct boot_state *state = loader->state;
    const struct placement_part place = {loader->image->name, part->what, part->len};
    const gpa_t gpa = part->gpa, end = gpa + part->len;
    int result = placement_take(&loader->placement, &place, gpa, loader->error);
    if (!result)
        result = loader_copy(loader, loader->image, gpa, part->offset, part->file_len);
    if (!result && loader->config->ram_dirty)
        result = guest_mem_fill(loader->memory, gpa + part->file_len, 0, part->len - part->file_len);
    if (result)
        return result;
    if (state->image_gpa == state->image_end_gpa || gpa < state->image_gpa)
        state->image_gpa = gpa;
    if (end > state->image_end_gpa)
        state->image_end_gpa = end;
    return 0;
}

int loader_put_elf(struct loader *loader, const struct elf_file *file)
{
    int result = 0;
    for (size_t i = 0; i < file->segment_count && !result; i++) {
        const struct elf_segment *segment = &file->segments[i];
        char what[32];
        snprintf(what, sizeof(what), "segment %u", segment->index);
        const struct loader_part part = {.what = what,
                                         .gpa = segment->gpa,
                                         .len = segment->len,
                                         .offset = segment->offset,
                                         .file_len = segment->file_len};
        result = loader_put(loader, &part);
    }
    return result;
}

int loader_enter(struct loader *loader, gpa_t gpa, gpa_t limit)
{
    if (gpa >= limit || !placement_has(&loader->placement, gpa, 1))
        return error_set(loader->error, -ENOEXEC, "%s: its entry point %#llx lies outside of what it loads%s",
                         loader->image->name, (unsigned long long)gpa, gpa >= limit ? " below 4 GiB" : "");
    loader->state->rip = gpa;
    return 0;
}

void loader_tell_cmdline(struct loader *loader, gpa_t gpa)
{
    loader->state->cmdline_gpa = gpa;
    loader->state->cmdline_len = loader->config->cmdline ? strlen(loader->config->cmdline) : 0;
}

static int put_module(struct loader *loader, size_t index)
{
    const struct boot_image *module = &loader->config->modules[index].image;
    char what[32];
    snprintf(what, sizeof(what), "module %zu", index);
    if (!module->len)
        return error_set(loader->error, -EINVAL, "%s: the module is empty", module->name);
    gpa_t *gpa = &loader->module_gpa[index];
    const struct placement_part part = {module->name, what, module->len};
    int result = placement_take_module(&loader->placement, &part, gpa, loader->error);
    return result ? result : loader_copy(loader, module, *gpa, 0, module->len);
}

int loader_put_modules(struct loader *loader)
{
    int result = 0;
    for (size_t i = 0; i < loader->config->module_count && !result; i++)
        result = put_module(loader, i);
    if (!result && loader->config->module_count) {
        loader->state->initrd_gpa = loader->module_gpa[0];
        loader->state->initrd_len = loader->config->modules[0].image.len;
    }
    return result;
}

int tables_create(struct loader *loader, uint64_t len, struct boot_tables *tables)
{
    gpa_t gpa;
    int result = placement_take_tables(&loader->placement, loader->image->name, PAGE_BYTES + len, &gpa,
                                       loader->error);
    if (result)
        return result;
    tables->stack_gpa = tables->gpa = gpa + PAGE_BYTES;
    tables->left = len;
    tables->at = guest_mem_ptr(loader->memory, tables->gpa, len);
    if (!tables->at)
        return error_set(loader->error, -ENOSPC,
                         "%s: the boot tables at %#llx do not lie in one range of writable RAM",
                         loader->image->name, (unsigned long long)tables->gpa);
    if (loader->config->ram_dirty)
        memset(tables->at, 0, len);
    return 0;
}

void *tables_take(struct boot_tables *tables, uint64_t len, gpa_t *gpa)
{
    void *at = tables->at;
    len = tables_size(len);
    assert(len <= tables->left);
    *gpa = tables->gpa;
    tables->at += len;
    tables->gpa += len;
    tables->left -= len;
    return at;
}

uint64_t strings_size(const char *first, const char *second)
{
    return tables_size((first ? strlen(first) : 0) + (second ? strlen(second) : 0) + (first && second) + 1);
}

gpa_t tables_put_strings(struct boot_tables *tables, const char *first, const char *second)
{
    gpa_t gpa;
    uint64_t len = strings_size(first, second);
    char *text = tables_take(tables, len, &gpa);
    snprintf(text, len, "%s%s%s", first ? first : "", first && second ? " " : "", second ? second : "");
    return gpa;
}
