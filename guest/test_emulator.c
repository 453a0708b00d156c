/* SPDX-License-Identifier: MIT
 *
 * Instructions in ring 0 that a KVM without hardware virtualization gives up on. They run only by name: with
 * a processor they always work, without one they need a VMM that finishes them itself.
 */
#include "guest/cpu.h"
#include "guest/page.h"
#include "guest/probe.h"
#include "guest/test.h"

void test_kernel_int3(void)
{
    struct trap trap = trap_catch(probe_int3, 0, 0);
    CHECK(trap.caught);
    CHECK_EQUAL(trap.frame.vector, VECTOR_BP);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_int3 + 1);
}

void test_kernel_int_n(void)
{
    struct trap trap = trap_catch(probe_int_n, 0, 0);
    CHECK(trap.caught);
    CHECK_EQUAL(trap.frame.vector, VECTOR_USER_EXIT);
    CHECK_EQUAL(trap.frame.rip, (uint64_t)probe_int_n + 2);
}

void test_kernel_popcnt(void)
{
    uint64_t value = 0x8000000000000f01, count;
    __asm__ volatile("popcnt %1, %0" : "=r"(count) : "m"(value));
    CHECK_EQUAL(count, 6);
}

void test_kernel_sse(void)
{
    static uint32_t terms[8] __attribute__((aligned(16))) = {1, 2, 3, 4, 10, 20, 30, 40};
    static uint32_t sums[4] __attribute__((aligned(16)));
    static const uint32_t expected[4] = {11, 22, 33, 44};
    cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    __asm__ volatile("movdqa (%0), %%xmm0; paddd 16(%0), %%xmm0; movdqa %%xmm0, (%1)"
                     :
                     : "r"(terms), "r"(sums)
                     : "memory");
    cr4_write(cr4_read() & ~(CR4_OSFXSR | CR4_OSXMMEXCPT));
    CHECK_EQUAL(memcmp(sums, expected, sizeof(sums)), 0);
}

void test_kernel_cmpxchg16b(void)
{
    static uint64_t pair[2] __attribute__((aligned(16))) = {1, 2};
    uint64_t low = 1, high = 2;
    uint8_t is_equal;
    __asm__ volatile("lock cmpxchg16b %0; sete %3"
                     : "+m"(*(uint64_t(*)[2])pair), "+a"(low), "+d"(high), "=q"(is_equal)
                     : "b"(3ull), "c"(4ull)
                     : "memory");
    CHECK_EQUAL(is_equal, 1);
    CHECK_EQUAL(pair[0], 3);
    CHECK_EQUAL(pair[1], 4);
}

/* Nothing to see afterwards: what can go wrong is an exception, or the end of the run. */
void test_kernel_fence(void)
{
    __asm__ volatile("mfence; lfence; sfence" : : : "memory");
}

#define AVX_DEVICE \
    0xd0000000ull /* where --device scratch may be; without a device, reads give one byte all over */
#define CPUID_1_XSAVE   (1u << 26)
#define CPUID_1_AVX     (1u << 28)
#define CR4_XSAVE_BIT   (1ull << 18)
#define XCR0_X87_TO_AVX 7u

static bool is_one_byte_all_over(const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 1; i < len; i++)
        if (bytes[i] != bytes[0])
            return false;
    return true;
}

/* 32 bytes to the device and back, each in one instruction that KVM's emulator does not know. */
void test_kernel_avx_device(void)
{
    static uint8_t pattern[32], back[32];
    uint64_t cr4 = cr4_read();
    SKIP_IF((cpuid(1, 0).ecx & (CPUID_1_XSAVE | CPUID_1_AVX)) != (CPUID_1_XSAVE | CPUID_1_AVX), "no AVX");
    for (unsigned i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(7 * i + 1);
    page_map_identity(AVX_DEVICE, PAGE_BYTES, PTE_PRESENT | PTE_WRITE | PTE_UNCACHED);
    cr4_write(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_XSAVE_BIT);
    __asm__ volatile("xsetbv" : : "c"(0), "a"(XCR0_X87_TO_AVX), "d"(0));
    __asm__ volatile("vmovups (%0), %%ymm0; vmovups %%ymm0, (%1); vmovups (%1), %%ymm1; vmovups %%ymm1, (%2)"
                     :
                     : "r"(pattern), "r"(AVX_DEVICE), "r"(back)
                     : "memory");
    cr4_write(cr4);
    CHECK(is_one_byte_all_over(back, sizeof(back)) || memcmp(back, pattern, sizeof(back)) == 0);
}
