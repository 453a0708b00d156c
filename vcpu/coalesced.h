/* SPDX-License-Identifier: MIT
 *
 * KVM's ring of coalesced writes: one for a VM, in the pages that it shares for each vCPU. Writes in it have
 * happened, in the guest's order, but no device has seen them. It is emptied before anything else is done
 * about an exit of any vCPU, and before the machine's state is looked at, so that nobody sees a device as it
 * was.
 *
 * Threads: any.
 */
#ifndef VCPU_COALESCED_H
#define VCPU_COALESCED_H

#include <linux/kvm.h>
#include <pthread.h>

#include "base/types.h"
#include "mmio/bus.h"

struct coalesced_ring {
    struct kvm_coalesced_mmio_ring *ring; /* NULL: nothing is coalesced */
    struct bus *ports, *memory_bus;
    pthread_mutex_t lock; /* taken before a device's */
    bool wanted;          /* a zone is registered: vCPU 0 is to find the ring */
    uint64_t count;
};

/* Hands every write in the ring to its device. */
void coalesced_drain(struct coalesced_ring *coalesced);

/* Whether there is anything in it: a look at two words of memory. */
static inline bool coalesced_pending(const struct coalesced_ring *coalesced)
{
    const struct kvm_coalesced_mmio_ring *ring = coalesced->ring;
    return ring &&
           __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
}

#endif
