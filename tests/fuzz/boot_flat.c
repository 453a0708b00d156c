/* SPDX-License-Identifier: MIT
 *
 * Flat images, the text that says how they are entered, and the detection of foreign formats. The input is
 * the text of --flat up to a 0 byte, then the image.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/format.h"
#include "tests/boot/invariants.h"

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
    const uint8_t *end = memchr(data, 0, len);
    struct boot_config config = {0};
    struct vmm_error error = {0};
    if (!end)
        return 0;
    size_t rest = len - (end + 1 - data);
    /* A copy of exactly the image, so that a read behind it is seen. */
    uint8_t *bytes = malloc(rest);
    memcpy(bytes, end + 1, rest);
    struct boot_image image = {.bytes = bytes, .len = rest, .name = "fuzz.img"};
    if (!boot_flat_parse((const char *)data, &config, &error))
        load_flat(&image, &config);
    else if (!error.message[0])
        abort();
    if (format_detect(&image) == FORMAT_OTHER)
        format_refuse(&image, &error);
    free(bytes);
    return 0;
}
