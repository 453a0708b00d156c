/* SPDX-License-Identifier: MIT
 *
 * Flat images, and the detection of foreign formats. The input is a byte that says how the image is entered
 * (the mode, and whether an address is given), the address, then the image.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "boot/format.h"
#include "tests/boot/invariants.h"

#define HEAD_BYTES 9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void load_flat(const struct boot_image *image, struct boot_config *config)
{
    static struct guest_memory *memory;
    struct boot_state state;
    struct vmm_error error = {0};
    if (!memory && guest_memory_create(2 * MIB, MEMORY_ANONYMOUS, &memory, NULL))
        abort();
    config->gib_pages = image->len & 1;
    if (boot_load(image, config, memory, &state, &error)) {
        if (!error.message[0])
            abort();
        return;
    }
    const char *broken = boot_invariant_broken(image, config, memory, &state);
    if (broken) {
        fprintf(stderr, "it does not hold that %s\n", broken);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum boot_protocol modes[] = {BOOT_FLAT_REAL16, BOOT_FLAT_PROT32, BOOT_FLAT_LONG64};
    struct vmm_error error = {0};
    if (len < HEAD_BYTES)
        return 0;
    struct boot_config config = {.protocol = modes[data[0] % ARRAY_COUNT(modes)],
                                 .has_flat_gpa = data[0] & 0x80,
                                 .flat_gpa = load_le64(data + 1)};
    size_t rest = len - HEAD_BYTES;
    /* A copy of exactly the image, so that a read behind it is seen. */
    uint8_t *bytes = malloc(rest);
    memcpy(bytes, data + HEAD_BYTES, rest);
    struct boot_image image = {.bytes = bytes, .len = rest, .name = "fuzz.img"};
    load_flat(&image, &config);
    if (format_detect(&image) == FORMAT_OTHER)
        format_refuse(&image, &error);
    free(bytes);
    return 0;
}
