/* SPDX-License-Identifier: MIT
 *
 * Interrupts on the first CPU: from itself, from its timer, and through the I/O APIC.
 */
#include "guest/apic.h"
#include "guest/clock.h"
#include "guest/test.h"
#include "guest/trap.h"

#define VECTOR_LOW   0x30
#define VECTOR_HIGH  0x3c
#define VECTOR_TIMER 0x31
#define VECTOR_PIT   0x32
#define VECTOR_UART  0x33

#define DIVIDE_BY_16 0x3
#define TIMER_TICKS  20000u
#define LONG_US      5000000u /* more than a loaded host ever takes */
#define SHORT_US     3000u

#define DEADLINE_TRIES 3u

#define PIT_PINS  2 /* pin 2 on a PC with ACPI, pin 0 where nobody says otherwise */
#define UART_PIN  4
#define UART_IER  (UART + 1)
#define UART_IIR  (UART + 2)
#define IER_THRE  0x02
#define IIR_THRE  0x02
#define IIR_NONE  0x01
#define IIR_CAUSE 0x0f

#define NEED_LAPIC()  SKIP_IF(!apics.has_lapic, "no local APIC")
#define NEED_IOAPIC() SKIP_IF(!apics.has_ioapic, "no I/O APIC")

static volatile uint32_t low_count, high_count, timer_count, pit_interrupts, uart_interrupts, nmi_count;
static volatile uint8_t uart_iir;
static volatile uint32_t order, high_order, low_order;

static void low_handler(void)
{
    low_count++;
    low_order = ++order;
    lapic_eoi();
}

static void high_handler(void)
{
    high_count++;
    high_order = ++order;
    lapic_eoi();
}

static void timer_handler(void)
{
    timer_count++;
    lapic_eoi();
}

static void counts_reset(void)
{
    irq_handler_set(VECTOR_LOW, low_handler);
    irq_handler_set(VECTOR_HIGH, high_handler);
    irq_handler_set(VECTOR_TIMER, timer_handler);
    low_count = high_count = timer_count = order = 0;
}

/* Lets what is pending arrive. */
static void irq_window(void)
{
    irq_enable();
    for (unsigned i = 0; i < 4; i++)
        cpu_relax();
    irq_disable();
}

void test_irq_self(void)
{
    NEED_LAPIC();
    counts_reset();
    ipi_send(0, ICR_SELF | ICR_FIXED | VECTOR_LOW);
    delay_us(200);
    CHECK_EQUAL(low_count, 0);
    CHECK(lapic_read(APIC_IRR + VECTOR_LOW / 32) & 1u << VECTOR_LOW % 32);
    CHECK(wait_for_count(&low_count, 1, LONG_US));
    irq_window();
    CHECK_EQUAL(low_count, 1);
}

void test_irq_priority(void)
{
    NEED_LAPIC();
    counts_reset();
    cr8_write(VECTOR_LOW >> 4);
    ipi_send(0, ICR_SELF | ICR_FIXED | VECTOR_LOW);
    irq_window();
    CHECK_EQUAL(low_count, 0);
    cr8_write(0);
    CHECK(wait_for_count(&low_count, 1, LONG_US));
    ipi_send(0, ICR_SELF | ICR_FIXED | VECTOR_LOW);
    ipi_send(0, ICR_SELF | ICR_FIXED | VECTOR_HIGH);
    CHECK(wait_for_count(&low_count, 2, LONG_US));
    CHECK_EQUAL(high_count, 1);
    CHECK(high_order < low_order);
}

static void timer_start(uint32_t lvt, uint32_t ticks)
{
    lapic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
    lapic_write(APIC_LVT_TIMER, lvt);
    lapic_write(APIC_TIMER_INITIAL, ticks);
}

static void timer_stop(void)
{
    lapic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    lapic_write(APIC_TIMER_INITIAL, 0);
}

void test_irq_oneshot(void)
{
    NEED_LAPIC();
    counts_reset();
    timer_start(VECTOR_TIMER, TIMER_TICKS);
    irq_wait();
    CHECK_EQUAL(timer_count, 1);
    CHECK_EQUAL(lapic_read(APIC_TIMER_CURRENT), 0);
    delay_us(SHORT_US);
    irq_window();
    timer_stop();
    CHECK_EQUAL(timer_count, 1);
}

void test_irq_periodic(void)
{
    NEED_LAPIC();
    counts_reset();
    timer_start(APIC_TIMER_PERIODIC | VECTOR_TIMER, TIMER_TICKS);
    bool arrived = wait_for_count(&timer_count, 5, LONG_US);
    timer_stop();
    CHECK(arrived);
    irq_window();
    uint32_t count = timer_count;
    delay_us(SHORT_US);
    irq_window();
    CHECK_EQUAL(timer_count, count);
}

void test_irq_masked(void)
{
    NEED_LAPIC();
    counts_reset();
    timer_start(APIC_LVT_MASKED | VECTOR_TIMER, TIMER_TICKS);
    uint64_t deadline = deadline_after_us(LONG_US);
    while (lapic_read(APIC_TIMER_CURRENT) && !deadline_passed(deadline))
        cpu_relax();
    irq_window();
    CHECK_EQUAL(lapic_read(APIC_TIMER_CURRENT), 0);
    timer_stop();
    CHECK_EQUAL(timer_count, 0);
}

/* By how many TSC ticks the interrupt came too early: 0 if it did not, all ones if it never came. */
static uint64_t deadline_try(void)
{
    counts_reset();
    lapic_write(APIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR_TIMER);
    uint64_t deadline = deadline_after_us(1000);
    msr_write(MSR_TSC_DEADLINE, deadline);
    bool arrived = wait_for_count(&timer_count, 1, LONG_US);
    uint64_t now = tsc_read();
    timer_stop();
    return !arrived ? UINT64_MAX : now < deadline ? deadline - now : 0;
}

/* Once in a while KVM still delivers a tick of the periodic timer that was stopped long before: so a few
 * tries. */
void test_irq_deadline(void)
{
    NEED_LAPIC();
    if (!(cpuid(1, 0).ecx & 1u << 24)) {
        print("# irq-deadline: the CPU has no TSC deadline mode\n");
        return;
    }
    uint64_t early = deadline_try();
    for (unsigned i = 0; i < DEADLINE_TRIES && early; i++) {
        print("# irq-deadline: %lu ticks early\n", early);
        early = deadline_try();
    }
    CHECK_EQUAL(early, 0);
    CHECK_EQUAL(timer_count, 1);
}

static void nmi_handler(void)
{
    nmi_count++;
}

void test_irq_nmi(void)
{
    NEED_LAPIC();
    nmi_count = 0;
    nmi_handler_set(nmi_handler);
    ipi_send(0, ICR_SELF | ICR_NMI);
    for (uint64_t deadline = deadline_after_us(LONG_US); !nmi_count && !deadline_passed(deadline);)
        cpu_relax();
    nmi_handler_set(NULL);
    CHECK_EQUAL(nmi_count, 1);
}

static void pit_route(uint32_t low)
{
    for (unsigned pin = 0; pin <= PIT_PINS; pin += PIT_PINS)
        ioapic_route(pin, low);
}

static void pit_handler(void)
{
    pit_interrupts++;
    lapic_eoi();
}

void test_irq_pit(void)
{
    NEED_LAPIC();
    NEED_IOAPIC();
    SKIP_IF(!timebase.has_pit, "no PIT");
    pit_interrupts = 0;
    irq_handler_set(VECTOR_PIT, pit_handler);
    pit_route(VECTOR_PIT);
    pit_start(1000);
    bool arrived = wait_for_count(&pit_interrupts, 3, LONG_US);
    pit_route(IOAPIC_MASKED);
    irq_window();
    uint32_t count = pit_interrupts;
    delay_us(SHORT_US);
    irq_window();
    pit_start(0);
    CHECK(arrived);
    CHECK_EQUAL(pit_interrupts, count);
}

static void uart_handler(void)
{
    uart_iir = in8(UART_IIR);
    uart_interrupts++;
    out8(UART_IER, 0);
    lapic_eoi();
}

void test_irq_uart(void)
{
    NEED_LAPIC();
    NEED_IOAPIC();
    console_drain();
    uart_interrupts = 0;
    irq_handler_set(VECTOR_UART, uart_handler);
    ioapic_route(UART_PIN, VECTOR_UART);
    out8(UART_IER, IER_THRE);
    bool arrived = wait_for_count(&uart_interrupts, 1, LONG_US);
    ioapic_route(UART_PIN, IOAPIC_MASKED);
    out8(UART_IER, 0);
    CHECK(arrived);
    CHECK_EQUAL(uart_iir & IIR_CAUSE, IIR_THRE);
    CHECK_EQUAL(in8(UART_IIR) & IIR_CAUSE, IIR_NONE);
    CHECK_EQUAL(uart_interrupts, 1);
}
