/* SPDX-License-Identifier: MIT
 *
 * The clock's registers as time, and time as registers: BCD or binary, 12 or 24 hours, as register B says.
 * Pure functions over the 128 bytes.
 */
#ifndef DEVICES_CMOS_CMOS_TIME_H
#define DEVICES_CMOS_CMOS_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define CMOS_BYTES    128
#define CMOS_NO_ALARM INT64_MAX

enum {
    CMOS_SECOND = 0x00,
    CMOS_ALARM_SECOND = 0x01,
    CMOS_MINUTE = 0x02,
    CMOS_ALARM_MINUTE = 0x03,
    CMOS_HOUR = 0x04,
    CMOS_ALARM_HOUR = 0x05,
    CMOS_WEEKDAY = 0x06, /* 1: Sunday */
    CMOS_DAY = 0x07,
    CMOS_MONTH = 0x08,
    CMOS_YEAR = 0x09,
    CMOS_A = 0x0a,
    CMOS_B = 0x0b,
    CMOS_C = 0x0c,
    CMOS_D = 0x0d,
    CMOS_CENTURY = 0x32,
};

enum {
    CMOS_B_24_HOURS = 0x02,
    CMOS_B_BINARY = 0x04,
    CMOS_B_UPDATE_INTERRUPT = 0x10,
    CMOS_B_ALARM_INTERRUPT = 0x20,
    CMOS_B_PERIODIC_INTERRUPT = 0x40,
    CMOS_B_SET = 0x80,
};

/* Whether the register holds a part of the time, the alarm's not included. */
bool cmos_is_time(unsigned index);

/* Fills in the time registers; `seconds` is since 1970, and a year outside 0 to 9999 is cut. */
void cmos_store_time(uint8_t *registers, int64_t seconds);
/* What they say. A day that the month does not have, or an hour past 23, runs over into the next. */
int64_t cmos_load_time(const uint8_t *registers);

/* The first second at or after `seconds` at which the alarm goes off, or CMOS_NO_ALARM where the registers
 * name no time of day. */
int64_t cmos_next_alarm(const uint8_t *registers, int64_t seconds);

#endif
