/* SPDX-License-Identifier: MIT
 *
 * The CPUID of a vCPU. KVM is this file's: it supports a table that the test makes up.
 */
#include "vcpu/cpuid.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/harness.h"

static struct cpuid_table supported, given;

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    (void)fd;
    va_start(arguments, request);
    struct cpuid_table *table = va_arg(arguments, void *);
    va_end(arguments);
    if (request == KVM_GET_SUPPORTED_CPUID)
        *table = supported;
    else if (request == KVM_SET_CPUID2)
        memcpy(&given, table,
               offsetof(struct cpuid_table, entries) + table->count * sizeof(table->entries[0]));
    else
        ck_abort_msg("an unexpected system call: %#lx", request);
    return 0;
}

static void put(uint32_t leaf, uint32_t subleaf, bool indexed)
{
    supported.entries[supported.count++] = (struct kvm_cpuid_entry2){
        .function = leaf, .index = subleaf, .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0};
}

/* What vCPU 5 of 6 is told. */
static void load_and_set(void)
{
    static struct cpuid_table table;
    struct vcpu vcpu = {.index = 5};
    ck_assert_int_eq(cpuid_load(-1, &table), 0);
    ck_assert_int_eq(cpuid_set(&vcpu, &table, 6, true, NULL), 0);
    free(vcpu.cpuid);
}

static void check_levels(uint32_t leaf)
{
    const struct kvm_cpuid_entry2 *thread = cpuid_find(&given, leaf, 0), *core = cpuid_find(&given, leaf, 1);
    ck_assert_ptr_nonnull(thread);
    ck_assert_ptr_nonnull(core);
    ck_assert_uint_eq(thread->eax, 0);
    ck_assert_uint_eq(thread->ebx, 1);
    ck_assert_uint_eq(thread->ecx, 0x100);
    ck_assert_uint_eq(thread->edx, 5);
    ck_assert_uint_eq(core->eax, 3);
    ck_assert_uint_eq(core->ebx, 6);
    ck_assert_uint_eq(core->ecx, 0x201);
    ck_assert_uint_eq(core->edx, 5);
}

START_TEST(both_levels_of_the_topology_are_there_where_kvm_has_them)
{
    put(0xb, 0, true);
    put(0xb, 1, true);
    put(0xb, 2, true);
    put(0x1f, 0, true);
    put(0x1f, 1, true);
    load_and_set();
    ck_assert_uint_eq(given.count, supported.count);
    check_levels(0xb);
    check_levels(0x1f);
    ck_assert_uint_eq(cpuid_find(&given, 0xb, 2)->ecx, 2); /* of no type: the end */
}
END_TEST

START_TEST(and_where_linux_leaves_them_to_us)
{
    put(0xb, 0, true);
    put(0xd, 0, true);
    put(0x1f, 0, true);
    load_and_set();
    ck_assert_uint_eq(given.count, supported.count + 2);
    check_levels(0xb);
    check_levels(0x1f);
}
END_TEST

START_TEST(a_leaf_that_kvm_does_not_have_is_not_made_up)
{
    put(1, 0, false);
    load_and_set();
    ck_assert_uint_eq(given.count, 1);
    ck_assert_uint_eq(cpuid_find(&given, 1, 0)->ebx >> 16 & 0xff, 6);
    ck_assert_uint_eq(cpuid_find(&given, 1, 0)->ebx >> 24, 5);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, both_levels_of_the_topology_are_there_where_kvm_has_them);
    test_add(suite, and_where_linux_leaves_them_to_us);
    test_add(suite, a_leaf_that_kvm_does_not_have_is_not_made_up);
}
