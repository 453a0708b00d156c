/* SPDX-License-Identifier: MIT
 *
 * Linux's own boot protocol (the kernel's Documentation/arch/x86/boot.rst): a bzImage, entered in 64-bit mode
 * where the kernel has such an entry, else in 32-bit mode. The kernel unpacks itself.
 */
#ifndef BOOT_LINUX_H
#define BOOT_LINUX_H

#include "boot/loader.h"

/* Offsets in the setup header and, from 0x1f1 to 0x290, in the boot parameters alike. */
enum {
    LINUX_SETUP_SECTS = 0x1f1,
    LINUX_SYSSIZE = 0x1f4,
    LINUX_VID_MODE = 0x1fa,
    LINUX_BOOT_FLAG = 0x1fe,
    LINUX_JUMP_LEN = 0x201, /* the header ends so far behind 0x202 */
    LINUX_MAGIC = 0x202,
    LINUX_VERSION = 0x206,
    LINUX_TYPE_OF_LOADER = 0x210,
    LINUX_LOADFLAGS = 0x211,
    LINUX_CODE32_START = 0x214,
    LINUX_RAMDISK_IMAGE = 0x218,
    LINUX_RAMDISK_SIZE = 0x21c,
    LINUX_CMD_LINE_PTR = 0x228,
    LINUX_INITRD_ADDR_MAX = 0x22c,
    LINUX_KERNEL_ALIGNMENT = 0x230,
    LINUX_RELOCATABLE = 0x234,
    LINUX_XLOADFLAGS = 0x236,
    LINUX_CMDLINE_SIZE = 0x238,
    LINUX_PREF_ADDRESS = 0x258,
    LINUX_INIT_SIZE = 0x260,
    LINUX_HEADER_END = 0x290, /* no header goes further */
};

/* Offsets in the boot parameters only (the kernel's zero-page.rst). */
enum {
    LINUX_ACPI_RSDP = 0x70,
    LINUX_EXT_RAMDISK_IMAGE = 0xc0,
    LINUX_EXT_RAMDISK_SIZE = 0xc4,
    LINUX_E820_COUNT = 0x1e8,
    LINUX_E820_TABLE = 0x2d0,
    LINUX_E820_ENTRY = 20, /* bytes: address, length, kind */
};

#define LINUX_BOOT_PARAMS_BYTES 4096

/* Of an image with the magic "HdrS". All modules together are the initrd, as if they were one file. */
int linux_load(struct loader *loader);

/* Whether an ELF file is a Linux kernel for x86-64: nothing but its banner says so. */
#define LINUX_CMDLINE_MAX 2047 /* COMMAND_LINE_SIZE of x86, where no header says it */
bool linux_is_vmlinux(const struct boot_image *image, const struct elf_file *file);

/* A vmlinux without a PVH note, entered as the 64-bit boot protocol has it. */
int linux_load_vmlinux(struct loader *loader, const struct elf_file *file);

#endif
