/* SPDX-License-Identifier: MIT
 *
 * The console device (virtio 1.2, 5.3): ports, each a stream of bytes in both directions between the guest
 * and a character backend. A device of one console port is as simple as that; any other offers MULTIPORT, by
 * which the guest learns what its ports are, and has names for them.
 *
 *   guest hvc0 --queue 1--> port 0 --> char backend       queue 0 the other way; then two for control
 *   guest vport0p1 ---5---> port 1 --> char backend       and two for each further port
 *
 * Threads: see virtio.h; virtio_console_resize from any.
 */
#ifndef DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H

#include "devices/char/char_backend.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_CONSOLE_PORTS_MAX    8
#define VIRTIO_CONSOLE_NAME_LEN_MAX 31

struct virtio_console_port {
    struct char_backend *backend; /* a borrow */
    const char *name;             /* the guest's /dev/virtio-ports/NAME, copied; NULL: none */
    bool is_console;              /* a terminal of the guest's (Linux: hvc), not just a stream of bytes */
};

struct virtio_console_config {
    const struct guest_memory *memory;
    struct event_loop *loop;
    const struct virtio_console_port *ports;
    unsigned port_count; /* 1 to VIRTIO_CONSOLE_PORTS_MAX */
};

struct virtio_console;

int virtio_console_create(const struct virtio_console_config *config, struct virtio_console **console,
                          struct vmm_error *error);
/* Before the backends' destroy. */
void virtio_console_destroy(struct virtio_console *console);

/* For a transport. */
struct virtio *virtio_console_virtio(struct virtio_console *console);

/* The size in characters of what the guest's console is shown on; it is told. 0 and 0: unknown, as before the
 * first call. With several ports it is the first's. */
void virtio_console_resize(struct virtio_console *console, uint16_t columns, uint16_t rows);

#endif
