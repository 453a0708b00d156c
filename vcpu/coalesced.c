/* SPDX-License-Identifier: MIT
 *
 * Emptying KVM's ring of coalesced writes (KVM API 4.116).
 */
#include "vcpu/coalesced.h"

#include "base/bytes.h"

/* Entries fit into the page behind the ring's head, as many as KVM puts there. */
#define RING_ENTRIES \
    ((uint32_t)((PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio)))

void coalesced_drain(struct coalesced_ring *coalesced)
{
    struct kvm_coalesced_mmio_ring *ring = coalesced->ring;
    if (!coalesced_pending(coalesced))
        return;
    pthread_mutex_lock(&coalesced->lock);
    uint32_t first = ring->first;
    /* Partner: KVM's release of `last`, behind which the entry is whole. */
    while (first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[first];
        struct bus *bus = entry->pio ? coalesced->ports : coalesced->memory_bus;
        unsigned size = entry->len <= 8 ? entry->len : 8;
        bus_write(bus, entry->phys_addr, size, load_le(entry->data, size));
        coalesced->count++;
        first = (first + 1) % RING_ENTRIES;
        /* Only now may KVM use the entry again. */
        __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&coalesced->lock);
}
