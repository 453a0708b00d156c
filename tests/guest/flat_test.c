/* SPDX-License-Identifier: MIT
 *
 * Every flat guest ends as its opening comment promises.
 */
#include <string.h>

#include "tests/guest/machine.h"
#include "tests/harness.h"

#define SHORT_MS 300

static struct guest_run run;

static const struct expectation {
    const char *name;
    enum vmm_end_reason reason;
    uint32_t value;
    const char *output; /* a beginning; NULL: nothing at all */
    uint64_t ram_bytes; /* 0: 4 MiB */
    unsigned cpu_count; /* 0: 1 */
} expectations[] = {
    {"real16-exit", VMM_END_DEBUG_EXIT, 42, NULL},
    {"real16-exit-wide", VMM_END_DEBUG_EXIT, 0x1234, NULL},
    {"real16-hello", VMM_END_DEBUG_EXIT, 0, "hello from real mode\n"},
    {"prot32-hello", VMM_END_DEBUG_EXIT, 0, "hello from protected mode\n"},
    {"long64-hello", VMM_END_DEBUG_EXIT, 0, "hello from long mode\n"},
    {"real16-halt", VMM_END_HALTED, 0, NULL},
    {"real16-halt-cli", VMM_END_HALTED, 0, NULL},
    {"real16-loop", VMM_END_TIMEOUT, 0, NULL},
    {"long64-loop", VMM_END_TIMEOUT, 0, NULL},
    {"real16-exits", VMM_END_TIMEOUT, 0, NULL},
    {"real16-flood", VMM_END_TIMEOUT, 0, "0123456789abc"},
    {"real16-echo", VMM_END_DEBUG_EXIT, 0, "abcq"},
    {"real16-i8042-reset", VMM_END_RESET, 0, NULL},
    {"real16-port92-reset", VMM_END_RESET, 0, NULL},
    {"real16-post", VMM_END_DEBUG_EXIT, 0, NULL},
    {"real16-strings", VMM_END_DEBUG_EXIT, 0, NULL},
    {"prot32-strings", VMM_END_DEBUG_EXIT, 0, NULL},
    {"long64-strings", VMM_END_DEBUG_EXIT, 0, NULL},
    {"long64-unclaimed", VMM_END_DEBUG_EXIT, 0, NULL},
    {"long64-memory", VMM_END_DEBUG_EXIT, 0, NULL},
    {"long64-popcnt", VMM_END_DEBUG_EXIT, 0, NULL},
    {"long64-edges", VMM_END_DEBUG_EXIT, 0, NULL},
    {"long64-hole", VMM_END_DEBUG_EXIT, 0, NULL, 5ull << 30},
    {"long64-hole", VMM_END_DEBUG_EXIT, 0, NULL, (3ull << 30) + 4096},
    {"real16-ports", VMM_END_DEBUG_EXIT, 0, NULL},
    {"prot32-directed", VMM_END_DEBUG_EXIT, 42, NULL, 0, 2},
    {"prot32-directed", VMM_END_DEBUG_EXIT, 42, NULL, 0, 3},
    {"prot32-nowhere", VMM_END_TRIPLE_FAULT, 0, NULL},
    {"prot32-triple", VMM_END_TRIPLE_FAULT, 0, NULL},
    {"long64-triple", VMM_END_TRIPLE_FAULT, 0, NULL},
    {"long64-invalid", VMM_END_TRIPLE_FAULT, 0, NULL},
};

static void run_flat(const char *name)
{
    char path[100] = "flat/";
    strcat(path, name);
    strcat(path, ".bin");
    run.image = (struct vmm_image){.path = path};
    run.image.flat = name[0] == 'r' ? VMM_FLAT_REAL16 : name[0] == 'p' ? VMM_FLAT_PROT32 : VMM_FLAT_LONG64;
    if (!run.config.ram_bytes)
        run.config.ram_bytes = 4 << 20;
    guest_run(&run);
    run.image.path = name;
}

static void check(const struct expectation *expected)
{
    memset(&run, 0, sizeof(run));
    run.input = "abcq";
    run.config.ram_bytes = expected->ram_bytes;
    run.config.cpu_count = expected->cpu_count;
    if (expected->reason == VMM_END_TIMEOUT)
        run.config.timeout_ms = SHORT_MS;
    run_flat(expected->name);
    ck_assert_msg(run.end.reason == expected->reason && run.end.value == expected->value,
                  "%s ended by %s, value %u: %s", expected->name, vmm_end_name(run.end.reason), run.end.value,
                  run.log);
    const char *output = expected->output ? expected->output : "";
    size_t len = expected->output ? strlen(output) : sizeof(run.output);
    ck_assert_msg(!strncmp(run.output, output, len), "%s wrote \"%.200s\"", expected->name, run.output);
}

#define FOR_EACH(expected, condition)                                     \
    for (const struct expectation *expected = expectations;               \
         expected < expectations + ARRAY_COUNT(expectations); expected++) \
        if (condition)

START_TEST(guests_with_a_value_end_with_it)
{
    FOR_EACH(expected, expected->reason == VMM_END_DEBUG_EXIT)
    check(expected);
}
END_TEST

START_TEST(guests_that_go_on_are_stopped_by_the_time_limit)
{
    FOR_EACH(expected, expected->reason == VMM_END_TIMEOUT)
    check(expected);
}
END_TEST

START_TEST(a_reset_and_a_halt_end_the_run)
{
    FOR_EACH(expected, expected->reason == VMM_END_RESET || expected->reason == VMM_END_HALTED)
    check(expected);
}
END_TEST

START_TEST(a_triple_fault_ends_the_run)
{
    FOR_EACH(expected, expected->reason == VMM_END_TRIPLE_FAULT)
    check(expected);
}
END_TEST

/* With an interrupt controller HLT waits for interrupts, of which none comes. */
START_TEST(a_halted_guest_is_stopped_by_the_time_limit)
{
    run.config.irqchip = VMM_IRQCHIP_KERNEL;
    run.config.timeout_ms = SHORT_MS;
    run_flat("real16-halt");
    ck_assert_int_eq(run.end.reason, VMM_END_TIMEOUT);
}
END_TEST

/* A KVM without hardware virtualization knows no such paging: there, in software, it is hidden from it. */
START_TEST(paging_of_32_bits_reaches_the_controllers)
{
    struct vmm_host host;
    vmm_host_probe(&host);
    if (host.flavour == VMM_KVM_SOFTWARE)
        run.config.ring0_engine = VMM_RING0_SOFTWARE;
    run.config.irqchip = VMM_IRQCHIP_KERNEL;
    run_flat("prot32-paged");
    ck_assert_msg(run.end.reason == VMM_END_DEBUG_EXIT && run.end.value == 42, "ended by %s, value %u: %s",
                  vmm_end_name(run.end.reason), run.end.value, run.log);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, paging_of_32_bits_reaches_the_controllers);
    test_add_slow(suite, guests_with_a_value_end_with_it, 60);
    test_add_slow(suite, guests_that_go_on_are_stopped_by_the_time_limit, 60);
    test_add_slow(suite, a_reset_and_a_halt_end_the_run, 60);
    test_add_slow(suite, a_triple_fault_ends_the_run, 60);
    test_add(suite, a_halted_guest_is_stopped_by_the_time_limit);
}
