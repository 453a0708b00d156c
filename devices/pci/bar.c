/* SPDX-License-Identifier: MIT
 *
 * Who answers at an address. A BAR decodes while memory decoding is on and all of it lies inside a window.
 * Where two overlap, which the PCI specification leaves open, the one of the lower slot answers, then the
 * lower BAR; the other has its place back as soon as that moves away.
 *
 * A BAR's address is read without a lock: an access that comes while the BAR moves may still find it at its
 * old place, as it may on a real bus. The device exists longer than any vCPU runs.
 */
#include "base/bytes.h"
#include "devices/pci/internal.h"

#define BAR_BITS 0xfull /* the low bits, which say what kind it is */

/* The bits below its size are zero, but for the four that say what it is (PCI Local Bus 3.0 6.2.5.1). */
void pci_bar_set(struct pci_function *function, unsigned bar, const struct pci_bar_config *config)
{
    unsigned offset = PCI_BARS + 4 * bar;
    function->bars[bar] = (struct pci_bar){.config = *config, .address = PCI_UNMAPPED};
    store_le64(function->writable + offset, ~(config->len - 1));
    function->registers[offset] = PCI_BAR_64 | (config->is_prefetchable ? PCI_BAR_PREFETCHABLE : 0);
}

static uint64_t bar_address(const struct pci_bar *bar)
{
    return __atomic_load_n(&bar->address, __ATOMIC_RELAXED);
}

/* ---- Doorbells ---- */

static struct doorbell attachment(const struct pci_doorbell *doorbell)
{
    return (struct doorbell){.address = doorbell->address, .event_fd = doorbell->event_fd};
}

/* One that the host refuses is not asked for again until its BAR moves: the region's write does the same. */
static void doorbell_attach(struct pci_function *function, struct pci_doorbell *doorbell)
{
    uint64_t base = function->bars[doorbell->bar].address;
    if (base == PCI_UNMAPPED)
        return;
    doorbell->address = base + doorbell->offset;
    const struct doorbell place = attachment(doorbell);
    doorbell->is_attached = !doorbell_line_attach(&function->pci->config.doorbell, &place);
}

static void doorbell_detach(struct pci_function *function, struct pci_doorbell *doorbell)
{
    const struct doorbell place = attachment(doorbell);
    if (doorbell->is_attached)
        doorbell_line_detach(&function->pci->config.doorbell, &place);
    doorbell->is_attached = false;
}

void pci_function_add_doorbell(struct pci_function *function, struct pci_doorbell *doorbell)
{
    pthread_mutex_lock(&function->pci->lock);
    doorbell->next = function->doorbells;
    doorbell->is_attached = false;
    function->doorbells = doorbell;
    doorbell_attach(function, doorbell);
    pthread_mutex_unlock(&function->pci->lock);
}

void pci_function_remove_doorbell(struct pci_function *function, struct pci_doorbell *doorbell)
{
    pthread_mutex_lock(&function->pci->lock);
    for (struct pci_doorbell **at = &function->doorbells; *at; at = &(*at)->next) {
        if (*at != doorbell)
            continue;
        doorbell_detach(function, doorbell);
        *at = doorbell->next;
        break;
    }
    pthread_mutex_unlock(&function->pci->lock);
}

/* ---- Addresses ---- */

static bool in_window(const struct pci_window *window, uint64_t address, uint64_t len)
{
    return window->len && range_inside(address, len, window->base, window->len);
}

/* Where the registers say that the BAR is, if it decodes there. */
static uint64_t decoded_address(const struct pci_function *function, unsigned index)
{
    const struct pci_config *config = &function->pci->config;
    uint64_t len = function->bars[index].config.len;
    uint64_t address = load_le64(function->registers + PCI_BARS + 4 * index) & ~BAR_BITS;
    bool is_on = load_le16(function->registers + PCI_COMMAND) & PCI_COMMAND_MEMORY;
    bool decodes = is_on && (in_window(&config->low, address, len) || in_window(&config->high, address, len));
    return decodes ? address : PCI_UNMAPPED;
}

static void bar_move(struct pci_function *function, unsigned index, uint64_t address)
{
    for (struct pci_doorbell *doorbell = function->doorbells; doorbell; doorbell = doorbell->next)
        if (doorbell->bar == index)
            doorbell_detach(function, doorbell);
    __atomic_store_n(&function->bars[index].address, address, __ATOMIC_RELAXED);
    for (struct pci_doorbell *doorbell = function->doorbells; doorbell; doorbell = doorbell->next)
        if (doorbell->bar == index)
            doorbell_attach(function, doorbell);
}

void pci_bars_update(struct pci_function *function)
{
    for (unsigned index = 0; index < PCI_BAR_COUNT; index++) {
        if (!function->bars[index].config.len)
            continue;
        uint64_t address = decoded_address(function, index);
        if (address != function->bars[index].address)
            bar_move(function, index, address);
    }
}

static struct pci_bar *function_find(struct pci_function *function, uint64_t address, uint64_t *offset)
{
    for (unsigned index = 0; index < PCI_BAR_COUNT; index += 2) {
        struct pci_bar *bar = &function->bars[index];
        uint64_t base = bar_address(bar);
        *offset = address - base;
        if (bar->config.len && base != PCI_UNMAPPED && *offset < bar->config.len)
            return bar;
    }
    return NULL;
}

static struct pci_bar *window_find(struct pci *pci, uint64_t address, uint64_t *offset)
{
    for (unsigned slot = 0; slot < PCI_SLOT_COUNT; slot++) {
        struct pci_bar *bar = pci->slots[slot] ? function_find(pci->slots[slot], address, offset) : NULL;
        if (bar)
            return bar;
    }
    return NULL;
}

/* ---- Accesses ---- */

static uint64_t bar_read(const struct pci_bar *bar, uint64_t offset, unsigned size)
{
    const struct pci_bar_config *config = &bar->config;
    if (config->lock)
        lock_acquire(config->lock);
    uint64_t value = config->ops->read(config->device, offset, size) & size_mask(size);
    if (config->lock)
        lock_release(config->lock);
    return value;
}

static void bar_write(const struct pci_bar *bar, uint64_t offset, unsigned size, uint64_t value)
{
    const struct pci_bar_config *config = &bar->config;
    if (config->lock)
        lock_acquire(config->lock);
    config->ops->write(config->device, offset, size, value & size_mask(size));
    if (config->lock)
        lock_release(config->lock);
}

/* BARs are at multiples of their length, which is 16 bytes at least: only across such a multiple can an
 * access leave one. Any other is found or not found by one look, so that a BAR that comes or goes tears none.
 */
static bool may_leave_bar(uint64_t address, unsigned size)
{
    return (address ^ (address + size - 1)) & ~15ull;
}

/* What lies across the end of a BAR is done byte by byte, as the machine's bus does it. */
uint64_t pci_window_read(struct pci *pci, uint64_t address, unsigned size)
{
    uint64_t offset, value = 0;
    const struct pci_bar *bar = window_find(pci, address, &offset);
    if (bar && size <= bar->config.len - offset)
        return bar_read(bar, offset, size);
    if (!may_leave_bar(address, size))
        return UINT64_MAX;
    for (unsigned i = 0; i < size; i++)
        value |= (pci_window_read(pci, address + i, 1) & 0xff) << (8 * i);
    return value;
}

void pci_window_write(struct pci *pci, uint64_t address, unsigned size, uint64_t value)
{
    uint64_t offset;
    const struct pci_bar *bar = window_find(pci, address, &offset);
    if (bar && size <= bar->config.len - offset) {
        bar_write(bar, offset, size, value);
        return;
    }
    for (unsigned i = 0; may_leave_bar(address, size) && i < size; i++)
        pci_window_write(pci, address + i, 1, value >> (8 * i) & 0xff);
}

uint64_t pci_function_read_bar(struct pci_function *function, unsigned bar, uint64_t offset, unsigned size)
{
    bool exists = bar < PCI_BAR_COUNT && range_inside(offset, size, 0, function->bars[bar].config.len);
    return exists ? bar_read(&function->bars[bar], offset, size) : size_mask(size);
}

void pci_function_write_bar(struct pci_function *function, unsigned bar, uint64_t offset, unsigned size,
                            uint64_t value)
{
    if (bar < PCI_BAR_COUNT && range_inside(offset, size, 0, function->bars[bar].config.len))
        bar_write(&function->bars[bar], offset, size, value);
}

/* ---- What firmware does ---- */

static bool take(struct pci_window *free, uint64_t len, uint64_t *address)
{
    uint64_t end, base = align_up(free->base, len);
    if (base < free->base || !checked_add(free->base, free->len, &end) || !range_inside(base, len, 0, end))
        return false;
    *free = (struct pci_window){.base = base + len, .len = end - (base + len)};
    *address = base;
    return true;
}

/* Of every function the BARs of this size. The low window first: any guest can reach it. */
static int assign_size(struct pci *pci, uint64_t len, struct pci_window free[2], struct vmm_error *error)
{
    for (unsigned i = 0; i < PCI_SLOT_COUNT * PCI_BAR_COUNT; i++) {
        struct pci_function *function = pci->slots[i / PCI_BAR_COUNT];
        unsigned bar = i % PCI_BAR_COUNT;
        uint64_t address;
        if (!function || function->bars[bar].config.len != len)
            continue;
        if (!take(&free[0], len, &address) && !take(&free[1], len, &address))
            return error_set(error, -ENOSPC, "%s: its %#llx bytes of device memory fit into no PCI window",
                             function->name, (unsigned long long)len);
        pci_config_write(function, PCI_BARS + 4 * bar, 4, (uint32_t)address);
        pci_config_write(function, PCI_BARS + 4 * bar + 4, 4, (uint32_t)(address >> 32));
    }
    return 0;
}

/* The largest first: then each is aligned where the last one ends, and nothing is wasted. */
int pci_assign(struct pci *pci, struct vmm_error *error)
{
    struct pci_window free[] = {pci->config.low, pci->config.high};
    int result = 0;
    for (unsigned bit = 63; !result && bit >= 12; bit--)
        result = assign_size(pci, 1ull << bit, free, error);
    for (unsigned slot = 1; !result && slot < PCI_SLOT_COUNT; slot++)
        if (pci->slots[slot])
            pci_config_write(pci->slots[slot], PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return result;
}
