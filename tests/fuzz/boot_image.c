/* SPDX-License-Identifier: MIT
 *
 * The loaders that go by content: ELF, multiboot, PVH, bzImage. The first byte of the input chooses the
 * configuration, the others are the image.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/boot/invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Made once: loading does not depend on what earlier inputs have left in RAM. */
static struct guest_memory *memory_of(unsigned index)
{
    static const uint64_t sizes[4] = {64 * KIB, 2 * MIB, 16 * MIB, 5 * GIB};
    static struct guest_memory *memories[4];
    if (!memories[index] && guest_memory_create(sizes[index], MEMORY_ANONYMOUS, &memories[index], NULL))
        abort();
    return memories[index];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t content[5000] = {1, 2, 3};
    if (!len)
        return 0;
    /* A bzImage refuses modules with a text. */
    const struct boot_module modules[] = {{{content, 4999, "first"}, data[0] & 0x40 ? "text" : NULL},
                                          {{content, 1, "second"}, NULL}};
    unsigned choice = data[0], memory_index = choice >> 2 & 3;
    struct boot_image image = {.bytes = data + 1, .len = len - 1, .name = "fuzz.img"};
    struct boot_config config = {
        .protocol = choice % 4 == 3 ? BOOT_AUTO : choice % 4,
        .cmdline = choice & 0x40 ? "one two" : NULL,
        .modules = modules,
        .module_count = choice & 0x10 ? ARRAY_COUNT(modules) : 0,
        .ram_dirty = choice & 0x20 && memory_index < 2,
    };
    struct boot_state state;
    struct vmm_error error = {0};
    const struct guest_memory *memory = memory_of(memory_index);
    if (boot_load(&image, &config, memory, &state, &error)) {
        if (!error.message[0])
            abort();
        return 0;
    }
    const char *broken = boot_invariant_broken(&image, &config, memory, &state);
    if (broken) {
        fprintf(stderr, "it does not hold that %s\n", broken);
        abort();
    }
    return 0;
}
