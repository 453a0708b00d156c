/* SPDX-License-Identifier: MIT
 *
 *   offset 0   status    16 bits, a 1 clears: timer carry 0 (others are never set)
 *          2   enable    16 bits: timer 0, global lock 5, RTC 10
 *          4   control   16 bits: SCI_EN 0 (always 1), sleep type 10-12, sleep enable 13 (reads 0)
 *          6   (nothing)
 *          8   timer     32 bits, read-only
 *
 * The timer's carry is found when the guest reads the status. Nothing here raises the SCI.
 */
#include "devices/acpi-pm/acpi_pm.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"

#define TIMER_HZ 3579545u

#define STATUS_TIMER (1u << 0)
#define ENABLE_BITS  0x0421u

#define CONTROL_SCI_ENABLE   (1u << 0)
#define CONTROL_TYPE_SHIFT   10
#define CONTROL_SLEEP_ENABLE (1u << 13)
#define CONTROL_KEPT         0x1c06u /* sleep type, global lock release, bus master reload */

enum { AT_STATUS = 0, AT_ENABLE = 2, AT_CONTROL = 4, AT_TIMER = 8 };

struct acpi_pm {
    struct bus_region region;
    struct lock lock;
    struct acpi_pm_config config;
    uint64_t carries; /* of the timer's top bit, which have been reported */
    uint16_t status, enable, control;
};

static uint64_t ticks_of(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * TIMER_HZ / 1000000000u);
}

static uint64_t timer_ticks(const struct acpi_pm *acpi_pm)
{
    const struct acpi_pm_config *config = &acpi_pm->config;
    return ticks_of(config->clock_ns ? config->clock_ns(config->context) : clock_now_ns());
}

/* The status bit is set whenever the timer's top bit has changed since it was last cleared. */
static void update_status(struct acpi_pm *acpi_pm)
{
    uint64_t carries = timer_ticks(acpi_pm) >> 31;
    if (carries != acpi_pm->carries)
        acpi_pm->status |= STATUS_TIMER;
    acpi_pm->carries = carries;
}

static uint64_t acpi_pm_read(void *device, uint64_t offset, unsigned size)
{
    struct acpi_pm *acpi_pm = device;
    uint8_t image[ACPI_PM_PORT_COUNT + 4] = {0}; /* a wide read at the end stays inside */
    if (offset < AT_ENABLE)
        update_status(acpi_pm);
    store_le16(image + AT_STATUS, acpi_pm->status);
    store_le16(image + AT_ENABLE, acpi_pm->enable);
    store_le16(image + AT_CONTROL, acpi_pm->control | CONTROL_SCI_ENABLE);
    if (offset >= AT_TIMER)
        store_le32(image + AT_TIMER, (uint32_t)timer_ticks(acpi_pm));
    return load_le(image + offset, size);
}

/* Sleep states that are not offered do nothing: the guest goes on, as where the hardware lacks them. */
static void write_control(struct acpi_pm *acpi_pm, uint16_t value)
{
    acpi_pm->control = value & CONTROL_KEPT;
    if ((value & CONTROL_SLEEP_ENABLE) && (value >> CONTROL_TYPE_SHIFT & 7) == acpi_pm->config.sleep_off)
        power_line_request(&acpi_pm->config.power, POWER_OFF, 0);
}

static void acpi_pm_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct acpi_pm *acpi_pm = device;
    uint8_t bytes[ACPI_PM_PORT_COUNT + 4] = {0}, mask[ACPI_PM_PORT_COUNT + 4] = {0};
    store_le(bytes + offset, value, size);
    store_le(mask + offset, UINT64_MAX, size);
    acpi_pm->status &= ~load_le16(bytes + AT_STATUS);
    uint16_t enable_mask = load_le16(mask + AT_ENABLE), control_mask = load_le16(mask + AT_CONTROL);
    acpi_pm->enable = (acpi_pm->enable & ~enable_mask) | (load_le16(bytes + AT_ENABLE) & ENABLE_BITS);
    if (control_mask)
        write_control(acpi_pm, (acpi_pm->control & ~control_mask) | load_le16(bytes + AT_CONTROL));
}

static const struct bus_ops acpi_pm_ops = {.read = acpi_pm_read, .write = acpi_pm_write};

int acpi_pm_create(const struct acpi_pm_config *config, struct acpi_pm **out, struct vmm_error *error)
{
    struct acpi_pm *acpi_pm = calloc(1, sizeof(*acpi_pm));
    if (!acpi_pm)
        return error_set(error, -ENOMEM, "acpi-pm: out of memory");
    acpi_pm->config = *config;
    uint64_t now_ns = config->clock_ns ? config->clock_ns(config->context)
                                       : (uint64_t)clock_read_ns(CLOCK_MONOTONIC);
    acpi_pm->carries = ticks_of(now_ns) >> 31;
    acpi_pm->region = (struct bus_region){.name = "acpi-pm",
                                          .base = config->base,
                                          .len = ACPI_PM_PORT_COUNT,
                                          .size_min = 1,
                                          .size_max = 4,
                                          .ops = &acpi_pm_ops,
                                          .device = acpi_pm,
                                          .lock = &acpi_pm->lock};
    *out = acpi_pm;
    return 0;
}

void acpi_pm_destroy(struct acpi_pm *acpi_pm)
{
    if (!acpi_pm)
        return;
    free(acpi_pm);
}

struct bus_region *acpi_pm_region(struct acpi_pm *acpi_pm)
{
    return &acpi_pm->region;
}
