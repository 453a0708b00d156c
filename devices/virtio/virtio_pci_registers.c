/* SPDX-License-Identifier: MIT
 *
 * The registers of BAR 0. Reads of the common configuration may have any width; a write has to have the width
 * of its field (a field of 8 bytes is written whole or by halves), as 4.1.3.1 asks of drivers, or it does
 * nothing. virtio_lock is held.
 */
#include "base/bytes.h"
#include "devices/virtio/virtio_pci_internal.h"

/* Common configuration (4.1.4.3). */
enum common_register {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_MSIX_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    DEVICE_STATUS = 0x14,
    CONFIG_GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_MSIX_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    QUEUE_NOTIFY_DATA = 0x38, /* a feature that is not offered */
    QUEUE_RESET = 0x3a,
};

/* ---- Queues ---- */

static bool queue_exists(const struct virtio_pci *pci)
{
    return pci->queue_select < pci->queue_count;
}

/* KVM is asked for a doorbell when a driver uses the queue: each costs a grace period of the host's kernel.
 */
static void enable_queue(struct virtio_pci *pci)
{
    unsigned queue = pci->queue_select;
    virtio_enable_queue(pci->virtio, queue);
    if (!virtio_queue_is_enabled(pci->virtio, queue) || pci->has_doorbell[queue])
        return;
    pci->doorbells[queue] = (struct pci_doorbell){.bar = BAR,
                                                  .offset = AREA_NOTIFY * AREA_BYTES +
                                                            queue * NOTIFY_MULTIPLY,
                                                  .event_fd = virtio_queue_event_fd(pci->virtio, queue)};
    pci->has_doorbell[queue] = pci->doorbells[queue].event_fd >= 0;
    if (pci->has_doorbell[queue])
        pci_function_add_doorbell(pci->function, &pci->doorbells[queue]);
}

void virtio_pci_remove_doorbell(struct virtio_pci *pci, unsigned queue)
{
    if (pci->has_doorbell[queue])
        pci_function_remove_doorbell(pci->function, &pci->doorbells[queue]);
    pci->has_doorbell[queue] = false;
}

static void reset_queue(struct virtio_pci *pci)
{
    virtio_reset_queue(pci->virtio, pci->queue_select);
    if (!queue_exists(pci) || virtio_queue_is_enabled(pci->virtio, pci->queue_select))
        return;
    virtio_pci_remove_doorbell(pci, pci->queue_select);
    virtio_pci_set_vector(pci, &pci->queue_vectors[pci->queue_select], NO_VECTOR);
}

/* ---- Common configuration ---- */

static void put_queue(const struct virtio_pci *pci, uint8_t *bytes)
{
    const struct virtio *virtio = pci->virtio;
    unsigned queue = pci->queue_select;
    store_le16(bytes + QUEUE_MSIX_VECTOR, queue_exists(pci) ? pci->queue_vectors[queue] : NO_VECTOR);
    store_le16(bytes + QUEUE_SIZE, virtio_queue_size(virtio, queue));
    store_le16(bytes + QUEUE_ENABLE, virtio_queue_is_enabled(virtio, queue));
    store_le16(bytes + QUEUE_NOTIFY_OFF, queue_exists(pci) ? pci->queue_select : 0);
    for (unsigned which = VIRTIO_QUEUE_DESCRIPTOR; which <= VIRTIO_QUEUE_DEVICE; which++)
        store_le64(bytes + QUEUE_DESC + 8 * which,
                   virtio_queue_address(virtio, queue, (enum virtio_queue_address)which));
}

/* A queue is reset when the write returns, so queue_reset reads 0. */
static uint64_t common_read(const struct virtio_pci *pci, unsigned offset, unsigned size)
{
    const struct virtio *virtio = pci->virtio;
    uint8_t bytes[COMMON_BYTES] = {0};
    if (offset >= COMMON_BYTES || size > COMMON_BYTES - offset)
        return 0;
    store_le32(bytes + DEVICE_FEATURE_SELECT, pci->device_feature_select);
    store_le32(bytes + DEVICE_FEATURE, virtio_features_offered(virtio, pci->device_feature_select));
    store_le32(bytes + DRIVER_FEATURE_SELECT, pci->driver_feature_select);
    store_le32(bytes + DRIVER_FEATURE, virtio_features_accepted(virtio, pci->driver_feature_select));
    store_le16(bytes + CONFIG_MSIX_VECTOR, pci->config_vector);
    store_le16(bytes + NUM_QUEUES, (uint16_t)pci->queue_count);
    bytes[DEVICE_STATUS] = virtio_status(virtio);
    bytes[CONFIG_GENERATION] = (uint8_t)virtio_config_generation(virtio);
    store_le16(bytes + QUEUE_SELECT, pci->queue_select);
    put_queue(pci, bytes);
    return load_le(bytes + offset, size);
}

static void write_byte(struct virtio_pci *pci, unsigned offset, uint8_t value)
{
    if (offset == DEVICE_STATUS)
        virtio_set_status(pci->virtio, value);
}

static void write_word(struct virtio_pci *pci, unsigned offset, uint16_t value)
{
    switch (offset) {
    case CONFIG_MSIX_VECTOR:
        virtio_pci_set_vector(pci, &pci->config_vector, value);
        return;
    case QUEUE_SELECT:
        pci->queue_select = value;
        return;
    case QUEUE_SIZE:
        virtio_set_queue_size(pci->virtio, pci->queue_select, value);
        return;
    case QUEUE_MSIX_VECTOR:
        if (queue_exists(pci))
            virtio_pci_set_vector(pci, &pci->queue_vectors[pci->queue_select], value);
        return;
    case QUEUE_ENABLE:
        if (value == 1)
            enable_queue(pci);
        return;
    case QUEUE_RESET:
        if (value == 1)
            reset_queue(pci);
        return;
    }
}

static void write_dword(struct virtio_pci *pci, unsigned offset, uint32_t value)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        pci->device_feature_select = value;
        return;
    case DRIVER_FEATURE_SELECT:
        pci->driver_feature_select = value;
        return;
    case DRIVER_FEATURE:
        virtio_accept_features(pci->virtio, pci->driver_feature_select, value);
        return;
    }
    if (offset >= QUEUE_DESC && offset < QUEUE_NOTIFY_DATA && offset % 4 == 0)
        virtio_set_queue_address(pci->virtio, pci->queue_select,
                                 (enum virtio_queue_address)((offset - QUEUE_DESC) / 8), offset / 4 % 2,
                                 value);
}

static void common_write(struct virtio_pci *pci, unsigned offset, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        write_byte(pci, offset, (uint8_t)value);
        return;
    case 2:
        write_word(pci, offset, (uint16_t)value);
        return;
    case 4:
        write_dword(pci, offset, (uint32_t)value);
        return;
    case 8:
        if (offset < QUEUE_DESC || offset % 8)
            return;
        write_dword(pci, offset, (uint32_t)value);
        write_dword(pci, offset + 4, (uint32_t)(value >> 32));
    }
}

/* ---- BAR 0 ---- */

static uint64_t bar_read(void *device, uint64_t offset, unsigned size)
{
    struct virtio_pci *pci = device;
    unsigned at = offset % AREA_BYTES;
    switch ((enum area)(offset / AREA_BYTES)) {
    case AREA_COMMON:
        return common_read(pci, at, size);
    case AREA_ISR:
        return at ? 0 : virtio_pci_change_isr(pci, 0, UINT8_MAX); /* a read acknowledges (4.1.4.5) */
    case AREA_DEVICE:
        return virtio_config_read(pci->virtio, at, size);
    case AREA_NOTIFY:
        break;
    }
    return 0;
}

static void bar_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_pci *pci = device;
    unsigned at = offset % AREA_BYTES;
    switch ((enum area)(offset / AREA_BYTES)) {
    case AREA_COMMON:
        common_write(pci, at, size, value);
        return;
    case AREA_ISR:
        return;
    case AREA_DEVICE:
        virtio_config_write(pci->virtio, at, size, value);
        return;
    case AREA_NOTIFY: /* the place says which queue, whatever is written */
        if (at % NOTIFY_MULTIPLY == 0)
            virtio_notify(pci->virtio, at / NOTIFY_MULTIPLY);
        return;
    }
}

const struct bus_ops virtio_pci_bar_ops = {.read = bar_read, .write = bar_write};
