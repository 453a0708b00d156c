/* SPDX-License-Identifier: MIT
 *
 * What an image is, found by its content, never by its name: the formats that can be loaded, and those that
 * people pass by mistake, so that the refusal can name them and say what to do.
 */
#ifndef BOOT_FORMAT_H
#define BOOT_FORMAT_H

#include "boot/boot.h"

enum boot_format {
    FORMAT_ELF,
    FORMAT_MULTIBOOT, /* not ELF, but with a multiboot header that says where everything goes */
    FORMAT_LINUX,     /* a bzImage */
    FORMAT_OTHER,
};

enum boot_format format_detect(const struct boot_image *image);

/* For FORMAT_OTHER: names the format where it is known, and says what to do. Returns -ENOEXEC. */
int format_refuse(const struct boot_image *image, struct vmm_error *error);

/* Whether the `len` bytes lie at `offset` of the image. */
bool format_has(const struct boot_image *image, uint64_t offset, const void *bytes, size_t len);

#endif
