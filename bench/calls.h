/* SPDX-License-Identifier: MIT
 *
 * What costs KVM calls without a guest that runs: making and destroying things, entering without executing,
 * reading registers. Each by the function that the machine uses, and by the bare calls.
 */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include "bench/measure.h"

enum call_operation {
    CALL_REENTRY,     /* an entry with immediate_exit */
    CALL_REGS_IOCTL,  /* general registers, read and written by system calls */
    CALL_REGS_SHARED, /* the same through the shared page, with the entry that this takes */
    CALL_VM,          /* a VM with 128 MiB of RAM: made and destroyed */
    CALL_VCPU,        /* a VM with a vCPU */
    CALL_IRQCHIP,     /* a VM with KVM's interrupt controllers and timer */
    CALL_SLOT,        /* a VM with a slot without access */
    CALL_COUNT
};

struct calls;

/* 0 or a negative errno: there is no usable KVM. */
int calls_create(struct calls **calls);
void calls_destroy(struct calls *calls);

const char *call_name(enum call_operation operation);

/* For struct bench_way: the operation is CALL_*. */
bool calls_ours(void *calls, unsigned operation, unsigned count, struct batch *batch, const char **reason);
bool calls_floor(void *calls, unsigned operation, unsigned count, struct batch *batch, const char **reason);

#endif
