/* SPDX-License-Identifier: MIT
 *
 * The table of features. A feature that needs another stands behind it, so that one pass takes out everything
 * that hangs on what was named.
 */
#include "vcpu/features.h"

#include <string.h>

enum cpuid_register { EAX, EBX, ECX, EDX };

/* CPUID leaf, subleaf and register: SDM 2A CPUID, APM 3 appendix E; of KVM's leaf, the kernel's
 * virt/kvm/x86/cpuid. A name may stand in several rows. */
struct feature {
    char name[20];
    char needs[16]; /* "" for nothing */
    uint32_t leaf, subleaf;
    uint8_t reg, bit;
};

#define MASK_LIMIT 192

static const struct feature all_features[] = {
    {"vme", "", 1, 0, EDX, 1},
    {"de", "", 1, 0, EDX, 2},
    {"pse", "", 1, 0, EDX, 3},
    {"tsc", "", 1, 0, EDX, 4},
    {"mce", "", 1, 0, EDX, 7},
    {"cx8", "", 1, 0, EDX, 8},
    {"sep", "", 1, 0, EDX, 11},
    {"mtrr", "", 1, 0, EDX, 12},
    {"pge", "", 1, 0, EDX, 13},
    {"mca", "", 1, 0, EDX, 14},
    {"cmov", "", 1, 0, EDX, 15},
    {"pat", "", 1, 0, EDX, 16},
    {"pse36", "", 1, 0, EDX, 17},
    {"clflush", "", 1, 0, EDX, 19},
    {"mmx", "", 1, 0, EDX, 23},
    {"fxsr", "", 1, 0, EDX, 24},
    {"sse", "fxsr", 1, 0, EDX, 25},
    {"sse2", "sse", 1, 0, EDX, 26},
    {"ss", "", 1, 0, EDX, 27},
    {"arch_perfmon", "", 0xa, 0, EAX, 0}, /* and all else there */
    {"pni", "sse2", 1, 0, ECX, 0},
    {"pclmulqdq", "sse2", 1, 0, ECX, 1},
    {"dtes64", "", 1, 0, ECX, 2},
    {"monitor", "", 1, 0, ECX, 3},
    {"pdcm", "arch_perfmon", 1, 0, ECX, 15},
    {"ssse3", "pni", 1, 0, ECX, 9},
    {"cx16", "", 1, 0, ECX, 13},
    {"pcid", "", 1, 0, ECX, 17},
    {"sse4_1", "ssse3", 1, 0, ECX, 19},
    {"sse4_2", "sse4_1", 1, 0, ECX, 20},
    {"x2apic", "", 1, 0, ECX, 21},
    {"movbe", "", 1, 0, ECX, 22},
    {"popcnt", "", 1, 0, ECX, 23},
    {"tsc_deadline_timer", "", 1, 0, ECX, 24},
    {"aes", "sse2", 1, 0, ECX, 25},
    {"xsave", "fxsr", 1, 0, ECX, 26},
    {"avx", "xsave", 1, 0, ECX, 28},
    {"fma", "avx", 1, 0, ECX, 12},
    {"f16c", "avx", 1, 0, ECX, 29},
    {"rdrand", "", 1, 0, ECX, 30},
    {"hypervisor", "", 1, 0, ECX, 31},
    {"fsgsbase", "", 7, 0, EBX, 0},
    {"tsc_adjust", "", 7, 0, EBX, 1},
    {"bmi1", "", 7, 0, EBX, 3},
    {"hle", "", 7, 0, EBX, 4},
    {"avx2", "avx", 7, 0, EBX, 5},
    {"smep", "", 7, 0, EBX, 7},
    {"bmi2", "", 7, 0, EBX, 8},
    {"erms", "", 7, 0, EBX, 9},
    {"invpcid", "", 7, 0, EBX, 10},
    {"rtm", "", 7, 0, EBX, 11},
    {"mpx", "xsave", 7, 0, EBX, 14},
    {"avx512f", "avx2", 7, 0, EBX, 16},
    {"avx512dq", "avx512f", 7, 0, EBX, 17},
    {"rdseed", "", 7, 0, EBX, 18},
    {"adx", "", 7, 0, EBX, 19},
    {"smap", "", 7, 0, EBX, 20},
    {"avx512ifma", "avx512f", 7, 0, EBX, 21},
    {"clflushopt", "", 7, 0, EBX, 23},
    {"clwb", "", 7, 0, EBX, 24},
    {"avx512pf", "avx512f", 7, 0, EBX, 26},
    {"avx512er", "avx512f", 7, 0, EBX, 27},
    {"avx512cd", "avx512f", 7, 0, EBX, 28},
    {"sha_ni", "sse2", 7, 0, EBX, 29},
    {"avx512bw", "avx512f", 7, 0, EBX, 30},
    {"avx512vl", "avx512f", 7, 0, EBX, 31},
    {"avx512vbmi", "avx512bw", 7, 0, ECX, 1},
    {"umip", "", 7, 0, ECX, 2},
    {"pku", "xsave", 7, 0, ECX, 3},
    {"ospke", "pku", 7, 0, ECX, 4},
    {"waitpkg", "", 7, 0, ECX, 5},
    {"avx512_vbmi2", "avx512bw", 7, 0, ECX, 6},
    {"gfni", "sse2", 7, 0, ECX, 8},
    {"vaes", "avx", 7, 0, ECX, 9},
    {"vpclmulqdq", "avx", 7, 0, ECX, 10},
    {"avx512_vnni", "avx512f", 7, 0, ECX, 11},
    {"avx512_bitalg", "avx512bw", 7, 0, ECX, 12},
    {"avx512_vpopcntdq", "avx512f", 7, 0, ECX, 14},
    {"la57", "", 7, 0, ECX, 16},
    {"rdpid", "", 7, 0, ECX, 22},
    {"bus_lock_detect", "", 7, 0, ECX, 24},
    {"cldemote", "", 7, 0, ECX, 25},
    {"movdiri", "", 7, 0, ECX, 27},
    {"movdir64b", "", 7, 0, ECX, 28},
    {"avx512_4vnniw", "avx512f", 7, 0, EDX, 2},
    {"avx512_4fmaps", "avx512f", 7, 0, EDX, 3},
    {"fsrm", "", 7, 0, EDX, 4},
    {"avx512_vp2intersect", "avx512f", 7, 0, EDX, 8},
    {"md_clear", "", 7, 0, EDX, 10},
    {"serialize", "", 7, 0, EDX, 14},
    {"tsxldtrk", "rtm", 7, 0, EDX, 16},
    {"avx512_fp16", "avx512bw", 7, 0, EDX, 23},
    {"ibrs", "", 7, 0, EDX, 26}, /* Intel's one bit for both; AMD's are apart */
    {"ibpb", "", 7, 0, EDX, 26},
    {"stibp", "", 7, 0, EDX, 27},
    {"flush_l1d", "", 7, 0, EDX, 28},
    {"arch_capabilities", "", 7, 0, EDX, 29},
    {"ssbd", "", 7, 0, EDX, 31},
    {"sha512", "avx2", 7, 1, EAX, 0},
    {"sm3", "avx", 7, 1, EAX, 1},
    {"sm4", "avx", 7, 1, EAX, 2},
    {"avx_vnni", "avx2", 7, 1, EAX, 4},
    {"avx512_bf16", "avx512f", 7, 1, EAX, 5},
    {"cmpccxadd", "", 7, 1, EAX, 7},
    {"fzrm", "", 7, 1, EAX, 10},
    {"fsrs", "", 7, 1, EAX, 11},
    {"fsrc", "", 7, 1, EAX, 12},
    {"avx_ifma", "avx2", 7, 1, EAX, 23},
    {"lam", "", 7, 1, EAX, 26},
    {"avx_vnni_int8", "avx2", 7, 1, EDX, 4},
    {"avx_ne_convert", "avx2", 7, 1, EDX, 5},
    {"avx_vnni_int16", "avx2", 7, 1, EDX, 10},
    {"prefetchiti", "", 7, 1, EDX, 14},
    {"avx10", "avx512f", 7, 1, EDX, 19},
    {"xsaveopt", "xsave", 0xd, 1, EAX, 0},
    {"xsavec", "xsave", 0xd, 1, EAX, 1},
    {"xgetbv1", "xsave", 0xd, 1, EAX, 2},
    {"xsaves", "xsavec", 0xd, 1, EAX, 3},
    {"lahf_lm", "", 0x80000001, 0, ECX, 0},
    {"cmp_legacy", "", 0x80000001, 0, ECX, 1},
    {"extapic", "", 0x80000001, 0, ECX, 3},
    {"cr8_legacy", "", 0x80000001, 0, ECX, 4},
    {"abm", "", 0x80000001, 0, ECX, 5},
    {"sse4a", "pni", 0x80000001, 0, ECX, 6},
    {"misalignsse", "sse", 0x80000001, 0, ECX, 7},
    {"3dnowprefetch", "", 0x80000001, 0, ECX, 8},
    {"osvw", "", 0x80000001, 0, ECX, 9},
    {"ibs", "", 0x80000001, 0, ECX, 10},
    {"xop", "avx", 0x80000001, 0, ECX, 11},
    {"fma4", "avx", 0x80000001, 0, ECX, 16},
    {"tbm", "", 0x80000001, 0, ECX, 21},
    {"topoext", "", 0x80000001, 0, ECX, 22},
    {"perfctr_core", "", 0x80000001, 0, ECX, 23},
    {"perfctr_nb", "", 0x80000001, 0, ECX, 24},
    {"syscall", "", 0x80000001, 0, EDX, 11},
    {"nx", "", 0x80000001, 0, EDX, 20},
    {"mmxext", "", 0x80000001, 0, EDX, 22},
    {"fxsr_opt", "fxsr", 0x80000001, 0, EDX, 25},
    {"pdpe1gb", "", 0x80000001, 0, EDX, 26},
    {"rdtscp", "", 0x80000001, 0, EDX, 27},
    {"3dnow", "mmx", 0x80000001, 0, EDX, 31},
    {"3dnowext", "3dnow", 0x80000001, 0, EDX, 30},
    {"invtsc", "", 0x80000007, 0, EDX, 8},
    {"clzero", "", 0x80000008, 0, EBX, 0},
    {"xsaveerptr", "xsave", 0x80000008, 0, EBX, 2},
    {"wbnoinvd", "", 0x80000008, 0, EBX, 9},
    {"ibpb", "", 0x80000008, 0, EBX, 12},
    {"ibrs", "", 0x80000008, 0, EBX, 14},
    {"stibp", "", 0x80000008, 0, EBX, 15},
    {"ssbd", "", 0x80000008, 0, EBX, 24},
    {"virt_ssbd", "", 0x80000008, 0, EBX, 25},
    {"kvmclock", "", 0x40000001, 0, EAX, 0},
    {"kvm_nopiodelay", "", 0x40000001, 0, EAX, 1},
    {"kvmclock2", "", 0x40000001, 0, EAX, 3},
    {"kvm_asyncpf", "", 0x40000001, 0, EAX, 4},
    {"kvm_steal_time", "", 0x40000001, 0, EAX, 5},
    {"kvm_pv_eoi", "", 0x40000001, 0, EAX, 6},
    {"kvm_pv_unhalt", "", 0x40000001, 0, EAX, 7},
    {"kvm_pv_tlb_flush", "kvm_steal_time", 0x40000001, 0, EAX, 9},
    {"kvm_pv_ipi", "", 0x40000001, 0, EAX, 11},
    {"kvm_poll_control", "", 0x40000001, 0, EAX, 12},
    {"kvm_pv_sched_yield", "kvm_steal_time", 0x40000001, 0, EAX, 13},
    {"kvm_asyncpf_int", "kvm_asyncpf", 0x40000001, 0, EAX, 14},
};

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

static int read_names(const char *text, bool *is_out, struct vmm_error *error)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        if (text[0] != '-')
            return error_set(error, -EINVAL,
                             "CPU: '%.*s' has no - before it: features can be taken out, as by -avx512f, but "
                             "not added to what the host has",
                             (int)len, text);
        if (!mark_feature(text + 1, len - 1, is_out) && !is_impossible(text + 1, len - 1))
            return error_set(error, -EINVAL,
                             "CPU: there is no feature '%.*s' to take out; names are those of /proc/cpuinfo",
                             (int)len - 1, text + 1);
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

/* What would change the meaning of instructions that are executed in software, what the emulator knows
 * nothing of, and what KVM gives to nobody but by a request for permission (tiles). */
static const struct feature impossible[] = {
    {"vmx", "", 1, 0, ECX, 5},
    {"smx", "", 1, 0, ECX, 6},
    {"svm", "", 0x80000001, 0, ECX, 2},
    {"lwp", "", 0x80000001, 0, ECX, 15},
    {"invlpgb", "", 0x80000008, 0, EBX, 3},
    {"rdpru", "", 0x80000008, 0, EBX, 4},
    {"mcommit", "", 0x80000008, 0, EBX, 8},
    {"sgx", "", 7, 0, EBX, 2},
    {"mpx", "", 7, 0, EBX, 14},
    {"shstk", "", 7, 0, ECX, 7},
    {"kl", "", 7, 0, ECX, 23},
    {"enqcmd", "", 7, 0, ECX, 29},
    {"sgx_lc", "", 7, 0, ECX, 30},
    {"uintr", "", 7, 0, EDX, 5},
    {"pconfig", "", 7, 0, EDX, 18},
    {"ibt", "", 7, 0, EDX, 20},
    {"amx_bf16", "", 7, 0, EDX, 22},
    {"amx_tile", "", 7, 0, EDX, 24},
    {"amx_int8", "", 7, 0, EDX, 25},
    {"fred", "", 7, 1, EAX, 17},
    {"amx_fp16", "", 7, 1, EAX, 21},
    {"hreset", "", 7, 1, EAX, 22},
    {"msrlist", "", 7, 1, EAX, 27},
    {"amx_complex", "", 7, 1, EDX, 8},
    {"user_msr", "", 7, 1, EDX, 15},
    {"apx", "", 7, 1, EDX, 21},
};

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

void features_mask_impossible(struct cpuid_table *table)
{
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
