/* SPDX-License-Identifier: MIT
 *
 * Taking features out of CPUID.
 */
#include "vcpu/features.h"

#include <string.h>

#include "vcpu/feature_table.h"

_Static_assert(ARRAY_COUNT(all_features) <= MASK_LIMIT, "every feature needs a mark");

static uint32_t *register_of(struct kvm_cpuid_entry2 *entry, unsigned reg)
{
    uint32_t *const registers[] = {
        [EAX] = &entry->eax, [EBX] = &entry->ebx, [ECX] = &entry->ecx, [EDX] = &entry->edx};
    return registers[reg];
}

/* Bits of leaf 1's EDX that AMD's processors repeat in 0x80000001's. */
#define REPEATED 0x0183f3ffu

static void take_out(struct cpuid_table *table, const struct feature *feature)
{
    bool is_repeated = feature->leaf == 1 && feature->reg == EDX && (REPEATED >> feature->bit & 1);
    for (uint32_t i = 0; i < table->count; i++) {
        struct kvm_cpuid_entry2 *entry = &table->entries[i];
        bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (entry->function == feature->leaf && (!indexed || entry->index == feature->subleaf))
            *register_of(entry, feature->reg) &= ~(1u << feature->bit);
        if (is_repeated && entry->function == 0x80000001)
            entry->edx &= ~(1u << feature->bit);
    }
}

static bool is_named(const struct feature *feature, const char *name, size_t len)
{
    return strlen(feature->name) == len && !memcmp(feature->name, name, len);
}

/* Whether there is such a feature: then it is marked. */
static bool mark_feature(const char *name, size_t len, bool *is_out)
{
    bool is_there = false;
    for (size_t i = 0; i < ARRAY_COUNT(all_features); i++)
        if (is_named(&all_features[i], name, len))
            is_there = is_out[i] = true;
    return is_there;
}

static bool is_marked(const char *name, const bool *is_out)
{
    for (size_t i = 0; i < ARRAY_COUNT(all_features); i++)
        if (is_out[i] && is_named(&all_features[i], name, strlen(name)))
            return true;
    return false;
}

static bool is_impossible(const char *name, size_t len);

/* Of /proc/cpuinfo, too, but a guest of ours relies on them, or no bit of CPUID alone says them. */
static bool is_fixed(const char *name, size_t len)
{
    static const char *const names[] = {
        "fpu",     "msr",      "pae",  "apic",      "ht",    "lm",          "constant_tsc",   "nonstop_tsc",
        "npt",     "rep_good", "nopl", "xtopology", "cpuid", "extd_apicid", "tsc_known_freq", "tsc_reliable",
        "vmmcall", "arat"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strlen(names[i]) == len && !memcmp(names[i], name, len))
            return true;
    return false;
}

/* False, with a message, for a feature that cannot be taken out. */
static bool check_name(const char *name, size_t len, struct vmm_error *error)
{
    if (is_impossible(name, len))
        return true;
    if (is_fixed(name, len))
        error_set(error, -EINVAL, "'%.*s' cannot be taken out: every guest has it, or the host alone",
                  (int)len, name);
    else
        error_set(error, -EINVAL,
                  "there is no feature '%.*s' to take out; names are those of /proc/cpuinfo, but not each "
                  "can be taken out",
                  (int)len, name);
    return false;
}

static int read_names(const char *text, bool *is_out, struct vmm_error *error)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        if (text[0] != '-')
            return error_set(error, -EINVAL,
                             "'%.*s' has no - before it: features can be taken out, as by -avx512f, but "
                             "not added to what the host has",
                             (int)len, text);
        if (!mark_feature(text + 1, len - 1, is_out) && !check_name(text + 1, len - 1, error))
            return -EINVAL;
        text += len + (text[len] == ',');
    }
    return 0;
}

/* Without XSAVE there is no state beyond the x87's and SSE's, and without one of its users not theirs. */
static void trim_xsave(struct cpuid_table *table, const bool *is_out)
{
    static const struct {
        char feature[12];
        uint32_t components;
    } users[] = {{"xsave", ~0u}, {"avx", 1 << 2}, {"mpx", 3 << 3}, {"avx512f", 7 << 5}, {"pku", 1 << 9}};
    uint32_t gone = 0;
    for (size_t i = 0; i < ARRAY_COUNT(users); i++)
        if (is_marked(users[i].feature, is_out))
            gone |= users[i].components;
    for (uint32_t i = 0; i < table->count; i++) {
        struct kvm_cpuid_entry2 *entry = &table->entries[i];
        bool is_component = entry->index >= 2 && entry->index < 32;
        if (entry->function != 0xd)
            continue;
        if (entry->index == 0)
            entry->eax &= ~gone;
        if (gone == ~0u || (is_component && (gone >> entry->index & 1)))
            entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
    }
}

/* Leaves that only describe what is not there. */
static void trim_leaves(struct cpuid_table *table, const bool *is_out)
{
    for (uint32_t i = 0; i < table->count; i++) {
        struct kvm_cpuid_entry2 *entry = &table->entries[i];
        bool is_gone = (entry->function == 0xa && is_marked("arch_perfmon", is_out)) ||
                       (entry->function == 0x24 && is_marked("avx10", is_out));
        if (is_gone)
            entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
    }
}

int features_check(const char *text, struct vmm_error *error)
{
    bool is_out[MASK_LIMIT] = {false};
    return text ? read_names(text, is_out, error) : 0;
}

int features_mask(struct cpuid_table *table, const char *text, struct vmm_error *error)
{
    bool is_out[MASK_LIMIT] = {false};
    if (!text || !*text)
        return 0;
    int result = read_names(text, is_out, error);
    if (result)
        return result;
    for (size_t i = 0; i < ARRAY_COUNT(all_features); i++) {
        const char *needs = all_features[i].needs;
        if (needs[0] && is_marked(needs, is_out))
            is_out[i] = true;
        if (is_out[i])
            take_out(table, &all_features[i]);
    }
    trim_xsave(table, is_out);
    trim_leaves(table, is_out);
    return 0;
}

/* Components of XSAVE: MPX, CET, user interrupts, tiles, APX. No supervisor component is left. */
#define IMPOSSIBLE_STATES \
    (1u << 3 | 1u << 4 | 1u << 11 | 1u << 12 | 1u << 14 | 1u << 17 | 1u << 18 | 1u << 19)

/* To name one of them as not wanted is no mistake. */
static bool is_impossible(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_COUNT(impossible); i++)
        if (is_named(&impossible[i], name, len))
            return true;
    return false;
}

/* Leaves that describe them: SGX, tiles, TMUL, Key Locker, PCONFIG, HRESET; SVM, LWP. */
static bool is_impossible_leaf(const struct kvm_cpuid_entry2 *entry)
{
    switch (entry->function) {
    case 0xd:
        return entry->index < 32 && (IMPOSSIBLE_STATES >> entry->index & 1);
    case 0x12:
    case 0x19:
    case 0x1b:
    case 0x1d:
    case 0x1e:
    case 0x20:
    case 0x8000000a:
    case 0x8000001c:
        return true;
    }
    return false;
}

/* AVX10 beyond version 1, which is AVX-512 by another name, is not in the emulator. */
static void limit_avx10(struct kvm_cpuid_entry2 *entry)
{
    if ((entry->ebx & 0xff) > 1)
        entry->ebx = (entry->ebx & ~0xffu) | 1;
}

/* No processor of AMD's has IA32_ARCH_CAPABILITIES. KVMs offer it there all the same, and not each can read
 * it. */
static void mask_foreign(struct cpuid_table *table)
{
    static const struct feature arch_capabilities = {"arch_capabilities", "", 7, 0, EDX, 29};
    if (cpuid_is_amd(table))
        take_out(table, &arch_capabilities);
}

void features_mask_impossible(struct cpuid_table *table)
{
    mask_foreign(table);
    for (size_t i = 0; i < ARRAY_COUNT(impossible); i++)
        take_out(table, &impossible[i]);
    for (uint32_t i = 0; i < table->count; i++) {
        struct kvm_cpuid_entry2 *entry = &table->entries[i];
        if (is_impossible_leaf(entry))
            entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
        if (entry->function == 0xd && entry->index == 0)
            entry->eax &= ~IMPOSSIBLE_STATES;
        if (entry->function == 0xd && entry->index == 1)
            entry->ecx = entry->edx = 0;
        if (entry->function == 0x24 && entry->index == 0)
            limit_avx10(entry);
    }
}

/* KVM_FEATURE_PV_TLB_FLUSH */
static const struct feature deferred_flush = {"kvm_pv_tlb_flush", "", 0x40000001, 0, EAX, 9};

void features_mask_deferred_flush(struct cpuid_table *table)
{
    take_out(table, &deferred_flush);
}

/* KVM_FEATURE_PV_UNHALT, PV_SEND_IPI and PV_SCHED_YIELD */
static const struct feature hypercalls[] = {{"kvm_pv_unhalt", "", 0x40000001, 0, EAX, 7},
                                            {"kvm_pv_send_ipi", "", 0x40000001, 0, EAX, 11},
                                            {"kvm_pv_sched_yield", "", 0x40000001, 0, EAX, 13}};

void features_mask_hypercalls(struct cpuid_table *table)
{
    for (size_t i = 0; i < ARRAY_COUNT(hypercalls); i++)
        take_out(table, &hypercalls[i]);
}
