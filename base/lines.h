/* SPDX-License-Identifier: MIT
 *
 * The lines that go back from a device to its machine: interrupts and requests. A device holds a copy of the
 * struct and never learns what is at the other end. Any thread may call them; the lock order is
 * machine, device, interrupt, so a device may call them while its own lock is held.
 */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include <stdbool.h>
#include <stdint.h>

/* A level-triggered or edge-triggered interrupt line; `number` is the GSI. */
struct irq_line {
    void (*set)(void *owner, unsigned number, bool level);
    void *owner;
    unsigned number;
};

static inline void irq_line_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->owner, line->number, level);
}

/* What a guest can ask of its machine through a device. */
enum power_request {
    POWER_RESET,      /* the guest asked for a reset: i8042, port 0x92, port 0xcf9 */
    POWER_OFF,        /* the guest asked to be switched off */
    POWER_PANIC,      /* the guest said that it has panicked */
    POWER_DEBUG_EXIT, /* the guest wrote `value` to the debug-exit port */
};

struct power_line {
    void (*request)(void *owner, enum power_request what, uint32_t value);
    void *owner;
};

static inline void power_line_request(const struct power_line *line, enum power_request what, uint32_t value)
{
    if (line->request)
        line->request(line->owner, what, value);
}

#endif
