/* SPDX-License-Identifier: MIT
 *
 * What is done about an exit. The vCPU's own thread.
 */
#ifndef VCPU_EXIT_H
#define VCPU_EXIT_H

#include "vcpu/vcpu.h"

/* Handles the exit that KVM_RUN, which returned `result` (0 or a negative errno), left in the shared page.
 * True: the guest goes on. False: it does not, and *end says why. */
bool vcpu_handle_exit(struct vcpu *vcpu, int result, enum vcpu_end *end);

#endif
