/* SPDX-License-Identifier: MIT
 *
 * The emulator and the dispatch of exits allocate nothing: the program is linked so that every allocation of
 * ours is counted (ld --wrap).
 */
#include "bench/own.h"

#include <stddef.h>

#include "tests/harness.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);

static unsigned long allocations;

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations++;
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    allocations++;
    return __real_aligned_alloc(align, bytes);
}

START_TEST(executing_and_dispatching_allocate_nothing)
{
    struct own *own;
    ck_assert_int_eq(own_create(&own), 0);
    ck_assert_uint_gt(allocations, 0); /* or nothing is counted */
    for (enum own_operation operation = 0; operation < OWN_COUNT; operation++) {
        struct batch batch;
        const char *reason = NULL;
        own_batch(own, operation, 1, &batch, &reason); /* what is made once is there now */
        allocations = 0;
        bool done = own_batch(own, operation, 100, &batch, &reason);
        unsigned long count = allocations; /* Check allocates, too */
        ck_assert_msg(done || operation == OWN_STORE64, "%s: %s", own_operation_name(operation), reason);
        ck_assert_msg(count == 0, "%s: %lu allocations", own_operation_name(operation), count);
    }
    own_destroy(own);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, executing_and_dispatching_allocate_nothing);
}
