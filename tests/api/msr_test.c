/* SPDX-License-Identifier: MIT
 *
 * MSRs of the program's own: one that KVM knows, one that it does not, and those that a guest is kept from.
 */
#include <errno.h>

#include "base/types.h"
#include "tests/api/guests.h"

#define KNOWN   0x1a0u /* IA32_MISC_ENABLE */
#define UNKNOWN 0xc0de0000u

struct seen {
    uint32_t read_index, write_index;
    uint64_t written;
};

static bool read_msr(void *context, uint32_t index, uint64_t *value)
{
    struct seen *seen = context;
    seen->read_index = index;
    *value = 0x1122334400000029;
    return index != UNKNOWN + 1;
}

static bool write_msr(void *context, uint32_t index, uint64_t value)
{
    struct seen *seen = context;
    seen->write_index = index;
    seen->written = value;
    return true;
}

static const struct vmm_msr_ops both = {.read = read_msr, .write = write_msr};
static const struct vmm_msr_ops neither = {NULL};

/* Reads the MSR, adds 1, writes it back and leaves with AL; #GP leaves with 0x0d. */
#define GUEST(b0, b1, b2, b3)                                   \
    "\xc7\x06\x34\x00\x1c\x7c" /* 7c00 mov word [0x34], 7c1c */ \
    "\xc7\x06\x36\x00\x00\x00" /* 7c06 mov word [0x36], 0 */    \
    "\x66\xb9" b0 b1 b2 b3     /* 7c0c mov ecx, MSR */          \
    "\x0f\x32"                 /* 7c12 rdmsr */                 \
    "\x66\x40"                 /* 7c14 inc eax */               \
    "\x0f\x30"                 /* 7c16 wrmsr */                 \
    "\xe6\xf4"                 /* 7c18 out 0xf4, al */          \
    "\xf4\xf4"                 /* 7c1a */                       \
        DEBUG_EXIT("\x0d")     /* 7c1c */

static struct vmm *create(const char *code, size_t len, uint32_t first, const struct vmm_msr_ops *ops,
                          struct seen *seen)
{
    struct vmm_error error;
    struct vmm *machine = guest_create(NULL, code, len);
    int result = vmm_add_msrs(machine, first, 2, ops, seen, &error);
    if (result == -EOPNOTSUPP) {
        vmm_destroy(machine);
        test_skip("this host's KVM has no MSR filter");
    }
    ck_assert_msg(!result, "%s", error.message);
    return machine;
}

static void check(const char *code, size_t len, uint32_t index)
{
    struct seen seen = {0};
    struct vmm *machine = create(code, len, index, &both, &seen);
    struct vmm_end end = guest_run(machine);
    vmm_destroy(machine);
    ck_assert_int_eq(end.reason, VMM_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.value, 0x2a);
    ck_assert_uint_eq(seen.read_index, index);
    ck_assert_uint_eq(seen.write_index, index);
    ck_assert_uint_eq(seen.written, 0x112233440000002a);
}

START_TEST(an_msr_that_kvm_knows_is_the_programs)
{
    test_need_kvm();
    static const char code[] = GUEST("\xa0", "\x01", "\x00", "\x00");
    check(code, sizeof(code), KNOWN);
}
END_TEST

START_TEST(an_msr_that_nobody_knows_is_the_programs)
{
    test_need_kvm();
    static const char code[] = GUEST("\x00", "\x00", "\xde", "\xc0");
    check(code, sizeof(code), UNKNOWN);
}
END_TEST

START_TEST(what_the_program_refuses_is_a_fault)
{
    test_need_kvm();
    static const char refused[] = GUEST("\x01", "\x00", "\xde", "\xc0");
    static const char kept[] = GUEST("\xa0", "\x01", "\x00", "\x00");
    struct seen seen = {0};
    struct vmm *machine = create(refused, sizeof(refused), UNKNOWN, &both, &seen);
    ck_assert_uint_eq(guest_run(machine).value, 0x0d);
    vmm_destroy(machine);
    ck_assert_uint_eq(seen.read_index, UNKNOWN + 1);
    machine = create(kept, sizeof(kept), KNOWN, &neither, NULL);
    ck_assert_uint_eq(guest_run(machine).value, 0x0d);
    vmm_destroy(machine);
}
END_TEST

START_TEST(ranges_that_cannot_be_are_refused)
{
    test_need_kvm();
    static const char code[] = DEBUG_EXIT("\x01");
    static const struct {
        uint32_t first, count;
        int result;
    } rows[] = {{0, 0, -EINVAL},          {0, 12289, -EINVAL}, {UINT32_MAX, 2, -EINVAL},
                {0x7ff, 2, -EINVAL},      {0x8ff, 1, -EINVAL}, {0xc0000080, 1, -EINVAL},
                {0xc00000ff, 3, -EINVAL}, {0x1a1, 1, -EEXIST}, {0x19f, 2, -EEXIST}};
    struct vmm *machine = create(code, sizeof(code), KNOWN, &both, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct vmm_error error = {0};
        ck_assert_int_eq(vmm_add_msrs(machine, rows[i].first, rows[i].count, &both, NULL, &error),
                         rows[i].result);
        ck_assert_str_ne(error.message, "");
    }
    for (uint32_t i = 1; i < 16; i++)
        ck_assert_int_eq(vmm_add_msrs(machine, UNKNOWN + i, 1, &both, NULL, NULL), 0);
    ck_assert_int_eq(vmm_add_msrs(machine, UNKNOWN + 16, 1, &both, NULL, NULL), -ENOSPC);
    ck_assert_uint_eq(guest_run(machine).value, 1);
    vmm_destroy(machine);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, an_msr_that_kvm_knows_is_the_programs);
    test_add(suite, an_msr_that_nobody_knows_is_the_programs);
    test_add(suite, what_the_program_refuses_is_a_fault);
    test_add(suite, ranges_that_cannot_be_are_refused);
}
