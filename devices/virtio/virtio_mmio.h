/* SPDX-License-Identifier: MIT
 *
 * The MMIO transport (virtio 1.2, 4.2), version 2: a page of registers and one interrupt line. A driver finds
 * it by ACPI (LNRO0005) or by its command line.
 *
 * KVM decodes its accesses: they are single register accesses, and a slot without access would hide the
 * doorbells from KVM.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_MMIO_H
#define DEVICES_VIRTIO_VIRTIO_MMIO_H

#include "devices/virtio/virtio.h"
#include "mmio/bus.h"

#define VIRTIO_MMIO_BYTES 0x1000u

struct virtio_mmio_config {
    uint64_t base; /* a page of its own */
    struct irq_line irq;
    struct doorbell_line doorbells;
    struct virtio *virtio; /* a borrow; attached to this transport */
};

struct virtio_mmio;

int virtio_mmio_create(const struct virtio_mmio_config *config, struct virtio_mmio **mmio,
                       struct vmm_error *error);
/* Before the virtio's destroy. */
void virtio_mmio_destroy(struct virtio_mmio *mmio);
struct bus_region *virtio_mmio_region(struct virtio_mmio *mmio);

#endif
