/* SPDX-License-Identifier: MIT
 *
 * The clock on a fake wall clock: formats, setting, flags, interrupts; and the memory behind it.
 */
#include "devices/cmos/cmos.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/devices/fake.h"

#define NS_PER_S 1000000000ll

/* 2023-11-14 22:13:20 UTC, a Tuesday */
#define START_S 1700000000ll

enum {
    A = 0x0a,
    B = 0x0b,
    C = 0x0c,
    D = 0x0d,
    CENTURY = 0x32,
};

static struct cmos *device;
static struct bus *bus;
static struct fake_irq irq;
static struct event_loop *loop;
static int64_t now_ns;

static int64_t fake_clock(void *context)
{
    ck_assert_ptr_eq(context, &now_ns);
    return now_ns;
}

static void set_up_with(struct cmos_config *config)
{
    memset(&irq, 0, sizeof(irq));
    now_ns = START_S * NS_PER_S;
    config->irq = fake_irq_line(&irq, CMOS_IRQ);
    ck_assert_int_eq(cmos_create(config, &device, NULL), 0);
    bus = fake_bus(BUS_PORTS, cmos_region(device));
}

static void set_up(void)
{
    set_up_with(&(struct cmos_config){.wall_clock_ns = fake_clock, .context = &now_ns});
}

/* On the host's own clock, with the event loop running. */
static void set_up_real(void)
{
    ck_assert_int_eq(event_loop_create(&loop, NULL), 0);
    ck_assert_int_eq(event_loop_start(loop, NULL), 0);
    set_up_with(&(struct cmos_config){.loop = loop});
}

static void tear_down(void)
{
    bus_destroy(bus);
    cmos_destroy(device);
}

static void tear_down_real(void)
{
    tear_down();
    event_loop_destroy(loop);
}

static unsigned get(unsigned index)
{
    bus_write(bus, CMOS_PORT, 1, index);
    return (unsigned)bus_read(bus, CMOS_PORT + 1, 1);
}

static void put(unsigned index, unsigned value)
{
    bus_write(bus, CMOS_PORT, 1, index);
    bus_write(bus, CMOS_PORT + 1, 1, value);
}

/* Century, year, month, day, weekday, hour, minute, second. */
static const unsigned time_registers[] = {CENTURY, 9, 8, 7, 6, 4, 2, 0};

static void check_time(const unsigned *expected)
{
    for (int i = 0; i < 8; i++)
        ck_assert_msg(get(time_registers[i]) == expected[i], "register %#x is %#x, expected %#x",
                      time_registers[i], get(time_registers[i]), expected[i]);
}

static void put_time(const unsigned *values)
{
    for (int i = 0; i < 8; i++)
        put(time_registers[i], values[i]);
}

#define TIME(...) ((const unsigned[8]){__VA_ARGS__})

START_TEST(the_state_after_power_on)
{
    set_up();
    ck_assert_uint_eq(get(A), 0x26);
    ck_assert_uint_eq(get(B), 0x02);
    ck_assert_uint_eq(get(C), 0x00);
    ck_assert_uint_eq(get(D), 0x80);
    ck_assert_uint_eq(bus_read(bus, CMOS_PORT, 1), 0xff);
    put(C, 0xff);
    put(D, 0x00);
    ck_assert_uint_eq(get(C), 0x00);
    ck_assert_uint_eq(get(D), 0x80);
    tear_down();
    cmos_destroy(NULL);
}
END_TEST

START_TEST(the_time_in_every_format)
{
    set_up();
    check_time(TIME(0x20, 0x23, 0x11, 0x14, 0x03, 0x22, 0x13, 0x20));
    put(B, 0x06); /* binary */
    check_time(TIME(20, 23, 11, 14, 3, 22, 13, 20));
    put(B, 0x00); /* 12 hours */
    check_time(TIME(0x20, 0x23, 0x11, 0x14, 0x03, 0x90, 0x13, 0x20));
    put(B, 0x04);
    check_time(TIME(20, 23, 11, 14, 3, 0x8a, 13, 20));
    static const struct {
        int hour;
        unsigned bcd_of_12;
    } rows[] = {{0, 0x12}, {1, 0x01}, {11, 0x11}, {12, 0x92}, {13, 0x81}, {23, 0x91}};
    put(B, 0x00);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        now_ns = (START_S / 86400 * 86400 + rows[i].hour * 3600) * NS_PER_S;
        ck_assert_uint_eq(get(4), rows[i].bcd_of_12);
    }
    tear_down();
}
END_TEST

START_TEST(time_passes_with_the_host)
{
    set_up();
    now_ns += 999999999;
    ck_assert_uint_eq(get(0), 0x20);
    now_ns += 1;
    ck_assert_uint_eq(get(0), 0x21);
    now_ns += 86400 * 60 * NS_PER_S;
    check_time(TIME(0x20, 0x24, 0x01, 0x13, 0x07, 0x22, 0x13, 0x21));
    tear_down();
}
END_TEST

START_TEST(the_guest_sets_the_time)
{
    set_up();
    put(B, 0x82);
    now_ns += 5 * NS_PER_S;
    put_time(TIME(0x19, 0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x58));
    now_ns += 5 * NS_PER_S;
    check_time(TIME(0x19, 0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x58));
    put(B, 0x02);
    check_time(TIME(0x19, 0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x58));
    now_ns += 2 * NS_PER_S;
    check_time(TIME(0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00));
    /* in the other formats, too */
    put(B, 0x84);
    put_time(TIME(20, 0, 2, 29, 1, 0x80 | 12, 30, 0));
    put(B, 0x04); /* the bytes are read as the format that holds when the clock starts */
    put(B, 0x02);
    check_time(TIME(0x20, 0x00, 0x02, 0x29, 0x03, 0x12, 0x30, 0x00));
    tear_down();
}
END_TEST

START_TEST(a_register_may_be_set_while_the_clock_runs)
{
    set_up();
    put(2, 0x59);
    put(0, 0x59);
    check_time(TIME(0x20, 0x23, 0x11, 0x14, 0x03, 0x22, 0x59, 0x59));
    now_ns += NS_PER_S;
    check_time(TIME(0x20, 0x23, 0x11, 0x14, 0x03, 0x23, 0x00, 0x00));
    tear_down();
}
END_TEST

START_TEST(the_end_of_a_divider_reset_starts_half_a_second_before_the_next)
{
    set_up();
    now_ns += 123456789;
    put(A, 0x70);
    now_ns += 987654321;
    put_time(TIME(0x20, 0x10, 0x05, 0x06, 0x01, 0x10, 0x20, 0x30));
    put(A, 0x26);
    ck_assert_uint_eq(get(0), 0x30);
    now_ns += 499999999;
    ck_assert_uint_eq(get(0), 0x30);
    now_ns += 1;
    check_time(TIME(0x20, 0x10, 0x05, 0x06, 0x05, 0x10, 0x20, 0x31));
    /* as Linux does it: SET around the divider's reset */
    put(B, 0x82);
    put(A, 0x76);
    put_time(TIME(0x20, 0x11, 0x05, 0x06, 0x01, 0x10, 0x20, 0x30));
    put(B, 0x02);
    now_ns += 3 * NS_PER_S;
    ck_assert_uint_eq(get(0), 0x30);
    put(A, 0x26);
    now_ns += NS_PER_S / 2;
    check_time(TIME(0x20, 0x11, 0x05, 0x06, 0x06, 0x10, 0x20, 0x31));
    tear_down();
}
END_TEST

START_TEST(nonsense_as_time_is_survived)
{
    set_up();
    put(B, 0x86);
    put_time(TIME(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    put(B, 0x06);
    for (int i = 0; i < 8; i++)
        get(time_registers[i]);
    put(B, 0x86);
    put_time(TIME(0, 0, 0, 0, 0, 0, 0, 0));
    put(B, 0x06);
    /* month 0 and day 0 are the 30th of November of the year before, which is cut to year 0 */
    check_time(TIME(0, 0, 11, 30, get(6), 0, 0, 0));
    put(CENTURY, 20);
    put(9, 24);
    put(7, 30);
    put(8, 2); /* runs over */
    ck_assert_uint_eq(get(8), 3);
    ck_assert_uint_eq(get(7), 1);
    tear_down();
}
END_TEST

START_TEST(an_update_in_progress_is_announced)
{
    set_up();
    now_ns += NS_PER_S - 244001;
    ck_assert_uint_eq(get(A), 0x26);
    now_ns += 1;
    ck_assert_uint_eq(get(A), 0xa6);
    now_ns += 243999;
    ck_assert_uint_eq(get(A), 0xa6);
    now_ns += 1;
    ck_assert_uint_eq(get(A), 0x26);
    now_ns -= 1;
    put(B, 0x82);
    ck_assert_uint_eq(get(A), 0x26);
    put(A, 0xa6); /* cannot be written */
    put(B, 0x02);
    now_ns += 1;
    ck_assert_uint_eq(get(A), 0x26);
    tear_down();
}
END_TEST

START_TEST(flags_are_kept_without_being_enabled_and_cleared_by_reading)
{
    set_up();
    get(C);
    now_ns += 976562; /* 1,024 Hz */
    ck_assert_uint_eq(get(C), 0x00);
    now_ns += 1;
    ck_assert_uint_eq(get(C), 0x40);
    ck_assert_uint_eq(get(C), 0x00);
    now_ns += NS_PER_S;
    ck_assert_uint_eq(get(C), 0x50);
    put(A, 0x20); /* no periodic rate */
    now_ns += NS_PER_S;
    ck_assert_uint_eq(get(C), 0x10);
    ck_assert_int_eq(irq.calls, 0);
    tear_down();
}
END_TEST

START_TEST(periodic_rates)
{
    static const int hertz[] = {0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2};
    set_up();
    for (unsigned rate = 1; rate < 16; rate++) {
        put(A, 0x20 | rate);
        now_ns = START_S * NS_PER_S;
        get(C);
        get(C);
        int count = 0;
        for (int i = 0; i < 16384; i++) {
            now_ns += NS_PER_S / 16384;
            count += (get(C) & 0x40) != 0;
        }
        ck_assert_int_ge(count, hertz[rate] - 1);
        ck_assert_int_le(count, hertz[rate]);
    }
    tear_down();
}
END_TEST

START_TEST(an_alarm_matches_its_time_of_day)
{
    static const struct {
        unsigned hour, minute, second;
        int64_t after_s; /* from 22:13:20; 0: never within a day */
    } rows[] = {
        {0x22, 0x13, 0x21, 1}, {0x22, 0x14, 0x00, 40}, {0x23, 0x00, 0x00, 2800}, {0x22, 0x13, 0x20, 86400},
        {0xff, 0xff, 0xff, 1}, {0xff, 0xff, 0x05, 45}, {0xc0, 0x13, 0x00, 3580}, {0x00, 0x00, 0x00, 6400},
        {0x24, 0x00, 0x00, 0}, {0x22, 0x60, 0x00, 0},  {0x22, 0x13, 0x7f, 0},    {0xff, 0x99, 0xff, 0},
    };
    set_up();
    put(A, 0x20);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        now_ns = START_S * NS_PER_S;
        put(5, rows[i].hour);
        put(3, rows[i].minute);
        put(1, rows[i].second);
        get(C);
        now_ns += ((rows[i].after_s ? rows[i].after_s : 86401) - 1) * NS_PER_S;
        ck_assert_msg(!(get(C) & 0x20), "row %zu: too early", i);
        now_ns += NS_PER_S;
        ck_assert_msg((get(C) & 0x20) == (rows[i].after_s ? 0x20 : 0), "row %zu", i);
        /* and in one leap */
        now_ns = START_S * NS_PER_S;
        get(C);
        now_ns += (rows[i].after_s ? rows[i].after_s : 86400) * NS_PER_S;
        ck_assert_msg((get(C) & 0x20) == (rows[i].after_s ? 0x20 : 0), "row %zu, in one leap", i);
    }
    tear_down();
}
END_TEST

START_TEST(an_alarm_in_twelve_hours)
{
    set_up();
    put(A, 0x20);
    put(B, 0x00);
    put(5, 0x91); /* 11 pm */
    put(3, 0x00);
    put(1, 0x00);
    now_ns += 2799 * NS_PER_S;
    ck_assert_uint_eq(get(C) & 0x20, 0);
    now_ns += NS_PER_S;
    ck_assert_uint_eq(get(C) & 0x20, 0x20);
    tear_down();
}
END_TEST

START_TEST(the_interrupt_is_a_flag_that_is_enabled)
{
    set_up();
    get(C);
    now_ns += NS_PER_S;
    put(B, 0x02);
    ck_assert(!fake_irq_is_up(&irq));
    put(B, 0x12);
    ck_assert(fake_irq_is_up(&irq));
    ck_assert_uint_eq(get(C), 0xd0);
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_uint_eq(get(C), 0x00);
    now_ns += NS_PER_S;
    get(0);
    ck_assert(fake_irq_is_up(&irq));
    put(B, 0x82); /* SET takes the update interrupt's enable back */
    ck_assert(!fake_irq_is_up(&irq));
    ck_assert_uint_eq(get(B), 0x82);
    ck_assert_int_eq(irq.calls, 4);
    tear_down();
}
END_TEST

START_TEST(no_update_happens_while_the_clock_is_set)
{
    set_up();
    put(A, 0x20);
    get(C);
    put(B, 0x82);
    now_ns += 10 * NS_PER_S;
    ck_assert_uint_eq(get(C), 0x00);
    put(B, 0x02);
    ck_assert_uint_eq(get(C), 0x00);
    now_ns += NS_PER_S;
    ck_assert_uint_eq(get(C), 0x10);
    tear_down();
}
END_TEST

START_TEST(a_host_clock_that_jumps_is_survived)
{
    set_up();
    get(C);
    now_ns -= 1000 * NS_PER_S;
    ck_assert_uint_eq(get(C), 0x00);
    now_ns += NS_PER_S;
    ck_assert_uint_eq(get(C), 0x50);
    now_ns += 100ll * 365 * 86400 * NS_PER_S;
    ck_assert_uint_eq(get(C), 0x70);
    now_ns = -5 * NS_PER_S + 1;
    check_time(TIME(0x19, 0x69, 0x12, 0x31, 0x04, 0x23, 0x59, 0x55));
    tear_down();
}
END_TEST

static void wait_for_rises(int wanted)
{
    for (int i = 0; i < 5000 && fake_irq_rises(&irq) < wanted; i++) {
        usleep(1000);
        if (fake_irq_is_up(&irq))
            ck_assert_uint_eq(get(C) & 0x80, 0x80);
    }
    ck_assert_int_ge(fake_irq_rises(&irq), wanted);
}

START_TEST(interrupts_come_by_the_event_loop)
{
    set_up_real();
    put(A, 0x2b); /* 32 Hz */
    put(B, 0x42);
    uint64_t start_ns = clock_now_ns();
    wait_for_rises(8);
    uint64_t waited_ns = clock_now_ns() - start_ns;
    /* the first comes within a period of enabling it, and may be late */
    ck_assert_uint_ge(waited_ns, 6 * 31000000ull);
    put(B, 0x02);
    get(C);
    int rises = fake_irq_rises(&irq);
    usleep(80000);
    ck_assert_int_eq(fake_irq_rises(&irq), rises);
    put(B, 0x12);
    wait_for_rises(rises + 2);
    put(5, 0xff);
    put(3, 0xff);
    put(1, 0xff);
    get(C);
    rises = fake_irq_rises(&irq);
    put(B, 0x22);
    wait_for_rises(rises + 1);
    tear_down_real();
}
END_TEST

START_TEST(an_interrupt_not_acknowledged_costs_nothing)
{
    set_up_real();
    put(A, 0x23); /* 8,192 Hz */
    put(B, 0x42);
    for (int i = 0; i < 5000 && !fake_irq_is_up(&irq); i++)
        usleep(1000);
    struct rusage before, after; /* a timer that goes on wakes a thread 819 times */
    getrusage(RUSAGE_SELF, &before);
    usleep(100000);
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_lt(after.ru_nvcsw - before.ru_nvcsw, 50);
    ck_assert_int_eq(irq.calls, 1);
    tear_down_real();
}
END_TEST

START_TEST(the_hosts_time_is_the_default)
{
    set_up_real();
    struct tm parts;
    struct timespec before, after; /* of the device's clock: time() may be a tick behind it */
    clock_gettime(CLOCK_REALTIME, &before);
    put(B, 0x06);
    unsigned second = get(0), minute = get(2);
    clock_gettime(CLOCK_REALTIME, &after);
    bool found = false;
    for (time_t when = before.tv_sec; when <= after.tv_sec; when++) {
        gmtime_r(&when, &parts);
        found |= (unsigned)parts.tm_sec == second && (unsigned)parts.tm_min == minute;
    }
    ck_assert(found || after.tv_sec != before.tv_sec);
    tear_down_real();
}
END_TEST

/* The memory */

START_TEST(memory_sizes_for_firmware)
{
    static const struct {
        uint64_t below, above;
        unsigned base_kib, extended_kib, above_16m, above_4g;
    } rows[] = {
        {64 * KIB, 0, 64, 0, 0, 0},
        {MIB, 0, 640, 0, 0, 0},
        {2 * MIB, 0, 640, 1024, 0, 0},
        {128 * MIB, 0, 640, 65535, 0x700, 0},
        {3 * GIB, 5 * GIB, 640, 65535, 0xbf00, 0x14000},
        {3 * GIB, 1ull << 46, 640, 65535, 0xbf00, 0xffffff},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        set_up_with(&(struct cmos_config){
            .ram_below_4g_bytes = rows[i].below, .ram_above_4g_bytes = rows[i].above, .cpu_count = 4});
        ck_assert_uint_eq(get(0x15) | get(0x16) << 8, rows[i].base_kib);
        ck_assert_uint_eq(get(0x17) | get(0x18) << 8, rows[i].extended_kib);
        ck_assert_uint_eq(get(0x30) | get(0x31) << 8, rows[i].extended_kib);
        ck_assert_uint_eq(get(0x34) | get(0x35) << 8, rows[i].above_16m);
        ck_assert_uint_eq(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, rows[i].above_4g);
        ck_assert_uint_eq(get(0x5f), 3);
        tear_down();
    }
}
END_TEST

START_TEST(memory_is_kept)
{
    set_up();
    for (unsigned i = 0x0e; i < 0x80; i++)
        if (i != CENTURY)
            put(0x80 | i, i ^ 0x5a); /* with the NMI bit */
    for (unsigned i = 0x0e; i < 0x80; i++)
        if (i != CENTURY)
            ck_assert_uint_eq(get(i), i ^ 0x5a);
    tear_down();
}
END_TEST

/* Any access in any order: the interrupt line is what C and B say, and nothing overflows on the way. */
START_TEST(random_access)
{
    uint64_t seed = test_seed() | 1;
    set_up();
    for (unsigned long i = 0; i < test_cases(100000); i++) {
        uint64_t random = fake_random(&seed);
        unsigned index = random & 1 ? random >> 8 & 0x0f : random >> 8 & 0x7f;
        now_ns += (int64_t)(random >> 20) >> (random & 31);
        if (now_ns > INT64_MAX / 4)
            now_ns = START_S * NS_PER_S;
        if (random & 4)
            put(index, random >> 32 & 0xff);
        else
            get(index);
        if (random & 0xf0)
            continue;
        unsigned enabled = get(B);
        bool up = fake_irq_is_up(&irq);
        unsigned flags = get(C);
        ck_assert_int_eq(up, (flags & enabled & 0x70) != 0);
        ck_assert_int_eq(up, (flags & 0x80) != 0);
        ck_assert(!fake_irq_is_up(&irq));
    }
    tear_down();
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, the_state_after_power_on);
    test_add(suite, the_time_in_every_format);
    test_add(suite, time_passes_with_the_host);
    test_add(suite, the_guest_sets_the_time);
    test_add(suite, a_register_may_be_set_while_the_clock_runs);
    test_add(suite, the_end_of_a_divider_reset_starts_half_a_second_before_the_next);
    test_add(suite, nonsense_as_time_is_survived);
    test_add(suite, an_update_in_progress_is_announced);
    test_add(suite, flags_are_kept_without_being_enabled_and_cleared_by_reading);
    test_add(suite, periodic_rates);
    test_add(suite, an_alarm_matches_its_time_of_day);
    test_add(suite, an_alarm_in_twelve_hours);
    test_add(suite, the_interrupt_is_a_flag_that_is_enabled);
    test_add(suite, no_update_happens_while_the_clock_is_set);
    test_add(suite, a_host_clock_that_jumps_is_survived);
    test_add(suite, interrupts_come_by_the_event_loop);
    test_add(suite, an_interrupt_not_acknowledged_costs_nothing);
    test_add(suite, the_hosts_time_is_the_default);
    test_add(suite, memory_sizes_for_firmware);
    test_add(suite, memory_is_kept);
    test_add(suite, random_access);
}
