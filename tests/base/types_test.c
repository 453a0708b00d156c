/* SPDX-License-Identifier: MIT
 *
 * Arithmetic that cannot wrap, and error texts.
 */
#include "base/types.h"

#include <string.h>

#include "base/error.h"
#include "tests/harness.h"

START_TEST(range_inside_knows_the_edges)
{
    ck_assert(range_inside(0, 0, 0, 0));
    ck_assert(range_inside(10, 5, 10, 5));
    ck_assert(!range_inside(10, 6, 10, 5));
    ck_assert(!range_inside(9, 1, 10, 5));
    ck_assert(range_inside(15, 0, 10, 5));
    ck_assert(!range_inside(16, 0, 10, 5));
    ck_assert(!range_inside(12, UINT64_MAX, 10, 5));
    ck_assert(range_inside(UINT64_MAX, 1, UINT64_MAX - 1, 2));
}
END_TEST

START_TEST(ranges_overlap_needs_a_shared_byte)
{
    ck_assert(ranges_overlap(0, 10, 9, 1));
    ck_assert(!ranges_overlap(0, 10, 10, 1));
    ck_assert(!ranges_overlap(0, 0, 0, 10));
    ck_assert(ranges_overlap(5, 1, 0, 10));
    ck_assert(ranges_overlap(UINT64_MAX, 1, UINT64_MAX, 1));
}
END_TEST

START_TEST(size_mask_covers_whole_bytes)
{
    ck_assert_uint_eq(size_mask(1), 0xff);
    ck_assert_uint_eq(size_mask(3), 0xffffff);
    ck_assert_uint_eq(size_mask(8), UINT64_MAX);
}
END_TEST

START_TEST(error_text_is_cut_not_overrun)
{
    struct vmm_error error;
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    ck_assert_int_eq(error_set_errno(&error, -ENOENT, "%s", text), -ENOENT);
    ck_assert_uint_eq(strlen(error.message), sizeof(error.message) - 1);
    ck_assert_int_eq(error_set_errno(&error, -ENOENT, "guest.img"), -ENOENT);
    ck_assert_str_eq(error.message, "guest.img: No such file or directory");
    ck_assert_int_eq(error.code, -ENOENT);
    ck_assert_int_eq(error_set(NULL, -EINVAL, "nobody listens"), -EINVAL);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, range_inside_knows_the_edges);
    test_add(suite, ranges_overlap_needs_a_shared_byte);
    test_add(suite, size_mask_covers_whole_bytes);
    test_add(suite, error_text_is_cut_not_overrun);
}
