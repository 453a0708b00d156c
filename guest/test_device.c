/* SPDX-License-Identifier: MIT
 *
 * The devices that every PC-like machine has: UART, CMOS memory and clock, keyboard controller.
 */
#include "guest/acpi.h"
#include "guest/clock.h"
#include "guest/page.h"
#include "guest/pci.h"
#include "guest/test.h"

#define UART_IER (UART + 1)
#define UART_FCR (UART + 2)
#define UART_LCR (UART + 3)
#define UART_MCR (UART + 4)
#define UART_LSR (UART + 5)
#define UART_MSR (UART + 6)

#define MCR_USUAL    0x0b
#define MCR_LOOPBACK 0x10
#define LCR_8N1      0x03
#define LCR_DLAB     0x80
#define LSR_READY    0x01
#define LSR_OVERRUN  0x02
#define FIFO_BYTES   16u
#define LOOP_US      1000000u

#define CMOS_INDEX    0x70
#define CMOS_DATA     0x71
#define CMOS_FREE     0x30 /* the firmware's memory size: put back afterwards */
#define CMOS_STATUS_A 0x0a
#define CMOS_STATUS_B 0x0b
#define CMOS_STATUS_D 0x0d
#define RTC_UPDATING  0x80
#define RTC_BINARY    0x04
#define RTC_24H       0x02
#define RTC_PM        0x80

#define I8042_DATA     0x60
#define I8042_STATUS   0x64
#define I8042_FULL     0x01
#define I8042_BUSY     0x02
#define I8042_SELFTEST 0xaa
#define I8042_PASSED   0x55

void test_uart_registers(void)
{
    console_drain();
    out8(UART_IER, 0xff);
    uint8_t ier = in8(UART_IER);
    out8(UART_IER, 0);
    CHECK_EQUAL(ier, 0x0f);
    out8(UART_LCR, LCR_DLAB | LCR_8N1);
    out8(UART, 0x34);
    out8(UART + 1, 0x12);
    uint16_t divisor = (uint16_t)(in8(UART) | in8(UART + 1) << 8);
    out8(UART, 1);
    out8(UART + 1, 0);
    out8(UART_LCR, LCR_8N1);
    CHECK_EQUAL(divisor, 0x1234);
    CHECK_EQUAL(in8(UART_IER), 0);
    CHECK_EQUAL(in8(UART_LCR), LCR_8N1);
    CHECK_EQUAL(in8(UART_MCR), MCR_USUAL);
    CHECK_EQUAL(in8(UART_FCR) & 0xc1, 0xc1); /* FIFOs on, no interrupt */
    CHECK_EQUAL(in8(UART_LSR) & 0x60, 0x60);
}

static bool loop_ready(void)
{
    for (uint64_t deadline = deadline_after_us(LOOP_US); !(in8(UART_LSR) & LSR_READY);)
        if (deadline_passed(deadline))
            return false;
    return true;
}

/* Nothing may be printed from here to loopback_end(). */
static void loopback_begin(void)
{
    console_drain();
    out8(UART_MCR, MCR_LOOPBACK);
    out8(UART_FCR, 0x07);
}

static void loopback_end(void)
{
    out8(UART_FCR, 0x07);
    out8(UART_MCR, MCR_USUAL);
}

void test_uart_loopback(void)
{
    static const uint8_t bytes[] = {0x00, 0xff, 0x55, 'x'};
    uint8_t received[ARRAY_COUNT(bytes)], lines[4];
    bool arrived = true;
    loopback_begin();
    for (size_t i = 0; i < ARRAY_COUNT(bytes); i++) {
        out8(UART, bytes[i]);
        arrived &= loop_ready();
        received[i] = in8(UART);
    }
    uint8_t ready = in8(UART_LSR) & LSR_READY;
    for (unsigned i = 0; i < 4; i++) {
        out8(UART_MCR, (uint8_t)(MCR_LOOPBACK | 1u << i));
        lines[i] = in8(UART_MSR) & 0xf0;
    }
    loopback_end();
    CHECK(arrived);
    CHECK_EQUAL(memcmp(received, bytes, sizeof(bytes)), 0);
    CHECK_EQUAL(ready, 0);
    /* DTR comes back as DSR, RTS as CTS, OUT1 as RI, OUT2 as DCD */
    CHECK_EQUAL(lines[0], 0x20);
    CHECK_EQUAL(lines[1], 0x10);
    CHECK_EQUAL(lines[2], 0x40);
    CHECK_EQUAL(lines[3], 0x80);
}

void test_uart_fifo(void)
{
    uint8_t received[FIFO_BYTES];
    bool arrived = true;
    loopback_begin();
    for (unsigned i = 0; i < FIFO_BYTES; i++)
        out8(UART, (uint8_t)(0x60 + i));
    for (unsigned i = 0; i < FIFO_BYTES; i++) {
        arrived &= loop_ready();
        received[i] = in8(UART);
    }
    uint8_t empty = in8(UART_LSR);
    for (unsigned i = 0; i < FIFO_BYTES + 1; i++)
        out8(UART, (uint8_t)i);
    uint8_t overrun = in8(UART_LSR), after = in8(UART_LSR);
    out8(UART_FCR, 0x03); /* clear what was received */
    uint8_t cleared = in8(UART_LSR);
    loopback_end();
    CHECK(arrived);
    for (unsigned i = 0; i < FIFO_BYTES; i++)
        CHECK_EQUAL(received[i], 0x60 + i);
    CHECK_EQUAL(empty & LSR_READY, 0);
    CHECK_EQUAL(overrun & (LSR_OVERRUN | LSR_READY), LSR_OVERRUN | LSR_READY);
    CHECK_EQUAL(after & LSR_OVERRUN, 0);
    CHECK_EQUAL(cleared & LSR_READY, 0);
}

static uint8_t cmos_read(uint8_t index)
{
    out8(CMOS_INDEX, index);
    return in8(CMOS_DATA);
}

static void cmos_write(uint8_t index, uint8_t value)
{
    out8(CMOS_INDEX, index);
    out8(CMOS_DATA, value);
}

void test_cmos_memory(void)
{
    uint8_t first = cmos_read(CMOS_FREE), second = cmos_read(CMOS_FREE + 1);
    cmos_write(CMOS_FREE, 0xa5);
    cmos_write(CMOS_FREE + 1, 0x5a);
    uint8_t read_first = cmos_read(CMOS_FREE), read_second = cmos_read(CMOS_FREE + 1);
    cmos_write(CMOS_FREE, first);
    cmos_write(CMOS_FREE + 1, second);
    CHECK_EQUAL(read_first, 0xa5);
    CHECK_EQUAL(read_second, 0x5a);
    CHECK_EQUAL(cmos_read(CMOS_FREE), first);
}

static unsigned rtc_number(uint8_t value)
{
    if (cmos_read(CMOS_STATUS_B) & RTC_BINARY)
        return value;
    return (value >> 4) * 10u + (value & 15);
}

/* An update takes 2 ms at most; outside of one, what is read belongs together. */
static void rtc_wait(void)
{
    for (uint64_t deadline = deadline_after_us(LOOP_US);
         cmos_read(CMOS_STATUS_A) & RTC_UPDATING && !deadline_passed(deadline);)
        cpu_relax();
}

void test_rtc_date(void)
{
    rtc_wait();
    uint8_t status_b = cmos_read(CMOS_STATUS_B);
    unsigned second = rtc_number(cmos_read(0)), minute = rtc_number(cmos_read(2));
    unsigned hour = rtc_number(cmos_read(4) & (status_b & RTC_24H ? 0xff : 0xff & ~RTC_PM));
    unsigned weekday = rtc_number(cmos_read(6)), day = rtc_number(cmos_read(7));
    unsigned month = rtc_number(cmos_read(8)), year = rtc_number(cmos_read(9));
    print("# rtc-date: day %u.%u.%u, %u:%u:%u\n", day, month, year, hour, minute, second);
    CHECK(second < 60 && minute < 60 && hour < 24);
    CHECK(weekday >= 1 && weekday <= 7);
    CHECK(day >= 1 && day <= 31 && month >= 1 && month <= 12 && year < 100);
    CHECK(cmos_read(CMOS_STATUS_D) & 0x80); /* the battery is good */
}

void test_rtc_tick(void)
{
    uint64_t deadline = deadline_after_us(2000000);
    rtc_wait();
    uint8_t second = cmos_read(0);
    while (cmos_read(0) == second && !deadline_passed(deadline))
        delay_us(1000);
    CHECK(cmos_read(0) != second);
}

void test_i8042_selftest(void)
{
    uint64_t deadline = deadline_after_us(LOOP_US);
    while (in8(I8042_STATUS) & I8042_FULL && !deadline_passed(deadline))
        in8(I8042_DATA);
    CHECK_EQUAL(in8(I8042_STATUS) & (I8042_FULL | I8042_BUSY), 0);
    out8(I8042_STATUS, I8042_SELFTEST);
    while (!(in8(I8042_STATUS) & I8042_FULL) && !deadline_passed(deadline))
        cpu_relax();
    CHECK_EQUAL(in8(I8042_STATUS) & I8042_FULL, I8042_FULL);
    CHECK_EQUAL(in8(I8042_DATA), I8042_PASSED);
    CHECK_EQUAL(in8(I8042_STATUS) & I8042_FULL, 0);
}

/* All dwords of the header: nothing there changes by itself. */
void test_pci_ecam(void)
{
    uint64_t ecam = acpi_ecam();
    SKIP_IF(!ecam, "no MCFG");
    page_map_identity(ecam, LARGE_PAGE_BYTES, PTE_PRESENT | PTE_WRITE | PTE_UNCACHED);
    for (uint32_t slot = 0; slot < PCI_SLOT_COUNT; slot++)
        for (uint32_t offset = 0; offset < 0x40; offset += 4)
            CHECK_EQUAL(MEM(uint32_t, ecam + (slot << 15) + offset), pci_read(slot, offset));
    CHECK(pci_read(0, PCI_ID) != PCI_NONE);
    MEM(uint8_t, ecam + PCI_CACHE_LINE) = 16;
    CHECK_EQUAL(pci_read8(0, PCI_CACHE_LINE), 16);
    pci_write(0, PCI_CACHE_LINE, pci_read(0, PCI_CACHE_LINE) & ~0xffu);
    CHECK_EQUAL(MEM(uint8_t, ecam + PCI_CACHE_LINE), 0);
}
