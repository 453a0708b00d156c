/* SPDX-License-Identifier: MIT
 *
 * The bus, its host bridge, and the ways to configuration space. A slot without a function reads all ones,
 * which is how guests find out (PCI Local Bus 3.0 6.1); so do functions 1 to 7 of every slot.
 */
#include <stdlib.h>

#include "devices/pci/internal.h"

/* The bits of CONFIG_ADDRESS, and of an offset in the ECAM. */
#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu
#define ADDRESS_REGISTER 0xfcu

/* A host bridge without anything of its own. We have no vendor ID; this one is the generic bridge of QEMU,
 * which no driver looks at. */
static const struct pci_function_config bridge_config = {
    .name = "pci-bridge", .vendor_id = 0x1b36, .device_id = 0x0008, .class_code = 0x060000};

static uint64_t address_read(void *device, uint64_t offset, unsigned size)
{
    struct pci *pci = device;
    (void)offset;
    (void)size;
    pthread_mutex_lock(&pci->lock);
    uint32_t address = pci->address;
    pthread_mutex_unlock(&pci->lock);
    return address;
}

static void address_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci *pci = device;
    (void)offset;
    (void)size;
    pthread_mutex_lock(&pci->lock);
    pci->address = (uint32_t)value & ADDRESS_WRITABLE;
    pthread_mutex_unlock(&pci->lock);
}

const struct bus_ops pci_address_ops = {.read = address_read, .write = address_write};

/* The function that CONFIG_ADDRESS selects, or NULL, and the offset of its register. */
static struct pci_function *selected_function(struct pci *pci, unsigned *offset)
{
    uint32_t address = (uint32_t)address_read(pci, 0, 4);
    unsigned bus = address >> 16 & 0xff, function = address >> 8 & 7;
    *offset = address & ADDRESS_REGISTER;
    if (!(address & ADDRESS_ENABLE) || bus || function)
        return NULL;
    return pci->slots[address >> 11 & (PCI_SLOT_COUNT - 1)];
}

static uint64_t data_read(void *device, uint64_t offset, unsigned size)
{
    unsigned at;
    struct pci_function *function = selected_function(device, &at);
    return function ? pci_config_read(function, at + (unsigned)offset, size) : UINT64_MAX;
}

static void data_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned at;
    struct pci_function *function = selected_function(device, &at);
    if (function)
        pci_config_write(function, at + (unsigned)offset, size, (uint32_t)value);
}

static const struct bus_ops data_ops = {.read = data_read, .write = data_write};

/* An offset in the ECAM: bits 12 to 14 are the function, 15 to 19 the slot. */
static struct pci_function *ecam_function(const struct pci *pci, uint64_t offset)
{
    return offset >> 12 & 7 ? NULL : pci->slots[offset >> 15 & (PCI_SLOT_COUNT - 1)];
}

static uint64_t ecam_read(void *device, uint64_t offset, unsigned size)
{
    struct pci_function *function = ecam_function(device, offset);
    return function ? pci_config_read(function, offset % PCI_EXTENDED_BYTES, size) : UINT64_MAX;
}

static void ecam_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_function *function = ecam_function(device, offset);
    if (function)
        pci_config_write(function, offset % PCI_EXTENDED_BYTES, size, (uint32_t)value);
}

static const struct bus_ops ecam_ops = {.read = ecam_read, .write = ecam_write};

static uint64_t low_read(void *device, uint64_t offset, unsigned size)
{
    struct pci *pci = device;
    return pci_window_read(pci, pci->config.low.base + offset, size);
}

static void low_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci *pci = device;
    pci_window_write(pci, pci->config.low.base + offset, size, value);
}

static uint64_t high_read(void *device, uint64_t offset, unsigned size)
{
    struct pci *pci = device;
    return pci_window_read(pci, pci->config.high.base + offset, size);
}

static void high_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci *pci = device;
    pci_window_write(pci, pci->config.high.base + offset, size, value);
}

static const struct bus_ops low_ops = {.read = low_read, .write = low_write};
static const struct bus_ops high_ops = {.read = high_read, .write = high_write};

/* None has a lock: what is behind them has its own. The high window is too large to be pages of a memory
 * slot, which KVM keeps books of. */
static void make_regions(struct pci *pci)
{
    const struct pci_config *config = &pci->config;
    pci->ecam = (struct bus_region){.name = "pci-ecam",
                                    .base = config->ecam_base,
                                    .len = PCI_ECAM_BYTES,
                                    .size_min = 1,
                                    .size_max = 4,
                                    .ops = &ecam_ops,
                                    .device = pci};
    pci->low = (struct bus_region){
        .name = "pci-low", .base = config->low.base, .len = config->low.len, .ops = &low_ops, .device = pci};
    pci->high = (struct bus_region){.name = "pci-high",
                                    .base = config->high.base,
                                    .len = config->high.len,
                                    .ops = &high_ops,
                                    .device = pci,
                                    .engine = BUS_ENGINE_KVM};
    pci->data = (struct bus_region){.name = "pci-data",
                                    .base = PCI_DATA_PORT,
                                    .len = 4,
                                    .size_min = 1,
                                    .size_max = 4,
                                    .ops = &data_ops,
                                    .device = pci};
}

int pci_create(const struct pci_config *config, struct pci **out, struct vmm_error *error)
{
    struct pci *pci = calloc(1, sizeof(*pci));
    if (!pci)
        return error_set(error, -ENOMEM, "pci: out of memory");
    pthread_mutex_init(&pci->lock, NULL);
    pthread_mutex_init(&pci->intx_lock, NULL);
    pci->config = *config;
    make_regions(pci);
    int result = pci_function_place(pci, &bridge_config, &pci->bridge, error);
    if (result) {
        pci_destroy(pci);
        return result;
    }
    *out = pci;
    return 0;
}

void pci_destroy(struct pci *pci)
{
    if (!pci)
        return;
    pci_function_destroy(pci->bridge);
    pthread_mutex_destroy(&pci->intx_lock);
    pthread_mutex_destroy(&pci->lock);
    free(pci);
}

struct bus_region *pci_ecam_region(struct pci *pci)
{
    return &pci->ecam;
}

struct bus_region *pci_low_region(struct pci *pci)
{
    return &pci->low;
}

struct bus_region *pci_high_region(struct pci *pci)
{
    return pci->high.len ? &pci->high : NULL;
}

struct bus_region *pci_data_region(struct pci *pci)
{
    return &pci->data;
}
