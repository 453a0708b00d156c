/* SPDX-License-Identifier: MIT
 *
 * A bzImage is a boot sector, real-mode setup code, which is not needed here, and the protected-mode kernel.
 * The header in the first two sectors says where the kernel wants to be and what it understands; a copy of it
 * goes into the boot parameters, the one page through which kernel and loader talk. Every field comes from
 * the file and is judged before it is used.
 */
#include "boot/linux.h"

#include <string.h>

#include "base/bytes.h"
#include "boot/cpu_state.h"
#include "boot/format.h"

#define SECTOR_BYTES 512

#define LOADED_HIGH      (1u << 0) /* of loadflags */
#define XLF_KERNEL_64    (1u << 0) /* of xloadflags: a 64-bit entry at 0x200 */
#define XLF_ABOVE_4G     (1u << 1) /* the initrd may lie above 4 GiB */
#define ENTRY_64_OFFSET  0x200
#define LOADER_UNKNOWN   0xff
#define VIDEO_MODE_AS_IS 0xffff

/* What the header says, or what the protocol's version means where the header is too old to say it. */
struct linux_kernel {
    unsigned version;          /* 0x20f for 2.15 */
    uint64_t offset, file_len; /* of the protected-mode kernel in the file */
    uint64_t header_end;
    bool relocatable, has_entry_64, initrd_above_4g;
    uint64_t alignment; /* of a relocatable kernel */
    gpa_t gpa;          /* where it wants to be loaded */
    uint64_t room;      /* what it needs from there on, at least file_len */
    bool is_vmlinux;    /* an ELF file: there is no setup header to copy */
    uint64_t cmdline_limit;
    gpa_t initrd_limit; /* the first byte that may not be the initrd's */
};

/* A field that the header is too short to have reads as 0. */
static uint64_t header_field(const struct loader *loader, uint64_t header_end, unsigned offset, unsigned size)
{
    return offset + size <= header_end ? load_le(loader->image->bytes + offset, size) : 0;
}

static int refuse(const struct loader *loader, const char *text)
{
    return error_set(loader->error, -ENOEXEC, "%s: is a Linux kernel, but %s", loader->image->name, text);
}

static int check_sizes(const struct loader *loader, struct linux_kernel *kernel)
{
    const struct boot_image *image = loader->image;
    if (image->len < LINUX_HEADER_END)
        return error_set(loader->error, -ENOEXEC,
                         "%s: is truncated: a bzImage's header needs %#x bytes, the file has %#zx",
                         image->name, LINUX_HEADER_END, image->len);
    uint64_t sectors = image->bytes[LINUX_SETUP_SECTS] ? image->bytes[LINUX_SETUP_SECTS] : 4;
    kernel->offset = (sectors + 1) * SECTOR_BYTES;
    if (image->len <= kernel->offset)
        return error_set(loader->error, -ENOEXEC,
                         "%s: is truncated: its kernel begins at %#llx, the file has %#zx bytes", image->name,
                         (unsigned long long)kernel->offset, image->len);
    kernel->file_len = image->len - kernel->offset;
    uint64_t promised = (uint64_t)load_le32(image->bytes + LINUX_SYSSIZE) * 16;
    /* The last paragraph may be a part of one. */
    if (kernel->version >= 0x204 && promised >= kernel->file_len + 16)
        return error_set(loader->error, -ENOEXEC,
                         "%s: is truncated: its kernel has %#llx bytes at offset %#llx, the file has %#zx",
                         image->name, (unsigned long long)promised, (unsigned long long)kernel->offset,
                         image->len);
    return 0;
}

/* Where the kernel wants to be. One that cannot be moved is loaded at 1 MiB, and moves itself to its place
 * when it unpacks: all from there to that place's end is its own. */
static int read_place(const struct loader *loader, struct linux_kernel *kernel)
{
    uint64_t end = kernel->header_end;
    uint64_t preferred = kernel->version >= 0x20a ? header_field(loader, end, LINUX_PREF_ADDRESS, 8) : 0;
    uint64_t init_size = kernel->version >= 0x20a ? header_field(loader, end, LINUX_INIT_SIZE, 4) : 0;
    kernel->relocatable = kernel->version >= 0x205 && header_field(loader, end, LINUX_RELOCATABLE, 1);
    kernel->alignment = kernel->relocatable ? header_field(loader, end, LINUX_KERNEL_ALIGNMENT, 4) : 1;
    kernel->gpa = HIGH_MEMORY;
    kernel->room = kernel->file_len > init_size ? kernel->file_len : init_size;
    if (!kernel->alignment || (kernel->alignment & (kernel->alignment - 1)))
        return error_set(loader->error, -ENOEXEC,
                         "%s: is a Linux kernel that wants to be aligned to %#llx, which is no power of two",
                         loader->image->name, (unsigned long long)kernel->alignment);
    if (preferred >= 4 * GIB)
        return error_set(loader->error, -ENOEXEC,
                         "%s: is a Linux kernel that wants to be at %#llx, where it cannot be entered",
                         loader->image->name, (unsigned long long)preferred);
    if (kernel->relocatable)
        kernel->gpa = align_up(preferred > HIGH_MEMORY ? preferred : HIGH_MEMORY, kernel->alignment);
    else if (preferred > HIGH_MEMORY)
        kernel->room += preferred - HIGH_MEMORY;
    return 0;
}

static int read_header(const struct loader *loader, struct linux_kernel *kernel)
{
    const uint8_t *bytes = loader->image->bytes;
    *kernel = (struct linux_kernel){0};
    if (loader->image->len >= LINUX_HEADER_END)
        kernel->version = load_le16(bytes + LINUX_VERSION);
    int result = check_sizes(loader, kernel);
    if (result)
        return result;
    if (load_le16(bytes + LINUX_BOOT_FLAG) != 0xaa55)
        return refuse(loader, "its boot sector has no signature 0xaa55");
    if (kernel->version < 0x202)
        return error_set(loader->error, -ENOEXEC,
                         "%s: is a Linux kernel with version %u.%02u of the boot protocol; at least 2.02 (of "
                         "Linux 2.4) is needed",
                         loader->image->name, kernel->version >> 8, kernel->version & 0xff);
    if (!(bytes[LINUX_LOADFLAGS] & LOADED_HIGH))
        return refuse(loader, "one that has to be loaded below 640 KiB (a zImage); build a bzImage");
    uint64_t end = kernel->header_end = (LINUX_MAGIC + bytes[LINUX_JUMP_LEN] < LINUX_HEADER_END)
                                            ? LINUX_MAGIC + bytes[LINUX_JUMP_LEN]
                                            : LINUX_HEADER_END;
    if (end < LINUX_INITRD_ADDR_MAX)
        return refuse(loader, "its setup header is too short for a command line");
    unsigned flags = kernel->version >= 0x20c ? header_field(loader, end, LINUX_XLOADFLAGS, 2) : 0;
    kernel->has_entry_64 = flags & XLF_KERNEL_64;
    kernel->initrd_above_4g = flags & XLF_ABOVE_4G;
    kernel->cmdline_limit = kernel->version >= 0x206 ? header_field(loader, end, LINUX_CMDLINE_SIZE, 4) : 255;
    uint64_t last = kernel->version >= 0x203 ? header_field(loader, end, LINUX_INITRD_ADDR_MAX, 4) : 0;
    kernel->initrd_limit = (last ? last : 0x37ffffff) + 1;
    return read_place(loader, kernel);
}

/* Two files in the wrong order, or one of them twice: the kernel itself would only say that it finds no init.
 */
static int check_initrd(const struct loader *loader, const struct boot_module *module)
{
    const struct boot_image *image = &module->image;
    if (module->cmdline)
        return error_set(loader->error, -EINVAL,
                         "%s: an initrd of a Linux kernel has no command line; leave \"%.40s\" out",
                         image->name, module->cmdline);
    if (!image->len)
        return error_set(loader->error, -EINVAL, "%s: the initrd is empty", image->name);
    bool is_linux = format_has(image, LINUX_MAGIC, "HdrS", 4);
    if (is_linux || format_has(image, 0, "\177ELF", 4))
        return error_set(loader->error, -EINVAL,
                         "%s: is %s, not an initrd; give the kernel's initramfs, a cpio archive", image->name,
                         is_linux ? "a Linux kernel" : "an ELF file");
    return 0;
}

static int check_config(const struct loader *loader, const struct linux_kernel *kernel)
{
    const struct boot_config *config = loader->config;
    size_t len = config->cmdline ? strlen(config->cmdline) : 0;
    if (len > kernel->cmdline_limit)
        return error_set(loader->error, -EINVAL,
                         "%s: its command line has %zu bytes; this kernel takes at most %llu",
                         loader->image->name, len, (unsigned long long)kernel->cmdline_limit);
    int result = 0;
    for (size_t i = 0; i < config->module_count && !result; i++)
        result = check_initrd(loader, &config->modules[i]);
    return result;
}

/* A kernel below the address that it prefers moves itself up to it before it unpacks (boot protocol,
 * init_size), so a lower place is of no use. */
static int put_kernel(struct loader *loader, struct linux_kernel *kernel)
{
    const gpa_t lowest = kernel->gpa;
    if (kernel->relocatable &&
        !placement_find_up(&loader->placement, kernel->room, kernel->alignment, 4 * GIB, &kernel->gpa))
        return error_set(
            loader->error, -ENOSPC,
            "%s: the kernel unpacks itself in %llu MiB in a row, from %#llx on, which the guest's RAM "
            "does not have; give the guest more memory",
            loader->image->name, (unsigned long long)(align_up(kernel->room, MIB) / MIB),
            (unsigned long long)lowest);
    return loader_put(loader, &(struct loader_part){.what = "the kernel",
                                                    .gpa = kernel->gpa,
                                                    .len = kernel->room,
                                                    .offset = kernel->offset,
                                                    .file_len = kernel->file_len});
}

/* Files of an initrd begin at multiples of 4, where the kernel looks for the next archive. */
static uint64_t initrd_bytes(const struct boot_config *config)
{
    uint64_t len = 0;
    for (size_t i = 0; i < config->module_count; i++)
        len = align_up(len, 4) + config->modules[i].image.len;
    return len;
}

static int put_initrd(struct loader *loader, const struct linux_kernel *kernel)
{
    const struct boot_config *config = loader->config;
    uint64_t len = initrd_bytes(config);
    if (!len)
        return 0;
    const struct placement_part part = {config->modules[0].image.name, "the initrd", len};
    gpa_t *gpa = &loader->module_gpa[0];
    int result = placement_take_high(&loader->placement, &part, kernel->initrd_limit, gpa, loader->error);
    if (result && kernel->initrd_above_4g)
        result = placement_take_high(&loader->placement, &part, UINT64_MAX, gpa, loader->error);
    gpa_t at = loader->module_gpa[0];
    for (size_t i = 0; i < config->module_count && !result; i++) {
        const struct boot_image *file = &config->modules[i].image;
        static const uint8_t zeros[4];
        result = loader_copy(loader, file, at, 0, file->len);
        at += file->len;
        if (!result && i + 1 < config->module_count)
            result = guest_mem_load(loader->memory, at, zeros, -at & 3);
        at = align_up(at, 4);
    }
    return result;
}

static void put_e820(const struct memory_map *map, uint8_t *params)
{
    uint8_t *to = params + LINUX_E820_TABLE;
    params[LINUX_E820_COUNT] = (uint8_t)map->count;
    for (size_t i = 0; i < map->count; i++, to += LINUX_E820_ENTRY) {
        store_le64(to, map->entries[i].gpa);
        store_le64(to + 8, map->entries[i].len);
        store_le32(to + 16, map->entries[i].kind);
    }
}

/* The setup header of a kernel that has none: what the kernel itself still looks at. */
static void put_header(const struct linux_kernel *kernel, uint8_t *params)
{
    store_le16(params + LINUX_BOOT_FLAG, 0xaa55);
    memcpy(params + LINUX_MAGIC, "HdrS", 4);
    store_le16(params + LINUX_VERSION, (uint16_t)kernel->version);
    params[LINUX_LOADFLAGS] = LOADED_HIGH;
    store_le32(params + LINUX_CMDLINE_SIZE, (uint32_t)kernel->cmdline_limit);
}

/* `params` is a page of zeros. */
static void put_params(const struct loader *loader, const struct linux_kernel *kernel, uint8_t *params)
{
    uint64_t initrd_len = initrd_bytes(loader->config);
    gpa_t initrd_gpa = initrd_len ? loader->module_gpa[0] : 0;
    if (kernel->is_vmlinux)
        put_header(kernel, params);
    else
        memcpy(params + LINUX_SETUP_SECTS, loader->image->bytes + LINUX_SETUP_SECTS,
               kernel->header_end - LINUX_SETUP_SECTS);
    store_le16(params + LINUX_VID_MODE, VIDEO_MODE_AS_IS);
    params[LINUX_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    store_le32(params + LINUX_CODE32_START, (uint32_t)kernel->gpa);
    store_le32(params + LINUX_RAMDISK_IMAGE, (uint32_t)initrd_gpa);
    store_le32(params + LINUX_RAMDISK_SIZE, (uint32_t)initrd_len);
    store_le32(params + LINUX_EXT_RAMDISK_IMAGE, (uint32_t)(initrd_gpa >> 32));
    store_le32(params + LINUX_EXT_RAMDISK_SIZE, (uint32_t)(initrd_len >> 32));
    store_le32(params + LINUX_CMD_LINE_PTR, (uint32_t)loader->state->cmdline_gpa);
    store_le64(params + LINUX_ACPI_RSDP, loader->config->rsdp_gpa);
    put_e820(&loader->map, params);
}

/* The registers, page tables and GDT that the protocol's chapters on the 32-bit and 64-bit entry ask for. */
static int put_tables(struct loader *loader, const struct linux_kernel *kernel)
{
    struct boot_state *state = loader->state;
    struct boot_tables tables;
    bool gib_pages = loader->config->gib_pages;
    gpa_t params_gpa;
    uint64_t len = LINUX_BOOT_PARAMS_BYTES + GDT_BYTES + strings_size(loader->config->cmdline, NULL) +
                   (kernel->has_entry_64 ? page_tables_size(gib_pages) : 0);
    int result = tables_create(loader, len, &tables);
    if (result)
        return result;
    uint8_t *params = tables_take(&tables, LINUX_BOOT_PARAMS_BYTES, &params_gpa);
    if (kernel->has_entry_64)
        state_long64(state, &tables, gib_pages, SELECTORS_LINUX);
    else
        state_prot32(state, &tables, SELECTORS_LINUX);
    loader_tell_cmdline(loader, tables_put_strings(&tables, loader->config->cmdline, NULL));
    put_params(loader, kernel, params);
    state->rsi = params_gpa;
    state->initrd_gpa = loader->module_gpa[0];
    state->initrd_len = initrd_bytes(loader->config);
    return 0;
}

/* Linux and what it runs touch most of their RAM soon. By pages of 4 KiB each of them is a fault, and an
 * exit. The first 2 MiB are full of holes. */
static void expect_ram(const struct loader *loader)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(loader->memory, &count);
    for (size_t i = 0; i < count; i++) {
        gpa_t skipped = ranges[i].gpa ? 0 : 2 * MIB;
        if (ranges[i].len > skipped)
            guest_mem_expect(loader->memory, ranges[i].gpa + skipped, ranges[i].len - skipped);
    }
}

int linux_load(struct loader *loader)
{
    struct linux_kernel kernel;
    int result = read_header(loader, &kernel);
    if (!result)
        result = check_config(loader, &kernel);
    if (!result)
        expect_ram(loader);
    if (!result)
        result = put_kernel(loader, &kernel);
    if (!result)
        result = loader_enter(loader, kernel.gpa + (kernel.has_entry_64 ? ENTRY_64_OFFSET : 0), 4 * GIB);
    if (!result)
        result = put_initrd(loader, &kernel);
    if (!result)
        result = put_tables(loader, &kernel);
    loader->state->kernel_len = kernel.file_len;
    loader->state->protocol_name = kernel.has_entry_64 ? "bzImage, 64-bit entry" : "bzImage, 32-bit entry";
    return result;
}

bool linux_is_vmlinux(const struct boot_image *image, const struct elf_file *file)
{
    static const char banner[] = "Linux version ";
    const uint8_t *at = image->bytes, *end = image->bytes + image->len;
    if (!file->is_64bit || file->is_program)
        return false;
    /* With its number: programs have the words alone. */
    while ((at = memmem(at, (size_t)(end - at), banner, sizeof(banner) - 1))) {
        at += sizeof(banner) - 1;
        if (at < end && *at >= '0' && *at <= '9')
            return true;
    }
    return false;
}

int linux_load_vmlinux(struct loader *loader, const struct elf_file *file)
{
    const struct linux_kernel kernel = {.version = 0x20c, /* the first with a 64-bit entry */
                                        .is_vmlinux = true,
                                        .has_entry_64 = true,
                                        .cmdline_limit = LINUX_CMDLINE_MAX,
                                        .initrd_limit = 0x80000000};
    int result = check_config(loader, &kernel);
    if (!result)
        expect_ram(loader);
    if (!result)
        result = loader_put_elf(loader, file);
    if (!result)
        result = loader_enter(loader, elf_physical_entry(file), 4 * GIB);
    if (!result)
        result = put_initrd(loader, &kernel);
    if (!result)
        result = put_tables(loader, &kernel);
    loader->state->protocol_name = "vmlinux, 64-bit entry";
    return result;
}
