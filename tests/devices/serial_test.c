/* SPDX-License-Identifier: MIT
 *
 * The serial port, register by register and interrupt by interrupt. Input comes from a pipe through the event
 * loop; in most tests it is looped back, which needs neither.
 */
#include "devices/serial/serial.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/devices/fake.h"

enum {
    RBR = 0,
    THR = 0,
    DLL = 0,
    IER = 1,
    DLM = 1,
    IIR = 2,
    FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6,
    SCR = 7,
};

#define LOOPBACK 0x10

static struct serial *serial;
static struct bus *bus;
static struct fake_irq irq;
static struct event_loop *loop;
static struct char_backend *backend;
static int to_guest[2], from_guest[2];

static void make_serial(struct serial_config *config)
{
    memset(&irq, 0, sizeof(irq));
    config->base = SERIAL_COM1_PORT;
    config->irq = fake_irq_line(&irq, SERIAL_COM1_IRQ);
    ck_assert_int_eq(serial_create(config, &serial, NULL), 0);
    bus = fake_bus(BUS_PORTS, serial_region(serial));
}

/* Nothing connected, no time. */
static void set_up(void)
{
    make_serial(&(struct serial_config){0});
}

static void tear_down(void)
{
    bus_destroy(bus);
    serial_destroy(serial);
}

/* Pipes on both sides, the event loop running. */
static void set_up_connected(bool escape)
{
    ck_assert_int_eq(pipe2(to_guest, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from_guest, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(event_loop_create(&loop, NULL), 0);
    struct char_config config = {.kind = CHAR_DESCRIPTORS,
                                 .loop = loop,
                                 .in_fd = to_guest[0],
                                 .out_fd = from_guest[1],
                                 .escape = escape};
    ck_assert_int_eq(char_backend_create(&config, &backend, NULL), 0);
    make_serial(&(struct serial_config){.backend = backend, .loop = loop});
    ck_assert_int_eq(event_loop_start(loop, NULL), 0);
}

static void tear_down_connected(void)
{
    event_loop_stop(loop);
    tear_down();
    char_backend_destroy(backend);
    event_loop_destroy(loop);
    for (int i = 0; i < 2; i++) {
        close(to_guest[i]);
        close(from_guest[i]);
    }
}

static unsigned in(unsigned offset)
{
    return (unsigned)bus_read(bus, SERIAL_COM1_PORT + offset, 1);
}

static bool has_input(void)
{
    unsigned lsr = in(LSR);
    return lsr & 1;
}

static void out(unsigned offset, unsigned value)
{
    bus_write(bus, SERIAL_COM1_PORT + offset, 1, value);
}

static void feed(const char *text)
{
    ck_assert_int_eq(write(to_guest[1], text, strlen(text)), (ssize_t)strlen(text));
}

/* Until the line is up, at most five seconds. */
static bool wait_for_irq(void)
{
    for (int i = 0; i < 5000 && !fake_irq_is_up(&irq); i++)
        usleep(1000);
    return fake_irq_is_up(&irq);
}

START_TEST(the_state_after_power_on)
{
    set_up();
    static const unsigned expected[] = {0x00, 0x00, 0x01, 0x00, 0x00, 0x60, 0xb0, 0x00};
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(in(i), expected[i]);
    ck_assert_int_eq(irq.calls, 0);
    tear_down();
    serial_destroy(NULL);
}
END_TEST

START_TEST(registers_keep_their_writable_bits)
{
    static const struct {
        unsigned offset, kept;
    } rows[] = {{IER, 0x0f}, {LCR, 0xff}, {MCR, 0x1f}, {SCR, 0xff}};
    set_up();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (unsigned value = 0; value < 256; value++) {
            out(LCR, 0);
            out(rows[i].offset, value);
            ck_assert_uint_eq(in(rows[i].offset), value & rows[i].kept);
        }
    }
    out(LCR, 0);
    out(MCR, 0);
    in(MSR);
    out(LSR, 0xff);
    out(MSR, 0xff);
    ck_assert_uint_eq(in(LSR), 0x60);
    ck_assert_uint_eq(in(MSR), 0xb0);
    tear_down();
}
END_TEST

START_TEST(the_divisor_is_behind_dlab)
{
    set_up();
    out(LCR, 0x80);
    ck_assert_uint_eq(in(DLL), 12);
    out(DLL, 0x34);
    out(DLM, 0x12);
    ck_assert_uint_eq(in(DLL), 0x34);
    ck_assert_uint_eq(in(DLM), 0x12);
    out(LCR, 0x03);
    ck_assert_uint_eq(in(IER), 0);
    out(IER, 0x05);
    out(LCR, 0x83);
    ck_assert_uint_eq(in(DLM), 0x12);
    tear_down();
}
END_TEST

START_TEST(wide_accesses_are_split_over_the_registers)
{
    set_up();
    bus_write(bus, SERIAL_COM1_PORT + LCR, 2, 0x0b1b);
    ck_assert_uint_eq(in(LCR), 0x1b);
    ck_assert_uint_eq(in(MCR), 0x0b);
    ck_assert_uint_eq(bus_read(bus, SERIAL_COM1_PORT + LCR, 4), 0xb0600b1b);
    tear_down();
}
END_TEST

START_TEST(without_fifos_a_byte_replaces_the_one_before)
{
    set_up();
    out(MCR, LOOPBACK);
    out(THR, 'a');
    ck_assert_uint_eq(in(LSR), 0x61);
    out(THR, 'b');
    ck_assert_uint_eq(in(LSR), 0x63); /* overrun */
    ck_assert_uint_eq(in(LSR), 0x61); /* and forgotten */
    ck_assert_uint_eq(in(RBR), 'b');
    ck_assert_uint_eq(in(LSR), 0x60);
    tear_down();
}
END_TEST

START_TEST(a_full_fifo_loses_the_new_byte)
{
    set_up();
    out(FCR, 0x01);
    out(MCR, LOOPBACK);
    for (unsigned i = 0; i < 18; i++)
        out(THR, 'a' + i);
    ck_assert_uint_eq(in(LSR), 0x63);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_uint_eq(in(RBR), 'a' + i);
    ck_assert_uint_eq(in(LSR), 0x60);
    ck_assert_uint_eq(in(RBR), 0);
    tear_down();
}
END_TEST

START_TEST(fifo_control)
{
    set_up();
    out(MCR, LOOPBACK);
    ck_assert_uint_eq(in(IIR), 0x01);
    out(FCR, 0xc1);
    ck_assert_uint_eq(in(IIR), 0xc1);
    out(THR, 'a');
    out(FCR, 0xc1); /* the same again empties nothing */
    ck_assert_uint_eq(in(LSR), 0x61);
    out(FCR, 0x05); /* the transmitter's reset neither */
    ck_assert_uint_eq(in(LSR), 0x61);
    out(FCR, 0x03); /* the receiver's does */
    ck_assert_uint_eq(in(LSR), 0x60);
    out(THR, 'a');
    out(FCR, 0x00); /* and switching off */
    ck_assert_uint_eq(in(LSR), 0x60);
    ck_assert_uint_eq(in(IIR), 0x01);
    out(THR, 'a');
    out(FCR, 0x02); /* without the enable bit the others do not count */
    ck_assert_uint_eq(in(LSR), 0x61);
    out(FCR, 0x01); /* and switching on */
    ck_assert_uint_eq(in(LSR), 0x60);
    tear_down();
}
END_TEST

START_TEST(the_received_interrupt_follows_the_trigger_level)
{
    static const unsigned levels[] = {1, 4, 8, 14};
    for (unsigned i = 0; i < 4; i++) {
        set_up();
        out(MCR, LOOPBACK);
        out(FCR, i << 6 | 1);
        out(IER, 0x01);
        for (unsigned count = 1; count <= 16; count++) {
            out(THR, count);
            /* without an event loop the character timeout comes at once */
            ck_assert_uint_eq(in(IIR), count >= levels[i] ? 0xc4 : 0xcc);
            ck_assert(fake_irq_is_up(&irq));
        }
        for (unsigned count = 16; count > 1; count--) {
            ck_assert_uint_eq(in(RBR), 17 - count);
            ck_assert_uint_eq(in(IIR), count - 1 >= levels[i] ? 0xc4 : 0xcc);
        }
        ck_assert_uint_eq(in(RBR), 16);
        ck_assert_uint_eq(in(IIR), 0xc1);
        ck_assert(!fake_irq_is_up(&irq));
        ck_assert_int_eq(irq.calls, 2);
        tear_down();
    }
}
END_TEST

START_TEST(reading_iir_acknowledges_thr_empty_and_nothing_else)
{
    set_up();
    out(IER, 0x02); /* THR is empty: an interrupt at once */
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(in(IIR), 0x02);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_uint_eq(in(IIR), 0x01);
    out(IER, 0x02); /* already enabled: nothing new */
    ck_assert_uint_eq(in(IIR), 0x01);
    out(THR, 'a'); /* sent at once, and empty again */
    ck_assert_uint_eq(in(IIR), 0x02);
    out(IER, 0x00);
    out(IER, 0x02); /* drivers test for this one */
    ck_assert_uint_eq(in(IIR), 0x02);

    out(MCR, LOOPBACK);
    out(IER, 0x03);
    out(THR, 'a');
    ck_assert_uint_eq(in(IIR), 0x04); /* hides the other, which stays */
    ck_assert_uint_eq(in(IIR), 0x04);
    ck_assert_uint_eq(in(RBR), 'a');
    ck_assert_uint_eq(in(IIR), 0x02);
    ck_assert_uint_eq(in(IIR), 0x01);
    tear_down();
}
END_TEST

START_TEST(interrupts_have_their_priorities)
{
    set_up();
    out(MCR, LOOPBACK);
    out(THR, 'a');
    out(THR, 'b');            /* an overrun, a byte, THR empty, */
    out(MCR, LOOPBACK | 0x1); /* and DSR has changed */
    out(IER, 0x0f);
    ck_assert_uint_eq(in(IIR), 0x06);
    ck_assert_uint_eq(in(LSR), 0x63);
    ck_assert_uint_eq(in(IIR), 0x04);
    ck_assert_uint_eq(in(RBR), 'b');
    ck_assert_uint_eq(in(IIR), 0x02);
    ck_assert_uint_eq(in(IIR), 0x00);
    ck_assert_uint_eq(in(IIR), 0x00);
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(in(MSR), 0x2b); /* CTS and DCD fell when the loop was closed */
    ck_assert_uint_eq(in(IIR), 0x01);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_int_eq(irq.calls, 2);
    tear_down();
}
END_TEST

START_TEST(an_interrupt_that_is_not_enabled_does_not_leave)
{
    set_up();
    out(MCR, LOOPBACK);
    out(THR, 'a');
    out(THR, 'b');
    for (unsigned mask = 0; mask < 16; mask++) {
        out(IER, 0);
        ck_assert(!fake_irq_is_up(&irq));
        ck_assert_uint_eq(in(IIR), 0x01);
        out(IER, mask);
        ck_assert_int_eq(fake_irq_is_up(&irq), mask != 0);
    }
    tear_down();
}
END_TEST

START_TEST(the_modem_lines_are_looped_back)
{
    /* what MCR drives, and where MSR shows it */
    static const struct {
        unsigned mcr, msr;
    } rows[] = {{0x01, 0x20}, {0x02, 0x10}, {0x04, 0x40}, {0x08, 0x80}, {0x0f, 0xf0}, {0x00, 0x00}};
    set_up();
    out(MCR, LOOPBACK);
    in(MSR);
    unsigned before = 0;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        out(MCR, LOOPBACK | rows[i].mcr);
        unsigned changed = (rows[i].msr ^ before) & 0xb0;
        unsigned rang = before & ~rows[i].msr & 0x40; /* only the end of a ring is told */
        ck_assert_uint_eq(in(MSR), rows[i].msr | changed >> 4 | rang >> 4);
        ck_assert_uint_eq(in(MSR), rows[i].msr);
        before = rows[i].msr;
    }
    out(MCR, 0);
    ck_assert_uint_eq(in(MSR), 0xbb);
    tear_down();
}
END_TEST

START_TEST(out2_gates_the_interrupt_where_asked)
{
    make_serial(&(struct serial_config){.out2_gates_irq = true});
    out(IER, 0x02);
    ck_assert(!fake_irq_is_up(&irq));
    out(MCR, 0x08);
    ck_assert(fake_irq_is_up(&irq));
    out(MCR, 0x18);
    ck_assert(!fake_irq_is_up(&irq));
    tear_down();
}
END_TEST

START_TEST(the_size_of_the_fifo_can_be_found_out)
{
    /* as Linux does it */
    set_up();
    out(FCR, 0x07);
    out(MCR, LOOPBACK);
    out(LCR, 0x80);
    out(DLL, 1);
    out(DLM, 0);
    out(LCR, 0x03);
    for (unsigned i = 0; i < 256; i++)
        out(THR, i);
    unsigned count = 0;
    while (has_input() && count < 256)
        ck_assert_uint_eq(in(RBR), count++);
    ck_assert_uint_eq(count, 16);
    tear_down();
}
END_TEST

START_TEST(output_reaches_the_backend_and_loopback_does_not)
{
    char text[100] = "";
    set_up_connected(false);
    out(THR, 'a');
    out(MCR, LOOPBACK);
    out(THR, 'x');
    out(MCR, 0);
    out(THR, 'b');
    out(THR, '\n');
    ck_assert_int_eq(read(from_guest[0], text, sizeof(text)), 3);
    ck_assert_str_eq(text, "ab\n");
    tear_down_connected();
}
END_TEST

START_TEST(input_waits_until_the_guest_looks_for_it)
{
    set_up_connected(false);
    feed("early");
    usleep(20000);
    out(FCR, 0x07); /* would have lost it */
    ck_assert_uint_eq(in(IIR), 0xc1);
    out(IER, 0x01);
    ck_assert(wait_for_irq());
    for (const char *next = "early"; *next; next++)
        ck_assert_uint_eq(in(RBR), (unsigned)*next);
    ck_assert(!fake_irq_is_up(&irq));
    tear_down_connected();
}
END_TEST

START_TEST(a_polling_guest_gets_its_input)
{
    set_up_connected(false);
    feed("abc");
    for (const char *next = "abc"; *next; next++) {
        for (int i = 0; i < 5000 && !has_input(); i++)
            usleep(1000);
        ck_assert_uint_eq(in(RBR), (unsigned)*next);
    }
    ck_assert_uint_eq(in(LSR), 0x60);
    tear_down_connected();
}
END_TEST

START_TEST(much_input_is_never_overrun)
{
    static char text[5001];
    for (int i = 0; i < 5000; i++)
        text[i] = (char)('!' + i % 90);
    set_up_connected(false);
    out(FCR, 0xc1);
    out(IER, 0x05);
    feed(text);
    for (int i = 0; i < 5000;) {
        ck_assert(wait_for_irq());
        ck_assert_uint_ne(in(IIR), 0xc6);
        while (i < 5000 && has_input())
            ck_assert_int_eq((int)in(RBR), text[i++]);
    }
    tear_down_connected();
}
END_TEST

START_TEST(bytes_below_the_trigger_level_time_out)
{
    set_up_connected(false);
    out(LCR, 0x83);
    out(DLL, 0x80); /* 300 baud: four characters of ten bits take 133 ms */
    out(DLM, 0x01);
    out(LCR, 0x03);
    out(FCR, 0xc1);
    out(IER, 0x01);
    uint64_t start_ns = clock_now_ns();
    feed("abc");
    ck_assert(wait_for_irq());
    uint64_t waited_ns = clock_now_ns() - start_ns;
    ck_assert_uint_eq(in(IIR), 0xcc);
    ck_assert_uint_ge(waited_ns, 133000000);
    /* reading acknowledges it, and what is left times out once more */
    ck_assert_uint_eq(in(RBR), 'a');
    ck_assert_uint_eq(in(IIR), 0xc1);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert(wait_for_irq());
    ck_assert_uint_eq(in(IIR), 0xcc);
    ck_assert_uint_eq(in(RBR), 'b');
    ck_assert_uint_eq(in(RBR), 'c');
    ck_assert_uint_eq(in(IIR), 0xc1);
    usleep(30000);
    ck_assert(!fake_irq_is_up(&irq));
    tear_down_connected();
}
END_TEST

START_TEST(every_byte_restarts_the_timeout)
{
    set_up_connected(false);
    out(LCR, 0x83);
    out(DLL, 0x00); /* 150 baud: 267 ms */
    out(DLM, 0x03);
    out(LCR, 0x03);
    out(FCR, 0xc1);
    out(IER, 0x01);
    uint64_t fed_ns = 0;
    for (int i = 0; i < 4; i++) {
        fed_ns = clock_now_ns();
        feed("a");
        usleep(150000);
    }
    ck_assert(wait_for_irq());
    ck_assert_uint_ge(clock_now_ns() - fed_ns, 266000000);
    ck_assert_uint_eq(in(IIR), 0xcc);
    tear_down_connected();
}
END_TEST

START_TEST(a_break_is_a_zero_with_a_mark)
{
    set_up_connected(true);
    out(FCR, 0x01);
    out(IER, 0x04);
    feed("\1b"); /* the escape key for it */
    ck_assert(wait_for_irq());
    ck_assert_uint_eq(in(IIR), 0xc6);
    ck_assert_uint_eq(in(LSR), 0xf1);
    ck_assert_uint_eq(in(LSR), 0x61);
    ck_assert_uint_eq(in(IIR), 0xc1);
    ck_assert_uint_eq(in(RBR), 0);
    ck_assert_uint_eq(in(LSR), 0x60);
    tear_down_connected();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_state_after_power_on);
    test_add(suite, registers_keep_their_writable_bits);
    test_add(suite, the_divisor_is_behind_dlab);
    test_add(suite, wide_accesses_are_split_over_the_registers);
    test_add(suite, without_fifos_a_byte_replaces_the_one_before);
    test_add(suite, a_full_fifo_loses_the_new_byte);
    test_add(suite, fifo_control);
    test_add(suite, the_received_interrupt_follows_the_trigger_level);
    test_add(suite, reading_iir_acknowledges_thr_empty_and_nothing_else);
    test_add(suite, interrupts_have_their_priorities);
    test_add(suite, an_interrupt_that_is_not_enabled_does_not_leave);
    test_add(suite, the_modem_lines_are_looped_back);
    test_add(suite, out2_gates_the_interrupt_where_asked);
    test_add(suite, the_size_of_the_fifo_can_be_found_out);
    test_add(suite, output_reaches_the_backend_and_loopback_does_not);
    test_add(suite, input_waits_until_the_guest_looks_for_it);
    test_add(suite, a_polling_guest_gets_its_input);
    test_add(suite, much_input_is_never_overrun);
    test_add(suite, bytes_below_the_trigger_level_time_out);
    test_add(suite, every_byte_restarts_the_timeout);
    test_add(suite, a_break_is_a_zero_with_a_mark);
}
