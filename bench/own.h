/* SPDX-License-Identifier: MIT
 *
 * Our own time: what decoding and executing one instruction in software takes, and the dispatch of an exit,
 * without KVM. A CPU in ring 3, four levels of page tables, and a device behind them.
 */
#ifndef BENCH_OWN_H
#define BENCH_OWN_H

#include "bench/measure.h"

enum own_operation {
    OWN_STORE,       /* mov [device], eax */
    OWN_LOAD,        /* mov eax, [device] */
    OWN_ADD,         /* add dword [device], 3 */
    OWN_STORE64,     /* vmovups [device], zmm0 */
    OWN_VECTOR_ADD,  /* addps xmm0, [device], which this processor computes over the guest's vector state */
    OWN_PLAIN_STEPS, /* inc ecx, as run-ahead executes what stands between two accesses */
    OWN_RUN,         /* in a run, behind an access */
    OWN_PORT_WRITE,  /* what the machine does about a port write, KVM_RUN left out */
    OWN_PORT_READ,   /* ... a port read */
    OWN_MMIO_WRITE,  /* ... a write of 4 bytes that KVM has decoded */
    OWN_MMIO_READ,   /* ... such a read */
    OWN_COUNT
};

struct own;

int own_create(struct own **own);
void own_destroy(struct own *own);

/* For struct bench_way: the operation is OWN_*, the context the struct own. */
bool own_batch(void *own, unsigned operation, unsigned count, struct batch *batch, const char **reason);

const char *own_operation_name(enum own_operation operation);

#endif
