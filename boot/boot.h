/* SPDX-License-Identifier: MIT
 *
 * What is put into a guest before it runs: an image, its modules and command line, and the tables that the
 * image's boot protocol promises. Pure functions over guest memory: bytes in, guest memory written, and where
 * to start and in which state out as plain data, from which any vCPU's registers can be set without knowing
 * what kind of image it was. The formats are described in docs/images.md.
 *
 * Threads: any, one at a time for one guest memory; every vCPU is out.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "base/error.h"
#include "base/types.h"
#include "boot/memory_map.h"
#include "ept/memory.h"

/* A file's content. `name` is for messages: the path as the user gave it. Both are borrowed. */
struct boot_image {
    const uint8_t *bytes;
    size_t len;
    const char *name;
    bool has_file; /* the same bytes are in the file `fd`, whose reading costs less than copying them */
    int fd;
};

/* Reads or maps the file. Refuses, by name and reason, what is not a readable regular file with content.
 * A file that is cut short by another process while it is mapped is a SIGBUS, as for every mapped file. */
int boot_image_open(const char *path, struct boot_image *image, struct vmm_error *error);
void boot_image_close(struct boot_image *image);

/* Whether it is a Linux kernel, by whichever protocol it is entered. Searches a whole ELF file. */
bool boot_is_linux(const struct boot_image *image);

/* How the first instruction is reached. The first value leaves the choice to the image: what it carries, and
 * of both multiboot and PVH what QEMU's -kernel would take: multiboot for ELF32. For ELF64, which QEMU does
 * not load by multiboot, it is PVH. */
enum boot_protocol {
    BOOT_AUTO,
    BOOT_MULTIBOOT,
    BOOT_PVH,
    BOOT_FLAT_REAL16, /* the image is plain code, entered at its first byte in 16-bit real mode */
    BOOT_FLAT_PROT32, /* ... in flat 32-bit protected mode without paging */
    BOOT_FLAT_LONG64, /* ... in 64-bit mode, the first 4 GiB or more mapped to themselves */
};

/* Where flat images go unless the user says otherwise. */
#define BOOT_FLAT_REAL16_GPA 0x7c00
#define BOOT_FLAT_GPA        0x100000

/* More than this is refused: bytes of one command line without its end, and modules. */
#define BOOT_CMDLINE_LIMIT 32767
#define BOOT_MODULE_LIMIT  64

/* A further file for the guest: an initrd for most. */
struct boot_module {
    struct boot_image image;
    const char *cmdline; /* NULL: none */
};

struct boot_config {
    enum boot_protocol protocol;
    bool has_flat_gpa;
    gpa_t flat_gpa;      /* where a flat image goes, if has_flat_gpa */
    const char *cmdline; /* NULL: none. Multiboot puts the image's name before it. */
    const struct boot_module *modules;
    size_t module_count;
    gpa_t rsdp_gpa; /* the ACPI root, 0 for none */

    /* What else the guest must leave alone, inside RAM or outside of it: ACPI tables, configuration windows.
     */
    const struct memory_map_entry *reserved;
    size_t reserved_count;

    bool gib_pages; /* the guest's CPUID has 1 GiB pages: 2 pages of page tables instead of 6 */
    bool ram_dirty; /* the RAM was used before, as on a reboot: what the image expects to be 0 is cleared */
};

/* A segment register as the processor holds it, hidden part and all. An absent one has `present` clear. */
struct boot_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, whatever the granularity */
    uint16_t selector;
    uint8_t type; /* SDM 3A 3.4.5.1 and 3.5 */
    uint8_t dpl;
    bool present;
    bool code_or_data; /* S; clear for a system segment */
    bool size32;       /* D/B */
    bool long_mode;    /* L */
    bool granular;     /* G */
};

struct boot_table {
    uint64_t base;
    uint16_t limit;
};

enum boot_cpu_mode {
    BOOT_CPU_REAL16,
    BOOT_CPU_PROT32,
    BOOT_CPU_LONG64,
};

/* The first processor when the image gets control. Everything not named here is as after a reset. */
struct boot_state {
    enum boot_cpu_mode mode;
    uint64_t rip, rflags, rsp;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp;
    uint64_t cr0, cr3, cr4, efer;
    struct boot_segment cs, ds, es, fs, gs, ss, tr, ldt;
    struct boot_table gdt, idt;

    const char *protocol_name;        /* "multiboot", "PVH", "flat real16", ...; static */
    gpa_t image_gpa, image_end_gpa;   /* from the first to behind the last byte that the image occupies */
    uint64_t kernel_len;              /* from image_gpa on; of a bzImage without the room for unpacking */
    gpa_t initrd_gpa, cmdline_gpa;    /* the first module or the whole initrd, and the command line alone */
    uint64_t initrd_len, cmdline_len; /* 0: there is none */
};

/* Loads. 0, or -ENOEXEC (the image is not understood or damaged), -EINVAL (it does not go with the
 * configuration) or -ENOSPC (it does not fit into this RAM); guest memory may have been written then. */
int boot_load(const struct boot_image *image, const struct boot_config *config,
              const struct guest_memory *memory, struct boot_state *state, struct vmm_error *error);

#endif
