/* SPDX-License-Identifier: MIT
 *
 * An I/O APIC in userspace, for a machine whose local APICs alone are KVM's (--irqchip split): 24 pins, each
 * with a redirection entry that turns a line into a message. Specification: Intel 82093AA, with the EOI
 * register of version 0x20.
 *
 * Threads: every function from any thread. The callbacks are called with the I/O APIC's lock held, which
 * comes last in the lock order: they must not call back into it.
 */
#ifndef DEVICES_IOAPIC_IOAPIC_H
#define DEVICES_IOAPIC_IOAPIC_H

#include "mmio/bus.h"

#define IOAPIC_BASE      0xfec00000u
#define IOAPIC_PIN_COUNT 24u

/* Where messages go. */
struct ioapic_output {
    /* An interrupt: address and data as a PCI device would write them (SDM 3A 11.11). */
    void (*msi_send)(void *owner, uint64_t address, uint32_t data);
    /* What pin `pin` sends from now on, for the EOI bitmap: KVM reports the end of an interrupt
     * (KVM_EXIT_IOAPIC_EOI) only for level-triggered routes it knows. Called only when something changed; at
     * first no pin has a route, and one that was changed while it is masked has none any more (`gone`). NULL:
     * nobody wants to know. */
    void (*route_changed)(void *owner, unsigned pin, uint64_t address, uint32_t data, bool gone);
    void *owner;
};

struct ioapic_config {
    uint64_t base;
    uint8_t id;
    struct ioapic_output output;
};

struct ioapic;

int ioapic_create(const struct ioapic_config *config, struct ioapic **ioapic, struct vmm_error *error);
void ioapic_destroy(struct ioapic *ioapic);
struct bus_region *ioapic_region(struct ioapic *ioapic); /* memory, 4 KiB */

/* The level of an input. An edge-triggered pin sends on a rise. Pins from 24 on are ignored. This is the
 * `set` of a struct irq_line whose owner is the I/O APIC. */
void ioapic_set(void *ioapic, unsigned pin, bool level);

/* A processor has ended the interrupt with this vector; a level-triggered pin that is still up sends again.
 */
void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector);

#endif
