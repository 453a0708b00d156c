/* SPDX-License-Identifier: MIT
 *
 * What the machine of bench/guest.c has beside its vCPU. Threads: the creating thread's, before the run.
 */
#ifndef BENCH_GUEST_DEVICES_H
#define BENCH_GUEST_DEVICES_H

#include "bench/guest.h"

/* The devices of the configuration, and `control` with its context at MMIO_NEXT_PORT. -EOPNOTSUPP where this
 * host's KVM lacks what the configuration needs. */
int guest_add_devices(struct vmm *machine, const struct bench_guest_config *config,
                      const struct vmm_region_ops *control, void *context, struct vmm_error *error);

/* For struct vmm_region_ops: what is not to be read. */
uint64_t guest_read_zero(void *context, uint64_t offset, unsigned size);

#endif
