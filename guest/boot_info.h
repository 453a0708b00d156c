/* SPDX-License-Identifier: MIT
 *
 * What the loader told us, copied out of its tables before memory is handed out: they may lie anywhere.
 */
#ifndef GUEST_BOOT_INFO_H
#define GUEST_BOOT_INFO_H

#include "guest/kernel.h"

#define MEMORY_RANGES   64
#define CMDLINE_BYTES   1024
#define MODULES         8
#define MEMORY_KIND_RAM 1u

struct memory_range {
    uint64_t base, len;
    uint32_t kind;
};

struct boot_module {
    uint64_t base, len;
};

struct boot_info {
    const char *protocol;
    char cmdline[CMDLINE_BYTES]; /* without the image's name, which multiboot puts first */
    uint64_t rsdp;               /* 0: not told */
    size_t range_count;
    struct memory_range ranges[MEMORY_RANGES];
    size_t module_count;
    struct boot_module modules[MODULES];
    bool is_cut; /* there was more than we keep */
};

extern struct boot_info boot_info;

/* `magic` and `info` are what start.S found in eax and ebx. */
void boot_info_read(uint32_t magic, uint32_t info);

/* Where the last byte of RAM below `limit` ends; 0 where there is none. */
uint64_t boot_info_ram_end(uint64_t limit);

#endif
