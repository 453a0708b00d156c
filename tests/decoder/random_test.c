/* SPDX-License-Identifier: MIT
 *
 * Random encodings, legal and illegal, to three decoders. VMM_TEST_CASES encodings of each mode and vendor,
 * VMM_TEST_SEED to repeat a run, VMM_TEST_EXAMPLES to see more of what no class explains.
 */
#include "tests/decoder/crosscheck.h"
#include "tests/harness.h"

#include <stdlib.h>

static void check_mode(int mode)
{
    uint64_t state = test_seed() * 2 + 1;
    unsigned long cases = test_cases(1000000);
    struct crosscheck *check = calloc(1, sizeof(*check));
    ck_assert_ptr_nonnull(check);
    for (unsigned long i = 0; i < cases; i++) {
        uint8_t bytes[16];
        random_encoding(&state, mode, bytes);
        crosscheck_bytes(check, bytes, 15, mode, i & 1 ? VIEW_AMD : VIEW_INTEL);
    }
    printf("# random encodings, %d-bit:\n", mode);
    ck_assert_uint_eq(crosscheck_report(check, stdout), 0);
    free(check);
}

START_TEST(random_encodings_64)
{
    check_mode(64);
}
END_TEST

START_TEST(random_encodings_32)
{
    check_mode(32);
}
END_TEST

START_TEST(random_encodings_16)
{
    check_mode(16);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, random_encodings_64, 3600);
    test_add_slow(suite, random_encodings_32, 3600);
    test_add_slow(suite, random_encodings_16, 3600);
}
