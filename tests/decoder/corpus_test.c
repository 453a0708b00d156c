/* SPDX-License-Identifier: MIT
 *
 * Whole binaries: every executable section of a dozen large packages, swept by three decoders. A sweep goes
 * on at our length, or a byte further where there is no instruction. By default windows of each section are
 * taken, chosen by the seed; VMM_TEST_CASES=0 takes everything, another number that many instructions of each
 * file.
 */
#include "tests/decoder/corpus.h"
#include "tests/decoder/crosscheck.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES 4096

static void sweep(struct crosscheck *check, const uint8_t *bytes, size_t len, size_t until)
{
    for (size_t at = 0; at < until;) {
        unsigned length = crosscheck_bytes(check, bytes + at, len - at, 64, VIEW_INTEL);
        at += length ? length : 1;
    }
}

static void sweep_windows(struct crosscheck *check, const struct corpus_file *file, unsigned long cases,
                          uint64_t *state)
{
    uint64_t until = check->compared + cases, total = 0;
    for (unsigned i = 0; i < file->count; i++)
        total += file->sections[i].len;
    while (check->compared < until && total) {
        uint64_t at = random_next(state) % total;
        unsigned i = 0;
        for (; at >= file->sections[i].len; i++)
            at -= file->sections[i].len;
        size_t rest = file->sections[i].len - at;
        sweep(check, file->sections[i].bytes + at, rest, rest < WINDOW_BYTES ? rest : WINDOW_BYTES);
    }
}

static void sweep_file(struct crosscheck *check, const char *path, unsigned long cases, uint64_t *state)
{
    struct corpus_file file;
    uint64_t before = check->compared, bytes = 0;
    int result = corpus_open(&file, path);
    if (result < 0) {
        printf("# not here: %s (%s)\n", path, strerror(-result));
        return;
    }
    for (unsigned i = 0; i < file.count; i++)
        bytes += file.sections[i].len;
    /* About four bytes to an instruction: a file that small is taken whole. */
    if (!cases || bytes / 4 <= cases)
        for (unsigned i = 0; i < file.count; i++)
            sweep(check, file.sections[i].bytes, file.sections[i].len, file.sections[i].len);
    else
        sweep_windows(check, &file, cases, state);
    printf("# %9llu instructions of %s\n", (unsigned long long)(check->compared - before), path);
    fflush(stdout);
    corpus_close(&file);
}

START_TEST(whole_binaries_agree_or_are_explained)
{
    uint64_t state = test_seed() * 2 + 1;
    unsigned long cases = test_cases(150000);
    struct crosscheck *check = calloc(1, sizeof(*check));
    ck_assert_ptr_nonnull(check);
    for (unsigned i = 0; corpus_paths[i]; i++)
        sweep_file(check, corpus_paths[i], cases, &state);
    if (!check->compared)
        test_skip("none of the binaries is here");
    ck_assert_uint_eq(crosscheck_report(check, stdout), 0);
    free(check);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, whole_binaries_agree_or_are_explained, 7200);
}
