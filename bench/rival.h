/* SPDX-License-Identifier: MIT
 *
 * The same guest under qemu-system-x86_64 on the same KVM, with QEMU's devices: port 0x80 and the PCI
 * configuration port for ports, the HPET's read-only identification register for memory. QEMU's guest RAM is
 * a file that both map, so the mailbox works as in our machine; between batches QEMU is stopped (SIGSTOP).
 */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include "bench/measure.h"

struct rival;

/* QEMU is started with the first batch. */
int rival_create(int ring, struct rival **rival);
void rival_destroy(struct rival *rival);

/* For struct bench_way; the context is the rival, the operation MMIO_OP_*. */
bool rival_batch(void *rival, unsigned operation, unsigned count, struct batch *batch, const char **reason);

/* Whether QEMU has something that answers this operation. */
bool rival_knows(unsigned operation);

#endif
