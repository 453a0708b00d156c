/* SPDX-License-Identifier: MIT
 *
 * Time: the TSC, measured against the PIT where there is one.
 */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include "guest/kernel.h"

#define PIT_HZ 1193182u

extern struct clock {
    bool has_pit;
    uint64_t tsc_khz;   /* a guess where `source` is "a guess": the time limits are then longer */
    const char *source; /* what the TSC's rate was measured with or read from */
} timebase;

void clock_init(void);

/* A TSC value so far in the future. */
uint64_t deadline_after_us(uint64_t us);
bool deadline_passed(uint64_t deadline);
void delay_us(uint64_t us);
uint64_t tsc_to_us(uint64_t ticks);

/* Waits with interrupts on until *counter is at least `value`; false after `us`. */
bool wait_for_count(const volatile uint32_t *counter, uint32_t value, uint64_t us);

/* Interrupts at `hz` on channel 0; 0 stops them. */
void pit_start(unsigned hz);

/* The TSC's rate over so many ticks of channel 0, which is stopped afterwards; 0 if it does not count. */
uint64_t pit_measure_tsc_khz(uint16_t ticks);

#endif
