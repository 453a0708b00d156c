/* SPDX-License-Identifier: MIT
 *
 * An eventfd that KVM itself writes to when the guest writes to a port or an address, with a thread that
 * waits for it or without.
 */
#ifndef BENCH_EVENTFD_H
#define BENCH_EVENTFD_H

#include <pthread.h>
#include <stdbool.h>

/* A port and an address that nothing else claims. */
#define BENCH_EVENT_PORT 0x310u
#define BENCH_EVENT_GPA  0xd1000000ull

struct bench_eventfd {
    int fd;     /* -1: there is none */
    int irq_fd; /* of KVM_IRQFD, to which the waiter writes each time; -1: there is none */
    pthread_t waiter;
    bool has_waiter;
};

/* 0 or a negative errno; bench_eventfd_fini is to be called in both cases. */
int bench_eventfd_init(struct bench_eventfd *event, int vm_fd, bool has_waiter);

/* From now on the waiter answers each event by an edge on `gsi` of KVM's interrupt controllers: by an irqfd.
 * To be called behind their creation, before the first event. */
int bench_eventfd_answer(struct bench_eventfd *event, int vm_fd, unsigned gsi);

/* When the VM is gone. Does nothing where there is no descriptor. */
void bench_eventfd_fini(struct bench_eventfd *event);

#endif
