/* SPDX-License-Identifier: MIT
 *
 * What the memory operands of particular instructions must look like, written by hand from the manuals: sizes
 * that no operand letter says, operands that are not in ModRM, and the rules by which a segment or an address
 * size is chosen. The expectation is what `view_print` makes of our answer.
 */
#include "tests/decoder/text.h"
#include "tests/decoder/view.h"
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

static const struct {
    int mode;
    const char *hex, *expected;
} cases[] = {
    /* ModRM and SIB: SDM 2A 2.1.5, 2.2.1. */
    {64, "488b4308", "ok 4 mov a64 [-:r3+-*0+8 size 8 access r]"},
    {64, "8b0425785634f2", "ok 7 mov a64 [-:-+-*0-231451016 size 4 access r]"},
    {64, "8b0578563412", "ok 6 mov a64 [-:ip8+-*0+305419896 size 4 access r]"},
    {64, "678b0578563412", "ok 7 mov a32 [-:ip4+-*0+305419896 size 4 access r]"},
    {64, "8b0424", "ok 3 mov a64 [-:r4+-*0+0 size 4 access r]"},
    {64, "428b0420", "ok 4 mov a64 [-:r0+r12*1+0 size 4 access r]"},
    {64, "8b6cc540", "ok 4 mov a64 [-:r5+r0*8+64 size 4 access r]"},
    {64, "418b4500", "ok 4 mov a64 [-:r13+-*0+0 size 4 access r]"},
    {64, "648b042528000000", "ok 8 mov a64 [f:-+-*0+40 size 4 access r]"},
    {64, "658b04252e000000", "ok 8 mov a64 [g:-+-*0+46 size 4 access r]"},
    {64, "2e8b00", "ok 3 mov a64 [-:r0+-*0+0 size 4 access r]"},
    {64, "64368b00", "ok 4 mov a64 [f:r0+-*0+0 size 4 access r]"},
    {32, "8b4500", "ok 3 mov a32 [s:d5+-*0+0 size 4 access r]"},
    {32, "8b0424", "ok 3 mov a32 [s:d4+-*0+0 size 4 access r]"},
    {32, "8b0528000000", "ok 6 mov a32 [d:-+-*0+40 size 4 access r]"},
    {32, "2e8b4500", "ok 4 mov a32 [c:d5+-*0+0 size 4 access r]"},
    {32, "678b42fe", "ok 4 mov a16 [s:w5+w6*1-2 size 4 access r]"},
    {16, "8b00", "ok 2 mov a16 [d:w3+w6*1+0 size 2 access r]"},
    {16, "8b4600", "ok 3 mov a16 [s:w5+-*0+0 size 2 access r]"},
    {16, "8b0efeff", "ok 4 mov a16 [d:-+-*0-2 size 2 access r]"},
    {16, "67668b0485fcffffff", "ok 9 mov a32 [d:-+d0*4-4 size 4 access r]"},
    /* moffs: as long as the address size. */
    {64, "a08877665544332211", "ok 9 mov a64 [-:-+-*0+1234605616436508552 size 1 access r]"},
    {64, "67a344332211", "ok 6 mov a32 [-:-+-*0+287454020 size 4 access w]"},
    {16, "26a1feff", "ok 4 mov a16 [e:-+-*0-2 size 2 access r]"},
    /* Strings: the destination is always ES. */
    {64, "48a5", "ok 2 movsq a64 [-:r7+-*0+0 size 8 access w] [-:r6+-*0+0 size 8 access r]"},
    {32, "64a4", "ok 2 movsb a32 [e:d7+-*0+0 size 1 access w] [f:d6+-*0+0 size 1 access r]"},
    {32, "f3ab", "ok 2 stosd a32 [e:d7+-*0+0 size 4 access w]"},
    {16, "67ac", "ok 2 lodsb a32 [d:d6+-*0+0 size 1 access r]"},
    {64, "66af", "ok 2 scasw a64 [-:r7+-*0+0 size 2 access r]"},
    {64, "6d", "ok 1 insd a64 [-:r7+-*0+0 size 4 access w]"},
    {64, "486f", "ok 2 outsd a64 [-:r6+-*0+0 size 4 access r]"},
    {64, "d7", "ok 1 xlatb a64 [-:r3+b0*1+0 size 1 access r]"},
    {64, "660ff7c1", "ok 4 maskmovdqu a64 [-:r7+-*0+0 size 16 access w]"},
    /* Sizes. */
    {64, "8d4304", "ok 3 lea a64 [-:r3+-*0+4 size 0 access a]"},
    {64, "0f1f440000", "ok 5 nop a64 [-:r0+r0*1+0 size 0 access ]"},
    {64, "0f1808", "ok 3 prefetcht0 a64 [-:r0+-*0+0 size 0 access ]"},
    {64, "0fae38", "ok 3 clflush a64 [-:r0+-*0+0 size 0 access ]"},
    {64, "0f0138", "ok 3 invlpg a64 [-:r0+-*0+0 size 0 access ]"},
    {64, "0f0100", "ok 3 sgdt a64 [-:r0+-*0+0 size 10 access w]"},
    {32, "0f0118", "ok 3 lidt a32 [d:d0+-*0+0 size 6 access r]"},
    {64, "0fa308", "ok 3 bt a64 [-:r0+-*0+0 size 4 access r]"},
    {64, "480fab08", "ok 4 bts a64 [-:r0+-*0+0 size 8 access rw]"},
    {64, "d930", "ok 2 fnstenv a64 [-:r0+-*0+0 size 28 access w]"},
    {64, "66d920", "ok 3 fldenv a64 [-:r0+-*0+0 size 14 access r]"},
    {64, "dd30", "ok 2 fnsave a64 [-:r0+-*0+0 size 108 access w]"},
    {64, "66dd20", "ok 3 frstor a64 [-:r0+-*0+0 size 94 access r]"},
    {64, "0fae00", "ok 3 fxsave a64 [-:r0+-*0+0 size 512 access w]"},
    {64, "db28", "ok 2 fld a64 [-:r0+-*0+0 size 10 access r]"},
    {64, "0fc708", "ok 3 cmpxchg8b a64 [-:r0+-*0+0 size 8 access rw]"},
    {64, "f0480fc708", "ok 5 lock cmpxchg16b a64 [-:r0+-*0+0 size 16 access rw]"},
    {64, "48ff28", "ok 3 jmp a64 [-:r0+-*0+0 size 10 access r]"},
    {32, "ff28", "ok 2 jmp a32 [d:d0+-*0+0 size 6 access r]"},
    {16, "6200", "ok 2 bound a16 [d:w3+w6*1+0 size 4 access r]"},
    {64, "660f3a140801", "ok 6 pextrb a64 [-:r0+-*0+0 size 1 access w]"},
    /* AVX: masks leave the size alone; broadcasts and gathers count one element; disp8 is scaled. */
    {64, "c5fd6f00", "ok 4 vmovdqa a64 [-:r0+-*0+0 size 32 access r]"},
    {64, "c5fb1000", "ok 4 vmovsd a64 [-:r0+-*0+0 size 8 access r]"},
    {64, "c4e27918407f", "ok 6 vbroadcastss a64 [-:r0+-*0+127 size 4 access r]"},
    {64, "62f17c48584001", "ok 7 vaddps a64 [-:r0+-*0+64 size 64 access r]"},
    {64, "62f17c58584001", "ok 7 vaddps a64 [-:r0+-*0+4 size 4 access r]"},
    {64, "62f1fd59584001", "ok 7 vaddpd a64 [-:r0+-*0+8 size 8 access r]"},
    {64, "62f17e49100401", "ok 7 vmovss a64 [-:r1+r0*1+0 size 4 access r]"},
    {64, "62f17d497f4001", "ok 7 vmovdqa32 a64 [-:r0+-*0+64 size 64 access w]"},
    {64, "62f27d49925c0801", "ok 8 vgatherdps a64 [-:r0+zmm1*1+4 size 4 access r]"},
    {64, "62f2fd49a25c0801", "ok 8 vscatterdpd a64 [-:r0+ymm1*1+8 size 8 access w]"},
    {64, "c4e2e9905c0801", "ok 7 vpgatherdq a64 [-:r0+xmm1*1+1 size 8 access r]"},
    /* LOCK: only where it is legal, only with memory. */
    {64, "f00108", "ok 3 lock add a64 [-:r0+-*0+0 size 4 access rw]"},
    {64, "f001c8", "invalid"},
    {64, "f08b08", "invalid"},
    {64, "f03908", "invalid"},
    /* Opcodes by mode. */
    {64, "06", "invalid"},
    {64, "c5f877", "ok 3 vzeroupper a64"},
    {64, "f3c5f877", "invalid"},
    {64, "48c5f877", "invalid"},
    {32, "c500", "ok 2 lds a32 [d:d0+-*0+0 size 6 access r]"},
    {16, "c400", "ok 2 les a16 [d:w3+w6*1+0 size 4 access r]"},
    {64, "0f0b", "ok 2 ud2 a64"},
    {64, "66480f38f800", "ok 6 movdir64b a64 [-:r0+-*0+0 size 64 access w] [-:r0+-*0+0 size 64 access r]"},
};

START_TEST(memory_operands_are_as_the_manual_says)
{
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[INSN_BYTES_MAX];
        char text[300];
        struct view view;
        size_t len = hex_parse(cases[i].hex, bytes, sizeof(bytes));
        ck_assert_uint_gt(len, 0);
        view_ours(&view, bytes, len, cases[i].mode, VIEW_INTEL);
        view_print(&view, text, sizeof(text));
        if (strcmp(text, cases[i].expected))
            printf("# %s, %d-bit: %s; expected: %s\n", cases[i].hex, cases[i].mode, text, cases[i].expected);
    }
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[INSN_BYTES_MAX];
        char text[300];
        struct view view;
        view_ours(&view, bytes, hex_parse(cases[i].hex, bytes, sizeof(bytes)), cases[i].mode, VIEW_INTEL);
        ck_assert_str_eq(view_print(&view, text, sizeof(text)), cases[i].expected);
    }
}
END_TEST

/* Vendor differences: APM 3, "Differences between long mode and legacy mode"; SDM 2A, the instructions'
 * pages. */
START_TEST(vendors_differ)
{
    static const struct {
        int mode;
        const char *hex, *intel, *amd;
    } rows[] = {
        /* 66 with a near branch in 64-bit code: Intel ignores it, AMD takes it. */
        {64, "66e801020304", "ok 6 call a64", "ok 4 call a64"},
        {64, "660f8401020304", "ok 7 je a64", "ok 5 je a64"},
        /* 0F 0D with a register: a NOP for Intel. */
        {64, "0f0dc0", "ok 3 nop a64", "invalid"},
        /* LOCK MOV CR0 is CR8 for AMD. */
        {32, "f00f20c0", "invalid", "ok 4 lock mov a32"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[INSN_BYTES_MAX];
        char text[300];
        struct view view;
        size_t len = hex_parse(rows[i].hex, bytes, sizeof(bytes));
        view_ours(&view, bytes, len, rows[i].mode, VIEW_INTEL);
        ck_assert_str_eq(view_print(&view, text, sizeof(text)), rows[i].intel);
        view_ours(&view, bytes, len, rows[i].mode, VIEW_AMD);
        ck_assert_str_eq(view_print(&view, text, sizeof(text)), rows[i].amd);
    }
}
END_TEST

/* Encodings that Intel's APX specification and LLVM's tests give; no library here knows them. */
START_TEST(apx_is_as_published)
{
    static const struct {
        const char *hex, *mnemonic;
        uint8_t base, index;
        int64_t disp;
    } rows[] = {
        {"62ecec1001417b", "add", 17, INSN_REG_NONE, 123},
        {"62ecec102b487b", "sub", 16, INSN_REG_NONE, 123},
        {"62fcf41083507b7f", "adc", 16, INSN_REG_NONE, 123},
        {"62fcfc0cf7587b", "neg", 16, INSN_REG_NONE, 123},
        {"62fb794819040801", "vextractf32x4", 16, 17, 0},
        {"628a6900e6b4ac23010000", "cmpbexadd", 28, 29, 291},
        {"628ae000f5bcac23010000", "bzhi", 28, 29, 291},
        {"d590af1c00", "imul", 16, 0, 0},
        {"d512882c30", "mov", 16, 14, 0},
        {"d5a0940400", "sete", 0, 16, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[INSN_BYTES_MAX];
        struct insn insn;
        struct insn_mode mode;
        ck_assert(mode_parse("64 apx", &mode));
        size_t len = hex_parse(rows[i].hex, bytes, sizeof(bytes));
        ck_assert_msg(insn_decode(bytes, len, mode, &insn) == INSN_OK, "%s", rows[i].hex);
        ck_assert_uint_eq(insn.length, len);
        ck_assert_str_eq(insn_mnemonic(&insn), rows[i].mnemonic);
        ck_assert_uint_eq(insn.base, rows[i].base);
        ck_assert_uint_eq(insn.index, rows[i].index);
        ck_assert_int_eq(insn.disp, rows[i].disp);
        ck_assert_int_eq(insn_decode(bytes, len, insn_mode(64), &insn), INSN_INVALID);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, apx_is_as_published);
    test_add(suite, memory_operands_are_as_the_manual_says);
    test_add(suite, vendors_differ);
}
