/* SPDX-License-Identifier: MIT
 *
 * boot_seeds DIRECTORY: writes sound images there, each behind a byte of configuration, as a first corpus for
 * the target boot_image.
 */
#include <stdio.h>
#include <string.h>

#include "tests/boot/images.h"

static int write_seed(const char *directory, const char *name, int choice, const uint8_t *bytes, size_t len)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s-%d", directory, name, choice);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        return 1;
    }
    fputc(choice, file);
    fwrite(bytes, 1, len, file);
    return fclose(file) != 0;
}

int main(int argc, char **argv)
{
    static const uint32_t addresses[5] = {0x100020, 0x100000, 0x100100, 0x103000, 0x100004};
    uint8_t bytes[IMAGE_LIMIT];
    int failed = argc != 2;
    for (int kind = 0; kind < 8 && !failed; kind++) {
        char name[16];
        struct test_elf elf = images_default_elf(kind & 1, kind & 2, kind & 4);
        size_t len = images_elf(&elf, bytes);
        snprintf(name, sizeof(name), "elf%d", kind);
        failed = write_seed(argv[1], name, 0x54, bytes, len) || write_seed(argv[1], name, 0x2d, bytes, len);
    }
    if (!failed)
        failed = write_seed(argv[1], "addresses", 0x54, bytes, images_multiboot(addresses, bytes));
    struct test_elf plain = images_default_elf(true, false, false);
    size_t plain_len = images_elf(&plain, bytes);
    memcpy(bytes + AT_MULTIBOOT, "Linux version 6", 15);
    if (!failed)
        failed = write_seed(argv[1], "vmlinux", 0x1f, bytes, plain_len);
    size_t linux_len = images_linux(bytes);
    if (!failed)
        failed = write_seed(argv[1], "linux", 0x1f, bytes, linux_len) ||
                 write_seed(argv[1], "linux", 0x2c, bytes, linux_len);
    return failed;
}
