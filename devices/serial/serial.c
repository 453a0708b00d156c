/* SPDX-License-Identifier: MIT
 *
 * The 16550A. Whatever changes a register ends in serial_update_irq, which derives the interrupt line from
 * the state: there is no other place where the line changes. Sending takes no time, so the transmitter is
 * always empty. Bytes are not cut to LCR's word length, so that a guest that never sets LCR is still
 * readable.
 *
 *   offset  DLAB  read                           write
 *   0       0     RBR  received byte             THR  byte to send
 *   0       1     DLL  divisor, low byte         DLL
 *   1       0     IER  interrupt enable          IER
 *   1       1     DLM  divisor, high byte        DLM
 *   2             IIR  interrupt identification  FCR  FIFO control
 *   3             LCR  line control, DLAB        LCR
 *   4             MCR  modem control             MCR
 *   5             LSR  line status               -
 *   6             MSR  modem status              -
 *   7             SCR  scratch                   SCR
 */
#include "devices/serial/serial.h"

#include <stdlib.h>

#include "base/clock.h"

#define SERIAL_PORT_COUNT 8
#define FIFO_BYTES        16
#define CLOCK_HZ          1843200ull /* the PC's; 16 ticks at divisor 1 are a bit: 115,200 baud */
#define DIVISOR_9600      12

enum {
    IER_RECEIVED = 0x01,
    IER_THR_EMPTY = 0x02,
    IER_LINE_STATUS = 0x04,
    IER_MODEM_STATUS = 0x08,
    IER_ALL = 0x0f,
};

/* Which interrupt is reported; the first in this list wins (table 4 of the data sheet). */
enum {
    IIR_LINE_STATUS = 0x06,
    IIR_RECEIVED = 0x04,
    IIR_TIMEOUT = 0x0c,
    IIR_THR_EMPTY = 0x02,
    IIR_MODEM_STATUS = 0x00,
    IIR_NONE = 0x01,
    IIR_FIFO_ENABLED = 0xc0,
};

enum {
    FCR_ENABLE = 0x01,
    FCR_RESET_RECEIVER = 0x02,
    FCR_TRIGGER_SHIFT = 6,
};

enum {
    LCR_WORD_LENGTH = 0x03, /* 5 bits and this */
    LCR_TWO_STOP_BITS = 0x04,
    LCR_PARITY = 0x08,
    LCR_DLAB = 0x80,
};

enum {
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOPBACK = 0x10,
    MCR_ALL = 0x1f,
};

enum {
    LSR_DATA_READY = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_BREAK = 0x10,
    LSR_THR_EMPTY = 0x20,
    LSR_TRANSMITTER_EMPTY = 0x40,
    LSR_ERROR_IN_FIFO = 0x80,
};

enum {
    MSR_DELTA_CTS = 0x01,
    MSR_DELTA_DSR = 0x02,
    MSR_RI_ENDED = 0x04,
    MSR_DELTA_DCD = 0x08,
    MSR_DELTAS = 0x0f,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
};

struct serial {
    struct bus_region region;
    struct lock lock;
    struct irq_line irq;
    bool out2_gates_irq;
    bool irq_level;
    struct char_backend *backend;
    struct char_frontend frontend;

    uint8_t ier, fcr, lcr, mcr, scr;
    uint16_t divisor;
    uint8_t modem_lines, modem_deltas; /* the halves of MSR */
    bool overrun;                      /* LSR.OE */
    bool thr_empty_pending;            /* the transmitter ran empty and IIR has not said so yet */
    bool timeout_pending;
    bool listening; /* the guest has looked for input: before that, it waits in the backend */

    /* The receiver: a FIFO, of which one place is used while FIFOs are off. */
    struct {
        uint8_t byte;
        uint8_t status; /* LSR_BREAK or 0, shown in LSR while the byte is the first */
    } fifo[FIFO_BYTES];
    unsigned fifo_first, fifo_count;

    struct event_loop *loop;
    struct event_timer timeout;
    uint64_t timeout_ns; /* when four character times without activity are over */
    bool timeout_set;    /* the timer runs, perhaps to an earlier time */
};

static bool serial_fifo_is_on(const struct serial *serial)
{
    return serial->fcr & FCR_ENABLE;
}

static unsigned serial_fifo_capacity(const struct serial *serial)
{
    return serial_fifo_is_on(serial) ? FIFO_BYTES : 1;
}

static unsigned serial_trigger_level(const struct serial *serial)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    return serial_fifo_is_on(serial) ? levels[serial->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

static uint8_t serial_lsr(const struct serial *serial)
{
    uint8_t lsr = LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY;
    if (serial->overrun)
        lsr |= LSR_OVERRUN;
    if (serial->fifo_count)
        lsr |= LSR_DATA_READY | serial->fifo[serial->fifo_first].status;
    for (unsigned i = 0; i < serial->fifo_count && serial_fifo_is_on(serial); i++)
        if (serial->fifo[(serial->fifo_first + i) % FIFO_BYTES].status)
            lsr |= LSR_ERROR_IN_FIFO;
    return lsr;
}

/* The interrupt of highest priority. */
static uint8_t serial_iir(const struct serial *serial)
{
    if ((serial->ier & IER_LINE_STATUS) && (serial_lsr(serial) & (LSR_OVERRUN | LSR_BREAK)))
        return IIR_LINE_STATUS;
    if ((serial->ier & IER_RECEIVED) && serial->fifo_count >= serial_trigger_level(serial))
        return IIR_RECEIVED;
    if ((serial->ier & IER_RECEIVED) && serial->timeout_pending)
        return IIR_TIMEOUT;
    if ((serial->ier & IER_THR_EMPTY) && serial->thr_empty_pending)
        return IIR_THR_EMPTY;
    if ((serial->ier & IER_MODEM_STATUS) && serial->modem_deltas)
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

static void serial_update_irq(struct serial *serial)
{
    bool level = serial_iir(serial) != IIR_NONE;
    /* in loopback the pin OUT2 is inactive, whatever MCR says */
    if (serial->out2_gates_irq && (serial->mcr & (MCR_OUT2 | MCR_LOOPBACK)) != MCR_OUT2)
        level = false;
    if (level == serial->irq_level)
        return;
    serial->irq_level = level;
    irq_line_set(&serial->irq, level);
}

static uint64_t serial_character_ns(const struct serial *serial)
{
    unsigned bits = 1 + 5 + (serial->lcr & LCR_WORD_LENGTH) + (serial->lcr & LCR_PARITY ? 1 : 0) +
                    (serial->lcr & LCR_TWO_STOP_BITS ? 2 : 1);
    unsigned divisor = serial->divisor ? serial->divisor : 1;
    return bits * 16ull * divisor * 1000000000ull / CLOCK_HZ;
}

/* A byte came or was read: bytes that stay behind below the trigger level are reported four character times
 * from now. A timer that already runs is left to run: it will see that its time has moved. */
static void serial_restart_timeout(struct serial *serial)
{
    serial->timeout_pending = false;
    if (!serial_fifo_is_on(serial) || !serial->fifo_count)
        return;
    if (!serial->loop) {
        serial->timeout_pending = true;
        return;
    }
    uint64_t delay_ns = 4 * serial_character_ns(serial);
    serial->timeout_ns = clock_now_ns() + delay_ns;
    if (!serial->timeout_set && (serial->ier & IER_RECEIVED))
        serial->timeout_set = event_timer_set(&serial->timeout, delay_ns) == 0;
}

static void serial_timeout_expired(void *owner)
{
    struct serial *serial = owner;
    lock_acquire(&serial->lock);
    uint64_t now_ns = clock_now_ns();
    serial->timeout_set = false;
    if (now_ns < serial->timeout_ns) {
        serial->timeout_set = event_timer_set(&serial->timeout, serial->timeout_ns - now_ns) == 0;
    } else if (serial_fifo_is_on(serial) && serial->fifo_count) {
        serial->timeout_pending = true;
        serial_update_irq(serial);
    }
    lock_release(&serial->lock);
}

/* A byte arrives, from the backend or looped back. In a full FIFO it is lost; without FIFOs it replaces the
 * one before. */
static void serial_receive(struct serial *serial, uint8_t byte, uint8_t status)
{
    if (serial->fifo_count == serial_fifo_capacity(serial)) {
        serial->overrun = true;
        if (serial_fifo_is_on(serial))
            return;
        serial->fifo_count = 0;
    }
    unsigned at = (serial->fifo_first + serial->fifo_count++) % FIFO_BYTES;
    serial->fifo[at].byte = byte;
    serial->fifo[at].status = status;
    serial_restart_timeout(serial);
}

static void serial_reset_receiver(struct serial *serial)
{
    serial->fifo_count = 0;
    serial->timeout_pending = false;
}

/* Takes from the backend what fits, so nothing from there ever overruns. */
static void serial_pull_input(struct serial *serial)
{
    if (!serial->backend || !serial->listening || (serial->mcr & MCR_LOOPBACK))
        return;
    uint8_t bytes[FIFO_BYTES];
    size_t room = serial_fifo_capacity(serial) - serial->fifo_count;
    size_t len = room ? char_backend_read(serial->backend, bytes, room) : 0;
    for (size_t i = 0; i < len; i++)
        serial_receive(serial, bytes[i], 0);
}

/* The guest looks for input: from now on the receiver is kept filled. Only an empty one asks the backend, so
 * that a guest that takes out byte after byte gets them by the FIFO. */
static void serial_listen(struct serial *serial)
{
    serial->listening = true;
    if (!serial->fifo_count)
        serial_pull_input(serial);
}

static uint8_t serial_read_rbr(struct serial *serial)
{
    serial_listen(serial);
    if (!serial->fifo_count)
        return 0;
    uint8_t byte = serial->fifo[serial->fifo_first].byte;
    serial->fifo_first = (serial->fifo_first + 1) % FIFO_BYTES;
    serial->fifo_count--;
    serial_restart_timeout(serial);
    serial_listen(serial);
    return byte;
}

/* Reading IIR is the acknowledgement of the THR-empty interrupt, if that is the one it reports. */
static uint8_t serial_read_iir(struct serial *serial)
{
    uint8_t iir = serial_iir(serial);
    if (iir == IIR_THR_EMPTY)
        serial->thr_empty_pending = false;
    return iir | (serial_fifo_is_on(serial) ? IIR_FIFO_ENABLED : 0);
}

static uint8_t serial_read_lsr(struct serial *serial)
{
    serial_listen(serial);
    uint8_t lsr = serial_lsr(serial);
    serial->overrun = false;
    if (serial->fifo_count)
        serial->fifo[serial->fifo_first].status = 0;
    return lsr;
}

static uint8_t serial_read_msr(struct serial *serial)
{
    uint8_t msr = serial->modem_lines | serial->modem_deltas;
    serial->modem_deltas = 0;
    return msr;
}

static void serial_write_thr(struct serial *serial, uint8_t byte)
{
    if (serial->mcr & MCR_LOOPBACK)
        serial_receive(serial, byte, 0);
    else if (serial->backend)
        char_backend_write(serial->backend, &byte, 1);
    serial->thr_empty_pending = true;
}

/* Enabling the THR-empty interrupt while THR is empty raises it: this is how drivers start to send. */
static void serial_write_ier(struct serial *serial, uint8_t value)
{
    if (value & ~serial->ier & IER_THR_EMPTY)
        serial->thr_empty_pending = true;
    bool starts_receiving = value & ~serial->ier & IER_RECEIVED;
    serial->ier = value & IER_ALL;
    if (!starts_receiving)
        return;
    serial_restart_timeout(serial);
    serial_listen(serial);
}

/* The other bits only count together with the enable bit, and changing that one empties the FIFO. */
static void serial_write_fcr(struct serial *serial, uint8_t value)
{
    bool toggles = (value ^ serial->fcr) & FCR_ENABLE;
    if (toggles || (value & FCR_ENABLE && value & FCR_RESET_RECEIVER))
        serial_reset_receiver(serial);
    if (toggles || value & FCR_ENABLE)
        serial->fcr = value & FCR_ENABLE ? value : 0;
    serial_pull_input(serial);
}

/* The lines as the guest sees them: a connected peer's, or in loopback its own. */
static void serial_update_modem_lines(struct serial *serial)
{
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD;
    if (serial->mcr & MCR_LOOPBACK)
        lines = (serial->mcr & MCR_DTR ? MSR_DSR : 0) | (serial->mcr & MCR_RTS ? MSR_CTS : 0) |
                (serial->mcr & MCR_OUT1 ? MSR_RI : 0) | (serial->mcr & MCR_OUT2 ? MSR_DCD : 0);
    uint8_t changed = lines ^ serial->modem_lines;
    if (changed & MSR_CTS)
        serial->modem_deltas |= MSR_DELTA_CTS;
    if (changed & MSR_DSR)
        serial->modem_deltas |= MSR_DELTA_DSR;
    if (changed & MSR_DCD)
        serial->modem_deltas |= MSR_DELTA_DCD;
    if (changed & MSR_RI & ~lines)
        serial->modem_deltas |= MSR_RI_ENDED;
    serial->modem_lines = lines;
}

static void serial_write_mcr(struct serial *serial, uint8_t value)
{
    serial->mcr = value & MCR_ALL;
    serial_update_modem_lines(serial);
    serial_pull_input(serial);
}

static uint8_t serial_read_register(struct serial *serial, uint64_t offset)
{
    bool dlab = serial->lcr & LCR_DLAB;
    switch (offset) {
    case 0:
        return dlab ? (uint8_t)serial->divisor : serial_read_rbr(serial);
    case 1:
        return dlab ? serial->divisor >> 8 : serial->ier;
    case 2:
        return serial_read_iir(serial);
    case 3:
        return serial->lcr;
    case 4:
        return serial->mcr;
    case 5:
        return serial_read_lsr(serial);
    case 6:
        return serial_read_msr(serial);
    default:
        return serial->scr;
    }
}

static void serial_write_register(struct serial *serial, uint64_t offset, uint8_t value)
{
    bool dlab = serial->lcr & LCR_DLAB;
    switch (offset) {
    case 0:
        if (dlab)
            serial->divisor = (serial->divisor & 0xff00) | value;
        else
            serial_write_thr(serial, value);
        break;
    case 1:
        if (dlab)
            serial->divisor = (uint16_t)(value << 8) | (serial->divisor & 0xff);
        else
            serial_write_ier(serial, value);
        break;
    case 2:
        serial_write_fcr(serial, value);
        break;
    case 3:
        serial->lcr = value;
        break;
    case 4:
        serial_write_mcr(serial, value);
        break;
    case 7:
        serial->scr = value;
        break;
    }
}

static uint64_t serial_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    uint8_t value = serial_read_register(device, offset);
    serial_update_irq(device);
    return value;
}

static void serial_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    serial_write_register(device, offset, (uint8_t)value);
    serial_update_irq(device);
}

static const struct bus_ops serial_ops = {.read = serial_read, .write = serial_write};

/* The backend's calls, on the event loop's thread. */
static void serial_input_ready(void *owner)
{
    struct serial *serial = owner;
    lock_acquire(&serial->lock);
    serial_pull_input(serial);
    serial_update_irq(serial);
    lock_release(&serial->lock);
}

static void serial_input_break(void *owner)
{
    struct serial *serial = owner;
    lock_acquire(&serial->lock);
    if (!(serial->mcr & MCR_LOOPBACK))
        serial_receive(serial, 0, LSR_BREAK);
    serial_update_irq(serial);
    lock_release(&serial->lock);
}

int serial_create(const struct serial_config *config, struct serial **out, struct vmm_error *error)
{
    struct serial *serial = calloc(1, sizeof(*serial));
    if (!serial)
        return error_set(error, -ENOMEM, "serial: out of memory");
    serial->irq = config->irq;
    serial->out2_gates_irq = config->out2_gates_irq;
    serial->divisor = DIVISOR_9600;
    serial->modem_lines = MSR_CTS | MSR_DSR | MSR_DCD;
    serial->region = (struct bus_region){.name = "serial",
                                         .base = config->base,
                                         .len = SERIAL_PORT_COUNT,
                                         .size_min = 1,
                                         .size_max = 1,
                                         .ops = &serial_ops,
                                         .device = serial,
                                         .lock = &serial->lock};
    serial->loop = config->loop;
    if (serial->loop)
        event_timer_init(&serial->timeout, serial->loop, serial_timeout_expired, serial);
    serial->backend = config->backend;
    serial->frontend = (struct char_frontend){serial_input_ready, serial_input_break, serial};
    if (serial->backend)
        char_backend_attach(serial->backend, &serial->frontend);
    *out = serial;
    return 0;
}

void serial_destroy(struct serial *serial)
{
    if (!serial)
        return;
    if (serial->backend)
        char_backend_attach(serial->backend, NULL);
    if (serial->loop)
        event_timer_fini(&serial->timeout);
    free(serial);
}

struct bus_region *serial_region(struct serial *serial)
{
    return &serial->region;
}
