/* SPDX-License-Identifier: MIT
 *
 * The PCI transport (virtio 1.2, 4.1), modern only: a function with one BAR of registers and one of MSI-X, a
 * vector for each queue and one for the configuration, the INTx pin where the driver uses no MSI-X.
 *
 * BAR 0, a page for each structure:
 *
 *   0x0000 common configuration   0x1000 ISR status   0x2000 device's configuration   0x3000 notifications
 */
#ifndef DEVICES_VIRTIO_VIRTIO_PCI_H
#define DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/pci/function.h"
#include "devices/virtio/virtio.h"

struct virtio_pci_config {
    struct pci *pci;
    unsigned slot;         /* or PCI_SLOT_ANY */
    struct virtio *virtio; /* a borrow; attached to this transport */
};

struct virtio_pci;

int virtio_pci_create(const struct virtio_pci_config *config, struct virtio_pci **virtio_pci,
                      struct vmm_error *error);
/* Before the destroy of the virtio and of the pci. */
void virtio_pci_destroy(struct virtio_pci *virtio_pci);

#endif
