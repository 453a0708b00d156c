/* SPDX-License-Identifier: MIT
 *
 * The PCI transport: what the function is, its capabilities, its interrupts, and the window through which
 * drivers without memory access reach its BARs.
 */
#include "devices/virtio/virtio_pci_internal.h"

#include <stdlib.h>

#include "base/bytes.h"

/* Capabilities (4.1.4); the first four are in the order of the areas. */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

/* ---- Interrupts ---- */

uint8_t virtio_pci_change_isr(struct virtio_pci *pci, uint8_t set, uint8_t clear)
{
    pthread_mutex_lock(&pci->isr_lock);
    uint8_t before = pci->isr;
    pci->isr = (uint8_t)((before | set) & ~clear);
    pci_function_set_intx(pci->function, pci->isr);
    pthread_mutex_unlock(&pci->isr_lock);
    return before;
}

/* With MSI-X the ISR status only tells of the configuration (4.1.5.1.3.1, 4.1.5.1.4). */
static void interrupt(void *transport, unsigned queue)
{
    struct virtio_pci *pci = transport;
    bool is_config = queue == VIRTIO_INTERRUPT_CONFIG;
    bool has_msix = pci_function_msix_enabled(pci->function);
    const uint16_t *vector = is_config ? &pci->config_vector : &pci->queue_vectors[queue];
    if (is_config || !has_msix)
        virtio_pci_change_isr(pci, is_config ? ISR_CONFIG : ISR_QUEUE, 0);
    if (has_msix)
        pci_function_send_msix(pci->function, __atomic_load_n(vector, __ATOMIC_RELAXED));
}

void virtio_pci_set_vector(const struct virtio_pci *pci, uint16_t *vector, uint16_t value)
{
    __atomic_store_n(vector, value < pci->vector_count ? value : NO_VECTOR, __ATOMIC_RELAXED);
}

static void reset(void *transport)
{
    struct virtio_pci *pci = transport;
    pci->device_feature_select = pci->driver_feature_select = pci->queue_select = 0;
    virtio_pci_set_vector(pci, &pci->config_vector, NO_VECTOR);
    for (unsigned queue = 0; queue < pci->queue_count; queue++) {
        virtio_pci_set_vector(pci, &pci->queue_vectors[queue], NO_VECTOR);
        virtio_pci_remove_doorbell(pci, queue);
    }
    virtio_pci_change_isr(pci, 0, UINT8_MAX);
}

static const struct virtio_transport_ops transport_ops = {.interrupt = interrupt, .reset = reset};

/* ---- The window in configuration space (4.1.4.9) ---- */

/* Where the window is now: a BAR, an offset and a width of 1, 2 or 4. */
static bool find_window(const struct virtio_pci *pci, unsigned *bar, uint32_t *offset, unsigned *len)
{
    *bar = pci_function_read_config(pci->function, pci->window + 4, 1);
    *offset = pci_function_read_config(pci->function, pci->window + 8, 4);
    *len = pci_function_read_config(pci->function, pci->window + 12, 4);
    return *len == 1 || *len == 2 || *len == 4;
}

static uint32_t window_read(void *device, unsigned at, unsigned size)
{
    struct virtio_pci *pci = device;
    unsigned bar, len;
    uint32_t offset;
    (void)size;
    return at == 0 && find_window(pci, &bar, &offset, &len)
               ? (uint32_t)pci_function_read_bar(pci->function, bar, offset, len)
               : 0;
}

static void window_write(void *device, unsigned at, unsigned size, uint32_t value)
{
    struct virtio_pci *pci = device;
    unsigned bar, len;
    uint32_t offset;
    if (at == 0 && find_window(pci, &bar, &offset, &len) && size >= len)
        pci_function_write_bar(pci->function, bar, offset, len, value);
}

static const struct pci_register_ops window_ops = {.read = window_read, .write = window_write};

/* ---- Life ---- */

/* What follows the ID and the next pointer of struct virtio_pci_cap, and up to four bytes more. */
static int add_capability(struct virtio_pci *pci, unsigned kind, uint32_t offset, uint32_t len)
{
    static const uint8_t window_writable[18] = {[2] = 0xff, [6 ... 13] = 0xff};
    uint8_t bytes[18] = {0};
    bool is_long = kind == CAP_NOTIFY || kind == CAP_PCI;
    bytes[0] = is_long ? 20 : 16;
    bytes[1] = (uint8_t)kind;
    bytes[2] = BAR;
    store_le32(bytes + 6, offset);
    store_le32(bytes + 10, len);
    if (kind == CAP_NOTIFY)
        store_le32(bytes + 14, NOTIFY_MULTIPLY);
    return pci_function_add_capability(pci->function, PCI_CAP_VENDOR, bytes,
                                       kind == CAP_PCI ? window_writable : NULL, bytes[0] - 2u);
}

static void add_capabilities(struct virtio_pci *pci)
{
    const struct virtio_config *config = virtio_config(pci->virtio);
    add_capability(pci, CAP_COMMON, AREA_COMMON * AREA_BYTES, COMMON_BYTES);
    add_capability(pci, CAP_NOTIFY, AREA_NOTIFY * AREA_BYTES, pci->queue_count * NOTIFY_MULTIPLY);
    add_capability(pci, CAP_ISR, AREA_ISR * AREA_BYTES, 1);
    if (config->config_len)
        add_capability(pci, CAP_DEVICE, AREA_DEVICE * AREA_BYTES, (uint32_t)align_up(config->config_len, 4));
    pci->window = (unsigned)add_capability(pci, CAP_PCI, 0, 0);
    pci_function_serve(pci->function, pci->window + 16, 4, &window_ops, pci);
}

static uint32_t class_code(uint16_t type)
{
    switch (type) {
    case VIRTIO_ID_BLOCK:
        return 0x018000; /* mass storage, other */
    case VIRTIO_ID_CONSOLE:
        return 0x078000; /* communication, other */
    }
    return 0xff0000; /* of no class */
}

static int create_function(struct virtio_pci *pci, const struct virtio_pci_config *config,
                           struct vmm_error *error)
{
    const struct virtio_config *of = virtio_config(pci->virtio);
    const struct pci_function_config function = {
        .name = of->name,
        .slot = config->slot,
        .vendor_id = 0x1af4,
        .device_id = (uint16_t)(0x1040 + of->type),
        .subsystem_vendor_id = 0x1af4,
        .subsystem_id = (uint16_t)(0x40 + of->type),
        .class_code = class_code(of->type),
        .revision = 1, /* not transitional (4.1.2.1) */
        .has_intx = true,
        .msix_count = of->queue_count + 1,
        .msix_bar = MSIX_BAR,
        .bars[BAR] = {
            .len = BAR_BYTES, .ops = &virtio_pci_bar_ops, .device = pci, .lock = virtio_lock(pci->virtio)}};
    int result = pci_function_create(config->pci, &function, &pci->function, error);
    if (!result)
        add_capabilities(pci);
    return result;
}

int virtio_pci_create(const struct virtio_pci_config *config, struct virtio_pci **out,
                      struct vmm_error *error)
{
    const struct virtio_config *of = virtio_config(config->virtio);
    struct virtio_pci *pci = calloc(1, sizeof(*pci));
    if (!pci)
        return error_set(error, -ENOMEM, "%s: out of memory", of->name);
    pthread_mutex_init(&pci->isr_lock, NULL);
    pci->virtio = config->virtio;
    pci->queue_count = of->queue_count;
    int result = create_function(pci, config, error);
    if (result) {
        virtio_pci_destroy(pci);
        return result;
    }
    pci->vector_count = pci_function_msix_count(pci->function);
    reset(pci);
    virtio_attach(pci->virtio, &transport_ops, pci);
    *out = pci;
    return 0;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
    if (!pci)
        return;
    virtio_attach(pci->virtio, NULL, NULL);
    pci_function_destroy(pci->function);
    pthread_mutex_destroy(&pci->isr_lock);
    free(pci);
}
