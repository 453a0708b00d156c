/* SPDX-License-Identifier: MIT
 *
 * A function's configuration space: a byte of value and a byte of write mask for each place, so that accesses
 * of every width and alignment come to the same. What follows from a write (BARs that move, interrupts that
 * are let through) is worked out anew from the registers, whatever was written.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "devices/pci/internal.h"

static void set_header(struct pci_function *function, const struct pci_function_config *config)
{
    uint8_t *registers = function->registers, *writable = function->writable;
    uint16_t command = 0;
    store_le16(registers + PCI_VENDOR_ID, config->vendor_id);
    store_le16(registers + PCI_DEVICE_ID, config->device_id);
    store_le32(registers + PCI_REVISION, config->class_code << 8 | config->revision);
    store_le16(registers + PCI_SUBSYSTEM_VENDOR_ID, config->subsystem_vendor_id);
    store_le16(registers + PCI_SUBSYSTEM_ID, config->subsystem_id);
    for (unsigned bar = 0; bar < PCI_BAR_COUNT; bar++)
        if (function->bars[bar].config.len)
            command = PCI_COMMAND_MEMORY;
    if (config->has_intx || config->msix_count)
        command |= PCI_COMMAND_MASTER;
    if (config->has_intx) {
        command |= PCI_COMMAND_INTX_DISABLE;
        registers[PCI_INTERRUPT_PIN] = 1; /* INTA */
        registers[PCI_INTERRUPT_LINE] =
            (uint8_t)function->pci->config.intx[pci_intx_line(function->slot, 0)].number;
        writable[PCI_INTERRUPT_LINE] = 0xff;
    }
    store_le16(writable + PCI_COMMAND, command);
    writable[PCI_CACHE_LINE] = 0xff;
}

static int find_slot(const struct pci *pci, const struct pci_function_config *config, struct vmm_error *error)
{
    unsigned slot = config->slot;
    if (slot >= PCI_SLOT_COUNT)
        return error_set(error, -EINVAL, "%s: there is no PCI slot %u: give one from 1 to %d", config->name,
                         slot, PCI_SLOT_COUNT - 1);
    if (slot == PCI_SLOT_ANY && pci->bridge)
        while (slot < PCI_SLOT_COUNT && pci->slots[slot])
            slot++;
    if (slot == PCI_SLOT_COUNT)
        return error_set(error, -ENOSPC, "%s: all %d PCI slots are taken", config->name, PCI_SLOT_COUNT - 1);
    if (pci->slots[slot])
        return error_set(error, -EBUSY, "%s: PCI slot %u is taken by %s", config->name, slot,
                         pci->slots[slot]->name);
    return (int)slot;
}

static bool is_sound(const struct pci_function_config *config)
{
    for (unsigned bar = 0; bar < PCI_BAR_COUNT; bar++) {
        uint64_t len = config->bars[bar].len;
        bool is_msix = config->msix_count && bar == config->msix_bar;
        if (len && (bar % 2 || is_msix || len < PAGE_BYTES || len & (len - 1)))
            return false;
    }
    return config->msix_count <= PCI_MSIX_COUNT_MAX && config->msix_bar < PCI_BAR_COUNT &&
           config->msix_bar % 2 == 0;
}

int pci_function_place(struct pci *pci, const struct pci_function_config *config, struct pci_function **out,
                       struct vmm_error *error)
{
    if (!is_sound(config))
        return error_set(error, -EINVAL, "%s: its BARs or vectors are not what PCI knows", config->name);
    int slot = find_slot(pci, config, error);
    if (slot < 0)
        return slot;
    struct pci_function *function = calloc(1, sizeof(*function));
    if (!function)
        return error_set(error, -ENOMEM, "%s: out of memory", config->name);
    function->pci = pci;
    function->name = config->name;
    function->slot = (unsigned)slot;
    function->capability_end = PCI_HEADER_BYTES;
    function->capability_link = PCI_CAPABILITIES;
    for (unsigned bar = 0; bar < PCI_BAR_COUNT; bar++)
        if (config->bars[bar].len)
            pci_bar_set(function, bar, &config->bars[bar]);
    pthread_mutex_init(&function->msix.lock, NULL);
    if (config->msix_count && pci->config.msi.send && pci_msix_init(function, config)) {
        pci_function_destroy(function);
        return error_set(error, -ENOMEM, "%s: out of memory", config->name);
    }
    set_header(function, config);
    pci->slots[slot] = function;
    *out = function;
    return 0;
}

int pci_function_create(struct pci *pci, const struct pci_function_config *config,
                        struct pci_function **function, struct vmm_error *error)
{
    return pci_function_place(pci, config, function, error);
}

void pci_function_destroy(struct pci_function *function)
{
    if (!function)
        return;
    pci_function_set_intx(function, false);
    while (function->doorbells)
        pci_function_remove_doorbell(function, function->doorbells);
    if (function->pci->slots[function->slot] == function)
        function->pci->slots[function->slot] = NULL;
    pci_msix_fini(&function->msix);
    free(function);
}

/* A capability begins at a multiple of four (6.7). */
int pci_function_add_capability(struct pci_function *function, uint8_t id, const void *bytes,
                                const void *writable, size_t len)
{
    unsigned offset = function->capability_end;
    if (len > PCI_CONFIG_BYTES - 2 || offset + 2 + len > PCI_CONFIG_BYTES)
        return -ENOSPC;
    uint8_t *registers = function->registers;
    registers[function->capability_link] = (uint8_t)offset;
    registers[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    registers[offset] = id;
    memcpy(registers + offset + 2, bytes, len);
    if (writable)
        memcpy(function->writable + offset + 2, writable, len);
    function->capability_link = offset + 1;
    function->capability_end = (unsigned)align_up(offset + 2 + len, 4);
    return (int)offset;
}

void pci_function_serve(struct pci_function *function, unsigned offset, unsigned len,
                        const struct pci_register_ops *ops, void *device)
{
    function->served_offset = offset;
    function->served_len = len;
    function->served_ops = ops;
    function->served_device = device;
}

/* The state of the INTx pin is the one register that changes by itself. Behind the conventional space is the
 * extended one, which is empty here: zeros (PCI Express Base 7.9.1). */
static uint8_t read_byte(const struct pci_function *function, unsigned offset)
{
    if (offset >= PCI_CONFIG_BYTES)
        return 0;
    uint8_t value = function->registers[offset];
    if (offset == PCI_STATUS && __atomic_load_n(&function->pin, __ATOMIC_RELAXED))
        value |= PCI_STATUS_INTERRUPT;
    return value;
}

uint32_t pci_function_read_config(struct pci_function *function, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    pthread_mutex_lock(&function->pci->lock);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(function, offset + i) << (8 * i);
    pthread_mutex_unlock(&function->pci->lock);
    return value;
}

static void write_registers(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
    pthread_mutex_lock(&function->pci->lock);
    for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_BYTES; i++) {
        uint8_t mask = function->writable[offset + i], *byte = &function->registers[offset + i];
        *byte = (uint8_t)((*byte & ~mask) | (value >> (8 * i) & mask));
    }
    __atomic_store_n(&function->command, load_le16(function->registers + PCI_COMMAND), __ATOMIC_RELAXED);
    pci_bars_update(function);
    pci_msix_update(function);
    pci_intx_update(function);
    pthread_mutex_unlock(&function->pci->lock);
}

static bool touches_served(const struct pci_function *function, unsigned offset, unsigned size)
{
    return ranges_overlap(offset, size, function->served_offset, function->served_len);
}

static bool is_served(const struct pci_function *function, unsigned offset, unsigned size)
{
    return range_inside(offset, size, function->served_offset, function->served_len);
}

uint32_t pci_config_read(struct pci_function *function, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    if (!touches_served(function, offset, size))
        return pci_function_read_config(function, offset, size);
    if (is_served(function, offset, size))
        return function->served_ops->read(function->served_device, offset - function->served_offset, size);
    for (unsigned i = 0; i < size; i++)
        value |= pci_config_read(function, offset + i, 1) << (8 * i);
    return value;
}

void pci_config_write(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
    if (!touches_served(function, offset, size))
        write_registers(function, offset, size, value);
    else if (is_served(function, offset, size))
        function->served_ops->write(function->served_device, offset - function->served_offset, size, value);
    else
        for (unsigned i = 0; i < size; i++)
            pci_config_write(function, offset + i, 1, value >> (8 * i) & 0xff);
}

bool pci_function_is_master(const struct pci_function *function)
{
    return __atomic_load_n(&function->command, __ATOMIC_RELAXED) & PCI_COMMAND_MASTER;
}
