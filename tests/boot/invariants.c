/* SPDX-License-Identifier: MIT
 *
 * Looks at guest memory as the guest would, by the published offsets.
 */
#include "tests/boot/invariants.h"

#include <string.h>

#include "base/bytes.h"
#include "boot/elf.h"
#include "boot/linux.h"

static bool holds_string(const struct guest_memory *memory, gpa_t gpa, const char *text)
{
    char byte;
    do {
        if (guest_mem_read(memory, gpa++, &byte, 1) || byte != *text)
            return false;
    } while (*text++);
    return true;
}

static bool holds_bytes(const struct guest_memory *memory, gpa_t gpa, const uint8_t *bytes, uint64_t len)
{
    uint8_t chunk[512];
    for (uint64_t done = 0; done < len; done += sizeof(chunk)) {
        uint64_t part = len - done < sizeof(chunk) ? len - done : sizeof(chunk);
        if (guest_mem_read(memory, gpa + done, chunk, part) || memcmp(chunk, bytes + done, part))
            return false;
    }
    return true;
}

static const char *check_start_info(const struct boot_config *config, const struct guest_memory *memory,
                                    gpa_t gpa)
{
    uint8_t info[56], module[32];
    if (guest_mem_read(memory, gpa, info, sizeof(info)) || load_le32(info) != 0x336ec578)
        return "rbx points to the start info";
    if (!holds_string(memory, load_le64(info + 24), config->cmdline ? config->cmdline : ""))
        return "the start info has the command line";
    if (!guest_mem_is_ram(memory, load_le64(info + 40), 24ull * load_le32(info + 48)))
        return "the memory map lies in RAM";
    if (load_le32(info + 12) != config->module_count)
        return "the start info has every module";
    for (size_t i = 0; i < config->module_count; i++) {
        const struct boot_image *want = &config->modules[i].image;
        if (guest_mem_read(memory, load_le64(info + 16) + 32 * i, module, 32) ||
            load_le64(module + 8) != want->len ||
            !holds_bytes(memory, load_le64(module), want->bytes, want->len))
            return "every module is where the start info says";
    }
    return NULL;
}

static const char *check_multiboot(const struct boot_image *image, const struct boot_config *config,
                                   const struct guest_memory *memory, const struct boot_state *state)
{
    uint8_t info[88], module[16];
    if (state->rax != 0x2badb002 || guest_mem_read(memory, state->rbx, info, sizeof(info)))
        return "multiboot's magic number and information are there";
    if (!holds_string(memory, load_le32(info + 64), "vmm"))
        return "the loader has a name";
    if (!guest_mem_is_ram(memory, load_le32(info + 48), load_le32(info + 44)))
        return "the memory map lies in RAM";
    gpa_t cmdline = load_le32(info + 16);
    char space;
    if (!holds_bytes(memory, cmdline, (const uint8_t *)image->name, strlen(image->name)) ||
        guest_mem_read(memory, cmdline + strlen(image->name), &space, 1) || space != ' ' ||
        !holds_string(memory, cmdline + strlen(image->name) + 1, config->cmdline ? config->cmdline : ""))
        return "the command line is the image's name and the text";
    if (load_le32(info + 20) != config->module_count)
        return "the information has every module";
    for (size_t i = 0; i < config->module_count; i++) {
        const struct boot_image *want = &config->modules[i].image;
        if (guest_mem_read(memory, load_le32(info + 24) + 16 * i, module, 16) ||
            load_le32(module + 4) - load_le32(module) != want->len ||
            !holds_bytes(memory, load_le32(module), want->bytes, want->len))
            return "every module is where the information says";
    }
    return NULL;
}

/* All modules, each at a multiple of 4 bytes from the first. */
static bool holds_initrd(const struct boot_config *config, const struct guest_memory *memory, gpa_t gpa,
                         uint64_t len)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < config->module_count; i++) {
        const struct boot_image *want = &config->modules[i].image;
        offset = align_up(offset, 4);
        if (!holds_bytes(memory, gpa + offset, want->bytes, want->len))
            return false;
        offset += want->len;
    }
    return offset == len;
}

/* What every Linux kernel is told, however it was loaded. */
static const char *check_params(const struct boot_config *config, const struct guest_memory *memory,
                                const uint8_t *params)
{
    if (!holds_string(memory, load_le32(params + LINUX_CMD_LINE_PTR), config->cmdline ? config->cmdline : ""))
        return "the boot parameters have the command line";
    if (!params[LINUX_E820_COUNT])
        return "there is a memory map";
    if (!holds_initrd(config, memory,
                      load_le32(params + LINUX_RAMDISK_IMAGE) |
                          (uint64_t)load_le32(params + LINUX_EXT_RAMDISK_IMAGE) << 32,
                      load_le32(params + LINUX_RAMDISK_SIZE)))
        return "the modules are the initrd";
    return NULL;
}

static const char *check_linux(const struct boot_image *image, const struct boot_config *config,
                               const struct guest_memory *memory, const struct boot_state *state)
{
    uint8_t params[LINUX_BOOT_PARAMS_BYTES];
    if (state->rsi % PAGE_BYTES || guest_mem_read(memory, state->rsi, params, sizeof(params)))
        return "rsi points to the boot parameters";
    if (strncmp(state->protocol_name, "bzImage", 7))
        return check_params(config, memory, params);
    uint64_t setup_bytes = (image->bytes[LINUX_SETUP_SECTS] ? image->bytes[LINUX_SETUP_SECTS] : 4) + 1ull;
    setup_bytes *= 512;
    if (state->rip != load_le32(params + LINUX_CODE32_START) + (state->mode == BOOT_CPU_LONG64 ? 0x200u : 0))
        return "the kernel is entered where it was loaded";
    if (!holds_bytes(memory, state->image_gpa, image->bytes + setup_bytes, image->len - setup_bytes))
        return "the kernel is in memory";
    return check_params(config, memory, params);
}

/* Neither tables nor modules have overwritten a segment. */
static const char *check_segments(const struct boot_image *image, const struct guest_memory *memory)
{
    struct elf_file file;
    if (elf_read(image, &file, NULL))
        return "a file that was loaded can be read";
    for (size_t i = 0; i < file.segment_count; i++)
        if (!holds_bytes(memory, file.segments[i].gpa, image->bytes + file.segments[i].offset,
                         file.segments[i].file_len))
            return "every segment is in memory";
    return NULL;
}

static bool has_multiboot_addresses(const struct boot_image *image)
{
    size_t end = image->len < 8192 ? image->len : 8192;
    for (size_t i = 0; i + 12 <= end; i += 4)
        if (load_le32(image->bytes + i) == 0x1badb002 && (load_le32(image->bytes + i + 4) & 0x10000))
            return true;
    return false;
}

const char *boot_invariant_broken(const struct boot_image *image, const struct boot_config *config,
                                  const struct guest_memory *memory, const struct boot_state *state)
{
    const char *broken = NULL;
    if (!guest_mem_is_ram(memory, state->cs.base + state->rip, 1))
        return "the entry point is RAM";
    if (state->image_gpa >= state->image_end_gpa || !state->protocol_name)
        return "the state tells where the image is and how it was loaded";
    if (state->mode == BOOT_CPU_REAL16)
        return NULL;
    if (!guest_mem_is_ram(memory, state->rsp - 64, 68) || state->rsp < 64)
        return "there is a stack";
    if (!guest_mem_is_ram(memory, state->gdt.base, state->gdt.limit + 1u))
        return "the GDT is in RAM";
    if (!strncmp(state->protocol_name, "bzImage", 7))
        return check_linux(image, config, memory, state);
    if (!strcmp(state->protocol_name, "multiboot"))
        broken = check_multiboot(image, config, memory, state);
    else if (!strncmp(state->protocol_name, "vmlinux", 7))
        broken = check_linux(image, config, memory, state);
    else
        broken = check_start_info(config, memory, state->rbx);
    if (broken)
        return broken;
    if (!strncmp(state->protocol_name, "flat", 4))
        return holds_bytes(memory, state->image_gpa, image->bytes, image->len) ? NULL
                                                                               : "the image is in memory";
    if (!strcmp(state->protocol_name, "multiboot") && has_multiboot_addresses(image))
        return NULL; /* which part of the file went where is multiboot_test's */
    return check_segments(image, memory);
}
