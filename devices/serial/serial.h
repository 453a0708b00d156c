/* SPDX-License-Identifier: MIT
 *
 * A 16550A serial port: eight ports, an interrupt line, a backend for the bytes. The baud rate is remembered
 * but does not slow anything down: a byte is sent as soon as it is written. Data sheet: PC16550D,
 * TI/National.
 *
 * Threads: create and destroy while no vCPU runs; the bus takes the lock around accesses.
 */
#ifndef DEVICES_SERIAL_SERIAL_H
#define DEVICES_SERIAL_SERIAL_H

#include "base/event_loop.h"
#include "base/lines.h"
#include "devices/char/char_backend.h"
#include "mmio/bus.h"

#define SERIAL_COM1_PORT 0x3f8u
#define SERIAL_COM1_IRQ  4u

struct serial_config {
    uint64_t base; /* the first of its eight ports */
    struct irq_line irq;
    struct char_backend *backend; /* a borrow; NULL: nothing is connected */
    struct event_loop *loop;      /* a borrow, for the character timeout; NULL: that comes at once */
    bool out2_gates_irq;          /* as on a PC's board: no interrupt leaves unless the guest sets MCR.OUT2 */
};

struct serial;

int serial_create(const struct serial_config *config, struct serial **serial, struct vmm_error *error);
void serial_destroy(struct serial *serial);
struct bus_region *serial_region(struct serial *serial);

#endif
