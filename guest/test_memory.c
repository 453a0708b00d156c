/* SPDX-License-Identifier: MIT
 *
 * RAM, the page allocator, and the TSC. Memory is sampled: a word in each of a bounded number of pages, the
 * first and the last of every range among them.
 */
#include "guest/boot_info.h"
#include "guest/clock.h"
#include "guest/page.h"
#include "guest/run.h"
#include "guest/test.h"

#define FOUR_GIB       (4ull << 30)
#define SAMPLES        64u
#define SAMPLES_SMALL  16u
#define ALLOCATIONS    16u
#define TSC_READS      200u
#define TSC_TEST_TICKS (PIT_HZ / 100)

extern uint8_t kernel_start[], kernel_end[];

static uint64_t range_end(const struct memory_range *range)
{
    return range->base + range->len;
}

void test_mem_map(void)
{
    CHECK(!boot_info.is_cut);
    bool has_kernel = false;
    for (size_t i = 0; i < boot_info.range_count; i++) {
        const struct memory_range *range = boot_info.ranges + i;
        CHECK(range->len);
        CHECK(range_end(range) > range->base);
        for (size_t j = 0; j < i; j++)
            CHECK(range->base >= range_end(boot_info.ranges + j) ||
                  range_end(range) <= boot_info.ranges[j].base);
        has_kernel |= range->kind == MEMORY_KIND_RAM && range->base <= (uint64_t)kernel_start &&
                      range_end(range) >= (uint64_t)kernel_end;
    }
    CHECK(has_kernel);
}

/* Words that are at stake when they change: ours, and what is below 64 KiB (the trampoline, firmware). */
static bool is_usable(uint64_t pa)
{
    return pa >= 0x10000 && (pa + 8 <= (uint64_t)kernel_start || pa >= (uint64_t)kernel_end);
}

/* The i-th of `count` samples: the last word of a page; the last sample is in the last page. */
static uint64_t sample_at(const struct memory_range *range, unsigned i, unsigned count)
{
    uint64_t first = (range->base + PAGE_BYTES - 1) / PAGE_BYTES, end = range_end(range) / PAGE_BYTES;
    uint64_t page = first + (end - first - 1) * i / (count - 1);
    return page * PAGE_BYTES + PAGE_BYTES - 8;
}

static unsigned sample_count(const struct memory_range *range)
{
    uint64_t first = (range->base + PAGE_BYTES - 1) / PAGE_BYTES, end = range_end(range) / PAGE_BYTES;
    if (range->kind != MEMORY_KIND_RAM || first >= end)
        return 0;
    return end - first < SAMPLES ? SAMPLES_SMALL : SAMPLES;
}

/* Every sample gets a value of its own before the first is read: two addresses of one word are found. */
void test_mem_pages(void)
{
    static uint64_t saved[SAMPLES];
    for (size_t r = 0; r < boot_info.range_count; r++) {
        const struct memory_range *range = boot_info.ranges + r;
        unsigned count = sample_count(range), bad = 0;
        for (unsigned i = 0; i < count; i++) {
            uint64_t pa = sample_at(range, i, count);
            if (!is_usable(pa))
                continue;
            saved[i] = MEM(uint64_t, pa);
            MEM(uint64_t, pa) = pa ^ 0xa5a5a5a55a5a5a5a;
        }
        for (unsigned i = 0; i < count; i++) {
            uint64_t pa = sample_at(range, i, count);
            bad += is_usable(pa) && MEM(uint64_t, pa) != (pa ^ 0xa5a5a5a55a5a5a5a);
        }
        for (unsigned i = count; i-- > 0;)
            if (is_usable(sample_at(range, i, count)))
                MEM(uint64_t, sample_at(range, i, count)) = saved[i];
        CHECK_EQUAL(bad, 0);
    }
}

void test_mem_high(void)
{
    uint64_t end = boot_info_ram_end(UINT64_MAX);
    SKIP_IF(end <= FOUR_GIB, "no RAM above 4 GiB");
    uint64_t high = end - PAGE_BYTES;
    uint8_t *low = page_alloc_zeroed();
    CHECK(low != NULL);
    uint64_t saved = MEM(uint64_t, high);
    MEM(uint64_t, high) = 0x1234567812345678;
    CHECK_EQUAL(MEM(uint64_t, low), 0);
    CHECK_EQUAL(MEM(uint64_t, high), 0x1234567812345678);
    MEM(uint64_t, high) = saved;
    /* the same page by another address */
    page_map(TEST_VA, high, PTE_PRESENT | PTE_WRITE);
    MEM(uint64_t, TEST_VA + 8) = 0x55;
    CHECK_EQUAL(MEM(uint64_t, high + 8), 0x55);
    page_map(TEST_VA, 0, 0);
    page_free(low);
}

void test_mem_alloc(void)
{
    static uint8_t *pages[ALLOCATIONS];
    size_t before = page_free_count();
    for (unsigned i = 0; i < ALLOCATIONS; i++) {
        pages[i] = page_alloc();
        CHECK(pages[i] != NULL);
        CHECK_EQUAL((uint64_t)pages[i] % PAGE_BYTES, 0);
        CHECK((uint64_t)pages[i] >= (uint64_t)kernel_end);
        MEM(uint32_t, pages[i] + 2048) = i + 1;
    }
    for (unsigned i = 0; i < ALLOCATIONS; i++)
        CHECK_EQUAL(MEM(uint32_t, pages[i] + 2048), i + 1);
    CHECK_EQUAL(page_free_count(), before - ALLOCATIONS);
    for (unsigned i = 0; i < ALLOCATIONS; i++)
        page_free(pages[i]);
    CHECK_EQUAL(page_free_count(), before);
    uint8_t *again = page_alloc_zeroed();
    CHECK_EQUAL((uint64_t)again, (uint64_t)pages[ALLOCATIONS - 1]);
    CHECK_EQUAL(MEM(uint32_t, again + 2048), 0);
    page_free(again);
}

void test_tsc_monotonic(void)
{
    extern uint64_t boot_tsc;
    uint64_t last = boot_tsc;
    for (unsigned i = 0; i < TSC_READS; i++) {
        uint64_t now = tsc_read();
        CHECK(now > last || (i && now == last));
        last = now;
    }
}

static bool is_close(uint64_t khz)
{
    return khz > timebase.tsc_khz * 9 / 10 && khz < timebase.tsc_khz * 11 / 10;
}

/* Against the rate found at the start, within a tenth: the host may interrupt either measurement. */
void test_tsc_rate(void)
{
    SKIP_IF(!timebase.has_pit, "no PIT");
    uint64_t khz = 0;
    for (unsigned attempt = 0; attempt < 5 && !is_close(khz); attempt++)
        khz = pit_measure_tsc_khz(TSC_TEST_TICKS);
    print("# tsc-rate: %lu kHz, at the start %lu kHz\n", khz, timebase.tsc_khz);
    CHECK(is_close(khz));
}
