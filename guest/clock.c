/* SPDX-License-Identifier: MIT
 *
 * The PIT (8254) is found by its read-back command; without one the TSC's rate comes from CPUID, or is a
 * guess on the high side, so that limits on waiting only become longer.
 */
#include "guest/clock.h"

#define PIT_CHANNEL0  0x40
#define PIT_COMMAND   0x43
#define PIT_RATE      0x34 /* channel 0, both bytes, mode 2 */
#define PIT_ONESHOT   0x30 /* channel 0, both bytes, mode 0: no interrupt comes again */
#define PIT_LATCH     0x00
#define PIT_STATUS    0xe2 /* read back the status of channel 0 */
#define PIT_MODE_MASK 0x3f

#define CALIBRATION_TICKS (PIT_HZ / 200) /* 5 ms */
#define SAMPLES_LIMIT     1000000u       /* a PIT that does not count is none */
#define GUESS_KHZ         4000000u

struct clock timebase;

static void pit_program(uint8_t command, uint16_t count)
{
    out8(PIT_COMMAND, command);
    out8(PIT_CHANNEL0, (uint8_t)count);
    out8(PIT_CHANNEL0, (uint8_t)(count >> 8));
}

static bool pit_probe(void)
{
    pit_program(PIT_RATE, 0);
    out8(PIT_COMMAND, PIT_STATUS);
    return (in8(PIT_CHANNEL0) & PIT_MODE_MASK) == (PIT_RATE & PIT_MODE_MASK);
}

void pit_start(unsigned hz)
{
    if (hz)
        pit_program(PIT_RATE, (uint16_t)(PIT_HZ / hz));
    else
        pit_program(PIT_ONESHOT, 0);
}

/* The count and the time at which it was latched: of a few, the one that is known best, as each port access
 * may be an exit of any length. */
static struct pit_sample {
    uint64_t tsc;
    uint16_t count;
} pit_sample(void)
{
    struct pit_sample best = {0};
    uint64_t best_width = UINT64_MAX;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t before = tsc_read();
        out8(PIT_COMMAND, PIT_LATCH);
        uint64_t width = tsc_read() - before;
        uint8_t low = in8(PIT_CHANNEL0), high = in8(PIT_CHANNEL0);
        if (width < best_width) {
            best = (struct pit_sample){before + width / 2, (uint16_t)(low | high << 8)};
            best_width = width;
        }
    }
    return best;
}

uint64_t pit_measure_tsc_khz(uint16_t ticks)
{
    pit_program(PIT_RATE, 0);
    struct pit_sample start = pit_sample(), end = start;
    for (unsigned i = 0; i < SAMPLES_LIMIT && (uint16_t)(start.count - end.count) < ticks; i++)
        end = pit_sample();
    pit_start(0);
    uint16_t passed = (uint16_t)(start.count - end.count);
    return passed < ticks ? 0 : (end.tsc - start.tsc) * PIT_HZ / 1000 / passed;
}

/* Twice: where the host stops us for longer than the PIT counts, the rate comes out too high. */
static void calibrate_with_pit(void)
{
    uint64_t first = pit_measure_tsc_khz(CALIBRATION_TICKS), second = pit_measure_tsc_khz(CALIBRATION_TICKS);
    timebase.tsc_khz = first < second ? first : second;
    timebase.source = "PIT";
}

static void calibrate_without_pit(void)
{
    struct cpuid_regs r = cpuid(0, 0);
    if (r.eax >= 0x15) {
        r = cpuid(0x15, 0);
        if (r.eax && r.ebx && r.ecx) {
            timebase.tsc_khz = (uint64_t)r.ecx * r.ebx / r.eax / 1000;
            timebase.source = "CPUID 0x15";
            return;
        }
    }
    r = cpuid(0x40000000, 0);
    if (r.eax >= 0x40000010 && r.eax < 0x40001000 && cpuid(0x40000010, 0).eax) {
        timebase.tsc_khz = cpuid(0x40000010, 0).eax;
        timebase.source = "CPUID 0x40000010";
        return;
    }
    timebase.tsc_khz = GUESS_KHZ;
    timebase.source = "a guess";
}

void clock_init(void)
{
    timebase.has_pit = pit_probe();
    if (timebase.has_pit)
        calibrate_with_pit();
    if (!timebase.tsc_khz) {
        timebase.has_pit = false;
        calibrate_without_pit();
    }
}

uint64_t deadline_after_us(uint64_t us)
{
    return tsc_read() + us * timebase.tsc_khz / 1000;
}

bool deadline_passed(uint64_t deadline)
{
    return (int64_t)(tsc_read() - deadline) >= 0;
}

void delay_us(uint64_t us)
{
    for (uint64_t deadline = deadline_after_us(us); !deadline_passed(deadline);)
        cpu_relax();
}

uint64_t tsc_to_us(uint64_t ticks)
{
    return ticks * 1000 / timebase.tsc_khz;
}

bool wait_for_count(const volatile uint32_t *counter, uint32_t value, uint64_t us)
{
    uint64_t deadline = deadline_after_us(us);
    irq_enable();
    while (*counter < value && !deadline_passed(deadline))
        cpu_relax();
    irq_disable();
    return *counter >= value;
}
