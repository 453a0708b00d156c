/* SPDX-License-Identifier: MIT
 *
 * Two 32-bit windows, a selector and the register it selects, over a table of redirection entries:
 *
 *   bits   0-7     8-10      11           12        13        14          15       16    56-63
 *          vector  delivery  destination  delivery  polarity  remote IRR  trigger  mask  destination
 *                  mode      mode         status                          (level)
 *
 * An entry whose trigger is "level" has remote IRR set from its message to the end of that interrupt, and
 * sends nothing meanwhile. A line is up or down here, whatever polarity the guest wrote for the wires it
 * imagines.
 */
#include "devices/ioapic/ioapic.h"

#include <stdlib.h>

#define REGION_BYTES  0x1000
#define OFFSET_SELECT 0x00
#define OFFSET_WINDOW 0x10
#define OFFSET_EOI    0x40

enum {
    REGISTER_ID = 0x00,
    REGISTER_VERSION = 0x01,
    REGISTER_ARBITRATION = 0x02,
    REGISTER_ENTRIES = 0x10, /* two to an entry */
};

#define VERSION  0x20u /* the first with the EOI register */
#define ID_SHIFT 24
#define ID_MASK  0x0f000000u

#define ENTRY_VECTOR           0xffull
#define ENTRY_DELIVERY_MODE    0x700ull
#define ENTRY_DESTINATION_MODE 0x800ull
#define ENTRY_REMOTE_IRR       (1ull << 14)
#define ENTRY_LEVEL            (1ull << 15)
#define ENTRY_MASKED           (1ull << 16)
#define ENTRY_DESTINATION      56
#define ENTRY_WRITABLE         0xff0000000001afffull

#define MSI_ADDRESS             0xfee00000u
#define MSI_ADDRESS_DESTINATION 12
#define MSI_ADDRESS_LOGICAL     (1u << 2)
#define MSI_DATA_ASSERT         (1u << 14)
#define MSI_DATA_LEVEL          (1u << 15)

struct ioapic {
    struct bus_region region;
    struct lock lock;
    struct ioapic_output output;
    uint32_t id;     /* in its place in the register */
    uint32_t select; /* the register behind the window */
    uint32_t lines;  /* the pins that are up */
    uint32_t routed; /* the pins whose routes have been told */
    uint64_t entries[IOAPIC_PIN_COUNT];
};

static uint64_t entry_address(uint64_t entry)
{
    return MSI_ADDRESS | entry >> ENTRY_DESTINATION << MSI_ADDRESS_DESTINATION |
           (entry & ENTRY_DESTINATION_MODE ? MSI_ADDRESS_LOGICAL : 0);
}

static uint32_t entry_data(uint64_t entry)
{
    return (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_DELIVERY_MODE)) |
           (entry & ENTRY_LEVEL ? MSI_DATA_LEVEL | MSI_DATA_ASSERT : 0);
}

static void pin_send(struct ioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->entries[pin];
    ioapic->output.msi_send(ioapic->output.owner, entry_address(entry), entry_data(entry));
}

/* A level-triggered pin sends while it is up, unless its last message is still being handled. */
static void pin_update_level(struct ioapic *ioapic, unsigned pin)
{
    uint64_t *entry = &ioapic->entries[pin];
    if (!(*entry & ENTRY_LEVEL) || *entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR) || !(ioapic->lines >> pin & 1))
        return;
    *entry |= ENTRY_REMOTE_IRR;
    pin_send(ioapic, pin);
}

/* An edge at a masked pin is lost, as the data sheet has it (3.2.4). */
void ioapic_set(void *owner, unsigned pin, bool level)
{
    struct ioapic *ioapic = owner;
    if (pin >= IOAPIC_PIN_COUNT)
        return;
    lock_acquire(&ioapic->lock);
    bool rises = level && !(ioapic->lines >> pin & 1);
    ioapic->lines = (ioapic->lines & ~(1u << pin)) | (uint32_t)level << pin;
    if (rises && !(ioapic->entries[pin] & (ENTRY_LEVEL | ENTRY_MASKED)))
        pin_send(ioapic, pin);
    else
        pin_update_level(ioapic, pin);
    lock_release(&ioapic->lock);
}

static void ioapic_end(struct ioapic *ioapic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PIN_COUNT; pin++) {
        uint64_t *entry = &ioapic->entries[pin];
        if ((*entry & ENTRY_VECTOR) != vector || !(*entry & ENTRY_REMOTE_IRR))
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        pin_update_level(ioapic, pin);
    }
}

void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector)
{
    lock_acquire(&ioapic->lock);
    ioapic_end(ioapic, vector);
    lock_release(&ioapic->lock);
}

/* A pin that is only masked keeps its route: its interrupt may be in service, as where a kernel masks it,
 * ends it and has a thread handle it, and KVM would not report the end. */
static void pin_update_route(struct ioapic *ioapic, unsigned pin, uint64_t before)
{
    uint64_t after = ioapic->entries[pin];
    bool is_masked = after & ENTRY_MASKED;
    bool moved = entry_address(before) != entry_address(after) || entry_data(before) != entry_data(after);
    if (ioapic->routed >> pin & 1 ? !moved : is_masked)
        return;
    ioapic->routed = (ioapic->routed & ~(1u << pin)) | (uint32_t)!is_masked << pin;
    if (ioapic->output.route_changed)
        ioapic->output.route_changed(ioapic->output.owner, pin, entry_address(after), entry_data(after),
                                     is_masked);
}

static void ioapic_write_entry(struct ioapic *ioapic, unsigned pin, unsigned shift, uint32_t value)
{
    uint64_t before = ioapic->entries[pin];
    uint64_t after = (before & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
    after = (after & ENTRY_WRITABLE) | (before & ENTRY_REMOTE_IRR);
    /* an edge has no end: switching to it and back is how kernels clear a stuck remote IRR */
    if (!(after & ENTRY_LEVEL))
        after &= ~ENTRY_REMOTE_IRR;
    ioapic->entries[pin] = after;
    pin_update_route(ioapic, pin, before);
    pin_update_level(ioapic, pin);
}

static uint32_t ioapic_read_register(const struct ioapic *ioapic)
{
    unsigned pin = (ioapic->select - REGISTER_ENTRIES) / 2;
    switch (ioapic->select) {
    case REGISTER_ID:
    case REGISTER_ARBITRATION:
        return ioapic->id;
    case REGISTER_VERSION:
        return VERSION | (IOAPIC_PIN_COUNT - 1) << 16;
    }
    if (ioapic->select < REGISTER_ENTRIES || pin >= IOAPIC_PIN_COUNT)
        return 0;
    return (uint32_t)(ioapic->entries[pin] >> (ioapic->select & 1 ? 32 : 0));
}

static void ioapic_write_register(struct ioapic *ioapic, uint32_t value)
{
    unsigned pin = (ioapic->select - REGISTER_ENTRIES) / 2;
    if (ioapic->select == REGISTER_ID)
        ioapic->id = value & ID_MASK;
    else if (ioapic->select >= REGISTER_ENTRIES && pin < IOAPIC_PIN_COUNT)
        ioapic_write_entry(ioapic, pin, ioapic->select & 1 ? 32 : 0, value);
}

static uint64_t ioapic_read(void *device, uint64_t offset, unsigned size)
{
    const struct ioapic *ioapic = device;
    if (offset == OFFSET_SELECT)
        return ioapic->select;
    return offset == OFFSET_WINDOW && size == 4 ? ioapic_read_register(ioapic) : 0;
}

static void ioapic_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct ioapic *ioapic = device;
    if (offset == OFFSET_SELECT)
        ioapic->select = value & 0xff;
    else if (offset == OFFSET_WINDOW && size == 4)
        ioapic_write_register(ioapic, (uint32_t)value);
    else if (offset == OFFSET_EOI && size == 4)
        ioapic_end(ioapic, (uint8_t)value);
}

static const struct bus_ops ioapic_ops = {.read = ioapic_read, .write = ioapic_write};

int ioapic_create(const struct ioapic_config *config, struct ioapic **out, struct vmm_error *error)
{
    struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
    if (!ioapic)
        return error_set(error, -ENOMEM, "ioapic: out of memory");
    ioapic->output = config->output;
    ioapic->id = (uint32_t)config->id << ID_SHIFT & ID_MASK;
    for (unsigned pin = 0; pin < IOAPIC_PIN_COUNT; pin++)
        ioapic->entries[pin] = ENTRY_MASKED;
    ioapic->region = (struct bus_region){.name = "ioapic",
                                         .base = config->base,
                                         .len = REGION_BYTES,
                                         .size_min = 1,
                                         .size_max = 4,
                                         .ops = &ioapic_ops,
                                         .device = ioapic,
                                         .lock = &ioapic->lock};
    *out = ioapic;
    return 0;
}

void ioapic_destroy(struct ioapic *ioapic)
{
    if (!ioapic)
        return;
    free(ioapic);
}

struct bus_region *ioapic_region(struct ioapic *ioapic)
{
    return &ioapic->region;
}
