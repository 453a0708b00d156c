/* SPDX-License-Identifier: MIT
 *
 * Selects tests by the words of the command line, runs them, and writes TAP version 13 (a plan, a line for
 * each test, comments).
 */
#include "guest/test.h"

#include "guest/boot_info.h"
#include "guest/clock.h"
#include "guest/virtio.h"

#define TEST(function, name, what)  {name, what, test_##function, false},
#define NAMED(function, name, what) {name, what, test_##function, true},
static const struct test tests[] = {
#include "guest/tests.def"
};
#undef TEST
#undef NAMED

static bool selected[ARRAY_COUNT(tests)];
static bool any_named, all_wanted, times_wanted;

/* Of the test that runs. */
static bool has_failed;
static const char *skip_reason;

void test_fail(const char *file, unsigned line, const char *condition)
{
    has_failed = true;
    print("# %s:%u: not true: %s\n", file, line, condition);
}

void test_fail_equal(const char *file, unsigned line, const char *what, uint64_t actual, uint64_t expected)
{
    has_failed = true;
    print("# %s:%u: %s is %#lx, not %#lx\n", file, line, what, actual, expected);
}

void test_skip(const char *reason)
{
    skip_reason = reason;
}

static bool select_test(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        if (text_equal(tests[i].name, name)) {
            selected[i] = true;
            any_named = true;
            return true;
        }
    }
    return false;
}

static const char *after_prefix(const char *word, const char *prefix)
{
    size_t len = strlen(prefix);
    return memcmp(word, prefix, len) == 0 ? word + len : NULL;
}

/* Decimal digits and nothing else; 0 is no number of CPUs. */
static bool parse_count(const char *text, uint32_t *count)
{
    for (*count = 0; *text >= '0' && *text <= '9' && *count < 100000; text++)
        *count = 10 * *count + (uint32_t)(*text - '0');
    return !*text && *count;
}

/* A word, or an item of tests=. */
static bool select_item(char *item, struct options *options)
{
    const char *value;
    if (text_equal(item, "list"))
        options->list = true;
    else if (text_equal(item, "x2apic"))
        options->x2apic = true;
    else if (text_equal(item, "times"))
        times_wanted = true;
    else if (text_equal(item, "all"))
        all_wanted = true;
    else if (text_equal(item, "bench=blk"))
        options->bench_blk = true;
    else if (text_equal(item, "bench=blk-packed"))
        options->bench_blk = options->bench_packed = true;
    else if ((value = after_prefix(item, "cpus=")))
        return parse_count(value, &options->cpus);
    else if (virtio_is_word(item))
        return true; /* and is read when a device is wanted */
    else
        return select_test(item);
    return true;
}

static bool select_word(char *word, struct options *options)
{
    if (!after_prefix(word, "tests="))
        return select_item(word, options);
    for (char *item = word + strlen("tests="); *item;) {
        char *end = item;
        while (*end && *end != ',')
            end++;
        bool is_last = !*end;
        *end = 0;
        if (*item && !text_equal(item, "all") && !select_test(item)) {
            memcpy(word, item, strlen(item) + 1); /* for the message */
            return false;
        }
        all_wanted |= text_equal(item, "all");
        item = is_last ? end : end + 1;
    }
    return true;
}

bool tests_select(const char *cmdline, struct options *options)
{
    static char word[CMDLINE_BYTES];
    *options = (struct options){0};
    while (*cmdline) {
        size_t len = 0;
        while (cmdline[len] && cmdline[len] != ' ')
            len++;
        memcpy(word, cmdline, len);
        word[len] = 0;
        if (len && !select_word(word, options)) {
            print("Bail out! nothing is called \"%s\"; \"list\" shows the tests\n", word);
            return false;
        }
        cmdline += len + (cmdline[len] == ' ');
    }
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
        selected[i] |= (all_wanted || !any_named) && !tests[i].by_name;
    return true;
}

void tests_list(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
        print("# %-18s %s%s\n", tests[i].name, tests[i].what, tests[i].by_name ? " [only by name]" : "");
    print("1..0\n");
}

unsigned tests_run(void)
{
    unsigned total = 0, number = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
        total += selected[i];
    print("1..%u\n", total);
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        if (!selected[i])
            continue;
        has_failed = false;
        skip_reason = NULL;
        uint64_t start = tsc_read();
        tests[i].run();
        if (times_wanted)
            print("# %s took %lu us\n", tests[i].name, tsc_to_us(tsc_read() - start));
        failed += has_failed;
        skipped += !has_failed && skip_reason;
        print("%sok %u - %s%s%s\n", has_failed ? "not " : "", ++number, tests[i].name,
              skip_reason && !has_failed ? " # SKIP " : "", skip_reason && !has_failed ? skip_reason : "");
    }
    print("# %u passed, %u failed, %u skipped\n", total - failed - skipped, failed, skipped);
    return failed;
}
