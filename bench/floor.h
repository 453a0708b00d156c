/* SPDX-License-Identifier: MIT
 *
 * The floor: a loop that does nothing but ioctl(KVM_RUN) and, for each exit, the least that lets the guest go
 * on. No dispatch, no device, no counting but of exits.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "vcpu/vcpu.h"

/* Runs until the guest writes to `control_port`; that exit is not completed. `insn_len` is the length of the
 * instruction that touches trapped memory. Returns the number of exits before that one, or -1 at any other
 * exit. */
long floor_run(struct vcpu *vcpu, unsigned control_port, unsigned insn_len);

#endif
