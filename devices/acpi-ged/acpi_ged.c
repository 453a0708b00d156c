/* SPDX-License-Identifier: MIT
 *
 *   offset 0   events   8 bits, a 1 clears
 *
 * The interrupt line is up while a bit is set: an event that comes before the guest listens is not lost.
 */
#include "devices/acpi-ged/acpi_ged.h"

#include <stdlib.h>

struct acpi_ged {
    struct bus_region region;
    struct lock lock;
    struct irq_line irq;
    uint8_t events;
};

static uint64_t acpi_ged_read(void *device, uint64_t offset, unsigned size)
{
    const struct acpi_ged *ged = device;
    (void)offset, (void)size;
    return ged->events;
}

static void acpi_ged_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct acpi_ged *ged = device;
    (void)offset, (void)size;
    bool was_up = ged->events;
    ged->events &= (uint8_t)~value;
    if (was_up && !ged->events)
        irq_line_set(&ged->irq, false);
}

static const struct bus_ops acpi_ged_ops = {.read = acpi_ged_read, .write = acpi_ged_write};

int acpi_ged_create(const struct acpi_ged_config *config, struct acpi_ged **out, struct vmm_error *error)
{
    struct acpi_ged *ged = calloc(1, sizeof(*ged));
    if (!ged)
        return error_set(error, -ENOMEM, "acpi-ged: out of memory");
    ged->irq = config->irq;
    ged->region = (struct bus_region){.name = "acpi-ged",
                                      .base = config->base,
                                      .len = 1,
                                      .size_min = 1,
                                      .size_max = 1,
                                      .ops = &acpi_ged_ops,
                                      .device = ged,
                                      .lock = &ged->lock};
    *out = ged;
    return 0;
}

void acpi_ged_destroy(struct acpi_ged *ged)
{
    free(ged);
}

struct bus_region *acpi_ged_region(struct acpi_ged *ged)
{
    return &ged->region;
}

void acpi_ged_raise(struct acpi_ged *ged, uint8_t events)
{
    lock_acquire(&ged->lock);
    ged->events |= events;
    if (ged->events)
        irq_line_set(&ged->irq, true);
    lock_release(&ged->lock);
}
