/* SPDX-License-Identifier: MIT
 *
 * The guest's RAM as a few ranges of host memory. A machine has two or three, so they are searched from the
 * front. A range that is there stays as it is: one more is written behind the last and then counted, which is
 * all that threads that read meanwhile have to see in order.
 */
#include "ept/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGE_LIMIT     32
#define HUGE_PAGE_BYTES (2 * MIB)

struct guest_memory {
    size_t range_count; /* atomic: published behind the range itself */
    struct memory_range ranges[RANGE_LIMIT];
    uint8_t *mapping, *ram; /* of guest_memory_create: what was mapped, and RAM in it */
    uint64_t mapping_bytes;
    uint64_t ram_bytes;
    int fd;
};

static int create_shared_file(struct guest_memory *memory, struct vmm_error *error)
{
    memory->fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (memory->fd < 0)
        return error_set_errno(error, -errno, "memory: cannot create a shared memory file");
    if (ftruncate(memory->fd, (off_t)memory->ram_bytes))
        return error_set_errno(error, -errno, "memory: cannot give %llu bytes to the shared memory file",
                               (unsigned long long)memory->ram_bytes);
    return 0;
}

/* Only what lies in a huge page of the guest's and of the host's can KVM map as one, so RAM begins with one.
 * Up to this much of its mapping stays unused for that. A shared memory file the kernel maps so by itself,
 * where it has huge pages for such files (shmem_enabled). */
static uint64_t slack_bytes(uint64_t ram_bytes, enum memory_backing backing)
{
    return backing == MEMORY_ANONYMOUS && ram_bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
}

static void align_ram(struct guest_memory *memory)
{
    memory->ram = memory->mapping;
    if (memory->mapping_bytes == memory->ram_bytes)
        return;
    memory->ram = (uint8_t *)align_up((uintptr_t)memory->mapping, HUGE_PAGE_BYTES);
    /* Small guests touch little but the first pages: none of them is to cost the clearing of 2 MiB. */
    madvise(memory->ram, HUGE_PAGE_BYTES, MADV_NOHUGEPAGE);
}

/* Huge pages are reserved now, so that a pool that is too small shows here and not as a SIGBUS at the guest's
 * first touch; all other RAM is the kernel's until it is touched. */
static int map_ram(struct guest_memory *memory, enum memory_backing backing, struct vmm_error *error)
{
    static const int flags[] = {[MEMORY_ANONYMOUS] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                [MEMORY_HUGE] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
                                [MEMORY_SHARED] = MAP_SHARED | MAP_NORESERVE};
    if (backing == MEMORY_HUGE && memory->ram_bytes % HUGE_PAGE_BYTES)
        return error_set(error, -EINVAL, "memory: %llu bytes are not a multiple of a huge page, which is 2M",
                         (unsigned long long)memory->ram_bytes);
    int result = backing == MEMORY_SHARED ? create_shared_file(memory, error) : 0;
    if (result)
        return result;
    memory->mapping_bytes = memory->ram_bytes + slack_bytes(memory->ram_bytes, backing);
    void *mapping = mmap(NULL, memory->mapping_bytes, PROT_READ | PROT_WRITE, flags[backing], memory->fd, 0);
    if (mapping == MAP_FAILED && backing == MEMORY_HUGE)
        return error_set_errno(
            error, -errno,
            "memory: the host's pool has not %llu huge pages of 2M for the guest; it is set in "
            "/proc/sys/vm/nr_hugepages",
            (unsigned long long)(memory->ram_bytes / HUGE_PAGE_BYTES));
    if (mapping == MAP_FAILED)
        return error_set_errno(error, -errno, "memory: cannot map %llu bytes of guest RAM",
                               (unsigned long long)memory->ram_bytes);
    memory->mapping = mapping;
    madvise(mapping, memory->mapping_bytes, MADV_DONTDUMP);
    align_ram(memory);
    return 0;
}

int guest_memory_create(uint64_t ram_bytes, enum memory_backing backing, struct guest_memory **out,
                        struct vmm_error *error)
{
    if (!ram_bytes || ram_bytes % PAGE_BYTES || ram_bytes > (1ull << 46))
        return error_set(error, -EINVAL,
                         "memory: a guest cannot have %llu bytes of RAM; give a multiple of %u, up to 64T",
                         (unsigned long long)ram_bytes, PAGE_BYTES);
    struct guest_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return error_set(error, -ENOMEM, "memory: out of memory");
    memory->ram_bytes = ram_bytes;
    memory->fd = -1;
    int result = map_ram(memory, backing, error);
    uint64_t low = ram_bytes < PCI_HOLE_GPA ? ram_bytes : PCI_HOLE_GPA;
    if (!result)
        result = guest_memory_add(memory, 0, memory->ram, low, false, error);
    if (!result && ram_bytes > low)
        result = guest_memory_add(memory, PCI_HOLE_END_GPA, memory->ram + low, ram_bytes - low, false, error);
    if (result) {
        guest_memory_destroy(memory);
        return result;
    }
    *out = memory;
    return 0;
}

void guest_memory_destroy(struct guest_memory *memory)
{
    if (!memory)
        return;
    if (memory->mapping)
        munmap(memory->mapping, memory->mapping_bytes);
    if (memory->fd >= 0)
        close(memory->fd);
    free(memory);
}

int guest_memory_add(struct guest_memory *memory, gpa_t gpa, void *hva, uint64_t len, bool read_only,
                     struct vmm_error *error)
{
    uint64_t end;
    size_t count = memory->range_count;
    if (!len || gpa % PAGE_BYTES || len % PAGE_BYTES || !checked_add(gpa, len, &end))
        return error_set(error, -EINVAL, "memory: %#llx bytes at %#llx are not whole pages",
                         (unsigned long long)len, (unsigned long long)gpa);
    if (count == RANGE_LIMIT)
        return error_set(error, -ENOSPC, "memory: a guest has at most %d ranges of RAM", RANGE_LIMIT);
    for (size_t i = 0; i < count; i++)
        if (ranges_overlap(gpa, len, memory->ranges[i].gpa, memory->ranges[i].len))
            return error_set(error, -EEXIST, "memory: %#llx bytes at %#llx overlap the range at %#llx",
                             (unsigned long long)len, (unsigned long long)gpa,
                             (unsigned long long)memory->ranges[i].gpa);
    memory->ranges[count] = (struct memory_range){.gpa = gpa, .len = len, .hva = hva, .read_only = read_only};
    __atomic_store_n(&memory->range_count, count + 1, __ATOMIC_RELEASE);
    return 0;
}

const struct memory_range *guest_memory_ranges(const struct guest_memory *memory, size_t *count)
{
    *count = __atomic_load_n(&memory->range_count, __ATOMIC_ACQUIRE);
    return memory->ranges;
}

uint64_t guest_memory_ram_bytes(const struct guest_memory *memory)
{
    return memory->ram_bytes;
}

int guest_memory_fd(const struct guest_memory *memory)
{
    return memory->fd;
}

static const struct memory_range *find_range(const struct guest_memory *memory, gpa_t gpa)
{
    size_t count;
    const struct memory_range *ranges = guest_memory_ranges(memory, &count);
    for (size_t i = 0; i < count; i++)
        if (gpa - ranges[i].gpa < ranges[i].len && gpa >= ranges[i].gpa)
            return &ranges[i];
    return NULL;
}

/* The part of [gpa, gpa + len) that lies in the range of its first byte; NULL where that byte is not RAM. */
static uint8_t *span_at(const struct guest_memory *memory, gpa_t gpa, uint64_t len, uint64_t *span_len,
                        bool *read_only)
{
    const struct memory_range *range = find_range(memory, gpa);
    *span_len = 0;
    *read_only = true;
    if (!range)
        return NULL;
    uint64_t offset = gpa - range->gpa;
    *span_len = len < range->len - offset ? len : range->len - offset;
    *read_only = range->read_only;
    return range->hva + offset;
}

static bool is_backed(const struct guest_memory *memory, gpa_t gpa, uint64_t len, bool writable)
{
    uint64_t end, span_len;
    bool read_only;
    if (!checked_add(gpa, len, &end))
        return false;
    for (; len; gpa += span_len, len -= span_len)
        if (!span_at(memory, gpa, len, &span_len, &read_only) || (writable && read_only))
            return false;
    return true;
}

bool guest_mem_is_ram(const struct guest_memory *memory, gpa_t gpa, uint64_t len)
{
    return is_backed(memory, gpa, len, false);
}

int guest_mem_read(const struct guest_memory *memory, gpa_t gpa, void *to, uint64_t len)
{
    uint64_t span_len;
    bool read_only;
    if (!is_backed(memory, gpa, len, false))
        return -EFAULT;
    for (uint8_t *at = to; len; gpa += span_len, at += span_len, len -= span_len) {
        const uint8_t *span = span_at(memory, gpa, len, &span_len, &read_only);
        memcpy(at, span, span_len);
    }
    return 0;
}

int guest_mem_write(const struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t len)
{
    return is_backed(memory, gpa, len, true) ? guest_mem_load(memory, gpa, from, len) : -EFAULT;
}

int guest_mem_load(const struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t len)
{
    uint64_t span_len;
    bool read_only;
    if (!is_backed(memory, gpa, len, false))
        return -EFAULT;
    for (const uint8_t *at = from; len; gpa += span_len, at += span_len, len -= span_len) {
        uint8_t *span = span_at(memory, gpa, len, &span_len, &read_only);
        memcpy(span, at, span_len);
    }
    return 0;
}

static int read_whole(int fd, uint8_t *to, uint64_t offset, uint64_t len)
{
    while (len) {
        ssize_t got = pread(fd, to, len, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? -errno : -EIO;
        to += got;
        offset += (uint64_t)got;
        len -= (uint64_t)got;
    }
    return 0;
}

int guest_mem_load_file(const struct guest_memory *memory, gpa_t gpa, int fd, uint64_t offset, uint64_t len)
{
    uint64_t span_len;
    bool read_only;
    int result = is_backed(memory, gpa, len, false) ? 0 : -EFAULT;
    for (; !result && len; gpa += span_len, offset += span_len, len -= span_len) {
        uint8_t *span = span_at(memory, gpa, len, &span_len, &read_only);
        result = read_whole(fd, span, offset, span_len);
    }
    return result;
}

int guest_mem_fill(const struct guest_memory *memory, gpa_t gpa, uint8_t byte, uint64_t len)
{
    uint64_t span_len;
    bool read_only;
    if (!is_backed(memory, gpa, len, false))
        return -EFAULT;
    for (; len; gpa += span_len, len -= span_len) {
        uint8_t *span = span_at(memory, gpa, len, &span_len, &read_only);
        memset(span, byte, span_len);
    }
    return 0;
}

void guest_mem_expect(const struct guest_memory *memory, gpa_t gpa, uint64_t len)
{
    uint8_t *start = guest_mem_ptr(memory, gpa, len);
    if (!start)
        return;
    /* Only pieces that are filled whole: a small guest's RAM is not made large by a page of it. */
    uintptr_t first = align_up((uintptr_t)start, HUGE_PAGE_BYTES);
    uintptr_t end = align_down((uintptr_t)start + len, HUGE_PAGE_BYTES);
    if (first < end)
        madvise((void *)first, end - first, MADV_HUGEPAGE);
}

void *guest_mem_ptr(const struct guest_memory *memory, gpa_t gpa, uint64_t len)
{
    const struct memory_range *range = find_range(memory, gpa);
    if (!range || range->read_only || !range_inside(gpa, len, range->gpa, range->len))
        return NULL;
    return range->hva + (gpa - range->gpa);
}
