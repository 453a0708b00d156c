/* SPDX-License-Identifier: MIT
 *
 * The host runs out of something at every step of a machine's life: each failure comes with a sentence, and
 * leaves nothing behind.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/api/guests.h"

#define CPUS 4

/* A machine's whole life, as far as it gets. */
static int live(struct vmm_error *error)
{
    const struct vmm_config config = {.ram_bytes = 1 << 20, .cpu_count = CPUS, .timeout_ms = 60000};
    const struct vmm_serial_config serial = {.kind = VMM_SERIAL_PTY};
    const struct vmm_scratch_config scratch = {.base = 0xd0000000, .len = 8192, .direct = true};
    const struct vmm_image image = {.bytes = DEBUG_EXIT("\x07"), .len = 4, .flat = VMM_FLAT_REAL16};
    struct vmm *machine;
    struct vmm_end end;
    int result = vmm_create(&config, &machine, error);
    if (!result)
        result = vmm_add_serial(machine, &serial, error);
    if (!result)
        result = vmm_add_debug_exit(machine, 0xf4, error);
    if (!result)
        result = vmm_add_legacy(machine, error);
    if (!result)
        result = vmm_add_scratch(machine, &scratch, error);
    if (!result)
        result = vmm_load(machine, &image, error);
    if (!result)
        result = vmm_run(machine, &end, error);
    if (!result)
        ck_assert(end.reason == VMM_END_DEBUG_EXIT && end.value == 7);
    vmm_destroy(machine);
    return result;
}

/* Whether it succeeds with at most `limit` of the resource. */
static bool live_with(__rlimit_resource_t resource, rlim_t limit)
{
    struct rlimit before;
    struct vmm_error error = {0};
    unsigned descriptors = test_count_entries("/proc/self/fd");
    ck_assert_int_eq(getrlimit(resource, &before), 0);
    struct rlimit less = {.rlim_cur = limit, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(resource, &less), 0);
    int result = live(&error);
    ck_assert_int_eq(setrlimit(resource, &before), 0);
    ck_assert_msg(result == 0 || (result < 0 && error.code == result && error.message[0]), "%d: %s", result,
                  error.message);
    ck_assert_uint_eq(test_count_entries("/proc/self/fd"), descriptors);
    return result == 0;
}

START_TEST(descriptors_run_out)
{
    test_need_kvm();
    int first = dup(STDERR_FILENO);
    ck_assert_int_ge(first, 0);
    close(first);
    unsigned failures = 0;
    while (!live_with(RLIMIT_NOFILE, (rlim_t)first + failures))
        failures++;
    /* /dev/kvm, the VM and a descriptor for each vCPU at least */
    ck_assert_uint_ge(failures, 2 + CPUS);
    ck_assert_uint_lt(failures, 64);
}
END_TEST

static rlim_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

START_TEST(address_space_runs_out)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("the sanitizer itself ends the program where address space runs out");
#endif
    test_need_kvm();
    rlim_t used = address_space(), more = 0;
    unsigned failures = 0;
    for (; !live_with(RLIMIT_AS, used + more); more += more / 4 + 65536)
        failures++;
    ck_assert_uint_ge(failures, 3);
    ck_assert_uint_lt(more, 1u << 30);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add_slow(suite, descriptors_run_out, 120);
    test_add_slow(suite, address_space_runs_out, 120);
}
