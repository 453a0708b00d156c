/* SPDX-License-Identifier: MIT
 *
 * CPUID for the guest.
 */
#include "vcpu/cpuid.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define LEAF1_ECX_X2APIC       (1u << 21)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF1_EDX_APIC         (1u << 9)
#define LEAF1_EDX_HTT          (1u << 28)

#define LEVEL_TYPE_SMT  1u
#define LEVEL_TYPE_CORE 2u

bool cpuid_is_amd(const struct cpuid_table *table)
{
    const uint32_t auth = 0x68747541; /* of "AuthenticAMD" */
    const struct kvm_cpuid_entry2 *vendor = cpuid_find(table, 0, 0);
    return vendor && vendor->ebx == auth;
}

uint8_t cpuid_address_bits(const struct cpuid_table *table)
{
    const struct kvm_cpuid_entry2 *sizes = cpuid_find(table, 0x80000008, 0);
    return sizes ? sizes->eax & 0xff : 0;
}

/* Some KVMs (seen: Linux 6.18's) leave the topology to their caller: of these leaves there is the first
 * level, which is empty. */
static void add_core_level(struct cpuid_table *table, uint32_t leaf)
{
    const struct kvm_cpuid_entry2 *first = cpuid_find(table, leaf, 0);
    if (!first || cpuid_find(table, leaf, 1) || table->count == CPUID_ENTRY_LIMIT)
        return;
    table->entries[table->count] = *first;
    table->entries[table->count++].index = 1;
}

/* What KVM leaves to its caller: that there is a hypervisor, and what its own local APIC has, which it does
 * not count on being there. */
int cpuid_load(int kvm_fd, struct cpuid_table *table)
{
    table->count = CPUID_ENTRY_LIMIT;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table))
        return -errno;
    for (uint32_t i = 0; i < table->count; i++)
        if (table->entries[i].function == 1)
            table->entries[i].ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE;
    add_core_level(table, 0xb);
    add_core_level(table, 0x1f);
    return 0;
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct kvm_cpuid_entry2 *entry = &table->entries[i];
        bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (entry->function == leaf && (!indexed || entry->index == subleaf))
            return entry;
    }
    return NULL;
}

/* The bits of an APIC ID that number the CPUs of a package. */
static unsigned id_bits(unsigned cpu_count)
{
    return cpu_count > 1 ? 32 - (unsigned)__builtin_clz(cpu_count - 1) : 0;
}

/* One thread for each core, all cores in one package: level 0 is a thread, level 1 the package's cores. */
static void set_topology(struct kvm_cpuid_entry2 *entry, unsigned apic_id, unsigned cpu_count)
{
    const uint32_t level_type[] = {LEVEL_TYPE_SMT, LEVEL_TYPE_CORE};
    entry->eax = entry->index == 1 ? id_bits(cpu_count) : 0;
    entry->ebx = entry->index == 0 ? 1 : entry->index == 1 ? cpu_count : 0;
    entry->ecx = entry->index | (entry->index < 2 ? level_type[entry->index] << 8 : 0);
    entry->edx = apic_id;
}

/* What fits into a field that is too small for more: leaf 0xB has the whole number. */
static unsigned at_most(unsigned number, unsigned limit)
{
    return number < limit ? number : limit;
}

static void set_leaf1(struct kvm_cpuid_entry2 *entry, unsigned apic_id, unsigned cpu_count, bool has_apic)
{
    entry->ebx = (entry->ebx & 0xffff) | at_most(cpu_count, 0xff) << 16 | apic_id << 24;
    if (!has_apic)
        entry->ecx &= ~(LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE);
    entry->edx = cpu_count > 1 ? entry->edx | LEAF1_EDX_HTT : entry->edx & ~LEAF1_EDX_HTT;
    entry->edx = has_apic ? entry->edx | LEAF1_EDX_APIC : entry->edx & ~LEAF1_EDX_APIC;
}

/* AMD's own leaves: the number of CPUs and the width of their numbers. */
static void set_amd_leaf(struct kvm_cpuid_entry2 *entry, unsigned apic_id, unsigned cpu_count)
{
    if (entry->function == 0x80000008) {
        entry->ecx = (entry->ecx & ~0xf0ffu) | id_bits(cpu_count) << 12 | at_most(cpu_count - 1, 0xff);
    } else if (entry->function == 0x8000001e) {
        entry->eax = apic_id;
        entry->ebx = apic_id & 0xff;
        entry->ecx = 0;
    }
}

static void adapt_entry(struct kvm_cpuid_entry2 *entry, unsigned apic_id, unsigned cpu_count, bool has_apic)
{
    switch (entry->function) {
    case 1:
        set_leaf1(entry, apic_id, cpu_count, has_apic);
        break;
    case 4:
        /* Cores in the package; caches beyond the second level are shared by all. */
        if (entry->eax & 0x1f)
            entry->eax = (entry->eax & 0x3fff) | at_most(cpu_count - 1, 0x3f) << 26 |
                         ((entry->eax >> 5 & 7) > 2 ? at_most(cpu_count - 1, 0xfff) << 14 : 0);
        break;
    case 0xb:
    case 0x1f:
        set_topology(entry, apic_id, cpu_count);
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        /* The brand string, which not every KVM passes on. */
        if (!(entry->eax | entry->ebx | entry->ecx | entry->edx))
            __cpuid(entry->function, entry->eax, entry->ebx, entry->ecx, entry->edx);
        break;
    case 0x80000008:
    case 0x8000001e:
        set_amd_leaf(entry, apic_id, cpu_count);
        break;
    }
}

int cpuid_set(struct vcpu *vcpu, const struct cpuid_table *table, unsigned cpu_count, bool has_apic,
              struct vmm_error *error)
{
    size_t bytes = offsetof(struct cpuid_table, entries) + table->count * sizeof(table->entries[0]);
    struct cpuid_table *own = malloc(bytes);
    if (!own)
        return error_set(error, -ENOMEM, "vCPU %u: out of memory", vcpu->index);
    memcpy(own, table, bytes);
    for (uint32_t i = 0; i < own->count; i++)
        adapt_entry(&own->entries[i], vcpu->index, cpu_count, has_apic);
    int result = 0;
    if (ioctl(vcpu->fd, KVM_SET_CPUID2, own))
        result = error_set_errno(error, -errno, "vCPU %u: KVM refuses the CPUID that it supports",
                                 vcpu->index);
    free(vcpu->cpuid);
    vcpu->cpuid = own;
    return result;
}
