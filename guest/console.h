/* SPDX-License-Identifier: MIT
 *
 * Text on the first serial port. One CPU prints; an unexpected exception on another takes over.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include "guest/kernel.h"

#define UART 0x3f8

void console_init(void);

/* A small printf: %s %c %u %d %x %% with l for 64 bits, #, zero padding, a width. A line is sent at its end.
 */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until everything has been sent and the transmitter is idle. */
void console_drain(void);

/* Drops what another CPU had not yet sent. */
void console_take(void);

#endif
