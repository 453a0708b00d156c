/* SPDX-License-Identifier: MIT
 *
 * The interrupt controllers: the local APIC as xAPIC or x2APIC, the I/O APIC, and the old PICs, masked.
 */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "guest/kernel.h"

#define APIC_ID            0x02
#define APIC_VERSION       0x03
#define APIC_TPR           0x08
#define APIC_EOI           0x0b
#define APIC_SPURIOUS      0x0f
#define APIC_IRR           0x20
#define APIC_ICR           0x30
#define APIC_LVT_TIMER     0x32
#define APIC_TIMER_INITIAL 0x38
#define APIC_TIMER_CURRENT 0x39
#define APIC_TIMER_DIVIDE  0x3e

#define APIC_LVT_MASKED     (1u << 16)
#define APIC_TIMER_PERIODIC (1u << 17)
#define APIC_TIMER_DEADLINE (2u << 17)

#define ICR_FIXED      0x0000u
#define ICR_NMI        0x0400u
#define ICR_INIT       0x4500u /* level assert */
#define ICR_STARTUP    0x4600u
#define ICR_SELF       (1u << 18)
#define ICR_ALL_OTHERS (3u << 18)

#define IOAPIC_LOW    (1u << 13) /* active low */
#define IOAPIC_LEVEL  (1u << 15)
#define IOAPIC_MASKED (1u << 16)

extern struct interrupt_controllers {
    bool has_lapic, has_ioapic, is_x2apic;
    unsigned ioapic_pins;
} apics;

/* Masks the PICs and finds the APICs. `want_x2apic`: switch to it where the CPU has it. */
void apic_init(bool want_x2apic);

/* Enables this CPU's local APIC, in the mode of the first one; returns its ID. */
uint32_t lapic_enable(void);

/* A register by its x2APIC number: the xAPIC's offset divided by 16. */
uint32_t lapic_read(unsigned number);
void lapic_write(unsigned number, uint32_t value);
void lapic_eoi(void);

/* Sends what `command` says (vector, ICR_*); `apic_id` counts where no shorthand is given. */
void ipi_send(uint32_t apic_id, uint32_t command);

/* A pin gets a vector on this CPU, edge-triggered and active high unless IOAPIC_* say otherwise. */
void ioapic_route(unsigned pin, uint32_t low);

#endif
