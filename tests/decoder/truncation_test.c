/* SPDX-License-Identifier: MIT
 *
 * What a decoder does with too few bytes, and with too many: NEED_BYTES at every cut of every valid encoding,
 * the same answer whatever follows, and never a read past the end.
 */
#include "decoder/insn.h"
#include "tests/decoder/anatomy.h"
#include "tests/decoder/edge.h"
#include "tests/decoder/text.h"
#include "tests/harness.h"

#include <stdio.h>

struct golden {
    const char *mode, *hex;
};

static const struct golden vectors[] = {
#define VECTOR(mode, hex, text) {mode, hex},
#include "tests/decoder/vectors.def"
#undef VECTOR
};

static const char *describe(const uint8_t *bytes, size_t len)
{
    static char text[64];
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

/* Check writes a mark for each assertion, so they are made only where one fails. */
static void complain(const uint8_t *bytes, size_t len, size_t cut, struct insn_mode mode,
                     enum insn_status status)
{
    ck_abort_msg("%s cut to %zu (%u-bit): status %d", describe(bytes, len), cut, mode.bits, (int)status);
}

static void check_cuts(uint8_t *edge, const uint8_t *bytes, unsigned length, struct insn_mode mode)
{
    struct insn insn;
    for (unsigned len = 0; len <= length; len++) {
        enum insn_status status = insn_decode(edge_place(edge, bytes, len), len, mode, &insn);
        if (status != (len < length ? INSN_NEED_BYTES : INSN_OK))
            complain(bytes, length, len, mode, status);
    }
    if (insn.length != length)
        complain(bytes, length, length, mode, INSN_OK);
}

START_TEST(golden_vectors_cut_anywhere_need_bytes)
{
    uint8_t *edge = edge_create();
    ck_assert_ptr_nonnull(edge);
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct insn_mode mode;
        uint8_t bytes[INSN_BYTES_MAX];
        ck_assert(mode_parse(vectors[i].mode, &mode));
        size_t len = hex_parse(vectors[i].hex, bytes, sizeof(bytes));
        check_cuts(edge, bytes, (unsigned)len, mode);
    }
}
END_TEST

/* A cut of anything, valid or not, is NEED_BYTES or already the final answer; and more bytes never change it.
 */
static void check_any(uint8_t *edge, const uint8_t bytes[16], struct insn_mode mode)
{
    struct insn insn;
    enum insn_status final = insn_decode(edge_place(edge, bytes, 16), 16, mode, &insn);
    unsigned length = final == INSN_OK ? insn.length : 0;
    if (final == INSN_OK)
        check_cuts(edge, bytes, length, mode);
    if (final == INSN_NEED_BYTES)
        complain(bytes, 16, 16, mode, final);
    for (unsigned len = 0; len < 16 && final != INSN_OK; len++) {
        enum insn_status status = insn_decode(edge_place(edge, bytes, len), len, mode, &insn);
        if (status != INSN_NEED_BYTES && status != final)
            complain(bytes, 16, len, mode, status);
    }
}

START_TEST(random_encodings_cut_anywhere)
{
    uint64_t state = test_seed() * 2 + 1;
    unsigned long cases = test_cases(1000000);
    uint8_t *edge = edge_create();
    ck_assert_ptr_nonnull(edge);
    for (unsigned long i = 0; i < cases; i++) {
        struct insn_mode mode = insn_mode(16u << i % 3);
        uint8_t bytes[16];
        mode.vendor = i / 3 % 2 ? INSN_AMD : INSN_INTEL;
        mode.real = mode.bits != 64 && i % 8 == 7;
        if (i % 5 == 4)
            mode.features = (uint16_t)(random_next(&state) % (2 * INSN_FEATURE_KNC));
        random_encoding(&state, mode.bits, bytes);
        check_any(edge, bytes, mode);
    }
}
END_TEST

/* Fifteen bytes are an instruction, sixteen are not. */
START_TEST(length_limit_is_fifteen)
{
    uint8_t bytes[20];
    struct insn insn;
    for (unsigned prefixes = 0; prefixes < 19; prefixes++) {
        memset(bytes, 0x66, sizeof(bytes));
        bytes[prefixes] = 0x90;
        enum insn_status want = prefixes + 1 <= 15 ? INSN_OK : INSN_TOO_LONG;
        ck_assert_int_eq(insn_decode(bytes, prefixes + 1, insn_mode(64), &insn), want);
        if (want == INSN_OK)
            ck_assert_uint_eq(insn.length, prefixes + 1);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, golden_vectors_cut_anywhere_need_bytes, 60);
    test_add_slow(suite, random_encodings_cut_anywhere, 3600);
    test_add(suite, length_limit_is_fifteen);
}
