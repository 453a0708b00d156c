/* SPDX-License-Identifier: MIT
 *
 * MSI-X (PCI Local Bus 3.0 6.8.2): a BAR of its own with the table of messages, and behind it a pending bit
 * for each. A message that is masked, alone or with all, leaves its bit, and is sent when nothing masks it
 * any more.
 *
 * Software has to access the table by whole aligned words of 4 or 8 bytes; a narrower write does nothing
 * here, a narrower read gets its part.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "devices/pci/internal.h"

#define VECTOR_BYTES 16
#define BITS         64 /* of a word of pending bits */

enum { WORD_ADDRESS, WORD_ADDRESS_HIGH, WORD_DATA, WORD_CONTROL };

#define CONTROL_MASKED  0x1u
#define ADDRESS_ALIGNED 0xfffffffcu

/* The capability: message control, then where table and pending bits are. */
#define CAP_CONTROL    2
#define CONTROL_ENABLE 0x8000u
#define CONTROL_HOLD   0x4000u

unsigned pci_function_msix_count(const struct pci_function *function)
{
    return function->msix.count;
}

bool pci_function_msix_enabled(const struct pci_function *function)
{
    return __atomic_load_n(&function->msix.enabled, __ATOMIC_RELAXED);
}

/* ---- Sending, with the lock held ---- */

static void vector_send(struct pci_function *function, unsigned index)
{
    const uint32_t *words = function->msix.vectors[index].words;
    msi_line_send(&function->pci->config.msi, words[WORD_ADDRESS] | (uint64_t)words[WORD_ADDRESS_HIGH] << 32,
                  words[WORD_DATA]);
}

/* What is pending and masked no more. */
static void vector_flush(struct pci_function *function, unsigned index)
{
    struct pci_msix *msix = &function->msix;
    uint64_t bit = 1ull << index % BITS, *word = &msix->pending[index / BITS];
    if (!(*word & bit) || msix->held || msix->vectors[index].words[WORD_CONTROL] & CONTROL_MASKED)
        return;
    *word &= ~bit;
    vector_send(function, index);
}

void pci_function_send_msix(struct pci_function *function, unsigned vector)
{
    struct pci_msix *msix = &function->msix;
    if (vector >= msix->count)
        return;
    pthread_mutex_lock(&msix->lock);
    if (msix->enabled) {
        msix->pending[vector / BITS] |= 1ull << vector % BITS;
        vector_flush(function, vector);
    }
    pthread_mutex_unlock(&msix->lock);
}

static void drop_pending(struct pci_msix *msix)
{
    memset(msix->pending, 0, (msix->count + BITS - 1) / BITS * sizeof(*msix->pending));
}

/* A message cannot be written to memory without bus mastering, so it waits. */
void pci_msix_update(struct pci_function *function)
{
    struct pci_msix *msix = &function->msix;
    if (!msix->count)
        return;
    unsigned control = load_le16(function->registers + msix->capability + CAP_CONTROL);
    pthread_mutex_lock(&msix->lock);
    bool was_held = msix->held || !msix->enabled;
    __atomic_store_n(&msix->enabled, control & CONTROL_ENABLE, __ATOMIC_RELAXED);
    msix->held = control & CONTROL_HOLD || !pci_function_is_master(function);
    if (!msix->enabled)
        drop_pending(msix);
    else if (was_held && !msix->held)
        for (unsigned i = 0; i < msix->count; i++)
            vector_flush(function, i);
    pthread_mutex_unlock(&msix->lock);
}

/* ---- The BAR ---- */

/* The word at `offset`, a multiple of 4: of the table, of the pending bits, or zero between and behind. */
static uint32_t word_read(const struct pci_msix *msix, uint64_t offset)
{
    if (offset < msix->count * VECTOR_BYTES)
        return msix->vectors[offset / VECTOR_BYTES].words[offset / 4 % 4];
    if (offset < msix->pba_offset || offset - msix->pba_offset >= (msix->count + BITS - 1) / BITS * 8)
        return 0;
    uint64_t at = offset - msix->pba_offset;
    return (uint32_t)(msix->pending[at / 8] >> 8 * (at % 8));
}

static void word_write(struct pci_function *function, uint64_t offset, uint32_t value)
{
    static const uint32_t writable[] = {ADDRESS_ALIGNED, UINT32_MAX, UINT32_MAX, CONTROL_MASKED};
    struct pci_msix *msix = &function->msix;
    unsigned index = (unsigned)(offset / VECTOR_BYTES), word = offset / 4 % 4;
    if (index >= msix->count)
        return;
    msix->vectors[index].words[word] = value & writable[word];
    if (word == WORD_CONTROL && msix->enabled)
        vector_flush(function, index);
}

static uint64_t table_read(void *device, uint64_t offset, unsigned size)
{
    struct pci_function *function = device;
    uint64_t value = 0, first = align_down(offset, 4), at = first;
    pthread_mutex_lock(&function->msix.lock);
    for (; at < offset + size && at - first < 8; at += 4)
        value |= (uint64_t)word_read(&function->msix, at) << 8 * (at - first);
    pthread_mutex_unlock(&function->msix.lock);
    return value >> 8 * (offset - first);
}

static void table_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_function *function = device;
    if (size < 4 || offset % size)
        return;
    pthread_mutex_lock(&function->msix.lock);
    for (unsigned at = 0; at < size; at += 4)
        word_write(function, offset + at, (uint32_t)(value >> 8 * at));
    pthread_mutex_unlock(&function->msix.lock);
}

static const struct bus_ops table_ops = {.read = table_read, .write = table_write};

/* ---- Life ---- */

/* The pending bits have pages of their own, as 6.8.2 would have it; the BAR is the next power of two. */
static void add_table(struct pci_function *function, const struct pci_function_config *config)
{
    struct pci_msix *msix = &function->msix;
    uint8_t bytes[10], writable[10] = {0, (CONTROL_ENABLE | CONTROL_HOLD) >> 8};
    msix->pba_offset = (unsigned)align_up(msix->count * VECTOR_BYTES, PAGE_BYTES);
    uint64_t len = 2 * PAGE_BYTES;
    while (len < msix->pba_offset + PAGE_BYTES)
        len *= 2;
    const struct pci_bar_config bar = {.len = len, .ops = &table_ops, .device = function};
    pci_bar_set(function, config->msix_bar, &bar);
    store_le16(bytes, (uint16_t)(msix->count - 1));
    store_le32(bytes + 2, config->msix_bar);
    store_le32(bytes + 6, msix->pba_offset | config->msix_bar);
    msix->capability = (unsigned)pci_function_add_capability(function, PCI_CAP_MSIX, bytes, writable,
                                                             sizeof(bytes));
}

int pci_msix_init(struct pci_function *function, const struct pci_function_config *config)
{
    struct pci_msix *msix = &function->msix;
    msix->vectors = calloc(config->msix_count, sizeof(*msix->vectors));
    msix->pending = calloc((config->msix_count + BITS - 1) / BITS, sizeof(*msix->pending));
    if (!msix->vectors || !msix->pending)
        return -ENOMEM;
    msix->count = config->msix_count;
    msix->held = true;
    for (unsigned i = 0; i < msix->count; i++)
        msix->vectors[i].words[WORD_CONTROL] = CONTROL_MASKED;
    add_table(function, config);
    return 0;
}

void pci_msix_fini(struct pci_msix *msix)
{
    free(msix->vectors);
    free(msix->pending);
    pthread_mutex_destroy(&msix->lock);
}
