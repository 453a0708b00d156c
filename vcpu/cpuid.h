/* SPDX-License-Identifier: MIT
 *
 * What CPUID tells the guest: what KVM supports, without what a guest of ours cannot have.
 */
#ifndef VCPU_CPUID_H
#define VCPU_CPUID_H

#include "vcpu/vcpu.h"

/* As many as KVM ever fills in one call (KVM_MAX_CPUID_ENTRIES). */
#define CPUID_ENTRY_LIMIT 256

/* In the layout of struct kvm_cpuid2. */
struct cpuid_table {
    uint32_t count;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[CPUID_ENTRY_LIMIT];
};

/* KVM_GET_SUPPORTED_CPUID, which is the same for all vCPUs. 0 or a negative errno. */
int cpuid_load(int kvm_fd, struct cpuid_table *table);

/* Gives the table to a vCPU, with its APIC ID and the topology of `cpu_count` CPUs in one package (SDM 2A,
 * CPUID leaves 01H, 0BH, 1FH; APM 3 E.4.7), `has_apic` is whether KVM
 * emulates the local APIC. */
int cpuid_set(struct vcpu *vcpu, const struct cpuid_table *table, unsigned cpu_count, bool has_apic,
              struct vmm_error *error);

/* Whether the processor is of AMD's. */
bool cpuid_is_amd(const struct cpuid_table *table);

/* MAXPHYADDR; 0 where the table does not say. */
uint8_t cpuid_address_bits(const struct cpuid_table *table);

/* The entry of a leaf, or NULL. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);

#endif
