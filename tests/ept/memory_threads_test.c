/* SPDX-License-Identifier: MIT
 *
 * Guest memory gets more ranges while other threads copy: each copy goes where it belongs.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "ept/memory.h"
#include "tests/harness.h"

#define READERS    2
#define ROUNDS     50
#define ROMS       20
#define FIRST_GPA  0xd0000000u
#define MARK_GPA   (PCI_HOLE_END_GPA + 2 * PAGE_BYTES)
#define MARK_VALUE 0x12345678u

struct race {
    struct guest_memory *memory;
    atomic_uint ready;
    atomic_bool is_done;
    atomic_ullong refused, wrong;
};

/* In the last range of RAM, which all ranges that are added lie below. `own_gpa` is this thread's alone. */
static void copy_once(struct race *race, gpa_t own_gpa)
{
    uint32_t value = 0;
    if (guest_mem_read(race->memory, MARK_GPA, &value, sizeof(value)) ||
        guest_mem_write(race->memory, own_gpa, &value, sizeof(value)))
        race->refused++;
    else if (value != MARK_VALUE)
        race->wrong++;
}

static void *copy_all_the_time(void *context)
{
    struct race *race = context;
    gpa_t own_gpa = MARK_GPA + ++race->ready * PAGE_BYTES;
    do
        copy_once(race, own_gpa);
    while (!race->is_done);
    return NULL;
}

/* The rounds are many because a moment's disorder is over soon. */
static void race_once(uint8_t *bytes)
{
    pthread_t threads[READERS];
    struct race race = {0};
    const uint32_t value = MARK_VALUE;
    ck_assert_int_eq(guest_memory_create(5 * GIB, MEMORY_ANONYMOUS, &race.memory, NULL), 0);
    ck_assert_int_eq(guest_mem_write(race.memory, MARK_GPA, &value, sizeof(value)), 0);
    for (unsigned i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, copy_all_the_time, &race), 0);
    while (race.ready < READERS)
        sched_yield();
    for (unsigned i = ROMS; i--;)
        ck_assert_int_eq(guest_memory_add(race.memory, FIRST_GPA + i * MIB, bytes + i * PAGE_BYTES,
                                          PAGE_BYTES, i % 2, NULL),
                         0);
    race.is_done = true;
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(race.refused, 0);
    ck_assert_uint_eq(race.wrong, 0);
    guest_memory_destroy(race.memory);
}

START_TEST(ranges_are_added_under_copies)
{
    uint8_t *bytes = mmap(NULL, ROMS * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0);
    ck_assert_ptr_ne(bytes, MAP_FAILED);
    for (unsigned i = 0; i < ROUNDS; i++)
        race_once(bytes);
    for (unsigned i = 0; i < ROMS * PAGE_BYTES; i++)
        if (bytes[i])
            ck_abort_msg("a write went to %#x of what was added", i);
    munmap(bytes, ROMS * PAGE_BYTES);
}
END_TEST

/* What a caller holds stays true. */
START_TEST(a_range_stays_where_it_is)
{
    static uint8_t page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    struct guest_memory *memory;
    size_t before, after;
    ck_assert_int_eq(guest_memory_create(5 * GIB, MEMORY_ANONYMOUS, &memory, NULL), 0);
    const struct memory_range *ranges = guest_memory_ranges(memory, &before);
    ck_assert_int_eq(guest_memory_add(memory, FIRST_GPA, page, PAGE_BYTES, false, NULL), 0);
    ck_assert_ptr_eq(guest_memory_ranges(memory, &after), ranges);
    ck_assert_uint_eq(after, before + 1);
    ck_assert_uint_eq(ranges[1].gpa, PCI_HOLE_END_GPA);
    ck_assert_uint_eq(ranges[2].gpa, FIRST_GPA);
    guest_memory_destroy(memory);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, ranges_are_added_under_copies);
    test_add(suite, a_range_stays_where_it_is);
}
