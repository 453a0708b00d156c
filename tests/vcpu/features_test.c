/* SPDX-License-Identifier: MIT
 *
 * Features taken out of a made-up CPUID that has everything.
 */
#include "vcpu/features.h"

#include <string.h>

#include "tests/harness.h"

static struct cpuid_table table;

static void put(uint32_t leaf, uint32_t subleaf, bool indexed)
{
    table.entries[table.count++] = (struct kvm_cpuid_entry2){
        .function = leaf,
        .index = subleaf,
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = ~0u,
        .ebx = ~0u,
        .ecx = ~0u,
        .edx = ~0u,
    };
}

static void fill(void)
{
    table.count = 0;
    put(1, 0, false);
    put(7, 0, true);
    put(7, 1, true);
    put(0xa, 0, false);
    for (uint32_t i = 0; i < 20; i++)
        put(0xd, i, true);
    put(0x12, 0, true);
    put(0x19, 0, false);
    put(0x1d, 0, true);
    put(0x24, 0, true);
    put(0x80000001, 0, false);
    put(0x80000007, 0, false);
    put(0x80000008, 0, false);
    put(0x8000000a, 0, false);
    put(0x40000001, 0, false);
}

static const struct kvm_cpuid_entry2 *entry(uint32_t leaf, uint32_t subleaf)
{
    return cpuid_find(&table, leaf, subleaf);
}

START_TEST(a_feature_is_one_bit)
{
    fill();
    ck_assert_int_eq(features_mask(&table, "-popcnt,-invtsc", NULL), 0);
    ck_assert_uint_eq(entry(1, 0)->ecx, ~(1u << 23));
    ck_assert_uint_eq(entry(1, 0)->edx, ~0u);
    ck_assert_uint_eq(entry(0x80000007, 0)->edx, ~(1u << 8));
    ck_assert_uint_eq(entry(7, 0)->ebx, ~0u);
}
END_TEST

START_TEST(what_needs_it_goes_too)
{
    fill();
    ck_assert_int_eq(features_mask(&table, "-avx2", NULL), 0);
    ck_assert_uint_eq(entry(1, 0)->ecx, ~0u);
    ck_assert_uint_eq(entry(7, 0)->ebx & (1u << 5 | 1u << 16 | 1u << 17 | 1u << 31), 0);
    ck_assert_uint_eq(entry(7, 0)->ecx & 1u << 1, 0); /* AVX-512 VBMI, by way of AVX-512 BW */
    ck_assert_uint_eq(entry(7, 1)->eax,
                      ~(1u << 0 | 1u << 4 | 1u << 5 | 1u << 23)); /* SHA-512, AVX-IFMA, too */
    ck_assert_uint_eq(entry(7, 1)->edx, ~(1u << 4 | 1u << 5 | 1u << 10 | 1u << 19));
    ck_assert_uint_eq(entry(0x24, 0)->ebx, 0); /* AVX10 */
    ck_assert_uint_eq(entry(0xd, 0)->eax, ~(7u << 5));
    ck_assert_uint_eq(entry(0xd, 5)->eax, 0);
    ck_assert_uint_eq(entry(0xd, 2)->eax, ~0u);
}
END_TEST

START_TEST(a_feature_of_several_bits_goes_whole)
{
    fill();
    ck_assert_int_eq(features_mask(&table, "-mmx,-ibpb,-arch_perfmon", NULL), 0);
    ck_assert_uint_eq(entry(1, 0)->edx, ~(1u << 23));
    ck_assert_uint_eq(entry(0x80000001, 0)->edx, ~(1u << 23 | 3u << 30)); /* repeated there, and 3DNow! */
    ck_assert_uint_eq(entry(7, 0)->edx, ~(1u << 26));
    ck_assert_uint_eq(entry(0x80000008, 0)->ebx, ~(1u << 12));
    ck_assert_uint_eq(entry(0xa, 0)->eax | entry(0xa, 0)->edx, 0);
    ck_assert_uint_eq(entry(1, 0)->ecx, ~(1u << 15));
}
END_TEST

START_TEST(what_no_guest_has_may_be_named)
{
    fill();
    struct cpuid_table before = table;
    ck_assert_int_eq(features_mask(&table, "-vmx,-svm,-sgx,-amx_tile", NULL), 0);
    ck_assert_mem_eq(&table, &before, sizeof(table));
}
END_TEST

START_TEST(without_xsave_there_is_no_state_of_it)
{
    fill();
    ck_assert_int_eq(features_mask(&table, "-xsave", NULL), 0);
    ck_assert_uint_eq(entry(1, 0)->ecx & (1u << 26 | 1u << 28 | 1u << 12 | 1u << 29), 0);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_uint_eq(entry(0xd, i)->eax | entry(0xd, i)->ebx, 0);
    ck_assert_uint_eq(entry(7, 0)->ecx & 3u << 3, 0);
}
END_TEST

START_TEST(nothing_named_is_nothing_taken)
{
    fill();
    struct cpuid_table before = table;
    ck_assert_int_eq(features_mask(&table, NULL, NULL), 0);
    ck_assert_int_eq(features_mask(&table, "", NULL), 0);
    ck_assert_mem_eq(&table, &before, sizeof(table));
}
END_TEST

START_TEST(what_is_not_understood_changes_nothing)
{
    static const char *const texts[][2] = {{"avx", "'avx' has no - before it"},
                                           {"+avx", "'+avx' has no - before it"},
                                           {"-avx,-nonsense", "there is no feature 'nonsense'"},
                                           {"-avx,-fpu", "'fpu' cannot be taken out"},
                                           {"-constant_tsc", "'constant_tsc' cannot be taken out"},
                                           {"-fp", "there is no feature 'fp' to take out"},
                                           {"-avx,,-sse", "'' has no - before it"},
                                           {"-", "there is no feature ''"}};
    fill();
    struct cpuid_table before = table;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct vmm_error error;
        ck_assert_int_eq(features_mask(&table, texts[i][0], &error), -EINVAL);
        ck_assert_msg(strstr(error.message, texts[i][1]) != NULL, "%s", error.message);
        ck_assert_mem_eq(&table, &before, sizeof(table));
    }
}
END_TEST

START_TEST(what_a_guest_cannot_have_is_never_there)
{
    fill();
    features_mask_impossible(&table);
    ck_assert_uint_eq(entry(1, 0)->ecx, ~(3u << 5));
    ck_assert_uint_eq(entry(0x80000001, 0)->ecx, ~(1u << 2 | 1u << 15));
    ck_assert_uint_eq(entry(0x80000008, 0)->ebx, ~(1u << 3 | 1u << 4 | 1u << 8));
    ck_assert_uint_eq(entry(7, 0)->ebx, ~(1u << 2 | 1u << 14));
    ck_assert_uint_eq(entry(7, 0)->ecx, ~(1u << 7 | 1u << 23 | 1u << 29 | 1u << 30));
    ck_assert_uint_eq(entry(7, 0)->edx, ~(1u << 5 | 1u << 18 | 1u << 20 | 1u << 22 | 3u << 24));
    ck_assert_uint_eq(entry(7, 1)->eax, ~(1u << 17 | 3u << 21 | 3u << 26));
    ck_assert_uint_eq(entry(7, 1)->edx, ~(1u << 8 | 1u << 15 | 1u << 21));
    ck_assert_uint_eq(entry(0x24, 0)->ebx, 0xffffff01);
    ck_assert_uint_eq(entry(0xd, 0)->eax, ~(7u << 17 | 3u << 3 | 3u << 11 | 1u << 14));
    ck_assert_uint_eq(entry(0xd, 1)->ecx, 0);
    for (uint32_t i = 11; i < 20; i++)
        ck_assert_uint_eq(entry(0xd, i)->eax, i == 13 || i == 15 || i == 16 ? ~0u : 0);
    ck_assert_uint_eq(entry(0xd, 3)->eax | entry(0xd, 4)->eax, 0);
    ck_assert_uint_eq(entry(0xd, 17)->eax | entry(0x12, 0)->eax | entry(0x19, 0)->eax | entry(0x1d, 0)->eax,
                      0);
    ck_assert_uint_eq(entry(0x8000000a, 0)->edx, 0);
}
END_TEST

START_TEST(a_processor_of_amds_has_no_msr_of_intels)
{
    const unsigned arch_capabilities = 1u << 29;
    fill();
    features_mask_impossible(&table);
    ck_assert(entry(7, 0)->edx & arch_capabilities);
    put(0, 0, false);
    table.entries[table.count - 1].ebx = 0x68747541; /* "Auth" */
    features_mask_impossible(&table);
    ck_assert(!(entry(7, 0)->edx & arch_capabilities));
}
END_TEST

START_TEST(a_vcpu_in_software_is_not_flushed_later)
{
    fill();
    features_mask_deferred_flush(&table);
    ck_assert_uint_eq(entry(0x40000001, 0)->eax, ~(1u << 9));
    ck_assert_uint_eq(entry(0x80000007, 0)->eax, ~0u);
}
END_TEST

START_TEST(hypercalls_that_do_not_come_back_are_not_offered)
{
    fill();
    features_mask_hypercalls(&table);
    ck_assert_uint_eq(entry(0x40000001, 0)->eax, ~(1u << 7 | 1u << 11 | 1u << 13));
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, hypercalls_that_do_not_come_back_are_not_offered);
    test_add(suite, a_feature_is_one_bit);
    test_add(suite, what_needs_it_goes_too);
    test_add(suite, a_feature_of_several_bits_goes_whole);
    test_add(suite, what_no_guest_has_may_be_named);
    test_add(suite, without_xsave_there_is_no_state_of_it);
    test_add(suite, nothing_named_is_nothing_taken);
    test_add(suite, what_is_not_understood_changes_nothing);
    test_add(suite, what_a_guest_cannot_have_is_never_there);
    test_add(suite, a_processor_of_amds_has_no_msr_of_intels);
    test_add(suite, a_vcpu_in_software_is_not_flushed_later);
}
