/* SPDX-License-Identifier: MIT
 *
 * `vmm bench mmio`: each memory operation with each engine, a machine for each engine and ring, and our own
 * time without KVM. The ratio is to engine kvm.
 */
#include <errno.h>
#include <linux/kvm.h>

#include "base/error.h"
#include "base/types.h"
#include "bench/benches.h"
#include "bench/guest.h"
#include "bench/own.h"
#include "guest/flat/mmio.h"

static const struct {
    const char *name;
    unsigned op;
} operations[] = {
    {"empty loop", MMIO_OP_NOTHING},
    {"store of 4 bytes", MMIO_OP_STORE},
    {"load of 4 bytes", MMIO_OP_LOAD},
    {"add to memory", MMIO_OP_ADD},
    {"LOCK XADD", MMIO_OP_LOCK_XADD},
    {"16-byte vector store", MMIO_OP_STORE16},
    {"16-byte vector load", MMIO_OP_LOAD16},
    {"32-byte vector store", MMIO_OP_STORE32},
    {"64-byte vector store", MMIO_OP_STORE64},
    {"REP MOVSB of 4 KiB", MMIO_OP_REP_MOVSB},
    {"REP STOSD of 4 KiB", MMIO_OP_REP_STOSD},
    {"loop of 64 stores", MMIO_OP_LOOP},
    {"burst of 8 register writes", MMIO_OP_BURST},
};

static const struct {
    const char *name;
    enum bench_engine engine;
} engines[] = {
    {"kvm", BENCH_KVM},
    {"trap", BENCH_TRAP},
    {"trap+run-ahead", BENCH_AHEAD},
    {"kvm+coalesced", BENCH_COALESCED},
    {"direct", BENCH_DIRECT},
};

static int measure_ring(struct bench_report *report, const struct bench_options *options, int ring)
{
    struct bench_guest *guests[ARRAY_COUNT(engines)] = {NULL};
    struct bench_way ways[ARRAY_COUNT(engines)];
    int result = 0;
    for (size_t i = 0; !result && i < ARRAY_COUNT(engines); i++) {
        struct bench_guest_config config = {.engine = engines[i].engine, .ring = ring};
        if (engines[i].engine == BENCH_COALESCED)
            config.needs = (struct bench_needs){KVM_CAP_COALESCED_MMIO, "KVM_CAP_COALESCED_MMIO"};
        result = bench_guest_create(&config, &guests[i]);
        ways[i] = (struct bench_way){engines[i].name, bench_guest_batch, guests[i]};
    }
    for (size_t i = 0; !result && i < ARRAY_COUNT(operations); i++)
        if (bench_wants(options, operations[i].name, ring))
            bench_measure(report, &options->limits, operations[i].name, ring, operations[i].op, ways,
                          ARRAY_COUNT(engines));
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++)
        bench_guest_destroy(guests[i]);
    return result;
}

static int measure_own(struct bench_report *report, const struct bench_options *options)
{
    struct own *own;
    int result = own_create(&own);
    if (result)
        return result;
    struct bench_way way = {"emulator", own_batch, own};
    for (enum own_operation operation = 0; operation < OWN_COUNT; operation++)
        if (bench_wants(options, own_operation_name(operation), -1))
            bench_measure(report, &options->limits, own_operation_name(operation), -1, operation, &way, 1);
    own_destroy(own);
    return 0;
}

static bool wants_guests(const struct bench_options *options)
{
    bool is_wanted = false;
    for (size_t i = 0; i < ARRAY_COUNT(operations); i++)
        is_wanted |= bench_wants(options, operations[i].name, 3) ||
                     bench_wants(options, operations[i].name, 0);
    return is_wanted;
}

int bench_mmio(struct bench_report *report, const struct bench_options *options, struct vmm_error *error)
{
    report->bench = "mmio";
    int result = measure_own(report, options);
    if (result)
        return error_set_errno(error, result, "bench mmio: cannot begin");
    if (wants_guests(options))
        result = bench_need_guests(error);
    if (result)
        return result;
    for (int ring = 3; !result && ring >= 0; ring -= 3)
        if (options->ring < 0 || options->ring == ring)
            result = measure_ring(report, options, ring);
    return result ? error_set_errno(error, result, "bench mmio: cannot begin") : 0;
}
