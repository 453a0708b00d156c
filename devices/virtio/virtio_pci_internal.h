/* SPDX-License-Identifier: MIT
 *
 * What the files of the PCI transport share: virtio_pci.c makes the function and its capabilities, and sends
 * interrupts; virtio_pci_registers.c serves BAR 0.
 *
 * Locks: virtio_lock is the BAR's lock, so it is held in all register operations; isr_lock comes inside of it
 * and orders the ISR status with the level of the pin.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_PCI_INTERNAL_H
#define DEVICES_VIRTIO_VIRTIO_PCI_INTERNAL_H

#include <pthread.h>

#include "devices/virtio/virtio_pci.h"

#define BAR             0
#define BAR_BYTES       0x4000u
#define AREA_BYTES      0x1000u
#define MSIX_BAR        2
#define NOTIFY_MULTIPLY 4u /* from a queue's notify offset to bytes */

enum area { AREA_COMMON, AREA_ISR, AREA_DEVICE, AREA_NOTIFY };

#define COMMON_BYTES 0x3cu /* of the common configuration */
#define NO_VECTOR    0xffffu

struct virtio_pci {
    struct virtio *virtio;
    struct pci_function *function;
    unsigned vector_count, queue_count;
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint16_t config_vector; /* atomic, and so the next */
    uint16_t queue_vectors[VIRTIO_QUEUES_MAX];
    pthread_mutex_t isr_lock;
    uint8_t isr;
    unsigned window; /* offset of the capability that reaches BARs through configuration space */
    bool has_doorbell[VIRTIO_QUEUES_MAX];
    struct pci_doorbell doorbells[VIRTIO_QUEUES_MAX];
};

/* Sets and clears bits of the ISR status, and the pin with them; returns what it was. */
uint8_t virtio_pci_change_isr(struct virtio_pci *pci, uint8_t set, uint8_t clear);
/* 4.1.5.1.2.1: a vector that there is not reads back as none. */
void virtio_pci_set_vector(const struct virtio_pci *pci, uint16_t *vector, uint16_t value);
void virtio_pci_remove_doorbell(struct virtio_pci *pci, unsigned queue);
extern const struct bus_ops virtio_pci_bar_ops;

#endif
