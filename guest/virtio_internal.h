/* SPDX-License-Identifier: MIT
 *
 * What a transport knows: where its registers are, and how wide. The order of things is the core's.
 */
#ifndef GUEST_VIRTIO_INTERNAL_H
#define GUEST_VIRTIO_INTERNAL_H

#include "guest/virtio.h"

struct virtio_transport {
    uint64_t (*offered)(const struct virtio *virtio);
    void (*accept)(const struct virtio *virtio, uint64_t features);
    uint8_t (*status)(const struct virtio *virtio);
    void (*status_set)(const struct virtio *virtio, uint8_t status);
    uint16_t (*queue_size)(const struct virtio *virtio, unsigned index);

    /* Tells of vq's size and areas, switches it on, and says where it is notified; false where the device
     * does not take the vector. */
    bool (*queue_enable)(const struct virtio *virtio, struct vq *vq, uint16_t vector);

    void (*queue_reset)(const struct virtio *virtio, unsigned index);
    bool (*queue_is_reset)(const struct virtio *virtio, unsigned index);
    uint32_t (*interrupt_take)(const struct virtio *virtio);
};

bool virtio_pci_find(uint16_t type, unsigned *index, struct virtio *virtio);
bool virtio_mmio_find(uint16_t type, unsigned *index, struct virtio *virtio);

#endif
