/* SPDX-License-Identifier: MIT
 *
 * What a kernel developer wants to know of a vCPU that cannot go on.
 */
#ifndef VCPU_REPORT_H
#define VCPU_REPORT_H

#include "vcpu/vcpu.h"

/* Writes to the machine's log, at VMM_LOG_ERROR: the reason, the registers, the code at rip with its
 * disassembly, and the last exits. The vCPU's own thread, after vcpu_run has returned `end`. */
void vcpu_report(struct vcpu *vcpu, enum vcpu_end end);

/* The last exits alone, and where the vCPU is traced its last records. While it is out. */
void vcpu_report_last(struct vcpu *vcpu);

/* Where a vCPU is that did not die, and its last exits; nothing of one that was never started. While it is
 * out. */
void vcpu_report_place(struct vcpu *vcpu);

#endif
