/* SPDX-License-Identifier: MIT
 *
 * The same operation on RAM and on a scratch device with every engine, in ring 0 and ring 3, with run-ahead
 * and without: memory must be the same afterwards. And what it is all for: one exit for a REP, where
 * violations reach us at all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/flat/mmio.h"
#include "include/libvmm.h"
#include "tests/harness.h"

#define DEVICE_GPA   0xd0000000ull
#define RAM_GPA      0x300000ull
#define TARGET_BYTES 8192u
#define RAM_BYTES    (8u << 20)

enum engine {
    ENGINE_RAM,
    ENGINE_KVM,
    ENGINE_TRAP,
    ENGINE_TRAP_NO_AHEAD,
    ENGINE_COALESCED,
    ENGINE_DIRECT,
    ENGINES
};

static const char *const engine_names[] = {"ram",       "kvm",   "trap", "trap without run-ahead",
                                           "coalesced", "direct"};

struct outcome {
    uint8_t target[TARGET_BYTES], buffer[4096];
    struct vmm_end end;
    struct vmm_stats stats;
    uint64_t step;
};

static uint64_t target_gpa(enum engine engine)
{
    return engine == ENGINE_RAM ? RAM_GPA : DEVICE_GPA;
}

/* A device of the test's own: bytes that the test can look at. */
static uint8_t device_bytes[TARGET_BYTES];

static uint64_t device_read(void *context, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    (void)context;
    memcpy(&value, device_bytes + offset, size);
    return value;
}

static void device_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    (void)context;
    memcpy(device_bytes + offset, &value, size);
}

static const struct vmm_region_ops device_ops = {.read = device_read, .write = device_write};

static void print_log(void *context, enum vmm_log_level level, const char *line)
{
    (void)context, (void)level;
    printf("# %s\n", line);
}

static struct vmm *create(enum engine engine)
{
    struct vmm_config config = {
        .ram_bytes = RAM_BYTES,
        .no_run_ahead = engine == ENGINE_TRAP_NO_AHEAD,
        .mmio_engine = engine == ENGINE_TRAP || engine == ENGINE_TRAP_NO_AHEAD ? VMM_MMIO_TRAP : VMM_MMIO_KVM,
        .log = print_log};
    struct vmm *machine;
    struct vmm_error error = {0};
    int result = vmm_create(&config, &machine, &error);
    if (!result)
        result = vmm_add_debug_exit(machine, 0xf4, &error);
    if (!result && (engine == ENGINE_COALESCED || engine == ENGINE_DIRECT)) {
        struct vmm_scratch_config scratch = {.base = DEVICE_GPA,
                                             .len = TARGET_BYTES,
                                             .coalesce = engine == ENGINE_COALESCED,
                                             .direct = engine == ENGINE_DIRECT};
        result = vmm_add_scratch(machine, &scratch, &error);
    } else if (!result && engine != ENGINE_RAM) {
        result = vmm_add_region(machine, VMM_SPACE_MEMORY, "bytes", DEVICE_GPA, TARGET_BYTES, &device_ops,
                                NULL, &error);
    }
    ck_assert_msg(result == 0, "%s", error.message);
    return machine;
}

static void put(struct vmm *machine, uint64_t field, uint64_t value)
{
    ck_assert_int_eq(vmm_mem_write(machine, MMIO_MAILBOX + field, &value, sizeof(value)), 0);
}

static uint64_t get(struct vmm *machine, uint64_t field)
{
    uint64_t value;
    ck_assert_int_eq(vmm_mem_read(machine, MMIO_MAILBOX + field, &value, sizeof(value)), 0);
    return value;
}

static void load(struct vmm *machine, unsigned op, unsigned ring, enum engine engine)
{
    char path[500];
    uint8_t bytes[4096];
    struct vmm_error error = {0};
    const char *dir = getenv("VMM_GUEST_DIR");
    snprintf(path, sizeof(path), "%s/flat/long64-mmio.bin", dir ? dir : GUEST_DIR);
    struct vmm_image image = {.path = path, .flat = VMM_FLAT_LONG64};
    int result = vmm_load(machine, &image, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    put(machine, MMIO_OP, op);
    put(machine, MMIO_RING, ring);
    put(machine, MMIO_COUNT, 2);
    put(machine, MMIO_TARGET, target_gpa(engine));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    ck_assert_int_eq(vmm_mem_write(machine, MMIO_BUFFER, bytes, sizeof(bytes)), 0);
}

static void run(unsigned op, unsigned ring, enum engine engine, struct outcome *outcome)
{
    struct vmm_error error = {0};
    memset(device_bytes, 0, sizeof(device_bytes));
    struct vmm *machine = create(engine);
    load(machine, op, ring, engine);
    int result = vmm_run(machine, &outcome->end, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    vmm_stats_get(machine, &outcome->stats);
    outcome->step = get(machine, MMIO_STEP);
    ck_assert_int_eq(vmm_mem_read(machine, MMIO_BUFFER, outcome->buffer, sizeof(outcome->buffer)), 0);
    memcpy(outcome->target, device_bytes, sizeof(device_bytes));
    if (engine == ENGINE_RAM || engine == ENGINE_DIRECT)
        ck_assert_int_eq(vmm_mem_read(machine, target_gpa(engine), outcome->target, TARGET_BYTES), 0);
    vmm_destroy(machine);
}

/* The host decides whether the guest has AVX and AVX-512. */
static bool is_known_here(unsigned op)
{
    if (op == MMIO_OP_STORE32)
        return __builtin_cpu_supports("avx");
    if (op == MMIO_OP_STORE64 || op == MMIO_OP_MASKED)
        return __builtin_cpu_supports("avx512f");
    return true;
}

static bool is_vector(unsigned op)
{
    return op == MMIO_OP_STORE32 || op == MMIO_OP_STORE64 || op == MMIO_OP_MASKED;
}

static void compare(unsigned op, unsigned ring, enum engine engine, const struct outcome *ram)
{
    struct outcome outcome;
    run(op, ring, engine, &outcome);
    ck_assert_msg(outcome.end.reason == VMM_END_DEBUG_EXIT && outcome.end.value == MMIO_DONE,
                  "op %u in ring %u on %s: %s, value %u, step %llu", op, ring, engine_names[engine],
                  vmm_end_name(outcome.end.reason), outcome.end.value, (unsigned long long)outcome.step);
    /* What the scratch device holds cannot be read from outside; that it ran to the end is what can be seen.
     */
    if (engine != ENGINE_COALESCED)
        ck_assert_msg(memcmp(outcome.target, ram->target, TARGET_BYTES) == 0,
                      "op %u in ring %u: %s differs from RAM", op, ring, engine_names[engine]);
    ck_assert_msg(memcmp(outcome.buffer, ram->buffer, sizeof(ram->buffer)) == 0,
                  "op %u in ring %u: the buffer differs on %s", op, ring, engine_names[engine]);
}

static void compare_engines(unsigned ring)
{
    test_need_kvm();
    for (unsigned op = 0; op < MMIO_OP_COUNT; op++) {
        struct outcome ram;
        if (!is_known_here(op)) {
            printf("# this processor does not know operation %u\n", op);
            continue;
        }
        run(op, ring, ENGINE_RAM, &ram);
        /* QEMU 7.2's software CPU has AVX, but not behind VMRUN. */
        if (is_vector(op) && (ram.end.reason != VMM_END_DEBUG_EXIT || ram.end.value != MMIO_DONE)) {
            printf("# operation %u is not for this host's guests, on RAM neither\n", op);
            continue;
        }
        ck_assert_msg(ram.end.reason == VMM_END_DEBUG_EXIT && ram.end.value == MMIO_DONE,
                      "op %u in ring %u on RAM: %s, value %u, step %llu", op, ring,
                      vmm_end_name(ram.end.reason), ram.end.value, (unsigned long long)ram.step);
        for (enum engine engine = ENGINE_KVM; engine < ENGINES; engine++)
            compare(op, ring, engine, &ram);
    }
}

START_TEST(engines_agree_with_ram_in_ring_0)
{
    compare_engines(0);
}
END_TEST

START_TEST(engines_agree_with_ram_in_ring_3)
{
    compare_engines(3);
}
END_TEST

/* From ring 3 a violation is EFAULT on every KVM that we know. */
START_TEST(a_rep_is_one_exit)
{
    test_need_kvm();
    struct outcome nothing, rep;
    run(MMIO_OP_NOTHING, 3, ENGINE_TRAP, &nothing);
    run(MMIO_OP_REP_MOVSB, 3, ENGINE_TRAP, &rep);
    ck_assert_uint_le(rep.stats.exit_count, nothing.stats.exit_count + 2);
    ck_assert_uint_ge(rep.stats.emulated_count, 1);
}
END_TEST

START_TEST(a_vector_store_is_one_exit)
{
    test_need_kvm();
    struct outcome nothing, store;
    run(MMIO_OP_NOTHING, 3, ENGINE_TRAP_NO_AHEAD, &nothing);
    run(MMIO_OP_STORE16, 3, ENGINE_TRAP_NO_AHEAD, &store);
    ck_assert_uint_eq(store.stats.exit_count, nothing.stats.exit_count + 2);
}
END_TEST

START_TEST(run_ahead_takes_a_burst_in_one_exit)
{
    test_need_kvm();
    struct outcome nothing, burst, single;
    run(MMIO_OP_NOTHING, 3, ENGINE_TRAP, &nothing);
    run(MMIO_OP_BURST, 3, ENGINE_TRAP, &burst);
    run(MMIO_OP_BURST, 3, ENGINE_TRAP_NO_AHEAD, &single);
    ck_assert_uint_le(burst.stats.exit_count, nothing.stats.exit_count + 1);
    ck_assert_uint_eq(single.stats.exit_count, nothing.stats.exit_count + 16);
}
END_TEST

START_TEST(coalesced_writes_need_no_exit)
{
    test_need_kvm();
    struct outcome nothing, stores;
    run(MMIO_OP_NOTHING, 0, ENGINE_COALESCED, &nothing);
    run(MMIO_OP_LOOP, 0, ENGINE_COALESCED, &stores);
    if (!stores.stats.coalesced_count)
        test_skip("this host's KVM collects no writes");
    /* A hardware KVM looks at the first touch of a page more closely, and lets it through. */
    ck_assert_uint_ge(stores.stats.coalesced_count, 126);
    ck_assert_uint_le(stores.stats.exit_count, nothing.stats.exit_count + 2);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, engines_agree_with_ram_in_ring_0, 300);
    test_add_slow(suite, engines_agree_with_ram_in_ring_3, 300);
    test_add(suite, a_rep_is_one_exit);
    test_add(suite, a_vector_store_is_one_exit);
    test_add(suite, run_ahead_takes_a_burst_in_one_exit);
    test_add(suite, coalesced_writes_need_no_exit);
}
