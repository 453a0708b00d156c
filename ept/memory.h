/* SPDX-License-Identifier: MIT
 *
 * The guest's RAM: which guest-physical addresses are backed by which host memory, and the only functions
 * that may copy in and out of it. Every one takes an address and a length, and refuses what is not RAM from
 * the first byte to the last.
 *
 * The guest writes to this memory at any time: copy once, judge the copy, use the copy.
 *
 * Threads: copies and look-ups from any thread, also while one thread adds a range.
 */
#ifndef EPT_MEMORY_H
#define EPT_MEMORY_H

#include "base/error.h"
#include "base/types.h"

/* RAM that reaches further than this goes on above 4 GiB: between the two lie the PCI windows, the IOAPIC,
 * the local APICs and the firmware's flash. */
#define PCI_HOLE_GPA     (3 * GIB)
#define PCI_HOLE_END_GPA (4 * GIB)

/*
 *   0                        PCI_HOLE_GPA   4 GiB
 *   | range 0: RAM           |  hole        | range 1: RAM  ...   each a range, each a KVM memory slot
 */
struct memory_range {
    gpa_t gpa;
    uint64_t len; /* a multiple of PAGE_BYTES, never 0 */
    uint8_t *hva;
    bool read_only; /* for the guest: ROM */
};

enum memory_backing {
    MEMORY_ANONYMOUS, /* private pages, transparent huge pages where the kernel gives them */
    MEMORY_HUGE,      /* huge pages of the host's pool; fails where the pool is too small */
    MEMORY_SHARED,    /* a shared memory file, whose descriptor another process can map */
};

struct guest_memory;

/* RAM of `ram_bytes` (a multiple of PAGE_BYTES, not 0) from address 0, with the PCI hole. The pages are the
 * kernel's until they are touched. */
int guest_memory_create(uint64_t ram_bytes, enum memory_backing backing, struct guest_memory **memory,
                        struct vmm_error *error);
void guest_memory_destroy(struct guest_memory *memory);

/* Adds `len` bytes of the caller's host memory at `gpa`, both multiples of PAGE_BYTES. The memory is borrowed
 * until the destroy. -EEXIST where it overlaps another range. */
int guest_memory_add(struct guest_memory *memory, gpa_t gpa, void *hva, uint64_t len, bool read_only,
                     struct vmm_error *error);

/* The ranges: RAM in order of address, then what was added, in order of adding. A borrow until the destroy:
 * they stay where and as they are. */
const struct memory_range *guest_memory_ranges(const struct guest_memory *memory, size_t *count);

/* The RAM that guest_memory_create was asked for. */
uint64_t guest_memory_ram_bytes(const struct guest_memory *memory);

/* The descriptor of MEMORY_SHARED, or -1. It stays the memory's. */
int guest_memory_fd(const struct guest_memory *memory);

/* Whether [gpa, gpa + len) is backed by host memory, from the first byte to the last. */
bool guest_mem_is_ram(const struct guest_memory *memory, gpa_t gpa, uint64_t len);

/* Copies out of and into guest memory, across adjoining ranges too. 0, or -EFAULT with nothing copied where a
 * byte is not RAM (or, for a write, is read-only for the guest). */
int guest_mem_read(const struct guest_memory *memory, gpa_t gpa, void *to, uint64_t len);
int guest_mem_write(const struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t len);

/* As guest_mem_write, for the loaders and ROMs: read-only ranges are written too. */
int guest_mem_load(const struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t len);
/* The same from a file's bytes at `offset`, which no buffer of ours holds in between. Or the negative errno
 * of the read, -EIO where the file ends before; a part may have been written then. */
int guest_mem_load_file(const struct guest_memory *memory, gpa_t gpa, int fd, uint64_t offset, uint64_t len);
int guest_mem_fill(const struct guest_memory *memory, gpa_t gpa, uint8_t byte, uint64_t len);

/* A hint that all of [gpa, gpa + len) is about to be written: the kernel may give its pages in large pieces,
 * which for a kernel image of many MiB takes less than half the time. */
void guest_mem_expect(const struct guest_memory *memory, gpa_t gpa, uint64_t len);

/* The host address of [gpa, gpa + len) where that lies in one range that the guest may write, else NULL.
 * For long transfers and atomic operations. The guest may write there at any time. */
void *guest_mem_ptr(const struct guest_memory *memory, gpa_t gpa, uint64_t len);

#endif
