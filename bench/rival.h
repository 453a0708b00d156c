/* SPDX-License-Identifier: MIT
 *
 * The guest of `vmm bench exits` under QEMU (bench/qemu.h): with what KVM answers itself, and with QEMU's
 * devices for the rest. All that it can answer, it answers in one process.
 */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include "bench/measure.h"

/* What answers there. */
enum rival_target {
    RIVAL_NONE,         /* nothing */
    RIVAL_KVM,          /* no device */
    RIVAL_TWO_CPUS,     /* nor any, but a second vCPU */
    RIVAL_POST,         /* port 0x80, which takes and gives bytes */
    RIVAL_PCI,          /* the PCI configuration port: four bytes */
    RIVAL_REGISTER,     /* pc-testdev's port 0xe0, which keeps what is written */
    RIVAL_HPET,         /* its read-only identification register */
    RIVAL_FRESH,        /* RAM that was never touched, in 4 KiB pages as ours */
    RIVAL_EVENT_PORT,   /* pci-testdev's ioeventfds, which nobody waits for */
    RIVAL_EVENT_MEMORY, /* ... in memory */
    RIVAL_COALESCED,    /* e1000's register RDBAL */
};

struct rival;

/* QEMU is started with the first batch; its guest's second vCPU gets the second CPU (bench/second_cpu.h). */
int rival_create(int ring, const int *second_cpu, struct rival **rival);
void rival_destroy(struct rival *rival);

/* Where the batches from now on go; the first of them sets the device up. */
void rival_aim(struct rival *rival, enum rival_target target);

/* For struct bench_way; the context is the rival, the operation MMIO_OP_*. */
bool rival_batch(void *rival, unsigned operation, unsigned count, struct batch *batch, const char **reason);

#endif
