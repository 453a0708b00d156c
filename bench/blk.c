/* SPDX-License-Identifier: MIT
 *
 * `vmm bench blk`: every load on every medium, by the page cache and past it, in turns by a plain io_uring
 * program, by our guest, and by the same guest under QEMU.
 */
#include "bench/blk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/types.h"
#include "bench/benches.h"
#include "bench/blk_medium.h"
#include "bench/facts.h"

#define MEDIUM_LIMIT   8u
#define BYTES_DEFAULT  (64 * MIB)
#define BATCH_NS       20e6
/* bench_measure makes a twentieth of it. */
#define QUICK_BATCH_NS 60e6
#define ROUNDS_MIN     4u /* of the whole queue in a batch, which begins and ends with it empty */
#define WAY_LIMIT      3u

struct blk_bench {
    struct bench_report *report;
    const struct bench_options *options;
    struct blk_medium *media;
    unsigned medium_count;
};

/* As good a place as any that the user has not named; one in memory, one on a disk. */
static const char *const default_paths[] = {"/dev/shm", "/var/tmp"};

/* Two of one kind are told apart by their numbers. */
static void number_kinds(struct blk_bench *bench)
{
    for (unsigned i = 1; i < bench->medium_count; i++) {
        unsigned same = 1;
        for (unsigned j = 0; j < i; j++)
            same += strncmp(bench->media[i].kind, bench->media[j].kind, strcspn(bench->media[j].kind, " ")) ==
                    0;
        if (same > 1) {
            size_t len = strlen(bench->media[i].kind);
            snprintf(bench->media[i].kind + len, sizeof(bench->media[i].kind) - len, " %u", same);
        }
    }
}

int bench_blk_check(const struct bench_blk_options *options, struct vmm_error *error)
{
    if (options->path_count > MEDIUM_LIMIT)
        return error_set(error, -EINVAL, "bench blk: %zu places are too many: %u at most",
                         options->path_count, MEDIUM_LIMIT);
    if (options->bytes && options->bytes < BLK_MEDIUM_BYTES_MIN)
        return error_set(error, -EINVAL, "bench blk: a scratch file has at least %u MiB",
                         (unsigned)(BLK_MEDIUM_BYTES_MIN / MIB));
    return 0;
}

static int open_media(struct blk_bench *bench, struct vmm_error *error)
{
    const struct bench_blk_options *options = &bench->options->blk;
    size_t count = options->path_count ? options->path_count : ARRAY_COUNT(default_paths);
    uint64_t bytes = options->bytes ? options->bytes : BYTES_DEFAULT;
    for (size_t i = 0; i < count; i++) {
        const char *path = options->path_count ? options->paths[i] : default_paths[i];
        struct blk_medium *medium = &bench->media[bench->medium_count];
        int result = blk_medium_open(path, bytes, options->will_write, medium, error);
        if (!result)
            bench->medium_count++;
        else if (options->path_count)
            return result;
        else
            bench_add_missing(bench->report, path, "floor", error->message);
    }
    if (!bench->medium_count)
        return error_set(error, -ENOENT,
                         "bench blk: a place for scratch files is neither /dev/shm nor /var/tmp: "
                         "name one with --disk");
    number_kinds(bench);
    return 0;
}

static void measure_loads(struct blk_bench *bench, const struct blk_medium *medium,
                          const struct blk_setup *setup, const struct bench_way *ways, unsigned way_count)
{
    struct bench_limits limits = bench->options->limits;
    if (!(limits.batch_ns > 0))
        limits.batch_ns = limits.quick ? QUICK_BATCH_NS : BATCH_NS;
    for (unsigned i = 0; i < BLK_LOAD_COUNT; i++) {
        if (setup->is_read_only && blk_loads[i].is_write)
            continue;
        const char *name = bench_keep_name(bench->report, "%s, %s: %s", medium->kind,
                                           setup->is_direct ? "O_DIRECT" : "page cache", blk_loads[i].name);
        limits.count_min = ROUNDS_MIN * blk_loads[i].depth;
        if (bench_wants(bench->options, name, -1))
            bench_measure(bench->report, &limits, name, -1, i, ways, way_count);
    }
}

static bool wants_any(const struct blk_bench *bench, const struct blk_medium *medium, bool is_direct)
{
    char name[200];
    bool wanted = false;
    for (unsigned i = 0; i < BLK_LOAD_COUNT; i++) {
        snprintf(name, sizeof(name), "%s, %s: %s", medium->kind, is_direct ? "O_DIRECT" : "page cache",
                 blk_loads[i].name);
        wanted |= bench_wants(bench->options, name, -1);
    }
    return wanted;
}

static int measure_medium(struct blk_bench *bench, const struct blk_medium *medium, bool is_direct,
                          struct vmm_error *error)
{
    const struct bench_blk_options *options = &bench->options->blk;
    const struct blk_setup setup = {.path = medium->path,
                                    .bytes = medium->bytes,
                                    .is_direct = is_direct,
                                    .is_read_only = medium->fd < 0 && !options->will_write,
                                    .is_polled = options->is_polled,
                                    .is_packed = options->is_packed};
    struct blk_floor *floor = NULL;
    struct blk_vmm *ours = NULL;
    struct blk_qemu *rival = NULL;
    int result = bench_need_kvm(error);
    if (result)
        return result;
    result = blk_floor_create(&setup, &floor);
    if (!result)
        result = blk_vmm_create(&setup, &ours);
    if (!result)
        result = blk_qemu_create(&setup, &rival);
    const struct bench_way ways[WAY_LIMIT] = {
        {"floor", blk_floor_batch, floor}, {"vmm", blk_vmm_batch, ours}, {"qemu", blk_qemu_batch, rival}};
    if (!result)
        measure_loads(bench, medium, &setup, ways, bench->options->against_qemu ? WAY_LIMIT : WAY_LIMIT - 1);
    blk_qemu_destroy(rival);
    blk_vmm_destroy(ours);
    blk_floor_destroy(floor);
    return result ? error_set_errno(error, result, "bench blk: cannot begin") : 0;
}

/* Batches are made as long as the clock has it: one that does not see the disk makes them last for hours. */
static const char *why_no_direct(const struct blk_medium *medium)
{
    if (!medium->has_direct)
        return "this file system has none";
    return bench_clock_counts_instructions()
               ? "the clock here counts instructions and does not see what a disk takes"
               : NULL;
}

static int measure_all(struct blk_bench *bench, struct vmm_error *error)
{
    int result = 0;
    for (unsigned i = 0; !result && i < 2 * bench->medium_count; i++) {
        const struct blk_medium *medium = &bench->media[i / 2];
        bool is_direct = i & 1;
        if (!wants_any(bench, medium, is_direct) || bench_is_interrupted())
            continue;
        const char *reason = is_direct ? why_no_direct(medium) : NULL;
        if (reason)
            bench_add_missing(bench->report, bench_keep_name(bench->report, "%s, O_DIRECT", medium->kind),
                              "floor", reason);
        else
            result = measure_medium(bench, medium, is_direct, error);
    }
    return result;
}

int bench_blk(struct bench_report *report, const struct bench_options *options, struct vmm_error *error)
{
    struct blk_bench bench = {.report = report, .options = options};
    report->bench = "blk";
    int result = bench_blk_check(&options->blk, error);
    if (result)
        return result;
    bench.media = calloc(MEDIUM_LIMIT, sizeof(*bench.media));
    if (!bench.media)
        return error_set_errno(error, -ENOMEM, "bench blk: cannot begin");
    result = open_media(&bench, error);
    if (!result)
        result = measure_all(&bench, error);
    for (unsigned i = 0; i < bench.medium_count; i++)
        blk_medium_close(&bench.media[i]);
    free(bench.media);
    report->interrupted = bench_is_interrupted();
    return result;
}
