/* SPDX-License-Identifier: MIT
 *
 * Conversions for the clock. Nothing here trusts a register to hold a sensible value.
 */
#include "devices/cmos/cmos_time.h"

#include <time.h>

#define HOUR_PM          0x80 /* with 12 hours */
#define ALARM_ANY        0xc0 /* both high bits: every value matches */
#define SECONDS_PER_DAY  86400
#define SECONDS_PER_HOUR 3600

bool cmos_is_time(unsigned index)
{
    switch (index) {
    case CMOS_SECOND:
    case CMOS_MINUTE:
    case CMOS_HOUR:
    case CMOS_WEEKDAY:
    case CMOS_DAY:
    case CMOS_MONTH:
    case CMOS_YEAR:
    case CMOS_CENTURY:
        return true;
    default:
        return false;
    }
}

static uint8_t encode(const uint8_t *registers, int value)
{
    return (uint8_t)(registers[CMOS_B] & CMOS_B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}

static int decode(const uint8_t *registers, uint8_t value)
{
    return registers[CMOS_B] & CMOS_B_BINARY ? value : (value >> 4) * 10 + (value & 0x0f);
}

static uint8_t encode_hour(const uint8_t *registers, int hour)
{
    if (registers[CMOS_B] & CMOS_B_24_HOURS)
        return encode(registers, hour);
    int hour_of_12 = hour % 12 ? hour % 12 : 12;
    return encode(registers, hour_of_12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const uint8_t *registers, uint8_t value)
{
    if (registers[CMOS_B] & CMOS_B_24_HOURS)
        return decode(registers, value);
    return decode(registers, value & (uint8_t)~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

void cmos_store_time(uint8_t *registers, int64_t seconds)
{
    struct tm parts = {0};
    time_t when = (time_t)seconds;
    gmtime_r(&when, &parts);
    int year = parts.tm_year + 1900;
    year = year < 0 ? 0 : year % 10000;
    registers[CMOS_SECOND] = encode(registers, parts.tm_sec);
    registers[CMOS_MINUTE] = encode(registers, parts.tm_min);
    registers[CMOS_HOUR] = encode_hour(registers, parts.tm_hour);
    registers[CMOS_WEEKDAY] = encode(registers, parts.tm_wday + 1);
    registers[CMOS_DAY] = encode(registers, parts.tm_mday);
    registers[CMOS_MONTH] = encode(registers, parts.tm_mon + 1);
    registers[CMOS_YEAR] = encode(registers, year % 100);
    registers[CMOS_CENTURY] = encode(registers, year / 100);
}

int64_t cmos_load_time(const uint8_t *registers)
{
    struct tm parts = {
        .tm_sec = decode(registers, registers[CMOS_SECOND]),
        .tm_min = decode(registers, registers[CMOS_MINUTE]),
        .tm_hour = decode_hour(registers, registers[CMOS_HOUR]),
        .tm_mday = decode(registers, registers[CMOS_DAY]),
        .tm_mon = decode(registers, registers[CMOS_MONTH]) - 1,
        .tm_year = decode(registers, registers[CMOS_CENTURY]) * 100 +
                   decode(registers, registers[CMOS_YEAR]) - 1900,
    };
    return timegm(&parts);
}

/* Whether an alarm register matches; an hour is given as the register would show it. */
static bool alarm_matches(const uint8_t *registers, unsigned index, uint8_t shown)
{
    return (registers[index] & ALARM_ANY) == ALARM_ANY || registers[index] == shown;
}

/* An hour or a minute that does not match is passed over as a whole: 24 + 60 + 60 steps find any time. */
int64_t cmos_next_alarm(const uint8_t *registers, int64_t seconds)
{
    int64_t limit = seconds + SECONDS_PER_DAY;
    while (seconds < limit) {
        int of_day = (int)((seconds % SECONDS_PER_DAY + SECONDS_PER_DAY) % SECONDS_PER_DAY);
        int of_hour = of_day % SECONDS_PER_HOUR;
        if (!alarm_matches(registers, CMOS_ALARM_HOUR, encode_hour(registers, of_day / SECONDS_PER_HOUR)))
            seconds += SECONDS_PER_HOUR - of_hour;
        else if (!alarm_matches(registers, CMOS_ALARM_MINUTE, encode(registers, of_hour / 60)))
            seconds += 60 - of_hour % 60;
        else if (!alarm_matches(registers, CMOS_ALARM_SECOND, encode(registers, of_hour % 60)))
            seconds++;
        else
            return seconds;
    }
    return CMOS_NO_ALARM;
}
