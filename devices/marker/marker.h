/* SPDX-License-Identifier: MIT
 *
 * The port at which a guest writes text into the trace: byte by byte, a line at a time. It reads as 'T', so
 * that a guest can find out whether it is there (a port that nobody has reads 0xff).
 */
#ifndef DEVICES_MARKER_MARKER_H
#define DEVICES_MARKER_MARKER_H

#include "mmio/bus.h"

#define MARKER_PRESENT  0x54u
#define MARKER_LINE_MAX 200u /* a longer line is cut into several */

struct marker_config {
    uint16_t port;
};

struct marker;

int marker_create(const struct marker_config *config, struct marker **marker, struct vmm_error *error);
void marker_destroy(struct marker *marker);
struct bus_region *marker_region(struct marker *marker);

#endif
