/* SPDX-License-Identifier: MIT
 *
 * Which loader an image gets.
 */
#include "boot/boot.h"

#include <string.h>

#include "base/bytes.h"
#include "boot/flat.h"
#include "boot/format.h"
#include "boot/linux.h"
#include "boot/loader.h"
#include "boot/multiboot.h"
#include "boot/pvh.h"

static int refuse_elf(const struct loader *loader, const struct elf_file *file)
{
    const char *name = loader->image->name;
    switch (loader->config->protocol) {
    case BOOT_MULTIBOOT:
        return error_set(loader->error, -ENOEXEC, "%s: has no multiboot header in its first 8 KiB", name);
    case BOOT_PVH:
        return error_set(loader->error, -ENOEXEC,
                         "%s: has no PVH note (Xen's note 18, PHYS32_ENTRY, in a PT_NOTE segment)", name);
    case BOOT_AUTO:
    case BOOT_FLAT_REAL16:
    case BOOT_FLAT_PROT32:
    case BOOT_FLAT_LONG64:
        break;
    }
    if (file->is_program)
        return error_set(loader->error, -ENOEXEC, "%s: is a program for an operating system, not a kernel",
                         name);
    return error_set(
        loader->error, -ENOEXEC,
        "%s: has neither a multiboot header nor a PVH note, so nothing says how to enter it at %#llx; "
        "add one, or load what objcopy -O binary makes of it as flat %s code, at its address",
        name, (unsigned long long)elf_physical_entry(file), file->is_64bit ? "long64" : "prot32");
}

static int load_elf(struct loader *loader)
{
    enum boot_protocol protocol = loader->config->protocol;
    struct multiboot_header header;
    struct elf_file file;
    int result = elf_read(loader->image, &file, loader->error);
    if (result)
        return result;
    bool can_multiboot = protocol != BOOT_PVH && multiboot_find(loader->image, &header);
    bool can_pvh = protocol != BOOT_MULTIBOOT && file.has_pvh_entry;
    if (can_pvh && (file.is_64bit || !can_multiboot))
        return pvh_load(loader, &file);
    if (can_multiboot)
        return multiboot_load(loader, &header, &file);
    if (protocol == BOOT_AUTO && linux_is_vmlinux(loader->image, &file))
        return linux_load_vmlinux(loader, &file);
    return refuse_elf(loader, &file);
}

static int load_linux(struct loader *loader)
{
    if (loader->config->protocol == BOOT_AUTO)
        return linux_load(loader);
    return error_set(loader->error, -ENOEXEC, "%s: is a bzImage, which has its own boot protocol, not %s",
                     loader->image->name, loader->config->protocol == BOOT_PVH ? "PVH" : "multiboot");
}

static int load_by_content(struct loader *loader)
{
    struct multiboot_header header;
    switch (format_detect(loader->image)) {
    case FORMAT_ELF:
        return load_elf(loader);
    case FORMAT_MULTIBOOT:
        if (loader->config->protocol == BOOT_PVH)
            return error_set(loader->error, -ENOEXEC, "%s: is not an ELF file, so it has no PVH note",
                             loader->image->name);
        multiboot_find(loader->image, &header);
        return multiboot_load(loader, &header, NULL);
    case FORMAT_LINUX:
        return load_linux(loader);
    case FORMAT_OTHER:
        break;
    }
    return format_refuse(loader->image, loader->error);
}

bool boot_is_linux(const struct boot_image *image)
{
    struct elf_file file;
    enum boot_format format = format_detect(image);
    return format == FORMAT_LINUX ||
           (format == FORMAT_ELF && !elf_read(image, &file, NULL) && linux_is_vmlinux(image, &file));
}

static int check_text(const struct loader *loader, const char *name, const char *cmdline)
{
    if (!cmdline || strlen(cmdline) <= BOOT_CMDLINE_LIMIT)
        return 0;
    return error_set(loader->error, -EINVAL, "%s: its command line has %zu bytes; at most %d are possible",
                     name, strlen(cmdline), BOOT_CMDLINE_LIMIT);
}

static int check_config(const struct loader *loader)
{
    const struct boot_config *config = loader->config;
    const char *name = loader->image->name;
    if (!loader->image->len)
        return error_set(loader->error, -ENOEXEC, "%s: is empty", name);
    if (config->module_count > BOOT_MODULE_LIMIT)
        return error_set(loader->error, -EINVAL, "%s: %zu modules are too many; at most %d are possible",
                         name, config->module_count, BOOT_MODULE_LIMIT);
    int result = check_text(loader, name, config->cmdline);
    for (size_t i = 0; i < config->module_count && !result; i++)
        result = check_text(loader, config->modules[i].image.name, config->modules[i].cmdline);
    return result;
}

#define BIOS_STUB_GPA 0x4f0u /* in the BIOS's data area, for communication between programs */

/* What of a BIOS kernels look at or call without one; Xen and memtest86+ do. Where the EBDA is, how many KiB
 * there are below it, and for each software interrupt a stub that returns with the carry flag set: not
 * supported. Left out where the image has a part of it, or there is no such memory. */
static int put_bios_data(const struct loader *loader)
{
    static const uint8_t stub[] = {0xf9, 0xca, 0x02, 0x00}; /* stc; lret $2 */
    uint8_t page[0x500] = {0};
    const uint8_t ebda_kib = 1;
    if (!memory_map_is_ram(&loader->backed, 0, LOW_MEMORY_END) ||
        !placement_is_free(&loader->placement, 0, sizeof(page)) ||
        !placement_is_free(&loader->placement, EBDA_GPA, 1))
        return 0;
    for (unsigned vector = 0; vector < 256; vector++)
        store_le32(page + 4 * vector, BIOS_STUB_GPA);
    store_le16(page + 0x40e, EBDA_GPA >> 4);
    store_le16(page + 0x413, EBDA_GPA / KIB);
    memcpy(page + BIOS_STUB_GPA, stub, sizeof(stub));
    int result = guest_mem_load(loader->memory, 0, page, sizeof(page));
    return result ? result : guest_mem_load(loader->memory, EBDA_GPA, &ebda_kib, sizeof(ebda_kib));
}

static int load_by_protocol(struct loader *loader)
{
    int result;
    switch (loader->config->protocol) {
    case BOOT_AUTO:
    case BOOT_MULTIBOOT:
    case BOOT_PVH:
        result = load_by_content(loader);
        return result ? result : put_bios_data(loader);
    case BOOT_FLAT_REAL16:
    case BOOT_FLAT_PROT32:
    case BOOT_FLAT_LONG64:
        return flat_load(loader);
    }
    return error_set(loader->error, -EINVAL, "%s: no such boot protocol", loader->image->name);
}

int boot_load(const struct boot_image *image, const struct boot_config *config,
              const struct guest_memory *memory, struct boot_state *state, struct vmm_error *error)
{
    struct loader loader;
    loader.image = image;
    loader.config = config;
    loader.memory = memory;
    loader.state = state;
    loader.error = error;
    *state = (struct boot_state){0};
    int result = check_config(&loader);
    if (!result)
        result = memory_map_build(memory, config->reserved, config->reserved_count, &loader.map, error);
    if (!result)
        result = memory_map_build_backed(memory, config->reserved, config->reserved_count, &loader.backed,
                                         error);
    if (result)
        return result;
    placement_init(&loader.placement, &loader.map, &loader.backed);
    result = load_by_protocol(&loader);
    if (!state->kernel_len)
        state->kernel_len = state->image_end_gpa - state->image_gpa;
    return result;
}
