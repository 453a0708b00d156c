/* SPDX-License-Identifier: MIT
 *
 * The lines that go back from a device to its machine: interrupts, doorbells and requests. A device holds a
 * copy of the struct and never learns what is at the other end. Any thread may call them; the lock order is
 * machine, device, interrupt, so a device may call them while its own lock is held.
 */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include <errno.h>
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

/* Where message-signalled interrupts go: a write of `data` to `address`, as a PCI device does it as bus
 * master (SDM 3A 11.11). An address that is nobody's, or a machine without local APICs, swallows it. */
struct msi_line {
    void (*send)(void *owner, uint64_t address, uint32_t data);
    void *owner;
};

static inline void msi_line_send(const struct msi_line *line, uint64_t address, uint32_t data)
{
    if (line->send)
        line->send(line->owner, address, data);
}

/* A place at which the guest's writes become signals of an eventfd, without coming to the device's region. */
struct doorbell {
    bool is_port;
    uint64_t address; /* guest-physical, or a port */
    unsigned size;    /* of the write: 1, 2, 4, 8; 0 for any */
    bool has_value;   /* only writes of `value`; not with size 0 */
    uint64_t value;
    int event_fd; /* the device's, open until the detach */
};

/* A doorbell is an optimisation: the host may refuse it, and an instruction executed in software does not
 * ring it. So the region behind must do the same by its write operation. */
struct doorbell_line {
    /* 0, or a negative errno: writes go on coming to the region. */
    int (*attach)(void *owner, const struct doorbell *doorbell);
    /* With the same content as the attach, which succeeded. */
    void (*detach)(void *owner, const struct doorbell *doorbell);
    void *owner;
};

static inline int doorbell_line_attach(const struct doorbell_line *line, const struct doorbell *doorbell)
{
    return line->attach ? line->attach(line->owner, doorbell) : -ENOTSUP;
}

static inline void doorbell_line_detach(const struct doorbell_line *line, const struct doorbell *doorbell)
{
    if (line->detach)
        line->detach(line->owner, doorbell);
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
