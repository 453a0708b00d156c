/* SPDX-License-Identifier: MIT
 *
 * Golden vectors: what `struct insn` says of an encoding, in full, and a vector for every opcode row. A
 * vector that changes is a decision: vectors_make writes the file anew, and the difference is to be read.
 */
#include "tests/decoder/rows.h"
#include "tests/decoder/text.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *mode, *hex, *text;
} vectors[] = {
#define VECTOR(mode, hex, text) {mode, hex, text},
#include "tests/decoder/vectors.def"
#undef VECTOR
};
#define VECTOR_COUNT ARRAY_COUNT(vectors)

/* Decodes vector `i`; the bytes behind it are zero. */
static enum insn_status decode(size_t i, uint8_t bytes[INSN_BYTES_MAX], struct insn_mode *mode,
                               struct insn *insn)
{
    memset(bytes, 0, INSN_BYTES_MAX);
    ck_assert(mode_parse(vectors[i].mode, mode));
    size_t len = hex_parse(vectors[i].hex, bytes, INSN_BYTES_MAX);
    ck_assert_uint_gt(len, 0);
    return insn_decode(bytes, len, *mode, insn);
}

START_TEST(vectors_decode_as_written)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        uint8_t bytes[INSN_BYTES_MAX];
        struct insn insn;
        struct insn_mode mode;
        char text[512] = "not valid";
        if (decode(i, bytes, &mode, &insn) == INSN_OK)
            insn_text(&insn, text, sizeof(text));
        if (strcmp(text, vectors[i].text) && wrong++ < 20)
            printf("# %s, %s: %s\n#   expected: %s\n", vectors[i].mode, vectors[i].hex, text,
                   vectors[i].text);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(every_row_has_a_vector)
{
    bool *is_covered = calloc(row_count, 1);
    unsigned missing = 0;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        uint8_t bytes[INSN_BYTES_MAX];
        struct insn insn;
        struct insn_mode mode;
        if (decode(i, bytes, &mode, &insn) == INSN_OK)
            for (unsigned row = 0; row < row_count; row++)
                is_covered[row] |= row_matches(&rows[row], &insn, bytes, mode);
    }
    for (unsigned row = 0; row < row_count; row++)
        if (!is_covered[row] && missing++ < 20)
            printf("# no vector: %s\n", rows[row].text);
    printf("# %zu vectors, %u rows\n", VECTOR_COUNT, row_count);
    free(is_covered);
    ck_assert_uint_gt(row_count, 1000);
    ck_assert_uint_eq(missing, 0);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, vectors_decode_as_written, 60);
    test_add_slow(suite, every_row_has_a_vector, 120);
}
