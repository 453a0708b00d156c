/* SPDX-License-Identifier: MIT
 *
 * The world of a device under test: a bus in front of it, an interrupt line and a power line that remember.
 */
#ifndef TESTS_DEVICES_FAKE_H
#define TESTS_DEVICES_FAKE_H

#include <string.h>

#include "base/lines.h"
#include "mmio/bus.h"
#include "tests/harness.h"

/* Changed by any thread, read by the test's. */
struct fake_irq {
    int level;
    int rises, calls;
};

static inline void fake_irq_set(void *owner, unsigned number, bool level)
{
    struct fake_irq *irq = owner;
    (void)number;
    int before = __atomic_exchange_n(&irq->level, level, __ATOMIC_ACQ_REL);
    __atomic_fetch_add(&irq->rises, level && !before, __ATOMIC_ACQ_REL);
    __atomic_fetch_add(&irq->calls, 1, __ATOMIC_ACQ_REL);
}

static inline struct irq_line fake_irq_line(struct fake_irq *irq, unsigned number)
{
    return (struct irq_line){.set = fake_irq_set, .owner = irq, .number = number};
}

static inline bool fake_irq_is_up(struct fake_irq *irq)
{
    return __atomic_load_n(&irq->level, __ATOMIC_ACQUIRE);
}

static inline int fake_irq_rises(struct fake_irq *irq)
{
    return __atomic_load_n(&irq->rises, __ATOMIC_ACQUIRE);
}

struct fake_power {
    int count;
    enum power_request what;
    uint32_t value;
};

static inline void fake_power_request(void *owner, enum power_request what, uint32_t value)
{
    struct fake_power *power = owner;
    power->count++;
    power->what = what;
    power->value = value;
}

static inline struct power_line fake_power_line(struct fake_power *power)
{
    return (struct power_line){.request = fake_power_request, .owner = power};
}

static inline struct bus *fake_bus(enum bus_kind kind, struct bus_region *region)
{
    struct bus *bus;
    ck_assert_int_eq(bus_create(kind, &bus, NULL), 0);
    ck_assert_int_eq(bus_add(bus, region, NULL), 0);
    return bus;
}

/* A small generator of the test's own, so that a seed means the same everywhere. */
static inline uint64_t fake_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
