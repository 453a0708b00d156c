/* SPDX-License-Identifier: MIT
 *
 * A machine's PCI under test: the bridge's regions on fake buses, lines and doorbells that remember, and what
 * firmware and kernels do first.
 */
#ifndef TESTS_DEVICES_PCI_FIXTURE_H
#define TESTS_DEVICES_PCI_FIXTURE_H

#include "devices/pci/function.h"
#include "tests/devices/fake.h"

#define ECAM     0xf0000000ull
#define LOW      0xe0000000ull
#define LOW_LEN  0x10000000ull
#define HIGH     0x4000000000ull
#define HIGH_LEN 0x4000000000ull

/* Offsets and bits of configuration space, spelled out: not the ones of the code under test. */
enum {
    R_COMMAND = 0x04,
    R_STATUS = 0x06,
    R_CLASS = 0x08,
    R_BAR0 = 0x10,
    R_CAPABILITIES = 0x34,
    R_LINE = 0x3c,
};
#define C_MEMORY    0x2
#define C_MASTER    0x4
#define C_INTX_OFF  0x400
#define S_INTERRUPT 0x8

#define FAKE_DOORBELLS 16

struct fake_pci {
    struct pci *pci;
    struct bus *ports, *memory;
    struct fake_irq irqs[2]; /* of INTA and INTC, INTB and INTD */
    unsigned msi_count;
    uint64_t msi_address;
    uint32_t msi_data;
    struct doorbell doorbells[FAKE_DOORBELLS]; /* those attached */
    unsigned doorbell_count;
    bool refuses_doorbells;
};

static inline void fake_msi_send(void *owner, uint64_t address, uint32_t data)
{
    struct fake_pci *fake = owner;
    fake->msi_count++;
    fake->msi_address = address;
    fake->msi_data = data;
}

static inline int fake_doorbell_find(const struct fake_pci *fake, uint64_t address)
{
    for (unsigned i = 0; i < fake->doorbell_count; i++)
        if (fake->doorbells[i].address == address)
            return (int)i;
    return -1;
}

/* As KVM: one doorbell to a place. */
static inline int fake_doorbell_attach(void *owner, const struct doorbell *doorbell)
{
    struct fake_pci *fake = owner;
    if (fake->refuses_doorbells || fake->doorbell_count == FAKE_DOORBELLS)
        return -ENOSPC;
    if (fake_doorbell_find(fake, doorbell->address) >= 0)
        return -EEXIST;
    ck_assert(!doorbell->is_port && !doorbell->size && !doorbell->has_value);
    fake->doorbells[fake->doorbell_count++] = *doorbell;
    return 0;
}

static inline void fake_doorbell_detach(void *owner, const struct doorbell *doorbell)
{
    struct fake_pci *fake = owner;
    int at = fake_doorbell_find(fake, doorbell->address);
    ck_assert_int_ge(at, 0);
    ck_assert_int_eq(fake->doorbells[at].event_fd, doorbell->event_fd);
    fake->doorbells[at] = fake->doorbells[--fake->doorbell_count];
}

static inline void fake_pci_init_with(struct fake_pci *fake, bool has_msi)
{
    *fake = (struct fake_pci){0};
    struct pci_config config = {.ecam_base = ECAM,
                                .low = {LOW, LOW_LEN},
                                .high = {HIGH, HIGH_LEN},
                                .msi = {fake_msi_send, fake},
                                .doorbell = {fake_doorbell_attach, fake_doorbell_detach, fake}};
    if (!has_msi)
        config.msi.send = NULL;
    for (unsigned i = 0; i < PCI_INTX_COUNT; i++)
        config.intx[i] = fake_irq_line(&fake->irqs[i % 2], 10 + i % 2);
    ck_assert_int_eq(pci_create(&config, &fake->pci, NULL), 0);
    fake->ports = fake_bus(BUS_PORTS, pci_data_region(fake->pci));
    fake->memory = fake_bus(BUS_MEMORY, pci_ecam_region(fake->pci));
    ck_assert_int_eq(bus_add(fake->memory, pci_low_region(fake->pci), NULL), 0);
    ck_assert_int_eq(bus_add(fake->memory, pci_high_region(fake->pci), NULL), 0);
}

static inline void fake_pci_init(struct fake_pci *fake)
{
    fake_pci_init_with(fake, true);
}

static inline void fake_pci_fini(struct fake_pci *fake)
{
    bus_destroy(fake->memory);
    bus_destroy(fake->ports);
    pci_destroy(fake->pci);
}

static inline uint64_t ecam_at(unsigned slot, unsigned offset)
{
    return ECAM + (slot << 15) + offset;
}

static inline uint32_t config_read(struct fake_pci *fake, unsigned slot, unsigned offset, unsigned size)
{
    return (uint32_t)bus_read(fake->memory, ecam_at(slot, offset), size);
}

static inline void config_write(struct fake_pci *fake, unsigned slot, unsigned offset, unsigned size,
                                uint32_t value)
{
    bus_write(fake->memory, ecam_at(slot, offset), size, value);
}

static inline uint64_t bar_get(struct fake_pci *fake, unsigned slot, unsigned bar)
{
    return config_read(fake, slot, R_BAR0 + 4 * bar, 4) |
           (uint64_t)config_read(fake, slot, R_BAR0 + 4 * bar + 4, 4) << 32;
}

static inline void bar_set(struct fake_pci *fake, unsigned slot, unsigned bar, uint64_t value)
{
    config_write(fake, slot, R_BAR0 + 4 * bar, 4, (uint32_t)value);
    config_write(fake, slot, R_BAR0 + 4 * bar + 4, 4, (uint32_t)(value >> 32));
}

/* The next capability with this ID behind `after` (0: from the start), or 0. */
static inline unsigned capability_find(struct fake_pci *fake, unsigned slot, uint8_t id, unsigned after)
{
    unsigned at = after ? config_read(fake, slot, after + 1, 1) : config_read(fake, slot, R_CAPABILITIES, 1);
    for (unsigned hops = 0; at && hops < 48; hops++) {
        ck_assert_uint_ge(at, 0x40);
        ck_assert_uint_eq(at % 4, 0);
        if (config_read(fake, slot, at, 1) == id)
            return at;
        at = config_read(fake, slot, at + 1, 1);
    }
    return 0;
}

#endif
