/* SPDX-License-Identifier: MIT
 *
 * SDM 3A chapter 11; Intel 82093AA. Presence is probed, not assumed: with --irqchip none and split some of
 * these do not exist, and their addresses read all ones.
 */
#include "guest/apic.h"

#include "guest/layout.h"

#define LAPIC_ADDRESS  0xfee00000ull
#define IOAPIC_ADDRESS 0xfec00000ull
#define IOAPIC_DATA    0x10
#define IOAPIC_VERSION 1
#define IOAPIC_TABLE   0x10

#define X2APIC_MSR       0x800u
#define APIC_BASE_X2     (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_ENABLE      0x100u
#define ICR_PENDING      (1u << 12)
#define ICR_HIGH         0x31
#define CPUID_1_EDX_APIC (1u << 9)
#define CPUID_1_ECX_X2   (1u << 21)

struct interrupt_controllers apics;

uint32_t lapic_read(unsigned number)
{
    return apics.is_x2apic ? (uint32_t)msr_read(X2APIC_MSR + number)
                           : MEM(uint32_t, LAPIC_ADDRESS + 16 * number);
}

void lapic_write(unsigned number, uint32_t value)
{
    if (apics.is_x2apic)
        msr_write(X2APIC_MSR + number, value);
    else
        MEM(uint32_t, LAPIC_ADDRESS + 16 * number) = value;
}

void lapic_eoi(void)
{
    lapic_write(APIC_EOI, 0);
}

void ipi_send(uint32_t apic_id, uint32_t command)
{
    if (apics.is_x2apic) {
        msr_write(X2APIC_MSR + APIC_ICR, (uint64_t)apic_id << 32 | command);
        return;
    }
    lapic_write(ICR_HIGH, apic_id << 24);
    lapic_write(APIC_ICR, command);
    for (unsigned i = 0; i < 1000 && lapic_read(APIC_ICR) & ICR_PENDING; i++)
        cpu_relax();
}

static uint32_t ioapic_read(unsigned number)
{
    MEM(uint32_t, IOAPIC_ADDRESS) = number;
    return MEM(uint32_t, IOAPIC_ADDRESS + IOAPIC_DATA);
}

static void ioapic_write(unsigned number, uint32_t value)
{
    MEM(uint32_t, IOAPIC_ADDRESS) = number;
    MEM(uint32_t, IOAPIC_ADDRESS + IOAPIC_DATA) = value;
}

void ioapic_route(unsigned pin, uint32_t low)
{
    ioapic_write(IOAPIC_TABLE + 2 * pin + 1, lapic_read(APIC_ID) << (apics.is_x2apic ? 24 : 0));
    ioapic_write(IOAPIC_TABLE + 2 * pin, low);
}

/* Their vectors are moved away from the exceptions' first, for the spurious ones that masking does not stop.
 */
static void pic_mask(void)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } writes[] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, 0x30}, {0xa1, 0x38}, {0x21, 0x04},
                  {0xa1, 0x02}, {0x21, 0x01}, {0xa1, 0x01}, {0x21, 0xff}, {0xa1, 0xff}};
    for (size_t i = 0; i < ARRAY_COUNT(writes); i++)
        out8(writes[i].port, writes[i].value);
}

uint32_t lapic_enable(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    msr_write(MSR_APIC_BASE, apics.is_x2apic ? base | APIC_BASE_X2 : base);
    lapic_write(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
    lapic_write(APIC_TPR, 0);
    uint32_t id = lapic_read(APIC_ID);
    return apics.is_x2apic ? id : id >> 24;
}

void apic_init(bool want_x2apic)
{
    pic_mask();
    struct cpuid_regs r = cpuid(1, 0);
    if (!(r.edx & CPUID_1_EDX_APIC))
        return;
    uint64_t base = msr_read(MSR_APIC_BASE);
    apics.is_x2apic = base & APIC_BASE_X2 || (want_x2apic && r.ecx & CPUID_1_ECX_X2);
    apics.has_lapic = base & APIC_BASE_X2 || MEM(uint32_t, LAPIC_ADDRESS + 16 * APIC_VERSION) != UINT32_MAX;
    if (!apics.has_lapic)
        return;
    lapic_enable();
    uint32_t version = ioapic_read(IOAPIC_VERSION);
    apics.has_ioapic = version != UINT32_MAX;
    if (!apics.has_ioapic)
        return;
    apics.ioapic_pins = (version >> 16 & 0xff) + 1;
    for (unsigned pin = 0; pin < apics.ioapic_pins && pin < 24; pin++)
        ioapic_write(IOAPIC_TABLE + 2 * pin, IOAPIC_MASKED);
}
