/* SPDX-License-Identifier: MIT
 *
 * A line for each CPU would need to know which one writes; as on a console, lines that two CPUs write at the
 * same time are mixed.
 */
#include "devices/marker/marker.h"

#include <stdlib.h>

#include "base/trace.h"

struct marker {
    struct bus_region region;
    struct lock lock;
    unsigned len;
    char line[MARKER_LINE_MAX];
};

static uint64_t marker_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return MARKER_PRESENT;
}

static void marker_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct marker *marker = device;
    (void)offset, (void)size;
    bool is_end = value == '\n' || !value;
    if (!is_end)
        marker->line[marker->len++] = (char)value;
    if (!is_end && marker->len < MARKER_LINE_MAX)
        return;
    if (marker->len)
        trace_marker(marker->line, marker->len);
    marker->len = 0;
}

static const struct bus_ops marker_ops = {.read = marker_read, .write = marker_write};

int marker_create(const struct marker_config *config, struct marker **out, struct vmm_error *error)
{
    struct marker *marker = calloc(1, sizeof(*marker));
    if (!marker)
        return error_set(error, -ENOMEM, "trace marker: out of memory");
    marker->region = (struct bus_region){.name = "marker",
                                         .base = config->port,
                                         .len = 1,
                                         .size_min = 1,
                                         .size_max = 1,
                                         .ops = &marker_ops,
                                         .device = marker,
                                         .lock = &marker->lock};
    *out = marker;
    return 0;
}

void marker_destroy(struct marker *marker)
{
    if (!marker)
        return;
    free(marker);
}

struct bus_region *marker_region(struct marker *marker)
{
    return &marker->region;
}
