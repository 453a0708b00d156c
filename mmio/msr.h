/* SPDX-License-Identifier: MIT
 *
 * MSRs as instructions use them: those in struct cpu_state here, the others by the machine's callbacks.
 */
#ifndef MMIO_MSR_H
#define MMIO_MSR_H

#include "mmio/env.h"

#define MSR_SYSENTER_CS    0x174u
#define MSR_SYSENTER_ESP   0x175u
#define MSR_SYSENTER_EIP   0x176u
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_FMASK          0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

/* #GP(0) for an MSR that does not exist or a value that it does not take. */
enum step_result msr_load(struct step_env *env, uint32_t index, uint64_t *value);
enum step_result msr_store(struct step_env *env, uint32_t index, uint64_t value);

/* Whether only KVM can access it: step_ops.is_kernel_msr. */
bool msr_is_kernels(const struct step_env *env, uint32_t index);

#endif
