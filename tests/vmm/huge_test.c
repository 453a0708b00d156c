/* SPDX-License-Identifier: MIT
 *
 * `--mem-backing huge`: RAM from the host's pool of huge pages, and its refusal where the pool is too small.
 * The pool is the test's own in the nested lane alone; elsewhere it is left as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/vmm/program.h"

#define RUN     "run --mem 64M --mem-backing huge --flat real16 flat/real16-exit.bin"
#define NEEDED  32u /* of 2 MiB */
#define SETTING "/proc/sys/vm/nr_hugepages"

static struct program_run run;

static unsigned pool_free(void)
{
    unsigned pages = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "HugePages_Free: %u", &pages) == 1)
            break;
    if (file)
        fclose(file);
    return pages;
}

/* What the kernel could give; it may be less. */
static unsigned pool_set(unsigned pages)
{
    const char *lane = getenv("VMM_TEST_LANE");
    if (lane && !strcmp(lane, "nested")) {
        FILE *file = fopen(SETTING, "w");
        if (file) {
            fprintf(file, "%u\n", pages);
            fclose(file);
        }
    }
    return pool_free();
}

START_TEST(ram_of_huge_pages)
{
    test_need_kvm();
    unsigned pages = pool_set(NEEDED);
    if (pages < NEEDED)
        test_skip("the pool has %u free huge pages, not %u: set " SETTING, pages, NEEDED);
    program_run(RUN, &run);
    unsigned after = pool_free();
    pool_set(0);
    ck_assert_msg(run.status == 85 && !*run.err, "status %d, said\n%s", run.status, run.err);
    ck_assert_uint_eq(after, pages); /* all of them were given back */
}
END_TEST

START_TEST(a_pool_that_is_too_small)
{
    test_need_kvm();
    unsigned pages = pool_set(NEEDED - 1);
    if (pages >= NEEDED)
        test_skip("the pool has %u free huge pages, which are enough", pages);
    program_run(RUN, &run);
    pool_set(0);
    ck_assert_int_eq(run.status, 4);
    ck_assert_msg(strstr(run.err, "the host's pool has not 32 huge pages of 2M"), "said\n%s", run.err);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, ram_of_huge_pages);
    test_add(suite, a_pool_that_is_too_small);
}
