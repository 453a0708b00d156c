/* SPDX-License-Identifier: MIT
 *
 * The processor's features by the names that Linux's /proc/cpuinfo gives them, and taking them out of CPUID.
 */
#ifndef VCPU_FEATURES_H
#define VCPU_FEATURES_H

#include "vcpu/cpuid.h"

/* Takes what "-avx512f,-xsave" names out of the table, and with each feature all that needs it. NULL and ""
 * take nothing. -EINVAL, with the table as it was, where the text is not understood. */
int features_mask(struct cpuid_table *table, const char *text, struct vmm_error *error);

/* Whether features_mask would understand the text, on any host: 0 or -EINVAL. */
int features_check(const char *text, struct vmm_error *error);

/* Takes out what a guest of ours cannot have whatever the host's KVM says: nested virtualization; SGX; AMX,
 * whose state KVM gives only to those who have asked the host for it; and what the emulator does not know and
 * instructions that it executes would have to heed: CET's shadow stacks and branch tracking, user interrupts,
 * FRED, APX; and what the emulator cannot execute and hardly a guest has: Key Locker, ENQCMD, MPX, lists of
 * MSRs, AVX10 beyond version 1, supervisor state of XSAVES. And on a processor of AMD's what only Intel's
 * have. */
void features_mask_impossible(struct cpuid_table *table);

/* Takes out KVM's offer to flush the TLB of a vCPU that does not run at its next entry: one that executes in
 * software does run, with translations of its own. */
void features_mask_deferred_flush(struct cpuid_table *table);

/* Takes out what KVM does for a vCPU by hypercall: wake another, send interrupts to several, yield to one. A
 * KVM that interprets ring 0 does not come back from a hypercall: it writes one vendor's instruction for it
 * there, and meets that again. */
void features_mask_hypercalls(struct cpuid_table *table);

#endif
