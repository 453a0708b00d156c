/* SPDX-License-Identifier: MIT
 *
 * Vector and x87 instructions in the emulator, beyond what the differential test can see: which accesses
 * reach a device, what is switched off, exceptions that must not become signals, and the host's own state.
 */
#include "mmio/simd.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "mmio/xsave.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"

static _Alignas(64) uint8_t area[XSAVE_IMAGE_MAX];
static struct xsave_layout layout;
static struct simd_code *code;
static struct step_ops ops;
static uint64_t xcr0, start_rip;

static int load_vector(void *owner, struct cpu_state *cpu)
{
    (void)owner;
    cpu->vector.xsave = area;
    cpu->vector.xcr0 = xcr0;
    return 0;
}

static void host_cpuid(void *owner, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    (void)owner;
    __cpuid_count(leaf, subleaf, regs[0], regs[1], regs[2], regs[3]);
}

static void set_up(enum test_mode mode)
{
    test_set_up(mode);
    xsave_layout_host(&layout);
    if (!layout.components || layout.len_standard > sizeof(area))
        test_skip("this CPU or its kernel has no XSAVE");
    simd_code_destroy(code);
    ck_assert_int_eq(simd_code_create(&code, NULL), 0);
    ops = *test_machine.ops;
    ops.load_vector = load_vector;
    ops.cpuid = host_cpuid;
    test_machine.ops = &ops;
    test_machine.simd = code;
    xcr0 = layout.components;
    start_rip = test_cpu.rip;
    memset(area, 0, sizeof(area));
    store_le64(area + XSAVE_HEADER, layout.components & XSAVE_VECTOR_COMPONENTS);
    store_le16(area + XSAVE_FCW, FCW_DEFAULT);
    store_le32(area + XSAVE_MXCSR, MXCSR_DEFAULT);
    for (unsigned i = 0; i < 64; i++)
        area[XSAVE_XMM + i] = (uint8_t)(i + 1);
    test_cpu.cr0 |= CR0_NE;
    test_cpu.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
}

static void need(uint64_t components, const char *what)
{
    if ((layout.components & components) != components)
        test_skip("this host has no %s", what);
}

/* At the same place every time. */
static enum step_result step_again(const char *bytes, unsigned len)
{
    test_cpu.rip = start_rip;
    return test_step(bytes, len);
}

#define STEP(bytes) step_again(bytes, sizeof(bytes) - 1)

static void expect_exception(enum step_result result, unsigned vector)
{
    ck_assert_int_eq(result, STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.vector, vector);
}

START_TEST(a_device_sees_a_wide_move_once)
{
    set_up(TEST_64);
    test_apply("rax=50000");
    ck_assert_int_eq(STEP("\x0f\x11\x00"), STEP_DONE); /* movups [rax], xmm0 */
    ck_assert_str_eq(test_seen, "a:w8@0=807060504030201 a:w8@8=100f0e0d0c0b0a09 ");
    test_seen[0] = 0;
    ck_assert_int_eq(STEP("\x66\x0f\x6f\x10"), STEP_DONE); /* movdqa xmm2, [rax] */
    ck_assert_str_eq(test_seen, "a:r8@0 a:r8@8 ");
    ck_assert_uint_eq(load_le64(area + XSAVE_XMM + 40), 0x1f1e1d1c1b1a1918);
    test_tear_down();
}
END_TEST

START_TEST(a_device_sees_only_the_elements_of_a_mask)
{
    set_up(TEST_64);
    need(XCR0_AVX512, "AVX-512");
    test_apply("rax=50000");
    xsave_mask_write(area, &layout, 1, 0x9);
    ck_assert_int_eq(STEP("\x62\xf1\x7e\x49\x7f\x00"), STEP_DONE); /* vmovdqu32 [rax]{k1}, zmm0 */
    ck_assert_str_eq(test_seen, "a:w4@0=4030201 a:w4@c=100f0e0d ");
    test_seen[0] = 0;
    ck_assert_int_eq(STEP("\x62\xf1\x7e\x49\x6f\x08"), STEP_DONE); /* vmovdqu32 zmm1{k1}, [rax] */
    ck_assert_str_eq(test_seen, "a:r4@0 a:r4@c ");
    test_seen[0] = 0;
    xsave_mask_write(area, &layout, 1, 0x8003);
    ck_assert_int_eq(STEP("\x62\xf2\x7d\x49\x8b\x00"), STEP_DONE); /* vpcompressd [rax]{k1}, zmm0 */
    ck_assert_str_eq(test_seen, "a:w8@0=807060504030201 a:w4@8=0 ");
    test_seen[0] = 0;
    xsave_mask_write(area, &layout, 1, 0);
    ck_assert_int_eq(STEP("\x62\xf1\x7e\x49\x7f\x00"), STEP_DONE);
    ck_assert_str_eq(test_seen, "");
    test_tear_down();
}
END_TEST

START_TEST(masked_and_scattered_elements_go_one_by_one)
{
    set_up(TEST_64);
    need(XCR0_AVX, "AVX");
    test_apply("rdi=50000 rax=50000");
    store_le64(area + XSAVE_XMM + 16, 0x8000000000008000);
    store_le64(area + XSAVE_XMM + 24, 0);
    ck_assert_int_eq(STEP("\x66\x0f\xf7\xc1"), STEP_DONE); /* maskmovdqu xmm0, xmm1 */
    ck_assert_str_eq(test_seen, "a:w1@1=2 a:w1@7=8 ");
    test_seen[0] = 0;
    ck_assert_int_eq(STEP("\xc4\xe2\x71\x2e\x00"), STEP_DONE); /* vmaskmovps [rax], xmm1, xmm0 */
    ck_assert_str_eq(test_seen, "a:w4@4=8070605 ");
    test_tear_down();
}
END_TEST

START_TEST(a_gather_keeps_what_it_had_before_a_fault)
{
    set_up(TEST_64);
    need(XCR0_AVX, "AVX");
    test_apply("rax=3fff8 [3fff8]4=11111111 [3fffc]4=22222222");
    for (unsigned i = 0; i < 4; i++)
        store_le32(area + XSAVE_XMM + 16 + 4 * i, i); /* the indexes, xmm1 */
    memset(area + XSAVE_XMM + 32, 0xff, 16);          /* the mask, xmm2 */
    /* vpgatherdd xmm0, [rax + xmm1*4], xmm2: the third element lies on no page */
    expect_exception(STEP("\xc4\xe2\x69\x90\x04\x88"), VECTOR_PF);
    ck_assert_uint_eq(test_outcome.event.cr2, 0x40000);
    ck_assert_uint_eq(load_le64(area + XSAVE_XMM), 0x2222222211111111);
    ck_assert_uint_eq(load_le64(area + XSAVE_XMM + 32), 0);
    ck_assert_uint_eq(load_le64(area + XSAVE_XMM + 40), UINT64_MAX);
    test_tear_down();
}
END_TEST

START_TEST(what_is_switched_off_is_refused)
{
    static const struct {
        const char *bytes;
        unsigned len;
        uint64_t cr0_set, cr4_clear, xcr0_clear;
        unsigned vector;
    } cases[] = {
        {"\x0f\x58\xc1", 3, CR0_TS, 0, 0, VECTOR_NM}, /* addps */
        {"\x0f\x58\xc1", 3, CR0_EM, 0, 0, VECTOR_UD},
        {"\x0f\x58\xc1", 3, 0, CR4_OSFXSR, 0, VECTOR_UD},
        {"\x0f\xfc\xc1", 3, CR0_EM, 0, 0, VECTOR_UD}, /* paddb mm0, mm1 */
        {"\xd9\xe8", 2, CR0_EM, 0, 0, VECTOR_NM},     /* fld1 */
        {"\xd9\xe8", 2, CR0_TS, 0, 0, VECTOR_NM},
        {"\x0f\xae\x00", 3, CR0_EM, 0, 0, VECTOR_NM},          /* fxsave [rax] */
        {"\x9b", 1, CR0_TS | CR0_MP, 0, 0, VECTOR_NM},         /* fwait */
        {"\xc5\xf8\x58\xc1", 4, 0, CR4_OSXSAVE, 0, VECTOR_UD}, /* vaddps */
        {"\xc5\xf8\x58\xc1", 4, 0, 0, XCR0_AVX, VECTOR_UD},
        {"\x62\xf1\x7c\x48\x58\xc1", 6, 0, 0, XCR0_ZMM16, VECTOR_UD}, /* vaddps zmm0, zmm0, zmm1 */
        {"\x0f\xae\x20", 3, 0, CR4_OSXSAVE, 0, VECTOR_UD},            /* xsave [rax] */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        set_up(TEST_64);
        test_cpu.cr0 |= cases[i].cr0_set;
        test_cpu.cr4 &= ~cases[i].cr4_clear;
        xcr0 &= ~cases[i].xcr0_clear;
        enum step_result result = test_step(cases[i].bytes, cases[i].len);
        ck_assert_msg(result == STEP_EXCEPTION && test_outcome.event.vector == cases[i].vector,
                      "line %zu: result %d, vector %u", i, result, test_outcome.event.vector);
        test_tear_down();
    }
}
END_TEST

START_TEST(what_the_host_has_not_is_refused)
{
    set_up(TEST_64);
    if (simd_host_has(code, INSN_ISA_3DNOW))
        test_skip("this host has 3DNow!");
    expect_exception(STEP("\x0f\x0f\xc1\x9e"), VECTOR_UD); /* pfadd mm0, mm1 */
    test_tear_down();
}
END_TEST

START_TEST(an_sse_exception_comes_out_without_a_signal)
{
    set_up(TEST_64);
    store_le32(area + XSAVE_MXCSR, MXCSR_DEFAULT & ~0x200u); /* division by zero is not masked */
    memset(area + XSAVE_XMM, 0, 32);
    store_le32(area + XSAVE_XMM, 0x3f800000);
    expect_exception(STEP("\x0f\x5e\xc1"), VECTOR_XM); /* divps xmm0, xmm1: 1/0, 0/0 */
    ck_assert_uint_eq(load_le32(area + XSAVE_MXCSR), (MXCSR_DEFAULT & ~0x200u) | 5);
    ck_assert_uint_eq(load_le32(area + XSAVE_XMM), 0x3f800000);
    test_cpu.cr4 &= ~(uint64_t)CR4_OSXMMEXCPT;
    expect_exception(STEP("\x0f\x5e\xc1"), VECTOR_UD);
    store_le32(area + XSAVE_MXCSR, MXCSR_DEFAULT);
    ck_assert_int_eq(STEP("\x0f\x5e\xc1"), STEP_DONE);
    ck_assert_uint_eq(load_le32(area + XSAVE_XMM), 0x7f800000);
    test_tear_down();
}
END_TEST

START_TEST(an_x87_exception_waits_for_the_next_instruction)
{
    set_up(TEST_64);
    store_le16(area + XSAVE_FCW, 0x37b); /* division by zero is not masked */
    test_apply("rax=20000 rbx=20100 [20000]4=0");
    ck_assert_int_eq(STEP("\xd9\xe8"), STEP_DONE); /* fld1 */
    ck_assert_int_eq(STEP("\xd8\x30"), STEP_DONE); /* fdiv dword [rax] */
    ck_assert_int_eq(STEP("\xdf\xe0"), STEP_DONE); /* fnstsw ax */
    ck_assert_uint_eq(test_cpu.gpr[CPU_RAX] & 0x80bf, 0x8084);
    expect_exception(STEP("\xd9\xe8"), VECTOR_MF);
    ck_assert_int_eq(STEP("\xd9\x33"), STEP_DONE); /* fnstenv [rbx]: where it was, and on what */
    const uint8_t *environment = test_ram(0x20100);
    ck_assert_uint_eq(load_le32(environment + 12), CODE);
    ck_assert_uint_eq(load_le16(environment + 18), 0x30);
    ck_assert_uint_eq(load_le32(environment + 20), 0x20000);
    ck_assert_int_eq(STEP("\xdb\xe2"), STEP_DONE); /* fnclex */
    ck_assert_int_eq(STEP("\xd9\xe8"), STEP_DONE);
    test_tear_down();
}
END_TEST

START_TEST(a_refused_x87_store_writes_nothing)
{
    set_up(TEST_64);
    store_le16(area + XSAVE_FCW, 0x37e); /* invalid operation is not masked */
    test_apply("rax=50000");
    expect_exception((STEP("\xd9\xe8"), test_apply("rax=60000"), STEP("\xd9\x18")),
                     VECTOR_PF); /* fstp [rax] */
    ck_assert_uint_eq(xsave_x87_top(area), 7);
    test_apply("rax=50000");
    ck_assert_int_eq(STEP("\xdd\xc0"), STEP_DONE); /* ffree st0 */
    ck_assert_int_eq(STEP("\xd9\x18"), STEP_DONE); /* fstp dword [rax]: the stack is empty */
    ck_assert_str_eq(test_seen, "");
    ck_assert_uint_eq(xsave_x87_top(area), 7);
    test_tear_down();
}
END_TEST

START_TEST(the_stack_pointer_can_be_an_operand)
{
    set_up(TEST_64);
    ck_assert_int_eq(STEP("\x66\x48\x0f\x7e\xc4"), STEP_DONE); /* movq rsp, xmm0 */
    ck_assert_uint_eq(test_cpu.gpr[CPU_RSP], 0x0807060504030201);
    ck_assert_int_eq(STEP("\x66\x0f\x6e\xe4"), STEP_DONE); /* movd xmm4, esp */
    ck_assert_uint_eq(load_le64(area + XSAVE_XMM + 64), 0x04030201);
    ck_assert_int_eq(STEP("\x0f\x50\xe1"), STEP_DONE); /* movmskps esp, xmm1 */
    ck_assert_uint_eq(test_cpu.gpr[CPU_RSP], 0);
    test_tear_down();
}
END_TEST

START_TEST(other_modes_work)
{
    set_up(TEST_16);
    test_apply("rbx=10");
    memset(test_ram(0x20010), 0x5a, 16);
    ck_assert_int_eq(STEP("\x0f\x28\x07"), STEP_DONE); /* movaps xmm0, [bx] */
    ck_assert_uint_eq(load_le64(area + XSAVE_XMM + 8), 0x5a5a5a5a5a5a5a5a);
    test_tear_down();
    set_up(TEST_32);
    test_apply("rax=d0000004");
    ck_assert_int_eq(STEP("\x0f\x11\x00"), STEP_DONE); /* movups [eax], xmm0 */
    ck_assert_str_eq(test_seen, "a:w8@4=807060504030201 a:w8@c=100f0e0d0c0b0a09 ");
    test_tear_down();
}
END_TEST

START_TEST(state_is_saved_into_a_device_and_loaded_from_it)
{
    set_up(TEST_64);
    test_apply("rax=3 rdx=0 rbx=50000");
    ck_assert_int_eq(STEP("\x0f\xae\x23"), STEP_DONE); /* xsave [rbx] */
    ck_assert_ptr_nonnull(strstr(test_seen, "a:w8@a0=807060504030201 "));
    ck_assert_ptr_nonnull(strstr(test_seen, "a:r8@200 "));
    ck_assert_ptr_null(strstr(test_seen, "w8@1a0"));
    test_seen[0] = 0;
    test_apply("rbx=50001");
    expect_exception(STEP("\x0f\xae\x23"), VECTOR_GP);
    test_apply("rbx=51000");
    ck_assert_int_eq(STEP("\x0f\xae\x03"), STEP_DONE); /* fxsave [rbx] */
    ck_assert_ptr_nonnull(strstr(test_seen, "b:w8@a0=807060504030201 "));
    test_tear_down();
}
END_TEST

static uint32_t host_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

static uint16_t host_fcw(void)
{
    uint16_t value;
    __asm__ volatile("fnstcw %0" : "=m"(value));
    return value;
}

START_TEST(the_hosts_own_state_is_kept)
{
    set_up(TEST_64);
    uint32_t mxcsr = host_mxcsr();
    uint16_t fcw = host_fcw();
    store_le32(area + XSAVE_MXCSR, 0xffff);
    store_le16(area + XSAVE_FCW, 0xc40);
    ck_assert_int_eq(STEP("\xd9\xe8"), STEP_DONE);
    ck_assert_int_eq(STEP("\x0f\x58\xc1"), STEP_DONE);
    ck_assert_uint_eq(host_mxcsr(), mxcsr);
    ck_assert_uint_eq(host_fcw(), fcw);
    volatile long double one = 1, three = one + 2;
    ck_assert(three == 3);
    test_tear_down();
}
END_TEST

/* Eight times as many encodings as the cache has slots. */
START_TEST(the_code_cache_survives_more_encodings_than_it_holds)
{
    set_up(TEST_64);
    for (unsigned round = 0; round < 4096; round++) {
        unsigned to = round & 7, order = round >> 3 & 0xff;
        uint8_t bytes[] = {0x66, 0x0f, 0x70, (uint8_t)(0xc0 | to << 3), (uint8_t)order};
        for (unsigned i = 0; i < 4; i++)
            store_le32(area + XSAVE_XMM + 4 * i, 0x100 * round + i);
        ck_assert_int_eq(step_again((const char *)bytes, sizeof(bytes)),
                         STEP_DONE); /* pshufd xmm, xmm0, order */
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq(load_le32(area + XSAVE_XMM + 16 * to + 4 * i),
                              0x100 * round + (order >> (2 * i) & 3));
    }
    test_tear_down();
}
END_TEST

START_TEST(no_page_is_writable_and_executable)
{
    set_up(TEST_64);
    ck_assert_int_eq(STEP("\x0f\x58\xc1"), STEP_DONE);
    char line[512];
    unsigned found = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps)) {
        ck_assert_ptr_null(strstr(line, " rwx"));
        found += strstr(line, "vmm-simd-code") ? 1 : 0;
    }
    fclose(maps);
    ck_assert_uint_eq(found, 2);
    test_tear_down();
}
END_TEST

/* No guest has tiles: their state is KVM's to give only after a request for permission, which nobody makes.
 */
START_TEST(tiles_are_not_there)
{
    static const char *const codes[] = {"\xc4\xe2\x78\x49\x03",     /* ldtilecfg [rbx] */
                                        "\xc4\xe2\x79\x49\x03",     /* sttilecfg [rbx] */
                                        "\xc4\xe2\x7b\x4b\x04\x0b", /* tileloadd tmm0, [rbx+rcx] */
                                        "\xc4\xe2\x7a\x4b\x04\x0b", /* tilestored [rbx+rcx], tmm0 */
                                        "\xc4\xe2\x7b\x49\xc0",     /* tilezero tmm0 */
                                        "\xc4\xe2\x78\x49\xc0",     /* tilerelease */
                                        "\xc4\xe2\x73\x5e\xc2"};    /* tdpbssd tmm0, tmm2, tmm1 */
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        set_up(TEST_64);
        test_apply("rbx=50000 rcx=40");
        expect_exception(test_step(codes[i], (unsigned)strlen(codes[i])), VECTOR_UD);
        ck_assert_str_eq(test_seen, "");
        test_tear_down();
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, tiles_are_not_there);
    test_add(suite, a_device_sees_a_wide_move_once);
    test_add(suite, a_device_sees_only_the_elements_of_a_mask);
    test_add(suite, masked_and_scattered_elements_go_one_by_one);
    test_add(suite, a_gather_keeps_what_it_had_before_a_fault);
    test_add(suite, what_is_switched_off_is_refused);
    test_add(suite, what_the_host_has_not_is_refused);
    test_add(suite, an_sse_exception_comes_out_without_a_signal);
    test_add(suite, an_x87_exception_waits_for_the_next_instruction);
    test_add(suite, a_refused_x87_store_writes_nothing);
    test_add(suite, the_stack_pointer_can_be_an_operand);
    test_add(suite, other_modes_work);
    test_add(suite, state_is_saved_into_a_device_and_loaded_from_it);
    test_add(suite, the_hosts_own_state_is_kept);
    test_add(suite, the_code_cache_survives_more_encodings_than_it_holds);
    test_add(suite, no_page_is_writable_and_executable);
}
