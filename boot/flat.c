/* SPDX-License-Identifier: MIT
 *
 * In 16-bit mode there are no tables and no page is touched but the image's own: that is the smallest guest.
 * The two protected modes get a stack, a GDT, and in rbx the same start info as PVH.
 */
#include "boot/flat.h"

#include <string.h>

#include "boot/cpu_state.h"
#include "boot/format.h"
#include "boot/pvh.h"

#define REAL16_END 0x100000
#define STACK_ROOM PAGE_BYTES /* what has to lie below the image for the stack to begin there */

static int put_image(struct loader *loader, gpa_t gpa)
{
    uint64_t len = loader->image->len;
    return loader_put(loader,
                      &(struct loader_part){.what = "the image", .gpa = gpa, .len = len, .file_len = len});
}

static int load_real16(struct loader *loader, gpa_t gpa)
{
    struct boot_state *state = loader->state;
    const char *name = loader->image->name;
    if (loader->config->cmdline || loader->config->module_count)
        return error_set(loader->error, -EINVAL,
                         "%s: a real16 image has no way to receive a command line or modules; leave them out",
                         name);
    if (gpa >= REAL16_END || (gpa > 0xffff && gpa % 16))
        return error_set(loader->error, -EINVAL,
                         "%s: real mode cannot begin at %#llx; from 64 KiB to 1 MiB give a multiple of 16",
                         name, (unsigned long long)gpa);
    int result = put_image(loader, gpa);
    if (result)
        return result;
    /* Down from the image as below a boot sector, or from the top of the first 64 KiB. */
    uint64_t ram_bytes = guest_memory_ram_bytes(loader->memory);
    uint64_t top = ram_bytes < 64 * KIB ? ram_bytes : 64 * KIB;
    state_real16(state, gpa);
    state->rsp = gpa >= STACK_ROOM && gpa <= 0xffff ? align_down(gpa, 16) : top - 16;
    return 0;
}

static int load_protected(struct loader *loader, gpa_t gpa)
{
    const struct boot_config *config = loader->config;
    bool is_long = config->protocol == BOOT_FLAT_LONG64;
    struct boot_tables tables;
    int result = put_image(loader, gpa);
    if (!result)
        result = loader_enter(loader, gpa, is_long ? page_tables_end(config->gib_pages) : 4 * GIB);
    if (!result)
        result = loader_put_modules(loader);
    uint64_t table_bytes = GDT_BYTES + start_info_size(loader);
    if (is_long)
        table_bytes += page_tables_size(config->gib_pages);
    if (!result)
        result = tables_create(loader, table_bytes, &tables);
    if (result)
        return result;
    if (is_long)
        state_long64(loader->state, &tables, config->gib_pages, SELECTORS_OWN);
    else
        state_prot32(loader->state, &tables, SELECTORS_OWN);
    loader->state->rbx = start_info_put(loader, &tables);
    if (is_long)
        loader->state->rdi =
            loader->state->rbx; /* the first argument, if the image begins with a C function */
    return 0;
}

int flat_load(struct loader *loader)
{
    const struct boot_config *config = loader->config;
    gpa_t gpa = config->flat_gpa;
    if (format_detect(loader->image) == FORMAT_ELF)
        return error_set(
            loader->error, -EINVAL,
            "%s: is an ELF file, not plain code; do not load it as flat, or make plain code of it "
            "with objcopy -O binary",
            loader->image->name);
    if (!config->has_flat_gpa)
        gpa = config->protocol == BOOT_FLAT_REAL16 ? BOOT_FLAT_REAL16_GPA : BOOT_FLAT_GPA;
    uint64_t end;
    if (!checked_add(gpa, loader->image->len, &end))
        return error_set(loader->error, -EINVAL,
                         "%s: %zu bytes at %#llx wrap around the end of the address space",
                         loader->image->name, loader->image->len, (unsigned long long)gpa);
    switch (config->protocol) {
    case BOOT_FLAT_REAL16:
        loader->state->protocol_name = "flat real16";
        return load_real16(loader, gpa);
    case BOOT_FLAT_PROT32:
        loader->state->protocol_name = "flat prot32";
        break;
    case BOOT_FLAT_LONG64:
        loader->state->protocol_name = "flat long64";
        break;
    case BOOT_AUTO:
    case BOOT_MULTIBOOT:
    case BOOT_PVH:
        break;
    }
    return load_protected(loader, gpa);
}
