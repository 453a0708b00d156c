/* SPDX-License-Identifier: MIT
 *
 * The native harness itself, with instructions whose effect is known by heart.
 */
#include "tests/mmio/native_harness.h"

#include <string.h>

#include "base/bytes.h"
#include "mmio/xsave.h"
#include "tests/harness.h"

static struct native_harness harness;
static struct native_case in;
static struct native_result out;
static _Alignas(64) uint8_t area_in[NATIVE_XSAVE_MAX], area_out[NATIVE_XSAVE_MAX];

static void set_up(const char *code, size_t len, unsigned mode)
{
    const char *reason;
    if (!harness.code && native_init(&harness, &reason))
        test_skip("%s", reason);
    if (mode != 64 && !harness.has_32bit)
        test_skip("code segments of 16 and 32 bits do not work on this host");
    memcpy(harness.code_view, code, len);
    in = (struct native_case){.rip = harness.code, .mode = mode, .rflags = FLAG_FIXED};
    for (unsigned i = 0; i < CPU_GPR_COUNT; i++)
        in.gpr[i] = harness.data_low + 0x100 * i;
    out = (struct native_result){0};
}

#define SET_UP(code, mode) set_up(code, sizeof(code) - 1, mode)

START_TEST(registers_flags_and_memory_come_out)
{
    SET_UP("\x48\x01\x03", 64); /* add [rbx], rax */
    in.gpr[CPU_RAX] = 1;
    store_le64(harness.data_view + 0x300, UINT64_MAX);
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.trap, VECTOR_DB);
    ck_assert_uint_eq(out.rip, harness.code + 3);
    ck_assert_uint_eq(load_le64(harness.data_view + 0x300), 0);
    ck_assert_uint_eq(out.rflags & FLAGS_STATUS, FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF);
    ck_assert_uint_eq(out.gpr[15], in.gpr[15]);
}
END_TEST

START_TEST(exceptions_come_out)
{
    SET_UP("\xf7\xf1", 64); /* div ecx */
    in.gpr[CPU_RCX] = 0;
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.trap, VECTOR_DE);
    ck_assert_uint_eq(out.rip, harness.code);
    SET_UP("\x89\x03", 64); /* mov [rbx], eax */
    in.gpr[CPU_RBX] = harness.data_high + 2 * PAGE_BYTES - 2;
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.trap, VECTOR_PF);
    ck_assert_uint_eq(out.error, 7);
    ck_assert_uint_eq(out.cr2, harness.data_high + 2 * PAGE_BYTES);
    SET_UP("\x0f\x0b", 64); /* ud2 */
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.trap, VECTOR_UD);
}
END_TEST

START_TEST(vector_state_goes_in_and_comes_out)
{
    SET_UP("\x0f\x28\xca", 64); /* movaps xmm1, xmm2 */
    struct xsave_layout layout;
    xsave_layout_host(&layout);
    xsave_expand(area_in, &layout, layout.components);
    store_le32(area_in + XSAVE_MXCSR, MXCSR_DEFAULT);
    for (unsigned i = 0; i < 512; i++)
        area_in[XSAVE_XMM + i / 2] = (uint8_t)(i * 7);
    in.xsave = area_in;
    out.xsave = area_out;
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.trap, VECTOR_DB);
    ck_assert_mem_eq(area_out + XSAVE_XMM + 16, area_in + XSAVE_XMM + 32, 16);
    ck_assert_mem_eq(area_out + XSAVE_XMM + 48, area_in + XSAVE_XMM + 48, 208);
}
END_TEST

START_TEST(a_repeat_runs_to_its_end)
{
    SET_UP("\xf3\xa4", 64); /* rep movsb */
    in.gpr[CPU_RCX] = 5;
    in.step_limit = 10;
    memcpy(harness.data_view + 0x600, "hello", 5);
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.rip, harness.code + 2);
    ck_assert_uint_eq(out.gpr[CPU_RCX], 0);
    ck_assert_mem_eq(harness.data_view + 0x700, "hello", 5);
}
END_TEST

START_TEST(narrow_modes_work)
{
    SET_UP("\x40\x89\x03", 32); /* inc eax */
    in.gpr[CPU_RAX] = 0x7fffffff;
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.gpr[CPU_RAX], 0x80000000);
    ck_assert_uint_eq(out.rip, harness.code + 1);
    SET_UP("\x89\x07", 16); /* mov [bx], ax */
    in.gpr[CPU_RAX] = 0x1234;
    in.gpr[CPU_RBX] = NATIVE_DATA_16_OFFSET + 0x10;
    native_run(&harness, &in, &out);
    ck_assert_uint_eq(out.trap, VECTOR_DB);
    ck_assert_uint_eq(load_le16(harness.data_view + 0x10), 0x1234);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, registers_flags_and_memory_come_out);
    test_add(suite, exceptions_come_out);
    test_add(suite, vector_state_goes_in_and_comes_out);
    test_add(suite, a_repeat_runs_to_its_end);
    test_add(suite, narrow_modes_work);
}
