/* SPDX-License-Identifier: MIT
 *
 * The allocator takes pages one after the other from RAM behind the kernel, and again what was freed first.
 * Page tables are made of its pages. RAM is mapped in 2 MiB pages, only where there is RAM: an interpreted
 * instruction costs so much that mapping 8 GiB for nothing would be seen in the boot time.
 */
#include "guest/page.h"

#include "guest/boot_info.h"
#include "guest/run.h"

#define FOUR_GIB     (4ull << 30)
#define POOL_RANGES  16
#define TABLE_FLAGS  (PTE_PRESENT | PTE_WRITE | PTE_USER)
#define APIC_WINDOWS 0xfec00000ull
#define LAPIC_WINDOW 0xfee00000ull

extern uint8_t kernel_end[];

/* Read by application processors before they have paging. */
uint64_t kernel_cr3, kernel_efer;

/* A freed page holds the pointer to the next one. */
static void *free_list;
static size_t free_list_count;

static struct pool_range {
    uint64_t next, end;
} pool[POOL_RANGES];
static size_t pool_count;

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t page_up(uint64_t address)
{
    return (address + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* What of [next, end) no module from the first-th on occupies. */
static void pool_add(uint64_t next, uint64_t end, size_t first)
{
    for (size_t i = first; i < boot_info.module_count; i++) {
        uint64_t module = boot_info.modules[i].base, module_end = module + boot_info.modules[i].len;
        if (module < end && module_end > next) {
            pool_add(next, module & ~(PAGE_BYTES - 1), i + 1);
            pool_add(page_up(module_end), end, i + 1);
            return;
        }
    }
    if (next < end && pool_count < POOL_RANGES)
        pool[pool_count++] = (struct pool_range){next, end};
}

static void pool_init(void)
{
    for (size_t i = 0; i < boot_info.range_count; i++) {
        const struct memory_range *range = boot_info.ranges + i;
        uint64_t end = (range->base + range->len) & ~(PAGE_BYTES - 1);
        if (range->kind == MEMORY_KIND_RAM && end <= FOUR_GIB)
            pool_add(max_u64(page_up(range->base), (uint64_t)kernel_end), end, 0);
    }
    if (!pool_count)
        panic("no RAM behind the kernel");
}

void *page_alloc_range(size_t count, uint64_t align)
{
    for (size_t i = 0; i < pool_count; i++) {
        uint64_t start = (pool[i].next + align - 1) & ~(align - 1);
        if (start < pool[i].end && pool[i].end - start >= count * PAGE_BYTES) {
            pool[i].next = start + count * PAGE_BYTES;
            return (void *)start;
        }
    }
    return NULL;
}

void *page_alloc(void)
{
    if (!free_list)
        return page_alloc_range(1, PAGE_BYTES);
    void **page = free_list;
    free_list = *page;
    free_list_count--;
    return page;
}

void *page_alloc_zeroed(void)
{
    void *page = page_alloc();
    if (page) {
        void *at = page;
        size_t count = PAGE_BYTES / 8;
        __asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(0ull) : "memory");
    }
    return page;
}

void page_free(void *page)
{
    *(void **)page = free_list;
    free_list = page;
    free_list_count++;
}

size_t page_free_count(void)
{
    size_t count = free_list_count;
    for (size_t i = 0; i < pool_count; i++)
        count += (pool[i].end - pool[i].next) / PAGE_BYTES;
    return count;
}

static uint64_t *table_of(uint64_t *entry)
{
    if (!(*entry & PTE_PRESENT)) {
        void *table = page_alloc_zeroed();
        if (!table)
            panic("no memory for page tables");
        *entry = (uint64_t)table | TABLE_FLAGS;
    }
    return (uint64_t *)(*entry & PTE_ADDRESS);
}

uint64_t *page_entry(uint64_t va, bool is_large)
{
    uint64_t *table = (uint64_t *)kernel_cr3;
    for (unsigned shift = 39; shift > (is_large ? 21 : 12); shift -= 9)
        table = table_of(table + (va >> shift & 511));
    return table + (va >> (is_large ? 21 : 12) & 511);
}

void pte_set(uint64_t *entry, uint64_t value)
{
    MEM(uint64_t, entry) = value;
}

void page_map(uint64_t va, uint64_t pa, uint64_t flags)
{
    pte_set(page_entry(va, false), pa | flags);
    invlpg(va);
}

void page_map_identity(uint64_t pa, uint64_t len, uint64_t flags)
{
    uint64_t end = pa + len;
    for (pa &= ~(LARGE_PAGE_BYTES - 1); pa < end;) {
        uint64_t *entry = page_entry(pa, true);
        do {
            *entry++ = pa | flags | PTE_LARGE;
            pa += LARGE_PAGE_BYTES;
        } while (pa < end && pa % (512 * LARGE_PAGE_BYTES));
    }
}

static void efer_init(void)
{
    if (cpuid(0x80000000, 0).eax >= 0x80000001 && cpuid(0x80000001, 0).edx & 1u << 20)
        kernel_efer = EFER_NXE;
    msr_write(MSR_EFER, msr_read(MSR_EFER) | kernel_efer);
}

void page_init(void)
{
    pool_init();
    efer_init();
    kernel_cr3 = (uint64_t)page_alloc_zeroed();
    for (size_t i = 0; i < boot_info.range_count; i++)
        if (boot_info.ranges[i].kind == MEMORY_KIND_RAM)
            page_map_identity(boot_info.ranges[i].base, boot_info.ranges[i].len, PTE_PRESENT | PTE_WRITE);
    page_map_identity(APIC_WINDOWS, PAGE_BYTES, PTE_PRESENT | PTE_WRITE | PTE_UNCACHED);
    page_map_identity(LAPIC_WINDOW, PAGE_BYTES, PTE_PRESENT | PTE_WRITE | PTE_UNCACHED);
    cr3_write(kernel_cr3);
}
