/* SPDX-License-Identifier: MIT
 *
 * The control queues (virtio 1.2, 5.3.6.2). A driver that is ready is told which ports there are, a port that
 * is ready what it is; the driver tells which it has opened.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "devices/virtio-console/console_internal.h"

/* struct virtio_console_control: le32 id, le16 event, le16 value; then what belongs to the event. */
#define CONTROL_BYTES     8u
#define CONTROL_BYTES_MAX (CONTROL_BYTES + VIRTIO_CONSOLE_NAME_LEN_MAX)

enum console_event {
    EVENT_DEVICE_READY,
    EVENT_PORT_ADD,
    EVENT_PORT_REMOVE,
    EVENT_PORT_READY,
    EVENT_CONSOLE_PORT,
    EVENT_RESIZE,
    EVENT_PORT_OPEN,
    EVENT_PORT_NAME,
};

static const enum console_event events[MESSAGE_COUNT] = {[MESSAGE_ADD] = EVENT_PORT_ADD,
                                                         [MESSAGE_CONSOLE] = EVENT_CONSOLE_PORT,
                                                         [MESSAGE_NAME] = EVENT_PORT_NAME,
                                                         [MESSAGE_OPEN] = EVENT_PORT_OPEN,
                                                         [MESSAGE_RESIZE] = EVENT_RESIZE};

static size_t fill(uint8_t *bytes, const struct console_port *port, enum console_message message)
{
    size_t len = CONTROL_BYTES;
    store_le32(bytes, port->index);
    store_le16(bytes + 4, (uint16_t)events[message]);
    store_le16(bytes + 6, message != MESSAGE_ADD);
    if (message == MESSAGE_RESIZE) { /* le16 cols, le16 rows */
        store_le32(bytes + len, __atomic_load_n(&port->console->size, __ATOMIC_RELAXED));
        len += 4;
    } else if (message == MESSAGE_NAME) { /* without a final 0 */
        memcpy(bytes + len, port->name, strlen(port->name));
        len += strlen(port->name);
    }
    return len;
}

/* As much as there is room for. */
static uint64_t scatter(const struct queue_chain *chain, const uint8_t *bytes, size_t len)
{
    size_t done = 0;
    for (unsigned i = 0; i < chain->in_count && done < len; i++) {
        const struct iovec *segment = &chain->segments[chain->out_count + i];
        size_t part = segment->iov_len < len - done ? segment->iov_len : len - done;
        memcpy(segment->iov_base, bytes + done, part);
        done += part;
    }
    return done;
}

static size_t gather(const struct queue_chain *chain, uint8_t *bytes, size_t len)
{
    size_t done = 0;
    for (unsigned i = 0; i < chain->out_count && done < len; i++) {
        const struct iovec *segment = &chain->segments[i];
        size_t part = segment->iov_len < len - done ? segment->iov_len : len - done;
        memcpy(bytes + done, segment->iov_base, part);
        done += part;
    }
    return done;
}

/* The first message that waits. */
static struct console_port *find_waiting(struct virtio_console *console, enum console_message *message)
{
    for (unsigned i = 0; i < console->port_count; i++) {
        struct console_port *port = &console->ports[i];
        for (*message = 0; *message < MESSAGE_COUNT; (*message)++)
            if (port->waiting & 1u << *message)
                return port;
    }
    return NULL;
}

void control_send(struct virtio_console *console)
{
    struct iovec segments[CONSOLE_SEGMENTS_MAX];
    struct queue_chain chain = {.segments = segments, .capacity = CONSOLE_SEGMENTS_MAX};
    enum console_message message;
    struct console_port *port;
    uint8_t bytes[CONTROL_BYTES_MAX];
    if (!console->runs[CONTROL_RECEIVE_QUEUE])
        return;
    while ((port = find_waiting(console, &message)) && console_pop(console, CONTROL_RECEIVE_QUEUE, &chain)) {
        size_t len = fill(bytes, port, message);
        port->waiting &= ~(1u << message);
        virtio_queue_push(console->virtio, CONTROL_RECEIVE_QUEUE, &chain, scatter(&chain, bytes, len));
    }
    virtio_queue_flush(console->virtio, CONTROL_RECEIVE_QUEUE);
}

static void port_ready(struct console_port *port)
{
    port->waiting |= 1u << MESSAGE_OPEN;
    if (port->is_console)
        port->waiting |= 1u << MESSAGE_CONSOLE;
    if (port->is_console && !port->index && __atomic_load_n(&port->console->size, __ATOMIC_RELAXED))
        port->waiting |= 1u << MESSAGE_RESIZE;
    if (*port->name)
        port->waiting |= 1u << MESSAGE_NAME;
}

static void take_message(struct virtio_console *console, const uint8_t *bytes)
{
    const uint32_t id = load_le32(bytes);
    const unsigned event = load_le16(bytes + 4), value = load_le16(bytes + 6);
    struct console_port *port = id < console->port_count ? &console->ports[id] : NULL;
    if (event == EVENT_DEVICE_READY && value) {
        for (unsigned i = 0; i < console->port_count; i++)
            console->ports[i].waiting |= 1u << MESSAGE_ADD;
    } else if (event == EVENT_PORT_READY && value && port) {
        port_ready(port);
    } else if (event == EVENT_PORT_OPEN && port) {
        port->is_open = value;
        console_receive(port);
    } else if (value) {
        trace_odd("virtio-console", "a control message of no sense", event);
    }
}

void control_take(struct virtio_console *console)
{
    struct iovec segments[CONSOLE_SEGMENTS_MAX];
    struct queue_chain chain = {.segments = segments, .capacity = CONSOLE_SEGMENTS_MAX};
    uint8_t bytes[CONTROL_BYTES] = {0};
    unsigned count = 0;
    while (count < CONSOLE_TURN_CHAINS && console_pop(console, CONTROL_TRANSMIT_QUEUE, &chain)) {
        count++;
        if (gather(&chain, bytes, CONTROL_BYTES) == CONTROL_BYTES)
            take_message(console, bytes);
        virtio_queue_push(console->virtio, CONTROL_TRANSMIT_QUEUE, &chain, 0);
    }
    virtio_queue_flush(console->virtio, CONTROL_TRANSMIT_QUEUE);
    if (count == CONSOLE_TURN_CHAINS)
        virtio_queue_again(console->virtio, CONTROL_TRANSMIT_QUEUE);
    control_send(console);
}
