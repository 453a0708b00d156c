/* SPDX-License-Identifier: MIT
 *
 * The clock does not tick: its registers and flags are computed from the host's clock when the guest looks
 * (cmos_advance), and the event loop's timer runs only while an interrupt is enabled and not yet raised. So
 * an interrupt that the guest is late to acknowledge comes once, not as often as it was missed. Data sheet:
 * Motorola MC146818A; memory map: what firmware on QEMU reads.
 *
 *   port 0x70 write  the index of the register at port 0x71; bit 7 (mask NMI) is without effect
 *   port 0x71        register: 0x00-0x0d the clock, 0x32 the century, the rest is memory
 */
#include "devices/cmos/cmos.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "devices/cmos/cmos_time.h"

#define NS_PER_S          1000000000ll
#define UIP_NS            244000ll       /* a guest that finds UIP clear has that long to read the time */
#define RESTART_NS        (NS_PER_S / 2) /* from the end of a divider reset to the first update */
#define OSCILLATOR_HZ     32768
#define INDEX_MASK        0x7f
#define OFFSET_DATA       1
#define BASE_MEMORY_BYTES (640 * KIB)

enum {
    A_RATE = 0x0f,
    A_DIVIDER = 0x70,
    A_DIVIDER_RESET = 0x60, /* and 0x70 */
    A_UPDATE_IN_PROGRESS = 0x80,
    A_AT_RESET = 0x26, /* 32,768 Hz, a periodic rate of 1,024 Hz */
    C_IRQ = 0x80,
    C_FLAGS = 0x70, /* periodic, alarm, update: each at the place of its enable bit in register B */
    D_VALID = 0x80, /* the battery is good */
};

/* Memory that firmware reads. */
enum {
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_KIB = 0x15,        /* and 0x16 */
    CMOS_EXTENDED_KIB = 0x17,    /* and 0x18: above 1 MiB */
    CMOS_EXTENDED_KIB_2 = 0x30,  /* and 0x31: again */
    CMOS_ABOVE_16M_64KIB = 0x34, /* and 0x35: below 4 GiB */
    CMOS_ABOVE_4G_64KIB = 0x5b,  /* to 0x5d */
    CMOS_CPU_COUNT_LESS_1 = 0x5f,
    EQUIPMENT_FPU = 0x02,
};

struct cmos {
    struct bus_region region;
    struct lock lock;
    struct irq_line irq;
    bool irq_level;
    int64_t (*wall_clock_ns)(void *context);
    void *context;

    uint8_t index;
    uint8_t registers[CMOS_BYTES]; /* the time among them only while the clock stands, see cmos_is_frozen */

    /* The guest's clock: the host's plus phase_ns counts nanoseconds, whose whole seconds plus offset_s are
     * the guest's time. Two parts, so that no year that a guest can write overflows. */
    int64_t phase_ns, offset_s;
    int64_t seen_ns; /* up to where the flags have been computed */

    struct event_loop *loop;
    struct event_timer timer;
};

static int64_t host_clock_ns(void *context)
{
    (void)context;
    return clock_read_ns(CLOCK_REALTIME);
}

static int64_t divide_down(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static int64_t cmos_now_ns(const struct cmos *cmos)
{
    return cmos->wall_clock_ns(cmos->context) + cmos->phase_ns;
}

static int64_t cmos_seconds(const struct cmos *cmos, int64_t now_ns)
{
    return divide_down(now_ns, NS_PER_S) + cmos->offset_s;
}

static bool cmos_divider_is_reset(const struct cmos *cmos)
{
    return (cmos->registers[CMOS_A] & A_DIVIDER) >= A_DIVIDER_RESET;
}

/* While the guest sets it, the clock stands still, and its registers are memory. */
static bool cmos_is_frozen(const struct cmos *cmos)
{
    return cmos->registers[CMOS_B] & CMOS_B_SET || cmos_divider_is_reset(cmos);
}

/* 0: no periodic interrupt. Rates 1 and 2 are slower than they look (table 5 of the data sheet). */
static int64_t cmos_periodic_hz(const struct cmos *cmos)
{
    unsigned rate = cmos->registers[CMOS_A] & A_RATE;
    if (!rate || cmos_divider_is_reset(cmos))
        return 0;
    if (rate <= 2)
        rate += 7;
    return OSCILLATOR_HZ >> (rate - 1);
}

/* How many periods had ended at a time. They are not whole nanoseconds, but a second has a whole number of
 * them. */
static int64_t periods_until(int64_t now_ns, int64_t hz)
{
    int64_t second = divide_down(now_ns, NS_PER_S);
    return second * hz + (now_ns - second * NS_PER_S) * hz / NS_PER_S;
}

/* When period `count` begins. */
static int64_t period_start_ns(int64_t count, int64_t hz)
{
    int64_t second = divide_down(count, hz);
    return second * NS_PER_S + ((count - second * hz) * NS_PER_S + hz - 1) / hz;
}

/* Raises the flags of everything that happened since the last look. */
static void cmos_advance(struct cmos *cmos)
{
    int64_t now_ns = cmos_now_ns(cmos);
    int64_t seen_ns = cmos->seen_ns;
    cmos->seen_ns = now_ns;
    if (now_ns <= seen_ns) /* the host's clock was set back */
        return;
    uint8_t *flags = &cmos->registers[CMOS_C];
    int64_t hz = cmos_periodic_hz(cmos);
    if (hz && periods_until(now_ns, hz) != periods_until(seen_ns, hz))
        *flags |= CMOS_B_PERIODIC_INTERRUPT;
    int64_t seconds = cmos_seconds(cmos, now_ns), seconds_seen = cmos_seconds(cmos, seen_ns);
    if (cmos_is_frozen(cmos) || seconds == seconds_seen)
        return;
    *flags |= CMOS_B_UPDATE_INTERRUPT;
    if (cmos_next_alarm(cmos->registers, seconds_seen + 1) <= seconds)
        *flags |= CMOS_B_ALARM_INTERRUPT;
}

/* When the next enabled interrupt is due, in the unit of cmos_now_ns; INT64_MAX: never. */
static int64_t cmos_next_event_ns(const struct cmos *cmos)
{
    int64_t now_ns = cmos->seen_ns, next_ns = INT64_MAX;
    uint8_t enabled = cmos->registers[CMOS_B];
    int64_t hz = cmos_periodic_hz(cmos);
    if (enabled & CMOS_B_PERIODIC_INTERRUPT && hz)
        next_ns = period_start_ns(periods_until(now_ns, hz) + 1, hz);
    if (cmos_is_frozen(cmos))
        return next_ns;
    int64_t second = divide_down(now_ns, NS_PER_S) + 1;
    if (enabled & CMOS_B_UPDATE_INTERRUPT && second * NS_PER_S < next_ns)
        next_ns = second * NS_PER_S;
    int64_t alarm = enabled & CMOS_B_ALARM_INTERRUPT
                        ? cmos_next_alarm(cmos->registers, second + cmos->offset_s)
                        : CMOS_NO_ALARM;
    if (alarm != CMOS_NO_ALARM && (alarm - cmos->offset_s) * NS_PER_S < next_ns)
        next_ns = (alarm - cmos->offset_s) * NS_PER_S;
    return next_ns;
}

/* After every change: the interrupt line, and while it is down the timer for what will raise it. */
static void cmos_update_irq(struct cmos *cmos)
{
    uint8_t *flags = &cmos->registers[CMOS_C];
    bool level = *flags & cmos->registers[CMOS_B] & C_FLAGS;
    *flags = (uint8_t)((*flags & C_FLAGS) | (level ? C_IRQ : 0));
    if (level != cmos->irq_level) {
        cmos->irq_level = level;
        irq_line_set(&cmos->irq, level);
    }
    if (!cmos->loop)
        return;
    int64_t next_ns = level ? INT64_MAX : cmos_next_event_ns(cmos);
    if (next_ns == INT64_MAX)
        event_timer_clear(&cmos->timer);
    else
        event_timer_set(&cmos->timer, (uint64_t)(next_ns - cmos->seen_ns));
}

static void cmos_timer_expired(void *owner)
{
    struct cmos *cmos = owner;
    lock_acquire(&cmos->lock);
    cmos_advance(cmos);
    cmos_update_irq(cmos);
    lock_release(&cmos->lock);
}

/* Makes what the time registers say the time. */
static void cmos_set_time(struct cmos *cmos)
{
    cmos->seen_ns = cmos_now_ns(cmos);
    cmos->offset_s = cmos_load_time(cmos->registers) - divide_down(cmos->seen_ns, NS_PER_S);
}

/* Register A or B changes, which can stop the clock or start it. */
static void cmos_set_mode(struct cmos *cmos, unsigned index, uint8_t value)
{
    bool was_frozen = cmos_is_frozen(cmos), was_reset = cmos_divider_is_reset(cmos);
    if (!was_frozen)
        cmos_store_time(cmos->registers, cmos_seconds(cmos, cmos->seen_ns));
    cmos->registers[index] = value;
    if (was_reset && !cmos_divider_is_reset(cmos)) {
        int64_t fraction_ns = cmos->seen_ns - divide_down(cmos->seen_ns, NS_PER_S) * NS_PER_S;
        cmos->phase_ns = (cmos->phase_ns + RESTART_NS - fraction_ns + NS_PER_S) % NS_PER_S;
        cmos->seen_ns = cmos_now_ns(cmos);
    }
    if (was_frozen && !cmos_is_frozen(cmos))
        cmos_set_time(cmos);
}

static uint8_t cmos_read_register(struct cmos *cmos)
{
    unsigned index = cmos->index;
    int64_t until_update_ns = (divide_down(cmos->seen_ns, NS_PER_S) + 1) * NS_PER_S - cmos->seen_ns;
    if (cmos_is_time(index) && !cmos_is_frozen(cmos))
        cmos_store_time(cmos->registers, cmos_seconds(cmos, cmos->seen_ns));
    uint8_t value = cmos->registers[index];
    if (index == CMOS_A && !cmos_is_frozen(cmos) && until_update_ns <= UIP_NS)
        value |= A_UPDATE_IN_PROGRESS;
    if (index == CMOS_C)
        cmos->registers[CMOS_C] = 0;
    return value;
}

static void cmos_write_register(struct cmos *cmos, uint8_t value)
{
    unsigned index = cmos->index;
    if (index == CMOS_C || index == CMOS_D)
        return;
    if (index == CMOS_A) {
        cmos_set_mode(cmos, CMOS_A, value & (uint8_t)~A_UPDATE_IN_PROGRESS);
    } else if (index == CMOS_B) {
        cmos_set_mode(cmos, CMOS_B, value & CMOS_B_SET ? value & (uint8_t)~CMOS_B_UPDATE_INTERRUPT : value);
    } else if (cmos_is_time(index) && !cmos_is_frozen(cmos)) {
        cmos_store_time(cmos->registers, cmos_seconds(cmos, cmos->seen_ns));
        cmos->registers[index] = value;
        cmos_set_time(cmos);
    } else {
        cmos->registers[index] = value;
    }
}

static uint64_t cmos_read(void *device, uint64_t offset, unsigned size)
{
    struct cmos *cmos = device;
    (void)size;
    if (offset != OFFSET_DATA)
        return 0xff;
    cmos_advance(cmos);
    cmos_update_irq(cmos);
    uint8_t value = cmos_read_register(cmos);
    cmos_update_irq(cmos);
    return value;
}

static void cmos_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct cmos *cmos = device;
    (void)size;
    if (offset != OFFSET_DATA) {
        cmos->index = value & INDEX_MASK;
        return;
    }
    cmos_advance(cmos);
    cmos_write_register(cmos, (uint8_t)value);
    cmos_update_irq(cmos);
}

static const struct bus_ops cmos_ops = {.read = cmos_read, .write = cmos_write};

/* Little-endian, cut to what the bytes can say. */
static void cmos_store_count(struct cmos *cmos, unsigned index, unsigned size, uint64_t value)
{
    uint64_t limit = size_mask(size);
    if (value > limit)
        value = limit;
    for (unsigned i = 0; i < size; i++)
        cmos->registers[index + i] = (uint8_t)(value >> (8 * i));
}

static uint64_t bytes_above(uint64_t bytes, uint64_t start)
{
    return bytes > start ? bytes - start : 0;
}

static void cmos_store_memory(struct cmos *cmos, const struct cmos_config *config)
{
    uint64_t ram_bytes = config->ram_below_4g_bytes;
    uint64_t base_bytes = ram_bytes < BASE_MEMORY_BYTES ? ram_bytes : BASE_MEMORY_BYTES;
    cmos_store_count(cmos, CMOS_BASE_KIB, 2, base_bytes / KIB);
    cmos_store_count(cmos, CMOS_EXTENDED_KIB, 2, bytes_above(ram_bytes, MIB) / KIB);
    cmos_store_count(cmos, CMOS_EXTENDED_KIB_2, 2, bytes_above(ram_bytes, MIB) / KIB);
    cmos_store_count(cmos, CMOS_ABOVE_16M_64KIB, 2, bytes_above(ram_bytes, 16 * MIB) / (64 * KIB));
    cmos_store_count(cmos, CMOS_ABOVE_4G_64KIB, 3, config->ram_above_4g_bytes / (64 * KIB));
    cmos_store_count(cmos, CMOS_CPU_COUNT_LESS_1, 1, config->cpu_count ? config->cpu_count - 1 : 0);
    cmos->registers[CMOS_EQUIPMENT] = EQUIPMENT_FPU;
}

int cmos_create(const struct cmos_config *config, struct cmos **out, struct vmm_error *error)
{
    struct cmos *cmos = calloc(1, sizeof(*cmos));
    if (!cmos)
        return error_set(error, -ENOMEM, "cmos: out of memory");
    cmos->irq = config->irq;
    cmos->wall_clock_ns = config->wall_clock_ns ? config->wall_clock_ns : host_clock_ns;
    cmos->context = config->context;
    cmos->loop = config->loop;
    if (cmos->loop)
        event_timer_init(&cmos->timer, cmos->loop, cmos_timer_expired, cmos);
    cmos->registers[CMOS_A] = A_AT_RESET;
    cmos->registers[CMOS_B] = CMOS_B_24_HOURS;
    cmos->registers[CMOS_D] = D_VALID;
    cmos_store_memory(cmos, config);
    cmos->seen_ns = cmos_now_ns(cmos);
    cmos->region = (struct bus_region){.name = "cmos",
                                       .base = CMOS_PORT,
                                       .len = 2,
                                       .size_min = 1,
                                       .size_max = 1,
                                       .ops = &cmos_ops,
                                       .device = cmos,
                                       .lock = &cmos->lock};
    *out = cmos;
    return 0;
}

void cmos_destroy(struct cmos *cmos)
{
    if (!cmos)
        return;
    if (cmos->loop)
        event_timer_fini(&cmos->timer);
    free(cmos);
}

struct bus_region *cmos_region(struct cmos *cmos)
{
    return &cmos->region;
}
