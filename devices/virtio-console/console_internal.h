/* SPDX-License-Identifier: MIT
 *
 * The console device for its files: virtio_console.c (the device and its streams), console_control.c (what
 * device and driver tell each other about ports, 5.3.6.2).
 */
#ifndef DEVICES_VIRTIO_CONSOLE_INTERNAL_H
#define DEVICES_VIRTIO_CONSOLE_INTERNAL_H

#include <pthread.h>

#include "devices/virtio-console/virtio_console.h"

/* Feature bits (5.3.3). */
#define CONSOLE_F_SIZE        (1ull << 0)
#define CONSOLE_F_MULTIPORT   (1ull << 1)
#define CONSOLE_F_EMERG_WRITE (1ull << 2)

/* Queues (5.3.2). */
#define CONTROL_RECEIVE_QUEUE  2u
#define CONTROL_TRANSMIT_QUEUE 3u
#define CONSOLE_QUEUES_MAX     (2u + 2u * VIRTIO_CONSOLE_PORTS_MAX)

#define CONSOLE_SEGMENTS_MAX 32

/* What a queue is given a turn for, before the other devices have theirs. */
#define CONSOLE_TURN_BYTES  0x10000u
#define CONSOLE_TURN_CHAINS 256u

/* Messages to the driver that wait, a bit each, in the order in which they are sent. A bit and not a queue: a
 * driver that asks again and again and reads nothing costs no memory. */
enum console_message {
    MESSAGE_ADD,
    MESSAGE_CONSOLE,
    MESSAGE_NAME,
    MESSAGE_OPEN,
    MESSAGE_RESIZE,
    MESSAGE_COUNT
};

/* A chain of a port's queue, as far as it is used. */
struct console_stream {
    struct iovec segments[CONSOLE_SEGMENTS_MAX];
    struct queue_chain chain;
    bool has_chain;
    unsigned segment; /* the next byte is in this one, */
    size_t offset;    /* here */
    uint64_t done;    /* bytes of the chain that are behind it */
};

struct console_port {
    struct virtio_console *console;
    unsigned index;
    struct char_backend *backend;
    struct char_frontend frontend;
    char name[VIRTIO_CONSOLE_NAME_LEN_MAX + 1];
    bool is_console;
    bool is_open;     /* by the guest; only asked with MULTIPORT */
    unsigned waiting; /* bits: enum console_message */
    struct console_stream receive, transmit;
};

struct virtio_console {
    struct virtio *virtio;
    pthread_mutex_t lock; /* all below, and the use of queues; inside virtio_lock */
    bool runs[CONSOLE_QUEUES_MAX];
    bool is_multiport; /* negotiated */
    bool size_told;    /* see tell_size */
    uint32_t size;     /* rows << 16 | columns; atomic */
    unsigned port_count;
    struct console_port ports[VIRTIO_CONSOLE_PORTS_MAX];
};

static inline unsigned receive_queue(unsigned port)
{
    return port ? 2 + 2 * port : 0;
}

/* The next chain. Notifications stay on, as chains are few and many only wait for input: where there is none
 * the driver is asked to notify of the next, which need not be done before. */
bool console_pop(struct virtio_console *console, unsigned queue, struct queue_chain *chain);

/* Gives the driver the bytes that wait for the port. With the lock. */
void console_receive(struct console_port *port);

/* console_control.c, with the lock: messages that the driver has sent, and those that wait for it. */
void control_take(struct virtio_console *console);
void control_send(struct virtio_console *console);

#endif
