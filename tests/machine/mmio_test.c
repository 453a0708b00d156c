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

/* What an operation left behind. */
struct outcome {
    uint8_t target[TARGET_BYTES], buffer[4096];
    bool is_done;
};

/* One machine that does one operation after the other. */
struct session {
    struct vmm *machine;
    enum engine engine;
    unsigned op, end_op;      /* the one in progress, and behind the last */
    struct outcome *outcomes; /* MMIO_OP_COUNT */
    struct vmm_end end;
    struct vmm_stats stats;
    uint64_t dirty_bytes; /* of all regions */
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

static void load(struct vmm *machine)
{
    char path[500];
    struct vmm_error error = {0};
    const char *dir = getenv("VMM_GUEST_DIR");
    snprintf(path, sizeof(path), "%s/flat/long64-mmio.bin", dir ? dir : GUEST_DIR);
    struct vmm_image image = {.path = path, .flat = VMM_FLAT_LONG64};
    int result = vmm_load(machine, &image, &error);
    ck_assert_msg(result == 0, "%s", error.message);
}

static bool is_vector(unsigned op)
{
    return op == MMIO_OP_STORE32 || op == MMIO_OP_STORE64 || op == MMIO_OP_MASKED;
}

/* The host decides whether the guest has AVX and AVX-512. */
static bool is_known_here(unsigned op)
{
    if (op == MMIO_OP_STORE32)
        return __builtin_cpu_supports("avx");
    return !is_vector(op) || __builtin_cpu_supports("avx512f");
}

/* Fills the mailbox and the buffer for session->op. The target keeps what the operations before have left. */
static void set_up(struct session *session)
{
    uint8_t bytes[4096];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    put(session->machine, MMIO_OP, session->op);
    put(session->machine, MMIO_COUNT, 2);
    put(session->machine, MMIO_TARGET, target_gpa(session->engine));
    ck_assert_int_eq(vmm_mem_write(session->machine, MMIO_BUFFER, bytes, sizeof(bytes)), 0);
}

/* The guest has done an operation: keeps what it left, and gives it the next. On the vCPU's thread. */
static void next_operation(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct session *session = context;
    struct outcome *outcome = &session->outcomes[session->op];
    (void)offset, (void)size, (void)value;
    outcome->is_done = true;
    vmm_mem_read(session->machine, MMIO_BUFFER, outcome->buffer, sizeof(outcome->buffer));
    memcpy(outcome->target, device_bytes, sizeof(device_bytes));
    if (session->engine == ENGINE_RAM || session->engine == ENGINE_DIRECT)
        vmm_mem_read(session->machine, target_gpa(session->engine), outcome->target, TARGET_BYTES);
    do
        session->op++;
    while (session->op < session->end_op && !is_known_here(session->op));
    put(session->machine, MMIO_MORE, session->op < session->end_op);
    if (session->op < session->end_op)
        set_up(session);
}

static const struct vmm_region_ops next_ops = {.write = next_operation};

static void run(struct session *session, unsigned ring)
{
    struct vmm_error error = {0};
    memset(device_bytes, 0, sizeof(device_bytes));
    session->machine = create(session->engine);
    int result = vmm_add_region(session->machine, VMM_SPACE_PORTS, "next", MMIO_NEXT_PORT, 1, &next_ops,
                                session, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    load(session->machine);
    put(session->machine, MMIO_RING, ring);
    set_up(session);
    result = vmm_run(session->machine, &session->end, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    vmm_stats_get(session->machine, &session->stats);
    struct vmm_region_stat regions[8];
    size_t count = vmm_stats_regions(session->machine, regions, 8);
    session->dirty_bytes = 0;
    for (size_t i = 0; i < count; i++)
        session->dirty_bytes += regions[i].dirty_bytes;
    vmm_destroy(session->machine);
}

/* All operations; where one ends the guest, another guest goes on behind it. */
static void run_all(enum engine engine, unsigned ring, struct outcome outcomes[MMIO_OP_COUNT])
{
    struct session session = {.engine = engine, .end_op = MMIO_OP_COUNT, .outcomes = outcomes};
    memset(outcomes, 0, MMIO_OP_COUNT * sizeof(outcomes[0]));
    while (session.op < MMIO_OP_COUNT) {
        run(&session, ring);
        if (session.op < MMIO_OP_COUNT)
            printf("# operation %u in ring %u ended the guest on %s: %s, value %u\n", session.op, ring,
                   engine_names[engine], vmm_end_name(session.end.reason), session.end.value);
        session.op++;
    }
}

static void compare(unsigned ring, enum engine engine, const struct outcome ram[MMIO_OP_COUNT])
{
    static struct outcome outcomes[MMIO_OP_COUNT];
    run_all(engine, ring, outcomes);
    for (unsigned op = 0; op < MMIO_OP_COUNT; op++) {
        ck_assert_msg(outcomes[op].is_done == ram[op].is_done, "op %u in ring %u: %s on %s", op, ring,
                      outcomes[op].is_done ? "done" : "not done", engine_names[engine]);
        /* What the scratch device holds cannot be read from outside, but operations that load read it back.
         */
        ck_assert_msg(engine == ENGINE_COALESCED ||
                          memcmp(outcomes[op].target, ram[op].target, TARGET_BYTES) == 0,
                      "op %u in ring %u: %s differs from RAM", op, ring, engine_names[engine]);
        ck_assert_msg(memcmp(outcomes[op].buffer, ram[op].buffer, sizeof(ram[op].buffer)) == 0,
                      "op %u in ring %u: the buffer differs on %s", op, ring, engine_names[engine]);
    }
}

static void compare_engines(unsigned ring)
{
    static struct outcome ram[MMIO_OP_COUNT];
    test_need_kvm();
    run_all(ENGINE_RAM, ring, ram);
    /* QEMU 7.2's software CPU has AVX, but not behind VMRUN; everything else every processor has. */
    for (unsigned op = 0; op < MMIO_OP_COUNT; op++)
        ck_assert_msg(ram[op].is_done || is_vector(op), "op %u in ring %u is not done on RAM", op, ring);
    for (enum engine engine = ENGINE_KVM; engine < ENGINES; engine++)
        compare(ring, engine, ram);
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

/* The statistics of a machine that does only `op`, twice. */
static struct session run_session(unsigned op, unsigned ring, enum engine engine)
{
    static struct outcome outcomes[MMIO_OP_COUNT];
    struct session session = {.engine = engine, .op = op, .end_op = op + 1, .outcomes = outcomes};
    run(&session, ring);
    ck_assert_msg(session.end.reason == VMM_END_DEBUG_EXIT && session.end.value == MMIO_DONE,
                  "op %u in ring %u on %s: %s, value %u", op, ring, engine_names[engine],
                  vmm_end_name(session.end.reason), session.end.value);
    return session;
}

static struct vmm_stats run_one(unsigned op, unsigned ring, enum engine engine)
{
    return run_session(op, ring, engine).stats;
}

/* From ring 3 a violation is EFAULT on every KVM that we know. */
START_TEST(a_rep_is_one_exit)
{
    test_need_kvm();
    struct vmm_stats nothing, rep;
    nothing = run_one(MMIO_OP_NOTHING, 3, ENGINE_TRAP);
    rep = run_one(MMIO_OP_REP_MOVSB, 3, ENGINE_TRAP);
    ck_assert_uint_le(rep.exit_count, nothing.exit_count + 2);
    ck_assert_uint_ge(rep.emulated_count, 1);
}
END_TEST

START_TEST(a_vector_store_is_one_exit)
{
    test_need_kvm();
    struct vmm_stats nothing, store;
    nothing = run_one(MMIO_OP_NOTHING, 3, ENGINE_TRAP_NO_AHEAD);
    store = run_one(MMIO_OP_STORE16, 3, ENGINE_TRAP_NO_AHEAD);
    ck_assert_uint_eq(store.exit_count, nothing.exit_count + 2);
}
END_TEST

START_TEST(run_ahead_takes_a_burst_in_one_exit)
{
    test_need_kvm();
    struct vmm_stats nothing, burst, single;
    nothing = run_one(MMIO_OP_NOTHING, 3, ENGINE_TRAP);
    burst = run_one(MMIO_OP_BURST, 3, ENGINE_TRAP);
    single = run_one(MMIO_OP_BURST, 3, ENGINE_TRAP_NO_AHEAD);
    ck_assert_uint_le(burst.exit_count, nothing.exit_count + 1);
    ck_assert_uint_eq(single.exit_count, nothing.exit_count + 16);
}
END_TEST

START_TEST(coalesced_writes_need_no_exit)
{
    test_need_kvm();
    struct vmm_stats nothing, stores;
    nothing = run_one(MMIO_OP_NOTHING, 0, ENGINE_COALESCED);
    stores = run_one(MMIO_OP_LOOP, 0, ENGINE_COALESCED);
    if (!stores.coalesced_count)
        test_skip("this host's KVM collects no writes");
    /* A hardware KVM looks at the first touch of a page more closely, and lets it through. */
    ck_assert_uint_ge(stores.coalesced_count, 126);
    ck_assert_uint_le(stores.exit_count, nothing.exit_count + 2);
}
END_TEST

START_TEST(direct_memory_tells_which_pages_were_written)
{
    test_need_kvm();
    for (unsigned ring = 0; ring <= 3; ring += 3) {
        ck_assert_uint_eq(run_session(MMIO_OP_NOTHING, ring, ENGINE_DIRECT).dirty_bytes, 0);
        ck_assert_uint_eq(run_session(MMIO_OP_LOAD, ring, ENGINE_DIRECT).dirty_bytes, 0);
        ck_assert_uint_eq(run_session(MMIO_OP_REP_STOSD, ring, ENGINE_DIRECT).dirty_bytes, 4096);
        ck_assert_uint_eq(run_session(MMIO_OP_CROSSING, ring, ENGINE_DIRECT).dirty_bytes, 8192);
        /* In ring 0 without hardware virtualization this one is executed in software. */
        ck_assert_uint_eq(run_session(MMIO_OP_CMPXCHG16B, ring, ENGINE_DIRECT).dirty_bytes, 4096);
    }
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, direct_memory_tells_which_pages_were_written);
    test_add_slow(suite, engines_agree_with_ram_in_ring_0, 300);
    test_add_slow(suite, engines_agree_with_ram_in_ring_3, 300);
    test_add(suite, a_rep_is_one_exit);
    test_add(suite, a_vector_store_is_one_exit);
    test_add(suite, run_ahead_takes_a_burst_in_one_exit);
    test_add(suite, coalesced_writes_need_no_exit);
}
