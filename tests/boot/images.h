/* SPDX-License-Identifier: MIT
 *
 * Small images of every kind, made in memory for the tests and as seeds for the fuzz targets, so that a test
 * can say which field it damages.
 */
#ifndef TESTS_BOOT_IMAGES_H
#define TESTS_BOOT_IMAGES_H

#include "boot/boot.h"

/* Where things are in every image that images_elf makes:
 *   0 ELF header | 0x40 program headers | 0x200 multiboot header | 0x240 PVH note | 0x280 segment bytes ...
 * The segments' program headers come first, the note's is the last. */
#define AT_PROGRAM_HEADERS 0x40
#define AT_MULTIBOOT       0x200
#define AT_NOTE            0x240
#define AT_CODE            0x280
#define IMAGE_LIMIT        0x2000

struct test_segment {
    uint64_t gpa, gva;
    uint64_t file_len, len; /* the file bytes are all `fill` */
    uint8_t fill;
};

struct test_elf {
    bool is_64bit;
    bool has_multiboot, has_pvh;
    uint32_t multiboot_flags;
    uint64_t entry, pvh_entry;
    size_t segment_count;
    struct test_segment segments[3];
};

/* Two segments: code (0xc0 bytes of 0x90 at 1 MiB) and data with a .bss (0x40 bytes of 0xda at 1 MiB + 4 KiB,
 * 0x3000 in memory); the virtual addresses are 0x10000000 higher. */
struct test_elf images_default_elf(bool is_64bit, bool has_multiboot, bool has_pvh);

/* Fills `bytes` (IMAGE_LIMIT) and returns the image's length. */
size_t images_elf(const struct test_elf *elf, uint8_t *bytes);

/* Plain code with a multiboot header at 0x20 that has addresses: header_gpa etc. as given. */
size_t images_multiboot(const uint32_t addresses[5], uint8_t *bytes);

/* A bzImage of protocol 2.15 with 1 setup sector, and from 0x400 on 0x300 bytes of 0x90. It is relocatable,
 * wants to be at 2 MiB, aligned to 64 KiB, with 128 KiB of room, and has a 64-bit entry. */
size_t images_linux(uint8_t *bytes);

/* A multiboot header with a right checksum. */
void images_put_multiboot(uint8_t *at, uint32_t flags);

#endif
