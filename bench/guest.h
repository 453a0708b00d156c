/* SPDX-License-Identifier: MIT
 *
 * A machine of libvmm that runs guest/flat/long64-mmio.S and does one batch of an operation at a time. The
 * guest asks for each batch by writing to a port, and waits there, so that several machines take turns. Both
 * loops run on the same vCPU: ours, and the bare one of floor.h that stands for the least that is possible.
 *
 * Threads: one caller at a time; the vCPU has a thread of its own, which runs only during a batch.
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#include "bench/measure.h"
#include "include/libvmm.h"

/* Where the scratch device is, the port that only takes and gives bytes, and RAM for what wants much of it.
 */
#define BENCH_DEVICE_GPA 0xd0000000ull
#define BENCH_RAM_GPA    0x1000000ull
#define BENCH_RAM_BYTES  0x2000000ull
#define BENCH_PORT       0x300u

enum bench_engine { BENCH_KVM, BENCH_TRAP, BENCH_AHEAD, BENCH_COALESCED, BENCH_DIRECT };

/* A capability of KVM and its name; 0: none. */
struct bench_needs {
    unsigned capability;
    const char *name;
};

struct bench_guest_config {
    enum bench_engine engine;
    struct bench_needs needs; /* without which there is nothing to measure */
    int ring;
    bool coalesced_ports;
    bool has_irqchip;      /* KVM's; ring 0 only */
    bool has_eventfd;      /* bench/eventfd.h */
    bool has_waiter;       /* a thread that reads the eventfd */
    bool has_second_cpu;   /* with has_irqchip; it causes no exits */
    bool has_msr;          /* MMIO_USER_MSR is the program's */
    bool is_traced;        /* every event, into a ring that overwrites and is never written */
    bool huge_pages;       /* where first touches find fresh pages */
    uint64_t device_bytes; /* of the scratch device; 0: two pages */
    const int *second_cpu; /* for the waiting thread and the second vCPU: bench/second_cpu.h */
};

struct bench_guest;

/* The machine is made with the first batch, and again after a batch that has ended it. */
int bench_guest_create(const struct bench_guest_config *config, struct bench_guest **guest);
void bench_guest_destroy(struct bench_guest *guest);

/* For struct bench_way; the context is the guest and the operation MMIO_OP_*. The second uses the bare loop
 * of floor.h. */
bool bench_guest_batch(void *guest, unsigned operation, unsigned count, struct batch *batch,
                       const char **reason);
bool bench_guest_floor(void *guest, unsigned operation, unsigned count, struct batch *batch,
                       const char **reason);

/* What a batch does to memory or a port other than BENCH_DEVICE_GPA and BENCH_PORT: for the batches from now
 * on. 0: those two. */
void bench_guest_aim(struct bench_guest *guest, uint64_t target_gpa, unsigned port);

#endif
